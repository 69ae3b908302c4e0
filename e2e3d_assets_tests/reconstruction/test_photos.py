"""Stage photos on whole uploads: what is accepted, under which name, and what is refused with which words."""

import functools
import io
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from e2e3d_assets.reconstruction.errors import BadInput, Cancelled
from e2e3d_assets.reconstruction.intake.decoding import UnusablePhoto
from e2e3d_assets.reconstruction.intake.finding import natural_key
from e2e3d_assets.reconstruction.intake.storing import measure_photo, store_photo
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import PhotosOptions
from e2e3d_assets.reconstruction.photo_set import PhotoSet
from e2e3d_assets.reconstruction.photos import prepare_photos, safe_names

from .photo_files import save_dng, save_photos, textured


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    folder = tmp_path / "upload"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def prepare(upload: Path, out: Path, **options: int) -> PhotoSet:
    prepare_photos(upload, out, PhotosOptions(**options), Monitor())
    return PhotoSet.load(out)


def reason_of(photo_set: PhotoSet, given_name: str) -> str:
    return next(photo.reason or "" for photo in photo_set.rejected if photo.given_name == given_name)


def luma_difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one.convert("L"), float) - np.asarray(other.convert("L"), float)).mean())


def test_plain_jpegs_are_kept_byte_for_byte_under_their_names(upload: Path, out: Path):
    """A second compression would cost detail, and a changed name would break every match by name."""
    save_photos(upload, ["relic_000.jpg", "relic_001.jpg", "DSC_0423.JPG"])
    photo_set = prepare(upload, out)
    assert {photo.name for photo in photo_set.accepted} == {"relic_000.jpg", "relic_001.jpg", "DSC_0423.jpg"}
    for photo in photo_set.accepted:
        assert (out / "images" / str(photo.name)).read_bytes() == (upload / photo.given_name).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["images", "photos.json", "preview.jpg"]
    assert (out / "preview.jpg").stat().st_size <= 30_000


def test_other_files_are_no_photos(upload: Path, out: Path):
    """Markers, notes and what a Mac leaves in archives must not be listed as broken photos."""
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg", ".hidden.jpg", "__MACOSX/._a.jpg"])
    for name in ("_COMPLETE", "e2e3d.json", "notes.txt"):
        (upload / name).write_text("x")
    assert [photo.given_name for photo in prepare(upload, out).photos] == ["a.jpg", "b.jpg", "c.jpg"]


def test_symbolic_links_are_not_followed(upload: Path, out: Path, tmp_path: Path):
    """A link in an upload would read files of the machine."""
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg"])
    save_photos(tmp_path / "elsewhere", ["secret.jpg"], first_seed=9)
    (upload / "link.jpg").symlink_to(tmp_path / "elsewhere" / "secret.jpg")
    (upload / "folder").symlink_to(tmp_path / "elsewhere")
    assert len(prepare(upload, out).photos) == 3


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "bmp", "heic", "avif"])
def test_formats_become_jpeg_of_the_same_picture(upload: Path, out: Path, suffix: str):
    """Phones, scanners and exports write many formats; each must look the same afterwards."""
    for seed in range(3):
        textured(seed).save(upload / f"photo{seed}.{suffix}", quality=95)
    photo_set = prepare(upload, out)
    assert len(photo_set.accepted) == 3
    for seed, photo in enumerate(photo_set.accepted):
        with Image.open(out / "images" / str(photo.name)) as stored:
            assert (stored.format, stored.mode) == ("JPEG", "RGB")
            assert luma_difference(stored, textured(seed)) < 6


def test_nothing_but_papers(upload: Path, out: Path):
    """The message names the files that people gave, not the mark that the upload itself gets."""
    for name in ("_COMPLETE", "e2e3d.json", "bill.pdf"):
        (upload / name).write_text("x")
    with pytest.raises(BadInput, match="holds no photos") as caught:
        prepare(upload, out)
    assert caught.value.files == ("bill.pdf",)


def test_empty_folder(upload: Path, out: Path):
    """An upload without photos must say so, not fail in a later stage."""
    with pytest.raises(BadInput, match="holds no photos"):
        prepare(upload, out)


def test_too_few_photos_names_the_reasons(upload: Path, out: Path):
    """Two good photos and broken ones: the user must read which are broken and how many are needed."""
    save_photos(upload, ["a.jpg", "b.jpg"])
    (upload / "notes.jpg").write_text("this is a text file")
    with pytest.raises(BadInput, match="Only 2 of 3 photos are usable, but 3 are needed") as caught:
        prepare(upload, out)
    assert caught.value.files == ("notes.jpg",)
    assert not (out / "photos.json").exists()


def test_broken_photos_are_listed_and_the_rest_goes_on(upload: Path, out: Path):
    """One bad file among good ones must cost that file only."""
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg", "truncated.jpg"])
    whole = (upload / "truncated.jpg").read_bytes()
    (upload / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (upload / "text.jpg").write_text("this is a text file")
    (upload / "empty.jpg").touch()
    Image.new("RGB", (1, 1)).save(upload / "dot.png")
    photo_set = prepare(upload, out)
    assert [photo.given_name for photo in photo_set.accepted] == ["a.jpg", "b.jpg", "c.jpg"]
    assert "cut off" in reason_of(photo_set, "truncated.jpg")
    assert "not a photo" in reason_of(photo_set, "text.jpg")
    assert "empty" in reason_of(photo_set, "empty.jpg")
    assert "1 x 1 pixels are too few" in reason_of(photo_set, "dot.png")
    assert len(list((out / "images").iterdir())) == 3


def test_huge_photos_are_refused_by_their_header(upload: Path, out: Path):
    """A few kilobytes that claim 30,000 x 30,000 pixels must not be decoded: 2.7 GB."""
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg"])
    (upload / "bomb.png").write_bytes(_png_claiming(30_000, 30_000))
    photo_set = prepare(upload, out)
    assert "30000 x 30000 pixels are more than the allowed 250 megapixels" in reason_of(photo_set, "bomb.png")


def _png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_same_photo_ten_times(upload: Path, out: Path):
    """Copies of one photo show nothing from two sides: no model can come of them."""
    data = io.BytesIO()
    textured(0).save(data, "JPEG")
    for number in range(10):
        (upload / f"copy{number}.jpg").write_bytes(data.getvalue())
    with pytest.raises(BadInput, match=r"Only 1 of 10 photos are usable.*9 left out because it is the same photo"):
        prepare(upload, out)


def test_duplicates_are_rejected_and_near_duplicates_marked(upload: Path, out: Path):
    """A copy adds nothing; a burst's next photo does, if little, and must stay in."""
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg"])
    (upload / "d.jpg").write_bytes((upload / "a.jpg").read_bytes())
    textured(1).save(upload / "e.jpg", "JPEG", quality=60)
    photo_set = prepare(upload, out)
    by_name = {photo.given_name: photo for photo in photo_set.photos}
    assert (by_name["d.jpg"].status, by_name["d.jpg"].duplicate_of) == ("rejected", "a.jpg")
    assert (by_name["e.jpg"].status, by_name["e.jpg"].duplicate_of) == ("accepted", "b.jpg")
    assert by_name["c.jpg"].duplicate_of is None


def test_odd_names_become_safe_and_stay_traceable(upload: Path, out: Path):
    """COLMAP's text lists, URLs and case-insensitive disks break on spaces, unicode and upper-case twins."""
    given_names = ["a b.jpg", "Ä.jpg", "日本.jpg", "IMG.JPG", "img.jpg", "left/x.jpg", "right/x.jpg", "x.png"]
    for seed, name in enumerate(given_names):
        (upload / name).parent.mkdir(exist_ok=True)
        textured(seed).save(upload / name)
    photo_set = prepare(upload, out)
    assert {photo.given_name for photo in photo_set.accepted} == set(given_names)
    names = [str(photo.name) for photo in photo_set.accepted]
    assert len({name.lower() for name in names}) == len(given_names)
    assert sorted(path.name for path in (out / "images").iterdir()) == sorted(names)


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), unique=True))
def test_safe_names_are_always_unique_and_plain(given_names: list[str]):
    """Two photos under one name would silently lose one of them."""
    names = safe_names([f"{name}.jpg" for name in given_names])
    assert len({name.lower() for name in names}) == len(given_names)
    for name in names:
        assert name.isascii()
        assert not set(name) & set(" /\\:'\"")
        assert name[0] not in ".-"


def test_natural_order():
    """Sequence matching relies on IMG_9 coming before IMG_10; odd names must not make the sort fail."""
    names = ["IMG_10.jpg", "IMG_9.jpg", "img_1.jpg", "²3.jpg", "x/IMG_2.jpg", "9" * 5000]
    ordered = sorted(names, key=natural_key)
    assert ordered.index("IMG_9.jpg") < ordered.index("IMG_10.jpg")


def test_zip_of_photos(upload: Path, out: Path):
    """Most people send a zip; its folders and Mac litter must not matter."""
    with zipfile.ZipFile(upload / "photos.zip", "w") as archive:
        for seed in range(3):
            data = io.BytesIO()
            textured(seed).save(data, "JPEG")
            archive.writestr(f"Trip/photo {seed}.jpg", data.getvalue())
        archive.writestr("__MACOSX/Trip/._photo 0.jpg", b"litter")
    photo_set = prepare(upload, out)
    assert photo_set.source == "archive"
    assert [photo.given_name for photo in photo_set.photos] == [f"Trip/photo {seed}.jpg" for seed in range(3)]
    assert sorted(path.name for path in out.iterdir()) == ["images", "photos.json", "preview.jpg"]


def test_several_archives_with_equal_names(upload: Path, out: Path):
    """Every camera begins with IMG_1: photos that cannot be told apart cannot be taken again. And old names in Latin-1
    ended the stage when photos.json was written."""
    for number in range(2):
        with tarfile.open(upload / f"part{number}.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
            for name in ("café.jpg", "IMG_1.jpg"):
                data = io.BytesIO()
                textured(10 * number + len(name)).save(data, "JPEG")
                member = tarfile.TarInfo(name)
                member.size = data.tell()
                data.seek(0)
                archive.addfile(member, data)
    names = [photo.given_name for photo in prepare(upload, out).accepted]
    assert names == [f"part{number}.tar/{name}" for number in range(2) for name in ("caf\ufffd.jpg", "IMG_1.jpg")]


def test_what_is_not_read_is_listed(upload: Path, out: Path):
    """Photos sent in a format that nobody reads were left out without a word."""
    (upload / "photos.rar").write_bytes(b"Rar!")
    with pytest.raises(BadInput, match="pack it as zip"):
        prepare(upload, out)
    save_photos(upload, ["a.jfif", "b.jpg", "c.jpg"])
    (upload / "d.JXL").write_bytes(b"x")
    shutil.rmtree(out)
    out.mkdir()
    photo_set = prepare(upload, out)
    assert len(photo_set.accepted) == 3
    assert "export it as JPEG" in reason_of(photo_set, "d.JXL")


def test_what_cameras_write_beside_photos(upload: Path, out: Path):
    """Raw and JPEG of one picture stood in the model twice; the moving parts of a telephone's photos made half the set
    rejected, with a warning."""
    save_photos(upload, ["DCIM/a.JPG", "DCIM/b.JPG", "c.jpg"])
    textured(9).save(upload / "d.heic")
    save_dng(upload / "DCIM/A.dng", textured(0), 1)
    save_dng(upload / "c2.dng", textured(5), 1)
    for name in ("d.MOV", "DCIM/b.mp4", "walk.mov"):
        (upload / name).write_bytes(b"x")
    figures = prepare_photos(upload, out, PhotosOptions(), Monitor())
    photo_set = PhotoSet.load(out)
    assert [photo.given_name for photo in photo_set.accepted] == [
        "c2.dng",
        "c.jpg",
        "d.heic",
        "DCIM/a.JPG",
        "DCIM/b.JPG",
    ]
    assert reason_of(photo_set, "DCIM/A.dng") == "it is the raw file of DCIM/a.JPG, which is used"
    assert reason_of(photo_set, "d.MOV") == "it is the moving part of d.heic, which is used"
    assert (figures["photos_given"], figures["photos_rejected"]) == (6, 1)  # the walk


def test_a_video_beside_photos_is_listed(upload: Path, out: Path):
    """Left aside without a word, somebody waits for a model of what only the video shows."""
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg"])
    (upload / "walk.MOV").write_bytes(b"x")
    assert "only where there are no photos" in reason_of(prepare(upload, out), "walk.MOV")


def test_cancelling_stops_between_photos(upload: Path, out: Path):
    """A cancelled run must not go on decoding thousands of photos."""
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg"])
    cancelled = Event()
    seen: list[int] = []

    def listen(done: int, total: int, what: str) -> None:
        seen.append(done)
        cancelled.set()

    with pytest.raises(Cancelled):
        prepare_photos(upload, out, PhotosOptions(), Monitor(listen, cancelled))
    assert seen == [1]


_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "heic": "HEIF", "avif": "AVIF"}


@functools.cache
def _encoded(suffix: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 28
    data = io.BytesIO()
    textured(1).save(data, _FORMATS[suffix], exif=exif)
    return data.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(_FORMATS)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=20),
    st.sampled_from([0.01, 0.1, 1.0]),
)
def test_any_damage_is_survived(suffix: str, damage: list[tuple[float, int]], share: float):
    """A broken download may break in any byte, most badly in the header: never more than that photo may be lost."""
    data = bytearray(_encoded(suffix))
    for place, value in damage:
        data[int(place * share * len(data))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"damaged.{suffix}")
        path.write_bytes(data)
        try:
            assert measure_photo(path, 200, 10**8, Monitor()) > 0
            stored = store_photo(path, path.name, Path(folder, "stored.jpg"), 200, 10**8, Monitor())
        except UnusablePhoto:
            return
        with Image.open(Path(folder, "stored.jpg")) as opened:
            assert opened.size == (stored.record.width, stored.record.height)


def test_sides_that_no_jpeg_can_have(upload: Path, out: Path):
    """A very long strip passes the pixel limit, but no JPEG can hold it."""
    save_photos(upload, ["a.jpg", "b.jpg", "c.jpg"])
    Image.new("L", (66_000, 300)).save(upload / "strip.png")
    assert "no side may be longer" in reason_of(prepare(upload, out), "strip.png")
