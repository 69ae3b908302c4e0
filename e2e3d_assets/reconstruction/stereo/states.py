"""What the steps of depth_maps keep of each photo between them: ``planes``, ``costs``, ``views``, one array each; of
smaller sizes too, ``planes_quarter`` and so on; and the ``device`` that estimated it.

What belongs here: these files. What does not: the reduced photos beside them (:mod:`.photos`), the products' maps
(:mod:`.formats`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .propagation import State

QUARTER = "_quarter"
EIGHTH = "_eighth"


def has_state(folder: Path, name: str) -> bool:
    """Whether the photo's state is there, and whole."""
    return _path(folder, name, "planes").exists()


def save_state(folder: Path, name: str, state: State, size: str = "") -> None:
    """Write a photo's state. Planes come last and by renaming: where they are, the state is whole."""
    for part in ("views", "costs", "planes"):
        _save(_path(folder, name, part + size), getattr(state, part))


def load_state(folder: Path, name: str, size: str = "") -> State:
    """Read a photo's state."""
    return State(*(np.load(_path(folder, name, part + size)) for part in ("planes", "costs", "views")))


def save_device(folder: Path, name: str, device: str) -> None:
    """Write which processor estimated a photo's depths, and why if another was meant to."""
    _save(_path(folder, name, "device"), np.array(device))


def load_device(folder: Path, name: str) -> str:
    """Read it."""
    return str(np.load(_path(folder, name, "device")))


def load_depth(folders: Sequence[Path], name: str, size: str = "") -> NDArray[np.float32]:
    """The depths alone, (height, width), from the folder that has the photo's state."""
    planes = np.load(_path(folder_of(folders, name), name, "planes" + size), mmap_mode="r")
    return np.ascontiguousarray(planes[..., 3])


def folder_of(folders: Sequence[Path], name: str) -> Path:
    """The one of several chunks' folders that has a photo's state."""
    return next(folder for folder in folders if has_state(folder, name))


def photo_of(path: str) -> str:
    """Of which photo a file below a step's folder is: ``planes/left/1.jpg.npy`` is of ``left/1.jpg``."""
    return path.partition("/")[2].removesuffix(".npy")


def _path(folder: Path, name: str, part: str) -> Path:
    return folder / part / f"{name}.npy"


def _save(path: Path, values: NDArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished.npy")
    np.save(unfinished, values)
    unfinished.replace(path)
