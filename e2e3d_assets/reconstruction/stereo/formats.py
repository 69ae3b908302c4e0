"""COLMAP's dense files: depth, normal and confidence maps, and the lists of photos beside them.

What belongs here: reading and writing, nothing else. A map is an ASCII header ``width&height&channels&``, then float32,
little-endian, channel by channel, row by row. Depths are z in the camera frame, 0 where unknown; normals are in the
camera frame and look towards the camera.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_LONGEST_HEADER = 64


def map_path(workspace: Path, kind: str, photo: str) -> Path:
    """Where a photo's map lies.

    Args:
        workspace: a depth_maps product or a COLMAP dense workspace.
        kind: ``depth``, ``normal`` or ``confidence``.
        photo: its name.
    """
    return workspace / "stereo" / f"{kind}_maps" / f"{photo}.geometric.bin"


def write_map(path: Path, values: NDArray[np.float32]) -> None:
    """Write (height, width) or (height, width, channels) float32; the file appears complete or not at all."""
    planar = values[None] if values.ndim == 2 else np.moveaxis(values, 2, 0)
    channels, height, width = planar.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("wb") as file:
        file.write(f"{width}&{height}&{channels}&".encode())
        file.write(np.ascontiguousarray(planar, "<f4").data)
    unfinished.replace(path)


def read_map(path: Path) -> NDArray[np.float32]:
    """A map, memory-mapped and read-only: (height, width), or (height, width, channels) of several channels.

    Raises:
        ValueError: if the file is not a whole map.
    """
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER).split(b"&", 3)
    try:
        width, height, channels = (int(number) for number in head[:3])
        offset = sum(len(number) + 1 for number in head[:3])
        values = np.memmap(path, "<f4", "r", offset, (channels, height, width))
    except ValueError as error:
        raise ValueError(f"{path.name} is not a complete COLMAP map") from error
    return values[0] if channels == 1 else np.moveaxis(values, 0, 2)


def write_widths(workspace: Path, photo: str, widths: NDArray[np.uint8]) -> None:
    """Write how vague a photo's depths are.

    Args:
        workspace: a depth_maps product; gets ``stereo/width_maps/<photo>.png``.
        photo: its name.
        widths: (height, width), of the pixel that a depth was estimated for, in pixels of the map: 1, and 4 or 8 where
            the depth is that of a map of a quarter or an eighth of the size.
    """
    path = _widths_path(workspace, photo)
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(".png", widths)
    path.write_bytes(encoded.tobytes())


def read_widths(workspace: Path, photo: str, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """What :func:`write_widths` wrote, (height, width); 1 in a workspace without it, such as COLMAP's."""
    path = _widths_path(workspace, photo)
    if not path.exists():
        return np.ones(shape, np.uint8)
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def _widths_path(workspace: Path, photo: str) -> Path:
    return workspace / "stereo" / "width_maps" / f"{photo}.png"


def write_device(workspace: Path, photo: str, device: str) -> None:
    """Write ``stereo/devices/<photo>.txt``: which processor estimated its depths, and why if another was meant to."""
    path = _device_path(workspace, photo)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(device)


def read_device(workspace: Path, photo: str) -> str:
    """What :func:`write_device` wrote."""
    return _device_path(workspace, photo).read_text()


def _device_path(workspace: Path, photo: str) -> Path:
    return workspace / "stereo" / "devices" / f"{photo}.txt"


def write_lists(workspace: Path, sources: Mapping[str, Sequence[str]]) -> None:
    """Write ``stereo/fusion.cfg`` and ``stereo/patch-match.cfg``: the photos, and what each is compared with."""
    folder = workspace / "stereo"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fusion.cfg").write_text("".join(f"{name}\n" for name in sources))
    pairs = "".join(f"{name}\n{', '.join(others)}\n" for name, others in sources.items())
    (folder / "patch-match.cfg").write_text(pairs)
