"""Whatever a file's format, colours, depth, transparency and orientation: upright 8-bit sRGB of the same picture."""

import struct
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from e2e3d_assets.reconstruction.intake.decoding import UnusablePhoto
from e2e3d_assets.reconstruction.intake.masks import mask_path
from e2e3d_assets.reconstruction.intake.storing import StoredPhoto, store_photo
from e2e3d_assets.reconstruction.monitor import Monitor

from ..photo_files import save_dng, textured

SMOOTH = textured(1).resize((40, 30), Image.Resampling.BOX).resize((320, 240), Image.Resampling.BICUBIC)
"""So smooth that neither compression nor a Bayer pattern changes it."""


def stored(path: Path) -> tuple[StoredPhoto, np.ndarray]:
    """What becomes of a file: its record, and its pixels as (H, W, 3)."""
    (path.parent / "out/images").mkdir(parents=True, exist_ok=True)
    target = path.parent / "out/images" / f"{path.name}.jpg"
    made = store_photo(path, path.name, target, 200, 10**8, Monitor())
    with Image.open(target) as opened:
        assert (opened.format, opened.mode) == ("JPEG", "RGB")
        assert "icc_profile" not in opened.info
        return made, np.asarray(opened, float)


def difference(pixels: np.ndarray, expected: Image.Image) -> float:
    return float(np.abs(pixels - np.asarray(expected.convert("RGB"), float)).mean())


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x920A] = 5.0
    exif.get_ifd(0x8769)[0xA405] = 28
    return exif.tobytes()  # given as an object, some writers lose parts of it


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "heic", "avif"])
def test_orientation_is_applied_once_and_exif_kept(tmp_path: Path, suffix: str):
    """A photo that lies on its side, or was turned twice, breaks the upright frame; a lost focal length the camera."""
    SMOOTH.save(tmp_path / f"photo.{suffix}", exif=exif_of(6))
    made, pixels = stored(tmp_path / f"photo.{suffix}")
    assert (made.record.width, made.record.height) == (240, 320)
    assert difference(pixels, SMOOTH.transpose(Image.Transpose.ROTATE_270)) < 6
    assert made.record.camera.focal_35mm == 28
    with Image.open(tmp_path / f"out/images/photo.{suffix}.jpg") as opened:
        assert opened.getexif().get(0x0112, 1) == 1
        assert opened.getexif().get_ifd(0x8769)[0xA405] == 28


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_colour_modes(tmp_path: Path, mode: str):
    """Later stages expect three channels of 8 bits."""
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    SMOOTH.convert(mode).save(path)
    assert difference(stored(path)[1], SMOOTH.convert(mode)) < 10


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_16_bit_tiff(tmp_path: Path, compression: str | None):
    """Scanners and raw converters write 16 bits: taken for 8 they would be noise, clipped they would be white."""
    values = np.asarray(SMOOTH).astype(np.uint16) * 257
    predictor = compression is not None
    tifffile.imwrite(tmp_path / "rgb.tif", values, photometric="rgb", compression=compression, predictor=predictor)
    assert difference(stored(tmp_path / "rgb.tif")[1], SMOOTH) < 3
    tifffile.imwrite(tmp_path / "grey.tif", values[..., 1], compression=compression, predictor=predictor)
    assert difference(stored(tmp_path / "grey.tif")[1], SMOOTH.getchannel(1)) < 3
    tifffile.imwrite(tmp_path / "ink.tif", 65535 - values[..., 1], photometric="miniswhite", compression=compression)
    assert difference(stored(tmp_path / "ink.tif")[1], SMOOTH.getchannel(1)) < 3
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        planes = np.moveaxis(values, 2, 0).astype(f"{order}u2")
        tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate", byteorder=order,
                         compression=compression)  # fmt: skip
        assert difference(stored(tmp_path / "planes.tif")[1], SMOOTH) < 3


def test_floating_point_tiff_is_refused_with_the_remedy(tmp_path: Path):
    """Called no photo, people look for damage that is not there."""
    tifffile.imwrite(tmp_path / "float.tif", np.asarray(SMOOTH).astype(np.float32) / 255, photometric="rgb")
    with pytest.raises(UnusablePhoto, match="export it as grey or RGB of 8 or 16 bit"):
        stored(tmp_path / "float.tif")


@pytest.mark.parametrize(
    ("suffix", "mode"), [("png", "RGBA"), ("webp", "RGBA"), ("tif", "RGBA"), ("heic", "RGBA"), ("png", "LA")]
)
def test_transparent_places_are_masked(tmp_path: Path, suffix: str, mode: str):
    """An object that somebody cut out has no background: what lies under the transparency must not be matched."""
    cut_out = SMOOTH.convert("RGBA")
    alpha = np.full((240, 320), 255, np.uint8)
    alpha[:, 200:] = 0
    cut_out.putalpha(Image.fromarray(alpha))
    cut_out.convert(mode).save(tmp_path / f"photo.{suffix}", exif=exif_of(6))
    _, pixels = stored(tmp_path / f"photo.{suffix}")
    assert pixels[204:].max() < 25
    assert pixels[:196].mean() > 60
    with Image.open(mask_path(tmp_path / "out", f"photo.{suffix}.jpg")) as mask:
        assert np.array_equal(np.asarray(mask), np.rot90(alpha, -1))


def test_a_wholly_opaque_photo_has_no_mask(tmp_path: Path):
    """Screenshots and exports have an alpha channel that says nothing."""
    SMOOTH.convert("RGBA").save(tmp_path / "photo.png")
    stored(tmp_path / "photo.png")
    assert not (tmp_path / "out/masks").exists()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "heic", "avif"])
def test_wide_gamut_profile_is_converted(tmp_path: Path, suffix: str):
    """Phones write Display P3: taken for sRGB, every texture would be too dull."""
    SMOOTH.save(tmp_path / f"photo.{suffix}", quality=95, icc_profile=swapped_primaries_profile())
    red, green, blue = SMOOTH.split()
    assert difference(stored(tmp_path / f"photo.{suffix}")[1], Image.merge("RGB", (green, red, blue))) < 8


def swapped_primaries_profile() -> bytes:
    """An sRGB profile whose red and green primaries are exchanged: its effect cannot be overlooked."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    places = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    profile[places[b"rXYZ"] : places[b"rXYZ"] + 4], profile[places[b"gXYZ"] : places[b"gXYZ"] + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "SWAP".encode("utf-16-be")).replace(b"sRGB", b"SWAP")


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_profile_is_used(tmp_path: Path, suffix: str):
    """Pictures made for print have inks that only their profile explains."""
    inks = SMOOTH.convert("CMYK")
    inks.save(tmp_path / f"photo.{suffix}", quality=95, icc_profile=black_is_blue_profile())
    _, pixels = stored(tmp_path / f"photo.{suffix}")
    made, plain = pixels.mean(axis=(0, 1)), np.asarray(SMOOTH, float).mean(axis=(0, 1))
    assert made[2] - made[0] > plain[2] - plain[0] + 40


def black_is_blue_profile() -> bytes:
    """A CMYK profile (ICC, lut8) under which every ink is a shade of blue."""
    lab = bytearray()
    for corner in range(16):
        ink = corner.bit_count() / 4
        lab += bytes((int(255 * (1 - 0.7 * ink)), 128, int(128 - 90 * ink)))
    identity = b"".join(struct.pack(">i", 65536 if i % 4 == 0 else 0) for i in range(9))
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(lab) + ramp * 3
    text = b"blue inks"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(79)
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    tags, body = b"", b""
    for name, data in ((b"desc", described), (b"wtpt", white), (b"A2B0", lut)):
        tags += name + struct.pack(">II", 128 + 4 + 36 + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", 128 + 4 + 36 + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061) + bytes(48)
    return header + struct.pack(">I", 3) + tags + body


def test_raw_is_developed_upright(tmp_path: Path):
    """A raw file is what careful people give: it must look as the camera showed it, and keep its focal length."""
    save_dng(tmp_path / "photo.dng", SMOOTH, orientation=6)
    made, pixels = stored(tmp_path / "photo.dng")
    assert (made.record.width, made.record.height) == (240, 320)
    assert difference(pixels, SMOOTH.transpose(Image.Transpose.ROTATE_270)) < 12
    assert (made.record.camera.make, made.record.camera.model) == ("Maker", "Phone 1")
