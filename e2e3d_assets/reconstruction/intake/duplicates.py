"""Photos that are equal or nearly equal to one before them.

What belongs here: perceptual hashes and their comparison. Whether a duplicate is left out is said in
:mod:`~e2e3d_assets.reconstruction.photos`.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

NEAR_DISTANCE_BITS = 3


def perceptual_hash(grey: NDArray[np.uint8]) -> int:
    """64 bits of a photo's coarse structure: the signs of its lowest DCT frequencies against their median.

    Args:
        grey: (H, W) uint8.
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:9, :9].ravel()[1:65]
    bits = np.packbits(low > np.median(low))
    return int.from_bytes(bits.tobytes(), "big")


def first_equals(keys: Sequence[str]) -> list[int | None]:
    """For each key the index of the first equal key before it, or None."""
    first: dict[str, int] = {}
    return [None if first.setdefault(key, index) == index else first[key] for index, key in enumerate(keys)]


def first_near(hashes: Sequence[int]) -> list[int | None]:
    """For each hash the index of the first before it that differs in at most a few bits, or None."""
    known = np.array(hashes, dtype=np.uint64)
    nearest: list[int | None] = []
    for index in range(len(known)):
        distances = np.bitwise_count(known[:index] ^ known[index])
        close = np.flatnonzero(distances <= NEAR_DISTANCE_BITS)
        nearest.append(int(close[0]) if close.size else None)
    return nearest
