"""Any photo file to upright 8-bit sRGB pixels, with its size checked before anything is decoded.

What belongs here: file formats, colour modes and profiles, orientation. What does not: what a photo is judged by.
"""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from . import raw

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF", "AVIF")
SUFFIXES = raw.SUFFIXES | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".hif",
    ".avif",
}  # fmt: skip
JPEG_QUALITY = 95
_TIFF_HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_SIDE = 65_500  # of a JPEG
_PIXELS_BEYOND_DOUBT = 20_000_000
_PIXELS_PER_BYTE = 1000  # of photos hard to read for their compression: 100
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_KEPT_TAGS = (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.DateTime)
_KEPT_EXIF_TAGS = (
    ExifTags.Base.FocalLength,
    ExifTags.Base.FocalLengthIn35mmFilm,
    ExifTags.Base.LensModel,
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.SubsecTimeOriginal,
    ExifTags.Base.ExposureTime,
    ExifTags.Base.FNumber,
    ExifTags.Base.ISOSpeedRatings,
)

pillow_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = None  # open_photo() has its own limit, set by the caller and checked on the header


class UnusablePhoto(Exception):
    """This file cannot be one of the photos; the message is the reason, for people."""


def open_photo(path: Path, min_size: int, max_pixels: int) -> Image.Image:
    """Read the header of a photo; no pixel is decoded.

    Args:
        path: the file.
        min_size: shortest allowed shorter side, pixels.
        max_pixels: most allowed pixels.

    Raises:
        UnusablePhoto: not a photo, too small or too large.
    """
    if path.stat().st_size == 0:
        raise UnusablePhoto("the file is empty")
    try:
        photo = _open(path)
    except Exception as error:  # Pillow's readers raise many types on broken headers
        raise UnusablePhoto(_why_unreadable(path)) from error
    width, height = photo.size
    if width * height > max_pixels:
        photo.close()
        raise UnusablePhoto(f"{width} x {height} pixels are more than the allowed {max_pixels / 1e6:.0f} megapixels")
    if max(width, height) > _MAX_SIDE:
        photo.close()
        raise UnusablePhoto(f"{width} x {height} pixels: no side may be longer than {_MAX_SIDE}")
    if width * height > max(_PIXELS_BEYOND_DOUBT, path.stat().st_size * _PIXELS_PER_BYTE):
        photo.close()
        raise UnusablePhoto(f"{width} x {height} pixels cannot be in a file of {path.stat().st_size} bytes")
    if min(width, height) < min_size:
        photo.close()
        raise UnusablePhoto(f"{width} x {height} pixels are too few: the shorter side must have {min_size}")
    return photo


def says_equirectangular(photo: Image.Image) -> bool:
    """Whether a photo's XMP calls it a 360° panorama."""
    return b"equirectangular" in _xmp(photo)


def _open(path: Path) -> Image.Image:
    if path.suffix.lower() in raw.SUFFIXES and not is_jpeg(path):
        return raw.RawPhoto(path)
    photo = Image.open(path, formats=FORMATS)
    photo.filename = ""  # else Pillow maps the file into memory, and garbles TIFFs that lie on their side
    if isinstance(photo, TiffImagePlugin.TiffImageFile):
        _tell_depth_of_planes(photo)
    return photo


def _tell_depth_of_planes(photo: TiffImagePlugin.TiffImageFile) -> None:
    """Uncompressed 16-bit TIFFs with a plane for each colour: Pillow takes every byte for a pixel."""
    bits = photo.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))
    in_planes = photo.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
    if in_planes and len(bits) > 1 and set(bits) == {16}:
        order = "L" if photo.tag_v2.prefix == TiffImagePlugin.II else "B"
        photo.tile = [
            tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:]))
            if tile.codec_name == "raw" and isinstance(tile.args, tuple)
            else tile
            for tile in photo.tile
        ]


def _why_unreadable(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(4) in _TIFF_HEADERS:
            return "it is broken, or a TIFF of a kind that is not read: export it as grey or RGB of 8 or 16 bit"
    return "it is not a photo, or its header is broken"


def _xmp(photo: Image.Image) -> bytes:
    xmp = photo.info.get("xmp", b"")
    return xmp if isinstance(xmp, bytes) else str(xmp).encode()


def is_jpeg(path: Path) -> bool:
    """Whether the file's first bytes are those of a JPEG, whatever its name says."""
    with path.open("rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


def tags_of(photo: Image.Image) -> Image.Exif:
    """A photo's EXIF: empty where it is broken, which is no reason to lose the photo."""
    try:
        return photo.getexif()
    except Exception:  # Pillow raises many types here
        return Image.Exif()


def is_plain_jpeg(photo: Image.Image) -> bool:
    """Whether the file's bytes can be kept: an upright three-channel sRGB JPEG."""
    upright = _orientation(photo) not in _TURNS
    return photo.format in ("JPEG", "MPO") and photo.mode == "RGB" and upright and _profile_is_srgb(photo)


def to_upright_srgb(photo: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Decode to upright 8-bit sRGB in which transparent pixels are black, and how opaque each is (None: all are).

    Raises:
        UnusablePhoto: the file is cut off or broken, or its colours cannot be understood.
    """
    try:
        photo.load()
        turn = _TURNS.get(_orientation(photo))
        pixels, opaque = _to_srgb(photo, photo.info.get("icc_profile"))
        if turn is not None:
            pixels, opaque = pixels.transpose(turn), opaque and opaque.transpose(turn)
        elif pixels is photo:
            pixels = photo.copy()  # without its tags, which the photo is asked for later
        pixels.info.clear()  # saving would carry over comments and XMP, which may be broken or contradict the pixels
        return pixels, opaque
    except UnusablePhoto:
        raise
    except MemoryError as error:
        raise UnusablePhoto("it takes too much memory to decode") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and their own
        raise UnusablePhoto(f"it is cut off or broken ({_first_line(error)})") from error


def decode_reduced(photo: Image.Image, long_side: int) -> Image.Image:
    """Decode a JPEG wholly, but to a reduced size not below ``long_side``: much faster, and still finds cut-off files.

    Raises:
        UnusablePhoto: the file is cut off or broken.
    """
    try:
        photo.draft("RGB", (long_side, long_side))
        photo.load()
        return photo
    except Exception as error:
        raise UnusablePhoto(f"it is cut off or broken ({_first_line(error)})") from error


def kept_exif(original: Image.Exif) -> bytes:
    """The part of a photo's EXIF that is worth keeping once its pixels are upright sRGB."""
    exif = Image.Exif()
    with suppress(Exception):  # a broken EXIF is dropped, not the photo
        for tag in _KEPT_TAGS:
            if tag in original:
                exif[tag] = original[tag]
        details = original.get_ifd(ExifTags.IFD.Exif)
        exif.get_ifd(ExifTags.IFD.Exif).update({tag: details[tag] for tag in _KEPT_EXIF_TAGS if tag in details})
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(original.get_ifd(ExifTags.IFD.GPSInfo))
        return exif.tobytes()
    return Image.Exif().tobytes()


def _orientation(photo: Image.Image) -> int:
    """EXIF's number from 1 to 8, read after what the file's own container says was applied by its decoder."""
    return tags_of(photo).get(ExifTags.Base.Orientation, 1)


def _to_srgb(photo: Image.Image, profile: bytes | None) -> tuple[Image.Image, Image.Image | None]:
    if photo.mode.startswith("I;16") or photo.mode == "I":
        values = np.clip(np.asarray(photo).astype(np.float32) / 257.0, 0, 255).round().astype(np.uint8)
        if isinstance(photo, TiffImagePlugin.TiffImageFile) and _white_is_zero(photo):
            values = 255 - values  # Pillow turns 8 bits only
        return Image.fromarray(values).convert("RGB"), None
    if photo.mode == "F":
        raise UnusablePhoto("floating-point pixels have no defined colour: export it as 8 or 16 bit")
    if photo.mode in ("PA", "LA", "RGBa") or (photo.mode == "P" and "transparency" in photo.info):
        photo = photo.convert("RGBA")
    elif photo.mode in ("P", "1"):
        photo = photo.convert("RGB")
    alpha = photo.getchannel("A") if photo.mode == "RGBA" else None
    if profile and not _is_srgb(profile):
        photo = _apply_profile(photo.convert("RGB") if alpha is not None else photo, profile)
    rgb = photo if photo.mode == "RGB" else photo.convert("RGB")  # converting copies in any case
    return (Image.composite(rgb, Image.new("RGB", rgb.size), alpha) if alpha is not None else rgb), alpha


def _white_is_zero(photo: TiffImagePlugin.TiffImageFile) -> bool:
    return photo.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0


def _apply_profile(photo: Image.Image, profile: bytes) -> Image.Image:
    with suppress(ImageCms.PyCMSError, OSError, ValueError):  # a broken or foreign profile is ignored, as viewers do
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(photo, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return converted if converted is not None else photo
    return photo


def _profile_is_srgb(photo: Image.Image) -> bool:
    profile = photo.info.get("icc_profile")
    return not profile or _is_srgb(profile)


def _is_srgb(profile: bytes) -> bool:
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        described = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        return "srgb" in described.lower()
    return False


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
