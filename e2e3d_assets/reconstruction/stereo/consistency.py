"""Which depths other photos' depth maps confirm.

What belongs here: the check of one depth map against others, and the confidence that follows. What does not: merging
(:mod:`.merging`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compiled import parallel
from .matching_cost import geometric_cost
from .packing import Comparison

_ZERO = np.float32(0)
_ONE = np.float32(1)
_JUMP = 1.05  # ratio of neighbouring pixels' depths
_STEPS_TO_JUMP = 8
_NOTHING = -32000


@dataclass(frozen=True)
class Agreement:
    """How far a depth map is confirmed by others.

    Attributes:
        views: (height, width) uint8, photos that confirm each pixel's depth.
        close_views: those of them that confirm it closely.
        error: (height, width) float32, mean pixels of disagreement with ``views``.
    """

    views: NDArray[np.uint8]
    close_views: NDArray[np.uint8]
    error: NDArray[np.float32]


def agreement(
    depth: NDArray[np.float32], others: Comparison, most_pixels: float, most_pixels_close: float
) -> Agreement:
    """Count the views whose depth maps project back to within ``most_pixels`` of where they were looked up from.

    Args:
        depth: (height, width), 0 where unknown.
        others: the other photos' depth maps, from :func:`.packing.compare_depths`.
        most_pixels, most_pixels_close: tolerances.
    """
    found = Agreement(
        np.zeros(depth.shape, np.uint8), np.zeros(depth.shape, np.uint8), np.zeros(depth.shape, np.float32)
    )
    _count_agreeing(
        depth,
        others,
        np.float32(most_pixels),
        np.float32(most_pixels_close),
        found.views,
        found.close_views,
        found.error,
    )
    return found


@parallel
def _count_agreeing(depth, others, most_pixels, most_pixels_close, counts, close_counts, errors):
    height, width = depth.shape
    for y in prange(height):
        for x in range(width):
            if not depth[y, x] > _ZERO:
                continue
            inverse = _ONE / depth[y, x]
            count = close_count = 0
            total = _ZERO
            for view in range(others.geometry.shape[0]):
                error = geometric_cost(others, view, np.float32(x), np.float32(y), inverse, most_pixels)
                if error < most_pixels:
                    count += 1
                    total += error
                if error < most_pixels_close:
                    close_count += 1
            counts[y, x] = count
            close_counts[y, x] = close_count
            if count > 0:
                errors[y, x] = total / np.float32(count)


def confidence(costs: NDArray[np.float32], found: Agreement, most_pixels: float) -> NDArray[np.float32]:
    """0…1: how well the photos match times how many photos agree, and how closely."""
    likeness = np.clip(1 - costs, 0, 1)
    closeness = 1 - found.error / (2 * most_pixels)
    return (likeness * closeness * found.views / (found.views + 1.0)).astype(np.float32)


def islands(depth: NDArray[np.float32], fewest_pixels: int) -> NDArray[np.bool_]:
    """Where a depth map has patches of surface smaller than ``fewest_pixels``: what matches by chance forms no surface.

    Args:
        depth: (height, width), 0 where unknown. A patch ends where the depth jumps.
        fewest_pixels: size of a patch that is kept.
    """
    known = depth > 0
    if fewest_pixels < 2 or not known.any():
        return np.zeros(depth.shape, bool)
    nearest = depth[known].min()
    steps = np.full(depth.shape, _NOTHING, np.int16)
    steps[known] = np.minimum(np.log(depth[known] / nearest) * (_STEPS_TO_JUMP / np.log(_JUMP)), -_NOTHING)
    cv2.filterSpeckles(steps, _NOTHING, fewest_pixels - 1, _STEPS_TO_JUMP)
    return known & (steps == _NOTHING)
