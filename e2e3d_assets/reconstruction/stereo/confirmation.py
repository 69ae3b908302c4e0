"""Which of a photo's depths are to be believed: those that other photos' depth maps confirm.

What belongs here: the rule, and where a coarser depth map may step in. What does not: how agreement is measured
(:mod:`.consistency`), files.

Leaves and grass, seen from places far apart, look alike at a quarter or an eighth of their size and hardly at full
size. So where nothing confirms the full-size depth, a depth that was confirmed at a smaller size is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .consistency import agreement, confidence, islands
from .estimation import continued_planes
from .matching_cost import RADIUS
from .packing import compare_depths
from .propagation import State
from .silhouettes import STEP, without_rims
from .views import Camera

_WORTH_OF_COARSE = np.float32(0.5)  # of its confidence
_FEWEST = 12  # coarse pixels of a gap that is filled off the surface around it: slivers beside outlines are smaller
_NOWHERE = np.float32(1e30)


@dataclass(frozen=True)
class Rule:
    """When a depth is believed.

    Attributes:
        most_pixels, most_cost: with two witnesses: how far they may be off, how badly the photos may match.
        most_pixels_alone, most_cost_alone: with a single one.
        fewest_pixels: of a patch of surface that is kept.
    """

    most_pixels: float
    most_cost: float
    most_pixels_alone: float
    most_cost_alone: float
    fewest_pixels: int


FULL_SIZE = Rule(2.0, 0.7, 1.0, 0.5, 160)
COARSE = Rule(1.0, 0.9, 1.0, 0.7, 160)
"""Of maps that were made to agree. They match less well, and what agrees by chance is as large as what is compared: 81
pixels."""


def confirmed(
    camera: Camera,
    photo: NDArray[np.uint8],
    state: State,
    witnesses: Sequence[Camera],
    depths: Sequence[NDArray[np.float32]],
    rule: Rule,
) -> NDArray[np.float32]:
    """Confidence of each pixel, (height, width); 0 where the depth is not to be believed.

    Args:
        camera: of the state, at its size.
        photo: (height, width) grey.
        state: what was estimated.
        witnesses: other photos' cameras, at their depth maps' sizes.
        depths: their depth maps.
        rule: when a depth is believed.
    """
    if not witnesses:
        return np.zeros(state.costs.shape, np.float32)
    depth = np.ascontiguousarray(state.planes[..., 3])
    found = agreement(depth, compare_depths(camera, witnesses, depths), rule.most_pixels, rule.most_pixels_alone)
    agreed = ((found.views >= 2) & (state.costs < rule.most_cost)) | (
        (found.close_views >= 1) & (state.costs < rule.most_cost_alone)
    )
    kept = without_rims(np.where(agreed, depth, np.float32(0)), photo)
    kept[islands(kept, rule.fewest_pixels)] = 0
    return np.where(kept > 0, confidence(state.costs, found, rule.most_pixels), np.float32(0))


def filled(
    camera: Camera,
    planes: NDArray[np.float32],
    trusted: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    coarse_planes: NDArray[np.float32],
    coarse_trusted: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Planes and confidence, those of a coarser size where there are none; both are 0 where nothing is known.

    A thing's outline, seen coarsely, reaches as far as what is compared does over what is behind or beside it. So near
    what is known, coarse depths are left out that lie before it, and those that go on from it other than into its gaps.

    Args:
        camera: at full size.
        planes: (height, width, 4), as in :class:`.propagation.State`.
        trusted: (height, width) their confidence, 0 where they are not to be believed.
        wanted: (height, width), where a depth is wanted.
        coarse_planes, coarse_trusted: the same of a smaller size.
    """
    height, width = trusted.shape
    scale = width // coarse_trusted.shape[1]
    every = np.arange(height) * coarse_trusted.shape[0] // height, np.arange(width) * coarse_trusted.shape[1] // width
    known = trusted > 0
    y, x = np.nonzero(wanted & ~known & (coarse_trusted[np.ix_(*every)] > 0))
    found, taken = continued_planes(coarse_planes, camera, y, x)
    around = np.ones((2 * RADIUS * scale + 1,) * 2, np.uint8)
    farthest = cv2.dilate(np.where(known, planes[..., 3], np.float32(0)), around)[y, x]
    nearest = cv2.erode(np.where(known, planes[..., 3], _NOWHERE), around)[y, x]
    inside = cv2.morphologyEx(known.astype(np.uint8), cv2.MORPH_CLOSE, around)[y, x] > 0
    gaps = np.zeros_like(trusted)
    gaps[y, x] = np.where(found[:, 3] * STEP > farthest, found[:, 3], 0)
    goes_on = (nearest < _NOWHERE) & (found[:, 3] < nearest * STEP)
    chosen = (gaps[y, x] > 0) & np.where(goes_on, inside, ~islands(gaps, _FEWEST * scale**2)[y, x])
    good = np.zeros(trusted.shape, np.bool_)
    good[y, x] = chosen
    planes, trusted = np.where(known[..., None], planes, np.float32(0)), trusted.copy()
    planes[good] = found[chosen]
    trusted[good] = _WORTH_OF_COARSE * coarse_trusted[taken][chosen]
    return planes, trusted
