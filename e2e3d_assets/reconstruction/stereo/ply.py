"""Point clouds as binary PLY, written as they come.

What belongs here: the dense cloud's file format. What does not: where its points come from.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

POINT = np.dtype(
    [
        *((axis, "<f4") for axis in ("x", "y", "z", "nx", "ny", "nz")),
        *((channel, "u1") for channel in ("red", "green", "blue")),
        ("confidence", "<f4"),
        ("views", "u1"),
    ]
)
"""A point: position and normal in the world frame, sRGB colour, confidence 0…1, photos that agree on it."""

_PLY_TYPES = {"<f4": "float", "|u1": "uchar"}
_COUNT_DIGITS = 20
_LONGEST_HEADER = 4096


class PlyWriter:
    """Writes points of which nobody knows yet how many there will be; their number is filled in on leaving."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0

    def __enter__(self) -> "PlyWriter":
        self._file = self._path.open("wb")
        self._file.write(_header(0))
        return self

    def write(self, points: NDArray) -> None:
        """Append a (n,) array of :data:`POINT`."""
        self._file.write(points.tobytes())
        self.count += len(points)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.seek(0)
            self._file.write(_header(self.count))
        self._file.close()
        if kind is not None:
            self._path.unlink()


def _header(count: int) -> bytes:
    """As long for every count: a comment takes up the slack."""
    fields = "".join(f"property {_PLY_TYPES[POINT[name].str]} {name}\n" for name in POINT.names or ())
    slack = "." * (_COUNT_DIGITS - len(str(count)))
    return (
        f"ply\nformat binary_little_endian 1.0\ncomment dense cloud {slack}\n"
        f"element vertex {count}\n{fields}end_header\n"
    ).encode()


def read_points(path: Path) -> NDArray:
    """The points of a file written here, memory-mapped: (n,) of :data:`POINT`.

    Raises:
        ValueError: if the file is another kind of PLY or is cut off.
    """
    begin, count = _layout(path)
    return np.memmap(path, POINT, "r", begin, (count,)) if count else np.zeros(0, POINT)


def read_in_pieces(path: Path, piece: int) -> Iterator[NDArray]:
    """The same, so many points at a time: a mapped file counts as memory used, this one does not.

    Raises:
        ValueError: as :func:`read_points`.
    """
    begin, count = _layout(path)
    with path.open("rb") as file:
        file.seek(begin)
        for done in range(0, count, piece):
            yield np.frombuffer(file.read(min(piece, count - done) * POINT.itemsize), POINT)


def _layout(path: Path) -> tuple[int, int]:
    """Where the points begin, and how many there are."""
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER)
    begin = head.find(b"end_header\n") + len(b"end_header\n")
    count = next((int(line.split()[2]) for line in head.split(b"\n") if line.startswith(b"element vertex ")), 0)
    if head[:begin] != _header(count) or path.stat().st_size != begin + count * POINT.itemsize:
        raise ValueError(f"{path.name} is not a complete dense cloud")
    return begin, count
