"""Real photos under made-up EXIF: which of them share one camera."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from e2e3d_assets.reconstruction.features import group_by_camera
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import PhotosOptions
from e2e3d_assets.reconstruction.photo_set import PhotoSet
from e2e3d_assets.reconstruction.photos import prepare_photos

MAKE, MODEL, ORIENTATION = 0x010F, 0x0110, 0x0112
FOCAL, FOCAL_35, LENS, SERIAL, ZOOM = 0x920A, 0xA405, 0xA434, 0xA431, 0xA404
PHONE: dict[int, Any] = {MAKE: "Maker", MODEL: "Phone 1", FOCAL: 6.86, FOCAL_35: 26, LENS: "back camera 6.86mm f/1.78"}


@pytest.fixture
def upload(tmp_path: Path, banana_photos: Path):
    """Writes a sample photo, 500 x 332, under other EXIF."""
    folder = tmp_path / "upload"
    folder.mkdir()
    photos = iter(sorted(banana_photos.iterdir()))

    def write(name: str, tags: dict[int, Any], crop: tuple[int, int, int, int] | None = None) -> None:
        exif = Image.Exif()
        for tag, value in tags.items():
            (exif if tag < 0x8000 else exif.get_ifd(0x8769))[tag] = value
        with Image.open(next(photos)) as photo:
            photo.draft("RGB", (500, 332))
            small = photo.resize((500, 332))
        (small.crop(crop) if crop else small).save(folder / name, exif=exif.tobytes())

    return write


def groups(tmp_path: Path) -> list[list[str]]:
    (tmp_path / "out").mkdir()
    prepare_photos(tmp_path / "upload", tmp_path / "out", PhotosOptions(), Monitor())
    accepted = PhotoSet.load(tmp_path / "out").accepted
    return [[Path(record.given_name).stem for record in group] for group in group_by_camera(accepted)]


def test_zooms_lenses_and_bodies_are_told_apart(tmp_path: Path, upload):
    """Two focal lengths under one camera bend the model, whichever of the two it settles on."""
    upload("a1.jpg", PHONE)
    upload("a2.jpg", PHONE)
    upload("b_zoomed_by_software.jpg", PHONE | {FOCAL_35: 52, ZOOM: 2.0})
    upload("c_other_zoom_same_35.jpg", PHONE | {ZOOM: 1.6})
    upload("d_portrait_mode.jpg", PHONE | {FOCAL: 9.0, FOCAL_35: 77, LENS: "back camera 9mm f/2.8"})
    upload("e_cut_out.jpg", PHONE, (0, 0, 400, 300))
    upload("f_sideways.jpg", PHONE | {ORIENTATION: 6})
    upload("g_other_body.jpg", PHONE | {SERIAL: "0002"})
    upload("h_other_phone.jpg", PHONE | {MODEL: "Phone 2"})
    upload("i1_none.jpg", {})
    upload("i2_none.jpg", {})
    upload("a3_zoom_of_one.jpg", PHONE | {ZOOM: 1.0})
    assert groups(tmp_path) == [
        ["a1", "a2", "a3_zoom_of_one"],
        ["b_zoomed_by_software"],
        ["c_other_zoom_same_35"],
        ["d_portrait_mode"],
        ["e_cut_out"],
        ["f_sideways"],
        ["g_other_body"],
        ["h_other_phone"],
        ["i1_none", "i2_none"],
    ]


def test_a_zoom_lens_makes_a_camera_of_each_focal_length(tmp_path: Path, upload):
    """Somebody stepped nearer with the lens instead of the feet."""
    for number, focal in enumerate((18.0, 18.0, 35.0, 55.0)):
        upload(
            f"{number}.jpg",
            {MAKE: "Maker", MODEL: "Reflex", LENS: "18-55mm", FOCAL: focal, FOCAL_35: round(1.5 * focal)},
        )
    assert groups(tmp_path) == [["0", "1"], ["2"], ["3"]]
