"""One photo file: read, stored as an upright 8-bit sRGB JPEG, and described.

What belongs here: what is done with a single file, from its header to its record. What does not: decoders and EXIF tags
(modules beside), and everything that looks at more than one photo.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..monitor import Monitor
from ..photo_set import PhotoRecord
from . import decoding, duplicates, exif, panoramas
from .masks import mask_path
from .sharpness import LONG_SIDE, sharpness_of

_BURNT_OUT = 250
_OPAQUE = 128
_BROKEN_PANORAMA = "it is a 360° panorama that cannot be split into views: cut off, broken or too large"
_PART_OF_PANORAMA = "it is a part of a 360° panorama: give it whole, twice as wide as high, or the photos it is made of"


@dataclass(frozen=True)
class StoredPhoto:
    """A photo's record, and by what it is compared with others."""

    record: PhotoRecord
    digest: str = ""
    pixel_digest: str = ""
    perceptual_hash: int = 0


def measure_photo(path: Path, min_size: int, max_pixels: int, monitor: Monitor) -> int:
    """Pixels of a photo by its header; nothing is decoded.

    Raises:
        UnusablePhoto: not a photo, too small or too large.
    """
    with decoding.open_photo(path, min_size, max_pixels) as photo:
        return photo.width * photo.height


def store_photo(
    path: Path, given_name: str, target: Path, min_size: int, max_pixels: int, monitor: Monitor
) -> StoredPhoto:
    """Write a photo to ``target``: a plain JPEG byte by byte, anything else as a new JPEG, with a mask if transparent.

    Raises:
        UnusablePhoto: with the reason; ``target`` may be left half written.
    """
    with decoding.open_photo(path, min_size, max_pixels) as photo:
        if decoding.says_equirectangular(photo):
            raise decoding.UnusablePhoto(_BROKEN_PANORAMA if panoramas.is_whole(*photo.size) else _PART_OF_PANORAMA)
        if decoding.is_plain_jpeg(photo):
            width, height = photo.size
            pixels = decoding.decode_reduced(photo, LONG_SIDE)
            shutil.copyfile(path, target)
        else:
            pixels, opaque = decoding.to_upright_srgb(photo)
            width, height = pixels.size
            kept = decoding.kept_exif(decoding.tags_of(photo))
            pixels.save(target, "JPEG", quality=decoding.JPEG_QUALITY, subsampling=0, exif=kept)
            _keep_transparency(opaque, mask_path(target.parent.parent, target.name))
        tags = decoding.tags_of(photo)
        pixels.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BOX)
        grey = np.asarray(pixels.convert("L"))
        record = PhotoRecord(
            given_name=given_name,
            name=target.name,
            status="accepted",
            width=width,
            height=height,
            camera=exif.read_camera(tags, width, height),
            gps=exif.read_gps(tags),
            taken=exif.read_time(tags),
            sharpness=round(sharpness_of(grey), 4),
            brightness=round(float(grey.mean()) / 255.0, 4),
            overexposed=round(float((grey >= _BURNT_OUT).mean()), 4),
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return StoredPhoto(record, digest, _digest_of_pixels(pixels), duplicates.perceptual_hash(grey))


def _keep_transparency(opaque: Image.Image | None, target: Path) -> None:
    """What is transparent in a photo is masked: somebody has cut it out."""
    if opaque is not None and np.asarray(opaque).min() < _OPAQUE:
        target.parent.mkdir(exist_ok=True)
        opaque.point([0] * _OPAQUE + [255] * (256 - _OPAQUE)).save(target)


def _digest_of_pixels(pixels: Image.Image) -> str:
    return hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()
