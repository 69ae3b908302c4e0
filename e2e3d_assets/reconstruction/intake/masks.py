"""Masks: black where a photo is to be ignored (passers-by, a turntable, the sky).

What belongs here: which mask of an upload belongs to which photo, and its file beside the photos. Who obeys masks:
features, depth maps and texture.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ..errors import BadInput
from ..photo_set import PhotoRecord

FOLDER = "masks"
_SHAPE_TOLERANCE = 0.02
_REMEDY = "Name each mask like its photo, masks/IMG_1.png or masks/IMG_1.jpg.png, and draw it on the upright photo"


def is_mask(given_name: str) -> bool:
    """Whether a file of an upload lies in a folder ``masks``."""
    return FOLDER in (part.lower() for part in PurePosixPath(given_name).parent.parts)


def mask_path(root: Path, photo: str) -> Path:
    """Where a photo's mask lies below a stage's output, if it has one: where COLMAP looks for it as well."""
    return root / FOLDER / f"{photo}.png"


def keep_masks(given: Iterable[tuple[Path, str]], records: Sequence[PhotoRecord], out: Path) -> None:
    """Write accepted photos' masks to ``out``, each at its photo's size: 255 to use, 0 to ignore.

    Args:
        given: masks of the upload: (file, given name).
        records: all photos of the upload.
        out: the stage's output.

    Raises:
        BadInput: a mask belongs to no photo, cannot be read, or has another shape than its photo.
    """
    for path, name in given:
        record = _owner(name, records)
        if record is None:
            raise BadInput("A mask belongs to no photo", _REMEDY, [name])
        if record.name is None:
            continue
        target = mask_path(out, record.name)
        target.parent.mkdir(exist_ok=True)
        _normalised(path, name, record).save(target)


def _owner(mask: str, records: Sequence[PhotoRecord]) -> PhotoRecord | None:
    """The photo of the mask's name, in the mask's folder if there are several."""
    key = PurePosixPath(mask).stem.lower()
    alike = [record for record in records if key in _keys(record)]
    folder = [part for part in PurePosixPath(mask).parent.parts if part.lower() != FOLDER]
    beside = [record for record in alike if list(PurePosixPath(record.given_name).parent.parts) == folder]
    return next(iter(beside or alike), None)


def _keys(record: PhotoRecord) -> tuple[str, str]:
    given = PurePosixPath(record.given_name)
    return given.name.lower(), given.stem.lower()


def _normalised(path: Path, name: str, record: PhotoRecord) -> Image.Image:
    width, height = record.width or 0, record.height or 0
    try:
        with Image.open(path) as opened:
            values = np.asarray(opened.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(
            "A mask cannot be read", "Give the mask as an 8-bit PNG, black where to ignore", [name]
        ) from error
    if abs(values.shape[1] * height / (values.shape[0] * width) - 1) > _SHAPE_TOLERANCE:
        problem = f"A mask of {values.shape[1]} x {values.shape[0]} pixels does not fit its photo of {width} x {height}"
        raise BadInput(problem, _REMEDY, [name])
    used = values > int(values.max()) / 2  # some programs write 1 for white
    return Image.fromarray(np.where(used, np.uint8(255), np.uint8(0))).resize((width, height), Image.Resampling.NEAREST)
