"""How planes are found: PatchMatch sweeps over one photo.

What belongs here: the search: neighbours' planes, random planes, refinements. What does not: what a plane costs in one
view (:mod:`.matching_cost`), which views a pixel is judged by (:mod:`.view_choice`), the order of levels and sweeps
(:mod:`.estimation`).

The method is Bleyer et al., "PatchMatch Stereo" (BMVC 2011): each pixel keeps a plane; a sweep offers it its causal
neighbours' planes and random changes of its own and keeps what costs least. A pixel that does badly takes over the
views of a causal neighbour that does well, so that view sets spread like planes do.

Rows are swept in bands that threads share. A band sees of its neighbour bands only what they held before the sweep, and
every row has its own random numbers: the result does not depend on the number of threads.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compiled import inlined, parallel
from .matching_cost import PAD, SAMPLES, WORST, geometric_cost, photometric_cost, weigh_patch
from .packing import Comparison
from .planes import GRAZING, log_uniform, random_normal, seeded, signed, tilted, uniform


class State(NamedTuple):
    """What is known of one photo at one size; sweeps change it in place.

    Attributes:
        planes: (height, width, 4) float32: normal in the camera frame, facing the camera; depth z at the pixel.
        costs: (height, width) float32, of the planes in the views of the pixel's set.
        views: (height, width) uint32, bit masks of views; 0 marks a pixel that is not estimated.
    """

    planes: NDArray[np.float32]
    costs: NDArray[np.float32]
    views: NDArray[np.uint32]


class Search(NamedTuple):
    """Where and how far a sweep looks.

    Attributes:
        nearest, farthest: float32, inverse depths between which the scene is expected: of planes at random.
        least, most: float32, inverse depths that a plane may have: a surface may go on beyond what was expected.
        disparity: float32, the change of inverse depth that moves a projection by a pixel in a typical view.
        widest: float32; if > 0, the largest random change of inverse depth, instead of the fine steps.
        forward: whether from the top left to the bottom right, or back.
        seed: of this sweep.
    """

    nearest: np.float32
    farthest: np.float32
    least: np.float32
    most: np.float32
    disparity: np.float32
    widest: np.float32
    forward: bool
    seed: int


_BANDS = 16
# what a pixel is offered, in this order: others' planes, planes at random, changes of its own
_LEFT, _ABOVE, _ANYWHERE, _RANDOM, _RANDOM_AGAIN, _DEPTH, _NORMAL, _BOTH, _TRIALS = range(9)
_REACH = 10  # of _ANYWHERE, pixels
_REACH_WIDTH = np.float32(2 * _REACH + 1)
DOING_BADLY = np.float32(0.3)
MUCH_BETTER = np.float32(0.6)
_SAME_DISPARITY = np.float32(0.02)  # pixels
_SAME_NORMAL = np.float32(0.9999)
STEP = (np.float32(0.03), np.float32(np.log(1.5 / 0.03)))  # pixels of disparity: least, log of the largest over it
TILT = (np.float32(0.01), np.float32(np.log(0.4 / 0.01)))
GEOMETRIC_MOST = np.float32(3.0)  # pixels

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TINY = np.float32(1e-12)
NEVER = np.float32(1e9)
BIT = np.uint32(1)
NO_VIEWS = np.uint32(0)


@inlined
def ray(compared, x, y):
    """The ray (rx, ry, 1) of a pixel."""
    rays = compared.rays
    return (np.float32(x) - rays[2]) / rays[0], (np.float32(y) - rays[3]) / rays[1]


@inlined
def weigh(compared, x, y, width, weights, centred):
    """:func:`.matching_cost.weigh_patch` of a pixel."""
    at = (y + PAD) * (width + 2 * PAD) + x + PAD
    return weigh_patch(compared.reference, at, compared.offsets, weights, centred)


@inlined
def slopes(compared, nx, ny, nz, inverse, rx, ry):
    """Change of the plane's inverse depth per pixel, in x and y."""
    along = inverse / (nx * rx + ny * ry + nz)
    return along * nx / compared.rays[0], along * ny / compared.rays[1]


@inlined
def _plane_cost(compared, nx, ny, nz, depth, x, y, rx, ry, views, limit, weights, centred, variance):
    """Mean cost over a set of views, or NEVER as soon as the mean is sure to exceed ``limit``."""
    inverse = _ONE / depth
    slope_x, slope_y = slopes(compared, nx, ny, nz, inverse, rx, ry)
    count = 0
    rest = views
    while rest != NO_VIEWS:
        rest &= rest - BIT
        count += 1
    most = limit * np.float32(count)
    px, py = np.float32(x), np.float32(y)
    total = _ZERO
    for view in range(compared.geometry.shape[0]):
        if (views >> np.uint32(view)) & BIT:
            total += photometric_cost(
                compared, view, px, py, inverse, slope_x, slope_y, weights, centred, variance
            )  # fmt: skip
            if compared.geometric_weight > _ZERO:
                disagreement = geometric_cost(compared, view, px, py, inverse, GEOMETRIC_MOST)
                total += compared.geometric_weight * disagreement
            if total > most:
                return NEVER
    return total / np.float32(count)


@parallel
def random_planes(compared: Comparison, state: State, search: Search) -> None:
    """Fill the state's planes: normals and depths at random, the latter uniform in inverse depth; 0 where masked."""
    planes, _, views = state
    height, width = views.shape
    for y in prange(height):
        random = seeded(search.seed, y)
        for x in range(width):
            rx, ry = ray(compared, x, y)
            random, nx, ny, nz = random_normal(random, rx, ry)
            random, share = uniform(random)
            inverse = search.farthest + share * (search.nearest - search.farthest)
            planes[y, x, 0] = nx
            planes[y, x, 1] = ny
            planes[y, x, 2] = nz
            planes[y, x, 3] = _ZERO if views[y, x] == NO_VIEWS else _ONE / inverse


@parallel
def plane_costs(compared: Comparison, state: State) -> None:
    """Fill the state's costs by its planes and view sets."""
    planes, costs, views = state
    height, width = views.shape
    for y in prange(height):
        weights = np.empty(SAMPLES, np.float32)
        centred = np.empty(SAMPLES, np.float32)
        for x in range(width):
            if views[y, x] == NO_VIEWS:
                costs[y, x] = WORST
                continue
            rx, ry = ray(compared, x, y)
            variance = weigh(compared, x, y, width, weights, centred)
            plane = planes[y, x]
            costs[y, x] = _plane_cost(
                compared, plane[0], plane[1], plane[2], plane[3], x, y, rx, ry, views[y, x], NEVER,
                weights, centred, variance,
            )  # fmt: skip


@inlined
def _adopted_views(cost, left_cost, left_views, above_cost, above_views):
    """The views of a causal neighbour that does much better, where the pixel does badly; else none."""
    adopted = NO_VIEWS
    if cost > DOING_BADLY:
        bound = MUCH_BETTER * cost
        if left_views != NO_VIEWS and left_cost < bound:
            adopted = left_views
            bound = left_cost
        if above_views != NO_VIEWS and above_cost < bound:
            adopted = above_views
    return adopted


@inlined
def _continued(compared, plane, qx, qy, rx, ry):
    """Depth at the ray (rx, ry, 1) of the plane of pixel (qx, qy); 0 where it is not seen from there."""
    slant = plane[0] * rx + plane[1] * ry + plane[2]
    if not (plane[3] > _ZERO and slant < GRAZING):
        return _ZERO
    sx, sy = ray(compared, qx, qy)
    return plane[3] * (plane[0] * sx + plane[1] * sy + plane[2]) / slant


@inlined
def _changed_depth(random, depth, search):
    if search.widest > _ZERO:
        random, share = uniform(random)
        change = share * search.widest
    else:
        random, pixels = log_uniform(random, STEP[0], STEP[1])
        change = pixels * search.disparity
    random, change = signed(random, change)
    return random, _ONE / min(max(_ONE / depth + change, search.least), search.most)


@inlined
def _somewhere(random, x, y, first, last, width):
    """A pixel at most _REACH away, within the band."""
    random, a = uniform(random)
    random, b = uniform(random)
    qx = min(max(x + np.int64(np.int32(a * _REACH_WIDTH)) - _REACH, 0), width - 1)
    qy = min(max(y + np.int64(np.int32(b * _REACH_WIDTH)) - _REACH, first), last - 1)
    return random, qx, qy


@parallel
def sweep(compared: Comparison, state: State, search: Search) -> None:
    """Offer every pixel better planes, once, in place."""
    planes, costs, views = state  # numba would write to copies of a tuple's members
    height, width = views.shape
    forward = search.forward
    step = 1 if forward else -1
    # what each band sees of the row that precedes it in the order of the sweep
    border_planes = np.zeros((_BANDS, width, 4), np.float32)
    border_costs = np.zeros((_BANDS, width), np.float32)
    border_views = np.zeros((_BANDS, width), np.uint32)
    for band in range(_BANDS):
        row = band * height // _BANDS - 1 if forward else (band + 1) * height // _BANDS
        if 0 <= row < height:
            border_planes[band] = planes[row]
            border_costs[band] = costs[row]
            border_views[band] = views[row]
    for band in prange(_BANDS):
        first, last = band * height // _BANDS, (band + 1) * height // _BANDS
        weights = np.empty(SAMPLES, np.float32)
        centred = np.empty(SAMPLES, np.float32)
        for i in range(last - first):
            y = first + i if forward else last - 1 - i
            above_planes = planes[y - step] if i > 0 else border_planes[band]
            above_costs = costs[y - step] if i > 0 else border_costs[band]
            above_views = views[y - step] if i > 0 else border_views[band]
            random = seeded(search.seed, y)
            for j in range(width):
                x = j if forward else width - 1 - j
                seen_in = views[y, x]
                if seen_in == NO_VIEWS:
                    continue
                left = x - step if j > 0 else x
                rx, ry = ray(compared, x, y)
                variance = weigh(compared, x, y, width, weights, centred)
                nx, ny, nz, depth = planes[y, x, 0], planes[y, x, 1], planes[y, x, 2], planes[y, x, 3]
                cost = costs[y, x]

                adopted = _adopted_views(cost, costs[y, left], views[y, left], above_costs[x], above_views[x])
                if adopted != NO_VIEWS:
                    seen_in = adopted
                    cost = _plane_cost(
                        compared, nx, ny, nz, depth, x, y, rx, ry, seen_in, NEVER, weights, centred, variance
                    )

                for trial in range(_TRIALS):
                    if trial <= _ANYWHERE:
                        qx, qy = x, y
                        plane = above_planes[x]
                        if trial == _LEFT:
                            qx = left
                            plane = planes[y, left]
                        elif trial == _ABOVE:
                            qy = y - step
                        else:
                            random, qx, qy = _somewhere(random, x, y, first, last, width)
                            plane = planes[qy, qx]
                        tx, ty, tz = plane[0], plane[1], plane[2]
                        tdepth = _continued(compared, plane, qx, qy, rx, ry)
                        shift = abs(_ONE / max(tdepth, _TINY) - _ONE / depth)
                        if shift < _SAME_DISPARITY * search.disparity and tx * nx + ty * ny + tz * nz > _SAME_NORMAL:
                            continue
                    elif trial <= _RANDOM_AGAIN:
                        if adopted == NO_VIEWS:
                            continue
                        random, tx, ty, tz = random_normal(random, rx, ry)
                        random, share = uniform(random)
                        tdepth = _ONE / (search.farthest + share * (search.nearest - search.farthest))
                    else:
                        tx, ty, tz, tdepth = nx, ny, nz, depth
                        if trial != _NORMAL:
                            random, tdepth = _changed_depth(random, depth, search)
                        if trial != _DEPTH:
                            random, tilt = log_uniform(random, TILT[0], TILT[1])
                            random, tx, ty, tz = tilted(random, tx, ty, tz, tilt, rx, ry)
                    if not (tdepth * search.most >= _ONE and tdepth * search.least <= _ONE):
                        continue
                    trial_cost = _plane_cost(
                        compared, tx, ty, tz, tdepth, x, y, rx, ry, seen_in, cost, weights, centred, variance
                    )
                    if trial_cost < cost:
                        cost = trial_cost
                        nx, ny, nz, depth = tx, ty, tz, tdepth
                planes[y, x, 0], planes[y, x, 1], planes[y, x, 2], planes[y, x, 3] = nx, ny, nz, depth
                costs[y, x] = cost
                views[y, x] = seen_in
