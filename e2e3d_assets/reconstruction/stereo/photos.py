"""The undistorted photos and masks at the depth maps' size.

What belongs here: reading and reducing them, once per photo. What does not: the kernels' layouts (:mod:`.packing`).
"""

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..intake.masks import mask_path
from .packing import resized
from .views import Camera


def read_colour(undistorted: Path, name: str, camera: Camera) -> NDArray[np.uint8]:
    """A photo, (height, width, 3) RGB at the camera's size.

    Raises:
        BadInput: if the photo is missing or cannot be decoded.
    """
    return _read(undistorted, name, camera, cv2.IMREAD_COLOR_RGB)


def read_grey(undistorted: Path, name: str, camera: Camera) -> NDArray[np.uint8]:
    """A photo, (height, width) grey at the camera's size.

    Raises:
        BadInput: if the photo is missing or cannot be decoded.
    """
    return _read(undistorted, name, camera, cv2.IMREAD_GRAYSCALE)


def read_grey_once(undistorted: Path, name: str, camera: Camera, folder: Path) -> NDArray[np.uint8]:
    """As :func:`read_grey`, and kept in ``folder``: photos are sources of many others. Threads may ask at once."""
    kept = folder / f"{name}.npy"
    if kept.exists():
        return np.load(kept, mmap_mode="r")
    grey = read_grey(undistorted, name, camera)
    keep_grey(folder, name, grey)
    return grey


def keep_grey(folder: Path, name: str, grey: NDArray[np.uint8]) -> None:
    """Have :func:`read_grey_once` find a photo in ``folder``."""
    kept = folder / f"{name}.npy"
    if kept.exists():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(f".{threading.get_ident()}.npy")
    np.save(unfinished, grey)
    unfinished.replace(kept)


def _read(undistorted: Path, name: str, camera: Camera, colours: int) -> NDArray[np.uint8]:
    image = cv2.imread(str(undistorted / "images" / name), colours | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise BadInput("An undistorted photo is missing or broken", "Repeat the undistorted_photos stage", [name])
    return resized(np.asarray(image, np.uint8), camera.width, camera.height)


def read_mask(undistorted: Path, name: str, camera: Camera) -> NDArray[np.bool_]:
    """Where a depth is wanted: everywhere, or where ``masks/<name>.png`` is not black."""
    path = mask_path(undistorted, name)
    if not path.exists():
        return np.ones((camera.height, camera.width), bool)
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise BadInput("A mask cannot be read", "Give the mask as an 8-bit PNG, black where to ignore", [path.name])
    mask = cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(mask > 0)
