"""Packing of rectangles into square pages.

What belongs here: where rectangles go. What does not: what they show.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stereo.compiled import serial

_ALIGNMENT = 64  # page sides are multiples of it
_FIRST_FILL = 0.9  # of a page that rectangles can be expected to fill
_GROWTH = 1.05
_MOST_CORNERS = 8192  # of the skyline


@dataclass(frozen=True)
class Layout:
    """Where rectangles lie.

    Attributes:
        page: (N,) int32 page of each rectangle.
        position: (N, 2) int64 its left and top pixel.
        side: of every page, pixels.
        pages: how many.
    """

    page: NDArray[np.int32]
    position: NDArray[np.int64]
    side: int
    pages: int


def pack(size: NDArray[np.int64], largest_side: int) -> Layout:
    """Put rectangles (N, 2: width, height) on the smallest page that holds all, or on several of the largest.

    Raises:
        ValueError: if a rectangle is larger than the largest page.
    """
    if (size > largest_side).any():
        raise ValueError("a rectangle is larger than a page")
    order = np.argsort(-size[:, 1], kind="stable")
    area = float((size[:, 0] * size[:, 1]).sum())
    side = _aligned(max(np.sqrt(area / _FIRST_FILL), size.max(initial=1)), largest_side)
    while True:
        page, position = _skyline(size[order], side)
        pages = int(page.max(initial=0)) + 1
        if pages == 1 or side == largest_side:
            break
        side = _aligned(side * _GROWTH, largest_side)
    original_page = np.empty(len(size), np.int32)
    original_position = np.empty((len(size), 2), np.int64)
    original_page[order], original_position[order] = page, position
    return Layout(original_page, original_position, side, pages)


def _aligned(side: float, largest: int) -> int:
    return min(largest, -(-int(np.ceil(side)) // _ALIGNMENT) * _ALIGNMENT)


@serial
def _skyline(size, side):
    """Lowest place first, leftmost among equals (Jylänki, "A Thousand Ways to Pack the Bin", 2010, skyline BL)."""
    count = len(size)
    page = np.zeros(count, np.int32)
    position = np.zeros((count, 2), np.int64)
    placed = np.zeros(count, np.bool_)
    left = np.zeros(_MOST_CORNERS, np.int64)
    top = np.zeros(_MOST_CORNERS, np.int64)
    current = 0
    remaining = count
    while remaining > 0:
        corners = 1
        left[0], top[0] = 0, 0
        for index in range(count):
            if placed[index] or corners > _MOST_CORNERS - 3:
                continue
            width, height = size[index, 0], size[index, 1]
            best, best_top, best_span = -1, side + 1, 0
            for start in range(corners):
                if left[start] + width > side:
                    break
                level, span = np.int64(0), start
                while span < corners and left[span] < left[start] + width:
                    level = max(level, top[span])
                    span += 1
                if level + height <= side and level < best_top:
                    best, best_top, best_span = start, level, span
            if best < 0:
                continue
            placed[index] = True
            remaining -= 1
            page[index] = current
            position[index, 0], position[index, 1] = left[best], best_top
            right = left[best] + width
            old_top = top[best_span - 1]
            end = left[best_span] if best_span < corners else side
            # Corners best … best_span - 1 give way to the rectangle and what is left of the last of them.
            added = 1 + (1 if right < end else 0)
            shift = added - (best_span - best)
            if shift > 0:
                for k in range(corners - 1, best_span - 1, -1):
                    left[k + shift], top[k + shift] = left[k], top[k]
            elif shift < 0:
                for k in range(best_span, corners):
                    left[k + shift], top[k + shift] = left[k], top[k]
            corners += shift
            top[best] = best_top + height
            if right < end:
                left[best + 1], top[best + 1] = right, old_top
        current += 1
    return page, position
