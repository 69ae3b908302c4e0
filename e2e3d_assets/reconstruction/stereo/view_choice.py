"""Which views a pixel is judged by.

What belongs here: the choice by costs, and these costs. What does not: how sets of views spread from pixel to pixel
(:mod:`.propagation`), which photos are compared at all (:mod:`.views`).

It follows the idea of Zheng et al., "PatchMatch Based Joint View Selection and Depthmap Estimation" (CVPR 2014), and of
Xu & Tao, "Multi-Scale Geometric Consistency Guided Multi-View Stereo" (CVPR 2019), in a cheaper form: the views whose
costs at the current plane, averaged over a small window, are close to the best.
"""

import cv2
import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compiled import parallel
from .matching_cost import SAMPLES, WORST, photometric_cost
from .packing import Comparison
from .propagation import BIT, NEVER, NO_VIEWS, State, ray, slopes, weigh

COST_UNITS = np.float32(127.0)

_WINDOW = 5
_WINDOW_PIXELS = np.float32(_WINDOW**2)
_OWN_WEIGHT = np.float32(0.25)
_RATIO_ABOVE = np.float32(1.25)
_COST_ABOVE = np.float32(0.15)
_ZERO = np.float32(0)
_ONE = np.float32(1)


def choose_views(compared: Comparison, state: State, most_views: int) -> None:
    """Replace each pixel's view set by the views that explain its neighbourhood about as well as the best one.

    Args:
        compared: the photo and its views.
        state: its ``views`` are replaced; 0 stays 0.
        most_views: largest set.
    """
    costs = np.zeros((len(compared.geometry), *state.views.shape), np.uint8)
    _costs_by_view(compared, state, costs)
    choose_views_by(costs, state, most_views)


def choose_views_by(costs: NDArray[np.uint8], state: State, most_views: int) -> None:
    """The same from costs that are known: (views, height, width), in 1 / COST_UNITS."""
    window = (_WINDOW, _WINDOW)
    sums = np.empty(costs.shape, np.uint16)
    for of_view, summed in zip(costs, sums, strict=True):
        cv2.boxFilter(of_view, cv2.CV_16U, window, summed, normalize=False, borderType=cv2.BORDER_REPLICATE)
    _choose_views(sums, costs, state.views, most_views)


@parallel
def _costs_by_view(compared, state, costs):
    """Fill ``costs`` (views, height, width) uint8, in 1 / COST_UNITS, by the state's planes."""
    height, width = state.views.shape
    for y in prange(height):
        weights = np.empty(SAMPLES, np.float32)
        centred = np.empty(SAMPLES, np.float32)
        for x in range(width):
            if state.views[y, x] == NO_VIEWS:
                continue
            rx, ry = ray(compared, x, y)
            variance = weigh(compared, x, y, width, weights, centred)
            plane = state.planes[y, x]
            inverse = _ONE / plane[3]
            slope_x, slope_y = slopes(compared, plane[0], plane[1], plane[2], inverse, rx, ry)
            for view in range(compared.geometry.shape[0]):
                cost = photometric_cost(
                    compared, view, np.float32(x), np.float32(y), inverse, slope_x, slope_y, weights, centred, variance
                )
                costs[view, y, x] = np.uint8(np.int64(min(max(cost, _ZERO), WORST) * COST_UNITS))


@parallel
def _choose_views(sums, costs, views, most_views):
    count, height, width = sums.shape
    for y in prange(height):
        badness = np.empty(count, np.float32)
        for x in range(width):
            if views[y, x] == NO_VIEWS:
                continue
            for view in range(count):
                own = np.float32(np.int32(costs[view, y, x]))
                mean = np.float32(np.int32(sums[view, y, x])) / _WINDOW_PIXELS
                badness[view] = (mean + _OWN_WEIGHT * own) / COST_UNITS
            chosen = NO_VIEWS
            bound = NEVER
            for _ in range(most_views):
                best = NEVER
                which = -1
                for view in range(count):
                    if badness[view] < best:
                        best = badness[view]
                        which = view
                if which < 0 or best > bound:
                    break
                if chosen == NO_VIEWS:
                    bound = best * _RATIO_ABOVE + _COST_ABOVE
                chosen |= BIT << np.uint32(which)
                badness[which] = NEVER
            views[y, x] = chosen
