"""360° panoramas and fisheye photos, from the file to the cameras' places."""

from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image

from e2e3d_assets.reconstruction.features import FISHEYE_MODEL, extract_features
from e2e3d_assets.reconstruction.intake.exif import is_fisheye
from e2e3d_assets.reconstruction.intake.panoramas import (
    YAWS_DEG,
    Sighting,
    are_panoramas,
    look_at,
    looks_closed,
    split,
    view_of,
)
from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.matching import match_features
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import (
    FeaturesOptions,
    MatchesOptions,
    PhotosOptions,
    SparseModelOptions,
    UndistortedPhotosOptions,
)
from e2e3d_assets.reconstruction.photo_set import PhotoSet
from e2e3d_assets.reconstruction.photos import prepare_photos
from e2e3d_assets.reconstruction.undistortion import undistort_photos

from ..photo_files import save_photos, textured
from .panorama_room import fisheye, panorama

HERE = np.array([-1.0, 0.4, 0.1])
PLACES = np.array([[-1.2, 0.6, 0.1], [0, -0.8, 0.05], [0.9, 0.9, -0.1]])
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><GPano:ProjectionType>equirectangular</GPano:ProjectionType></x:xmpmeta>'


def test_known_by_their_looks(tmp_path: Path):
    """Panoramas lose their XMP in messengers; an ordinary photo cut to 2:1 is none, nor is a part of a panorama."""
    whole = panorama(HERE, 0, 512)
    whole.save(tmp_path / "whole.jpg")
    whole.save(tmp_path / "whole.png")
    textured(1, 800, 400).save(tmp_path / "wide.jpg")
    whole.crop((0, 100, 800, 500)).save(tmp_path / "part.jpg")
    whole.crop((0, 0, 1024, 300)).save(tmp_path / "band.jpg", xmp=XMP)
    textured(2, 800, 400).save(tmp_path / "says.jpg", xmp=XMP)
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:9000])
    files = sorted(tmp_path.iterdir())
    found = are_panoramas([look_at(path, 200, 10**8, Monitor()) for path in files])
    names = {path.name for path, is_panorama in zip(files, found, strict=True) if is_panorama}
    assert names == {"whole.jpg", "whole.png", "says.jpg"}
    assert not looks_closed(np.zeros((256, 512)))


def test_panoramas_of_one_camera_are_all_split_or_none():
    """One with a bright lamp at its pole among forty would be matched as a pinhole photo, and bend the model."""
    closed, open_ = Sighting((800, 400), says=False, looks=True), Sighting((800, 400), says=False, looks=False)
    other = Sighting((400, 200), says=False, looks=False)
    assert are_panoramas([closed, open_, None, closed, other]) == [True, True, False, True, False]
    assert are_panoramas([closed, open_, open_]) == [False, False, False]
    assert are_panoramas([Sighting((800, 400), says=True, looks=True), open_, open_]) == [True, False, False]


def test_views_are_pinhole_photos():
    """A straight edge of the room must be straight in the views, or everything after would be bent."""
    around = np.asarray(panorama(HERE, 0, 512))
    view = view_of(around, 60.0, 320)
    focal = 160.0
    for column, row in ((160, 160), (40, 250), (300, 30)):
        ray = np.array([(column + 0.5 - 160) / focal, (row + 0.5 - 160) / focal, 1.0])
        yaw = np.arctan2(ray[0], 1.0) + np.radians(60)
        pitch = np.arctan2(ray[1], np.hypot(ray[0], 1.0))
        expected = around[int((pitch / np.pi + 0.5) * 512), int((yaw / (2 * np.pi) + 0.5) * 1024) % 1024]
        assert np.abs(view[row, column].astype(float) - expected).max() < 40


def test_a_panorama_becomes_views_with_known_focal_length(tmp_path: Path):
    """Split without a word of the angle, the views' calibration would be left to chance."""
    upload, out = tmp_path / "upload", tmp_path / "out"
    save_photos(upload, ["a.jpg", "z.jpg"])
    panorama(HERE, 0, 700).save(upload / "round.jpg", quality=90)
    panorama(HERE, 30, 700).save(upload / "round.webp", quality=90)
    Image.open(upload / "round.jpg").crop((0, 0, 1400, 500)).save(upload / "part.jpg", xmp=XMP)
    out.mkdir()
    prepare_photos(upload, out, PhotosOptions(), Monitor())
    photo_set = PhotoSet.load(out)
    views = [photo for photo in photo_set.accepted if "#" in photo.given_name]
    assert [photo.given_name for photo in views] == [
        f"round.{suffix}#yaw_{yaw:03d}.jpg" for suffix in ("jpg", "webp") for yaw in YAWS_DEG
    ]
    for photo in views:
        assert photo.width == photo.height == 446
        assert photo.camera.focal_px == pytest.approx(223, rel=1e-3)
    refused = {photo.given_name: photo.reason for photo in photo_set.rejected}
    assert "part of a 360° panorama" in (refused["part.jpg"] or "")


def test_a_video_of_a_360_camera_is_split(tmp_path: Path):
    """Its frames were matched as pinhole photos, which gives a bent model or none."""
    upload, out = tmp_path / "upload", tmp_path / "out"
    upload.mkdir()
    out.mkdir()
    writer = cv2.VideoWriter(str(upload / "walk.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (680, 340))
    for step in range(4):
        around = panorama(np.array([-1.0 + 0.3 * step, 0.4, 0.1]), 60.0 * step, 340)
        writer.write(np.ascontiguousarray(np.asarray(around)[..., ::-1]))
    writer.release()
    prepare_photos(upload, out, PhotosOptions(max_video_frames=12), Monitor())
    names = [photo.given_name for photo in PhotoSet.load(out).accepted]
    assert all("#frame_" in name and "#yaw_" in name for name in names)
    assert len(names) == 12


def test_a_broken_panorama_is_refused_with_the_reason(tmp_path: Path):
    """A cut-off panorama must be listed, not vanish."""
    upload, out = tmp_path / "upload", tmp_path / "out"
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg"])
    panorama(HERE, 0, 512).save(upload / "round.jpg", xmp=XMP)
    data = (upload / "round.jpg").read_bytes()
    (upload / "round.jpg").write_bytes(data[: len(data) // 2])
    out.mkdir()
    prepare_photos(upload, out, PhotosOptions(), Monitor())
    refused = PhotoSet.load(out).rejected
    assert [photo.given_name for photo in refused] == ["round.jpg"]
    assert "cut off" in (refused[0].reason or "")


@pytest.mark.parametrize(
    ("make", "model", "lens", "focal_35mm", "expected"),
    [
        ("Canon", "EOS R", "EF8-15mm f/4L FISHEYE USM", 15.0, True),
        ("GoPro", "HERO9 Black", None, 15.0, True),
        ("Sigma", "fp", "8mm", 8.0, True),
        ("Apple", "iPhone 15 Pro", "iPhone 15 Pro back camera 2.22mm f/2.2", 13.0, False),
        ("NIKON", "D3200", "18-55mm", 27.0, False),
        (None, None, None, None, False),
    ],
)
def test_fisheye_lenses_are_known(
    make: str | None, model: str | None, lens: str | None, focal_35mm: float | None, expected: bool
):
    """A telephone's wide camera is corrected to straight lines already: the fisheye model would bend them."""
    assert is_fisheye(make, model, lens, focal_35mm) is expected


def sparse(upload: Path, root: Path) -> pycolmap.Reconstruction:
    """The largest model of an upload."""
    for name in ("photos", "features", "matches", "sparse_model"):
        (root / name).mkdir()
    prepare_photos(upload, root / "photos", PhotosOptions(), Monitor())
    extract_features(root / "photos", root / "features", FeaturesOptions(max_features=3000), Monitor())
    match_features(root / "photos", root / "features", root / "matches", MatchesOptions(), Monitor())
    build_sparse_model(root / "photos", root / "matches", root / "sparse_model", SparseModelOptions(), Monitor())
    return pycolmap.Reconstruction(root / "sparse_model/sparse/0")


def median_error(model: pycolmap.Reconstruction, truth: dict[str, np.ndarray]) -> float:
    """Of the cameras' places after the best similarity, in the room's metres."""
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    found = np.array([image.projection_center() for image in images])
    true = np.array([truth[image.name[:2]] for image in images])
    similarity = pycolmap.estimate_sim3d(found, true)
    assert similarity is not None
    return float(np.median(np.linalg.norm([similarity * xyz for xyz in found] - true, axis=1)))


@pytest.mark.slow
def test_panoramas_give_a_model(tmp_path: Path):
    """Views from one and the same place have no parallax: they must help the model, not break it."""
    upload = tmp_path / "upload"
    upload.mkdir()
    for number, place in enumerate(PLACES):
        panorama(place, 17.0 * number, 700).save(upload / f"p{number}.jpg", quality=92)
    model = sparse(upload, tmp_path)
    assert model.num_reg_images() == 18
    assert median_error(model, {f"p{number}": place for number, place in enumerate(PLACES)}) < 0.005


@pytest.mark.slow
def test_fisheye_photos_give_a_model_and_pinhole_photos(tmp_path: Path):
    """With an ordinary lens model the cameras are 79 mm off here; undistorted to 150° the photos would be endless."""
    upload, focal = tmp_path / "upload", 800 / np.radians(150)
    upload.mkdir()
    places = np.array([[-2.2 + 0.6 * i, 0.9 * np.sin(1.7 * i), 0.25 * np.cos(i)] for i in range(6)])
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA434] = "8mm Fisheye"
    exif.get_ifd(0x8769)[0xA405] = round(focal / 1000 * 43.27)
    for number, place in enumerate(places):
        picture = fisheye(place, 25 * np.sin(number), focal, 800, 600)
        picture.save(upload / f"p{number}.jpg", quality=92, exif=exif.tobytes())
    model = sparse(upload, tmp_path)
    assert [camera.model_name for camera in model.cameras.values()] == [FISHEYE_MODEL]
    assert model.num_reg_images() == 6
    assert median_error(model, {f"p{number}": place for number, place in enumerate(places)}) < 0.003
    (tmp_path / "undistorted").mkdir()
    undistort_photos(
        tmp_path / "photos", tmp_path / "sparse_model", tmp_path / "undistorted", UndistortedPhotosOptions(), Monitor()
    )
    camera = next(iter(pycolmap.Reconstruction(tmp_path / "undistorted/sparse").cameras.values()))
    assert camera.model_name == "PINHOLE"
    assert 90 < 2 * np.degrees(np.arctan(camera.width / 2 / camera.focal_length_x)) < 130
    assert camera.width < 1600


def test_split_keeps_place_and_time(tmp_path: Path):
    """A panorama's GPS must reach its views: it is all that ties them to the map."""
    exif = Image.Exif()
    exif[271] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:01 10:00:00"
    exif.get_ifd(0x8825).update({1: "N", 2: (46.0, 30.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0), 5: b"\0", 6: 200.0})
    panorama(HERE, 0, 256).save(tmp_path / "round.jpg", exif=exif.tobytes())
    for file, _ in split(tmp_path / "round.jpg", tmp_path, "round.jpg", 200, 10**8, Monitor()):
        with Image.open(file) as view:
            assert view.getexif()[271] == "Maker"
            assert view.getexif().get_ifd(0x8769)[0x9003] == "2024:05:01 10:00:00"
            assert view.getexif().get_ifd(0x8825)[6] == 200.0
