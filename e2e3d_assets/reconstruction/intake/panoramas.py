"""360° panoramas (equirectangular): recognised, and split into perspective views that the later stages understand.

What belongs here: the split and how a panorama is known from an ordinary wide photo. The views look around the horizon;
straight up and down is left out, where the photographer stands.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ..monitor import Monitor
from . import decoding, exif, raw

YAWS_DEG = (0, 60, 120, 180, 240, 300)
FIELD_OF_VIEW_DEG = 90.0
"""Of a view in both directions: a third of it is in the next view as well, which ties the views together."""
_FOCAL_MM = 10.0  # of the made-up sensor by which the views tell their focal length; 20 mm wide at 90°
_SAME_SHAPE = 0.005
_LOOKED_AT = 512
_ROWS_AT_ONCE = 256
_SEAM_RATIO = 3.0
_POLE_RATIO = 0.25


@dataclass(frozen=True)
class Sighting:
    """A photo that has a panorama's shape, and speaks of no lens.

    Attributes:
        size: width and height in pixels.
        says: whether its XMP calls it a panorama.
        looks: whether its seam is closed and its poles are smooth.
    """

    size: tuple[int, int]
    says: bool
    looks: bool


def is_whole(width: int, height: int) -> bool:
    """Whether a picture has room for all around and all from top to bottom."""
    return abs(width / height / 2 - 1) <= _SAME_SHAPE


def look_at(path: Path, min_size: int, max_pixels: int, monitor: Monitor) -> Sighting | None:
    """What speaks for a whole 360° panorama; None for most photos, and for broken ones."""
    if path.suffix.lower() in raw.SUFFIXES:
        return None
    try:
        with decoding.open_photo(path, min_size, max_pixels) as photo:
            width, height = photo.size
            if not is_whole(width, height):
                return None  # a part of a panorama also says that it is one
            if decoding.says_equirectangular(photo):
                return Sighting(photo.size, says=True, looks=True)
            if exif.read_camera(decoding.tags_of(photo), width, height).focal_35mm is not None:
                return None  # what cameras write of one lens; panoramas have none
            photo.draft("RGB", (_LOOKED_AT, _LOOKED_AT // 2))
            pixels = decoding.to_upright_srgb(photo)[0]
            small = pixels.convert("L").resize((_LOOKED_AT, _LOOKED_AT // 2), Image.Resampling.BOX)
            return Sighting((width, height), says=False, looks=looks_closed(np.asarray(small, dtype=np.float64)))
    except Exception:  # whatever is wrong with the file, the stage finds out and says so
        return None


def are_panoramas(sightings: Sequence[Sighting | None]) -> list[bool]:
    """Which photos are whole 360° panoramas: of those of one size that do not say it, all or none, as most look."""
    alike: defaultdict[tuple[int, int], list[bool]] = defaultdict(list)
    for sighting in sightings:
        if sighting is not None:
            alike[sighting.size].append(sighting.looks)
    return [
        sighting is not None and (sighting.says or 2 * sum(alike[sighting.size]) > len(alike[sighting.size]))
        for sighting in sightings
    ]


def looks_closed(grey: NDArray[np.float64]) -> bool:
    """Whether the left edge continues the right one, and the poles' rows are nearly one colour.

    Args:
        grey: (H, W), a panorama or not.
    """
    within = np.abs(np.diff(grey, axis=1)).mean()
    seam = np.abs(grey[:, 0] - grey[:, -1]).mean()
    poles = max(grey[0].std(), grey[-1].std())
    return bool(0 < seam <= _SEAM_RATIO * within and poles <= _POLE_RATIO * grey.std())


def split(
    panorama: Path, out: Path, given_name: str, min_size: int, max_pixels: int, monitor: Monitor
) -> list[tuple[Path, str]]:
    """Write the views of a panorama as JPEG files, at the panorama's own resolution.

    Args:
        panorama: the file.
        out: an existing directory.
        given_name: the panorama's name as the user knows it.
        min_size: shortest allowed shorter side, pixels.
        max_pixels: most allowed pixels.

    Returns:
        (file, ``panorama#yaw``) of each view, from left to right.

    Raises:
        UnusablePhoto: it is too small, too large, cut off or broken.
    """
    with decoding.open_photo(panorama, min_size, max_pixels) as photo:
        tags = decoding.tags_of(photo)
        pixels = np.asarray(decoding.to_upright_srgb(photo)[0])
    side = max(16, round(pixels.shape[1] / np.pi))  # as many pixels to the degree as the panorama has at its horizon
    details = _exif_of_view(tags, side)
    files: list[tuple[Path, str]] = []
    for number, yaw in enumerate(YAWS_DEG):
        monitor.progress(number, len(YAWS_DEG), f"splitting {given_name}")
        file = out / f"yaw_{yaw:03d}.jpg"
        view = Image.fromarray(view_of(pixels, float(yaw), side))
        view.save(file, quality=decoding.JPEG_QUALITY, subsampling=0, exif=details)
        files.append((file, f"{PurePosixPath(given_name)}#yaw_{yaw:03d}.jpg"))
    return files


def view_of(panorama: MatLike, yaw_deg: float, side: int) -> MatLike:
    """What a pinhole camera at the panorama's centre sees.

    Args:
        panorama: (H, W, 3), the horizon in the middle row, yaw 0 in the middle column and growing to the right.
        yaw_deg: where the camera looks.
        side: of the view, which is square, in pixels.
    """
    height, width = panorama.shape[:2]
    focal = side / 2 / np.tan(np.radians(FIELD_OF_VIEW_DEG / 2))
    steps = (np.arange(side) + 0.5 - side / 2) / focal
    yaw = np.arctan2(steps, 1.0) + np.radians(yaw_deg)
    columns = ((yaw / (2 * np.pi) + 0.5) % 1.0 * width - 0.5).astype(np.float32)
    view = np.empty((side, side, *panorama.shape[2:]), panorama.dtype)
    for start in range(0, side, _ROWS_AT_ONCE):  # the places to look at are five times as large as the pixels
        down = steps[start : start + _ROWS_AT_ONCE, None]
        pitch = np.arctan2(down, np.hypot(steps, 1.0))
        rows = ((pitch / np.pi + 0.5) * height - 0.5).astype(np.float32)
        view[start : start + len(rows)] = cv2.remap(
            panorama, np.broadcast_to(columns, rows.shape), rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP
        )
    return view


def _exif_of_view(original: Image.Exif, side: int) -> bytes:
    """The panorama's own make, time and place, with the views' focal length."""
    made = Image.Exif()
    made.load(decoding.kept_exif(original))
    kept = made.get_ifd(ExifTags.IFD.Exif)
    kept.pop(ExifTags.Base.FocalLengthIn35mmFilm, None)
    kept[ExifTags.Base.LensModel] = "view of a panorama"
    kept[ExifTags.Base.FocalLength] = _FOCAL_MM
    kept[ExifTags.Base.FocalPlaneResolutionUnit] = 4  # millimetres
    kept[ExifTags.Base.FocalPlaneXResolution] = side / (2 * _FOCAL_MM * np.tan(np.radians(FIELD_OF_VIEW_DEG / 2)))
    kept[ExifTags.Base.ExifImageWidth] = kept[ExifTags.Base.ExifImageHeight] = side
    return made.tobytes()
