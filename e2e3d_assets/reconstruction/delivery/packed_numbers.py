"""Numbers of a web page in few bytes: what ``data.js`` of the viewer's page reads.

What belongs here: the coding, and orders in which it is short. What does not: which numbers a page needs. Plain float32
and uint32 in one gzip block take twice the bytes.
"""

import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CURVE_BITS = 20
_LARGEST = 2**30  # of a coded number: differences of two fit 32 bits


class PackedNumbers:
    """Arrays of rows, coded as differences between neighbouring rows, component by component.

    A difference d becomes 2 d or -2 d - 1, and the bytes of these go into planes, the lowest first: the higher ones are
    almost all zero, which gzip likes. ``table`` says of each array where its planes begin, how many they are, the
    rows, their width and the type; of decimal ones also what a unit is and what zero stands for.
    """

    def __init__(self) -> None:
        self.table: dict[str, dict[str, Any]] = {}
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, name: str, rows: NDArray[Any]) -> None:
        """Store whole numbers (N, k), uint8, uint16 or uint32 below 2^30."""
        self._add(name, rows, {})

    def add_rounded(self, name: str, rows: NDArray[np.float32], step: float) -> None:
        """Store decimal numbers (N, k), rounded to multiples of ``step``, or coarser where they are very many steps."""
        low = rows.min(axis=0).astype(np.float64)
        step = max(step, float(np.ptp(rows, axis=0).max()) / _LARGEST)
        whole = np.rint((rows - low) / step).astype(np.uint32)
        self._add(name, whole, {"type": "float32", "origin": low.tolist(), "step": step})

    def _add(self, name: str, rows: NDArray[Any], more: dict[str, Any]) -> None:
        columns = rows.astype(np.int32).T
        difference = np.diff(columns, axis=1, prepend=np.int32(0)).ravel()
        folded = ((difference << 1) ^ (difference >> 31)).astype("<u4")
        planes = max(1, (int(folded.max(initial=0)).bit_length() + 7) // 8)
        data = np.ascontiguousarray(folded.view(np.uint8).reshape(-1, 4).T[:planes]).tobytes()
        shape = {"offset": self._size, "planes": planes, "rows": len(rows), "width": rows.shape[1]}
        self.table[name] = {"type": rows.dtype.name, **shape, **more}
        self._chunks.append(data)
        self._size += len(data)

    def packed(self) -> bytes:
        """All arrays in one gzip block, equal for equal arrays."""
        return gzip.compress(b"".join(self._chunks), compresslevel=6, mtime=0)


def along_curve(points: NDArray[np.floating]) -> NDArray[np.int64]:
    """Indices that put points (N, 3) in the order of Morton's curve, on which neighbours are near each other."""
    low, extent = points.min(axis=0), max(float(np.ptp(points, axis=0).max()), 1e-30)
    cells = ((points - low) * ((2**_CURVE_BITS - 1) / extent)).astype(np.uint64)
    code = np.zeros(len(points), np.uint64)
    for bit in range(_CURVE_BITS):
        for axis in range(3):
            code |= (cells[:, axis] >> np.uint64(bit) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return np.argsort(code, kind="stable")


def in_order_of_use(vertices: NDArray[Any], faces: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Number vertices (V, k) as faces (F, 3), put along the curve, come to use them.

    Returns:
        The old index of each vertex (V,), and the faces (F, 3) with the new ones.
    """
    faces = faces[along_curve(vertices[faces[:, 0]])]
    old, first, inverse = np.unique(faces, return_index=True, return_inverse=True)
    order = np.argsort(first)
    new = np.empty(len(old), np.uint32)
    new[order] = np.arange(len(old), dtype=np.uint32)
    return old[order].astype(np.int64), new[inverse].reshape(-1, 3)
