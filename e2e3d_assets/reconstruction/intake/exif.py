"""What a photo says about itself: camera, lens, focal length, place and time.

What belongs here: EXIF tags to plain values, each None where the tag is missing or senseless. A photo without EXIF, or
with a broken one, is an ordinary photo. What does not: deciding what the values are used for.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from ..photo_set import Gps, PhotoCamera

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_MM_PER_RESOLUTION_UNIT = {2: 25.4, 3: 10.0, 4: 1.0}
_FISHEYE_NAMES = re.compile(r"fish-?\s?eye|gopro|hero\d")
_SHORTEST_STRAIGHT_MM = 10.0
_SANE_FOCAL_IN_DIAGONALS = (0.1, 20.0)
_WIDEST_SENSOR = 1.55


def read_camera(exif: Image.Exif, width: int, height: int) -> PhotoCamera:
    """Camera, lens and focal length; ``width`` and ``height`` in pixels give the focal length in pixels."""
    tags = _sub_directory(exif, ExifTags.IFD.Exif)
    focal_mm = _positive(tags.get(ExifTags.Base.FocalLength))
    focal_35mm = _positive(tags.get(ExifTags.Base.FocalLengthIn35mmFilm))
    make, model = _text(exif.get(ExifTags.Base.Make)), _text(exif.get(ExifTags.Base.Model))
    lens = _text(tags.get(ExifTags.Base.LensModel))
    return PhotoCamera(
        make=make,
        model=model,
        serial=_text(tags.get(ExifTags.Base.BodySerialNumber)),
        lens=lens,
        digital_zoom=zoom if (zoom := _positive(tags.get(ExifTags.Base.DigitalZoomRatio))) != 1.0 else None,
        fisheye=is_fisheye(make, model, lens, focal_35mm),
        focal_mm=focal_mm,
        focal_35mm=focal_35mm,
        focal_px=_focal_px(tags, focal_mm, focal_35mm, width, height),
    )


def is_fisheye(make: str | None, model: str | None, lens: str | None, focal_35mm: float | None) -> bool:
    """Whether a lens images angles evenly, and straight lines bent.

    A short focal length alone says so only below what telephones' wide cameras write (13 mm): those are corrected.
    """
    words = " ".join(filter(None, (make, model, lens))).lower()
    return bool(_FISHEYE_NAMES.search(words)) or (focal_35mm is not None and focal_35mm < _SHORTEST_STRAIGHT_MM)


def read_gps(exif: Image.Exif) -> Gps | None:
    """Where the photo was taken, or None."""
    tags = _sub_directory(exif, ExifTags.IFD.GPSInfo)
    latitude = _degrees(tags.get(ExifTags.GPS.GPSLatitude), tags.get(ExifTags.GPS.GPSLatitudeRef), "S", 90.0)
    longitude = _degrees(tags.get(ExifTags.GPS.GPSLongitude), tags.get(ExifTags.GPS.GPSLongitudeRef), "W", 180.0)
    if latitude is None or longitude is None or (latitude == 0.0 and longitude == 0.0):
        return None  # (0, 0) is what devices without a fix write
    altitude = _number(tags.get(ExifTags.GPS.GPSAltitude))
    below_sea = tags.get(ExifTags.GPS.GPSAltitudeRef) in (1, b"\x01")
    return Gps(
        latitude=latitude, longitude=longitude, altitude=-altitude if altitude is not None and below_sea else altitude
    )


def read_time(exif: Image.Exif) -> str | None:
    """When the photo was taken by the camera's clock, ISO 8601, with fractions of a second where known."""
    tags = _sub_directory(exif, ExifTags.IFD.Exif)
    written = _text(tags.get(ExifTags.Base.DateTimeOriginal)) or _text(exif.get(ExifTags.Base.DateTime))
    try:
        taken = datetime.strptime(written or "", "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    fraction = (_text(tags.get(ExifTags.Base.SubsecTimeOriginal)) or "").strip()
    if fraction.isdecimal() and fraction.isascii():
        taken = taken.replace(microsecond=int(float(f"0.{fraction}") * 1e6))
    return taken.isoformat()


def _focal_px(
    tags: Mapping[int, Any], focal_mm: float | None, focal_35mm: float | None, width: int, height: int
) -> float | None:
    diagonal = math.hypot(width, height)
    if focal_35mm is not None:
        focal = focal_35mm / FILM_DIAGONAL_MM * _whole_diagonal(width, height)
    elif (sensor := _sensor_diagonal_mm(tags)) is not None and focal_mm is not None:
        focal = focal_mm / sensor * diagonal
    else:
        return None
    low, high = _SANE_FOCAL_IN_DIAGONALS
    return focal if low * diagonal <= focal <= high * diagonal else None


def _whole_diagonal(width: int, height: int) -> float:
    """Of the sensor in pixels: pictures wider than 3:2 are cut from one of 4:3, for which the 35 mm number is given."""
    longer, shorter = max(width, height), min(width, height)
    return math.hypot(longer, 0.75 * longer if longer > _WIDEST_SENSOR * shorter else shorter)


def _sensor_diagonal_mm(tags: Mapping[int, Any]) -> float | None:
    """From the pixel pitch in the focal plane and the size of the photo as the camera wrote it."""
    unit = _MM_PER_RESOLUTION_UNIT.get(tags.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))
    per_unit = _positive(tags.get(ExifTags.Base.FocalPlaneXResolution))
    width = _positive(tags.get(ExifTags.Base.ExifImageWidth))
    height = _positive(tags.get(ExifTags.Base.ExifImageHeight))
    if unit is None or per_unit is None or width is None or height is None:
        return None
    diagonal = math.hypot(width, height) / per_unit * unit
    return diagonal if 2.0 <= diagonal <= 120.0 else None


def _sub_directory(exif: Image.Exif, which: int) -> Mapping[int, Any]:
    try:
        return exif.get_ifd(which)
    except Exception:  # a broken sub-directory is no reason to lose the photo; Pillow raises many types here
        return {}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0.0 else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if not isinstance(value, str):
        return None
    text = "".join(letter for letter in value if letter.isprintable()).strip()
    return text[:200] or None


def _degrees(parts: Any, reference: Any, negative: str, limit: float) -> float | None:
    if not isinstance(parts, tuple | list) or len(parts) != 3:
        return None
    degrees, minutes, seconds = (_number(part) for part in parts)
    if degrees is None:
        return None
    value = abs(degrees) + (minutes or 0.0) / 60.0 + (seconds or 0.0) / 3600.0
    if value > limit:
        return None
    return -value if (_text(reference) or "").upper().startswith(negative) else value
