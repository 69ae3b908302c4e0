"""Which of a photo's depths are to be believed: those that other photos' depth maps confirm.

What belongs here: the rule, and where a coarser depth map may step in. What does not: how agreement is measured
(:mod:`.consistency`), files.

Leaves and grass, seen from places far apart, look alike at a quarter of their size and not at full size. So where
nothing confirms the full-size depth, a depth that was confirmed at a quarter is taken.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .consistency import agreement, confidence, speckles
from .estimation import continued_planes
from .packing import compare_depths
from .propagation import State
from .silhouettes import without_rims
from .views import Camera

_MOST_COST = 0.7
_MOST_COST_ONE_WITNESS = 0.5
_SPECKLE_PIXELS_PER_MEGAPIXEL = 100
_WORTH_OF_COARSE = np.float32(0.5)  # of its confidence: a depth of a quarter's size is four times as vague


def confirmed(
    camera: Camera,
    photo: NDArray[np.uint8],
    state: State,
    witnesses: Sequence[Camera],
    depths: Sequence[NDArray[np.float32]],
    most_pixels: float,
) -> NDArray[np.float32]:
    """Confidence of each pixel, (height, width); 0 where the depth is not to be believed.

    Args:
        camera: of the state, at its size.
        photo: (height, width) grey.
        state: what was estimated.
        witnesses: other photos' cameras, at their depth maps' sizes.
        depths: their depth maps.
        most_pixels: how far two witnesses may be off; a single one, half as far.
    """
    if not witnesses:
        return np.zeros(state.costs.shape, np.float32)
    depth = np.ascontiguousarray(state.planes[..., 3])
    found = agreement(depth, compare_depths(camera, witnesses, depths), most_pixels, most_pixels / 2)
    agreed = ((found.views >= 2) & (state.costs < _MOST_COST)) | (
        (found.close_views >= 1) & (state.costs < _MOST_COST_ONE_WITNESS)
    )
    kept = without_rims(np.where(agreed, depth, np.float32(0)), photo)
    kept[speckles(kept, round(_SPECKLE_PIXELS_PER_MEGAPIXEL * depth.size / 1e6))] = 0
    return np.where(kept > 0, confidence(state.costs, found, most_pixels), np.float32(0))


def filled(
    camera: Camera,
    state: State,
    trusted: NDArray[np.float32],
    coarse_planes: NDArray[np.float32],
    coarse_trusted: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Planes and confidence, those of a coarser size where there are none; both are 0 where nothing is known.

    Args:
        camera: at full size.
        state: what was estimated.
        trusted: (height, width) its confidence, from :func:`confirmed`.
        coarse_planes, coarse_trusted: planes and confidence of a smaller size.
    """
    planes, rows, columns = continued_planes(coarse_planes, camera)
    possible = (state.views > 0) & (planes[..., 3] > 0)
    of_coarse = np.where(possible, coarse_trusted[np.ix_(rows, columns)], np.float32(0))
    known = trusted > 0
    both = np.where(known, trusted, _WORTH_OF_COARSE * of_coarse)
    np.copyto(planes, state.planes, where=known[..., None])
    planes[both == 0] = 0
    return planes, both
