"""How planes are found: PatchMatch sweeps over one photo.

What belongs here: the search (neighbours' planes, random planes, refinements) and the choice of views per pixel. What
does not: what a plane costs (:mod:`.matching_cost`), the order of levels and sweeps (:mod:`.estimation`).

The method is Bleyer et al., "PatchMatch Stereo" (BMVC 2011): each pixel keeps a plane; a sweep offers it its causal
neighbours' planes and random changes of its own and keeps what costs least. Which views a pixel is judged by follows
the idea of Zheng et al., "PatchMatch Based Joint View Selection and Depthmap Estimation" (CVPR 2014), and of Xu & Tao,
"Multi-Scale Geometric Consistency Guided Multi-View Stereo" (CVPR 2019), in a cheaper form: the views whose costs at
the current plane, averaged over a small window, are close to the best. A pixel that does badly takes over the views of
a causal neighbour that does well, so that view sets spread like planes do.

Rows are swept in bands that threads share. A band sees of its neighbour bands only what they held before the sweep, and
every row has its own random numbers: the result does not depend on the number of threads.

Planes are (height, width, 4) float32: the normal in the camera frame (towards the camera, so nz < 0 on the axis), then
the depth z at the pixel's centre. View sets are bit masks, uint32; 0 marks a pixel that is not estimated.
"""

import numpy as np
from numba import prange

from .compiled import inlined, parallel
from .matching_cost import SAMPLES, WORST, geometric_cost, photometric_cost, weigh_patch

BANDS = 16
_COST_ABOVE = np.float32(0.15)
_RATIO_ABOVE = np.float32(1.25)
_OWN_WEIGHT = np.float32(6.25)  # a quarter of the 5 x 5 window's
_WINDOW = 2
_COST_UNITS = np.float32(127.0)
_DOING_BADLY = np.float32(0.3)
_MUCH_BETTER = np.float32(0.6)
_REACH = 10
_SAME_NORMAL = np.float32(0.9999)
_STEP_LEAST = np.float32(0.03)
_STEP_RATIO_LOG = np.float32(np.log(1.5 / 0.03))
_TILT_LEAST = np.float32(0.01)
_TILT_RATIO_LOG = np.float32(np.log(0.4 / 0.01))
_GEOMETRIC_MOST = np.float32(3.0)
_GRAZING = np.float32(-0.08)  # cosine between normal and ray; beyond, a plane is seen edge-on

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_MULTIPLIER = np.uint64(6364136223846793005)
_INCREMENT = np.uint64(1442695040888963407)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HIGH_BITS = np.uint64(40)
_UNIT = np.float32(1 / (1 << 24))


@inlined
def _seeded(seed, row):
    state = (np.uint64(seed) * _MIX + np.uint64(row)) * _MULTIPLIER + _INCREMENT
    return (state ^ (state >> np.uint64(29))) * _MULTIPLIER + _INCREMENT


@inlined
def _advanced(state):
    return state * _MULTIPLIER + _INCREMENT


@inlined
def _uniform(state):
    """0…1 from a state's high bits."""
    return np.float32(np.int64(state >> _HIGH_BITS)) * _UNIT


@inlined
def _unit(nx, ny, nz):
    scale = _ONE / np.sqrt(nx * nx + ny * ny + nz * nz)
    return nx * scale, ny * scale, nz * scale


@inlined
def _facing(nx, ny, nz, rx, ry):
    """The normal, bent back where it looks away from the camera along the ray (rx, ry, 1)."""
    cosine = nx * rx + ny * ry + nz
    length = np.sqrt(rx * rx + ry * ry + _ONE)
    if cosine > _GRAZING * length:
        excess = (cosine - _TWO * _GRAZING * length) / (length * length)
        nx -= excess * rx
        ny -= excess * ry
        nz -= excess
    return _unit(nx, ny, nz)


@inlined
def _random_normal(state, rx, ry):
    state = _advanced(state)
    a = _TWO * _uniform(state) - _ONE
    state = _advanced(state)
    b = _TWO * _uniform(state) - _ONE
    nx, ny, nz = _unit(a, b, -_ONE)
    nx, ny, nz = _facing(nx, ny, nz, rx, ry)
    return state, nx, ny, nz


@inlined
def _plane_cost(
    nx, ny, nz, depth, x, y, rx, ry, fx, fy, views, limit,
    packed, bases, geometry, depths, depth_bases, back, geometric_weight, weights, centred, variance,
):  # fmt: skip
    """Mean cost over a set of views, or more than ``limit`` as soon as it is clear that the mean will be."""
    inverse = _ONE / depth
    along = inverse / (nx * rx + ny * ry + nz)
    slope_x = along * nx / fx
    slope_y = along * ny / fy
    count = 0
    rest = views
    while rest != 0:
        rest &= rest - np.uint32(1)
        count += 1
    most = limit * np.float32(count)
    px = np.float32(x)
    py = np.float32(y)
    total = _ZERO
    for view in range(geometry.shape[0]):
        if (views >> np.uint32(view)) & np.uint32(1):
            total += photometric_cost(
                packed, bases[view], geometry[view], px, py, inverse, slope_x, slope_y, weights, centred, variance
            )
            if geometric_weight > _ZERO:
                total += geometric_weight * geometric_cost(
                    depths, depth_bases[view], geometry[view], back[view], px, py, inverse, _GEOMETRIC_MOST
                )
            if total > most:
                return _TWO + _TWO
    return total / np.float32(count)


@parallel
def random_planes(planes, views, rays, nearest, farthest, seed):
    """Fill ``planes`` with random normals and depths, uniform in inverse depth.

    Args:
        planes: filled here.
        views: view sets; 0 is left at depth 0.
        rays: (4,) float32: fx, fy, cx, cy.
        nearest, farthest: float32 depths.
        seed: of this call.
    """
    height, width = views.shape
    for y in prange(height):
        state = _seeded(seed, y)
        ry = (np.float32(y) - rays[3]) / rays[1]
        for x in range(width):
            rx = (np.float32(x) - rays[2]) / rays[0]
            state, nx, ny, nz = _random_normal(state, rx, ry)
            state = _advanced(state)
            share = _uniform(state)
            planes[y, x, 0] = nx
            planes[y, x, 1] = ny
            planes[y, x, 2] = nz
            planes[y, x, 3] = _ZERO
            if views[y, x] != 0:
                planes[y, x, 3] = _ONE / (share / nearest + (_ONE - share) / farthest)


@parallel
def view_costs(grey, planes, views, rays, packed, bases, geometry, costs):
    """Fill ``costs`` (views, height, width) uint8 with every view's photometric cost at the current planes."""
    height, width = views.shape
    for y in prange(height):
        weights = np.empty(SAMPLES, np.float32)
        centred = np.empty(SAMPLES, np.float32)
        ry = (np.float32(y) - rays[3]) / rays[1]
        for x in range(width):
            if views[y, x] == 0:
                continue
            rx = (np.float32(x) - rays[2]) / rays[0]
            variance = weigh_patch(grey, x, y, weights, centred)
            nx = planes[y, x, 0]
            ny = planes[y, x, 1]
            inverse = _ONE / planes[y, x, 3]
            along = inverse / (nx * rx + ny * ry + planes[y, x, 2])
            slope_x = along * nx / rays[0]
            slope_y = along * ny / rays[1]
            for view in range(geometry.shape[0]):
                cost = photometric_cost(
                    packed, bases[view], geometry[view], np.float32(x), np.float32(y),
                    inverse, slope_x, slope_y, weights, centred, variance,
                )  # fmt: skip
                costs[view, y, x] = np.uint8(np.int64(min(max(cost, _ZERO), WORST) * _COST_UNITS))


@parallel
def choose_views(costs, views, most_views):
    """Replace each pixel's view set by the views that explain its neighbourhood about as well as the best one.

    Args:
        costs: (views, height, width) uint8, from :func:`view_costs`.
        views: (height, width) uint32, replaced here; 0 stays 0.
        most_views: largest set.
    """
    count, height, width = costs.shape
    for y in prange(height):
        above, below = max(y - _WINDOW, 0), min(y + _WINDOW, height - 1)
        means = np.empty(count, np.float32)
        for x in range(width):
            if views[y, x] == 0:
                continue
            left, right = max(x - _WINDOW, 0), min(x + _WINDOW, width - 1)
            size = np.float32((below - above + 1) * (right - left + 1))
            for view in range(count):
                total = 0
                for row in range(above, below + 1):
                    for column in range(left, right + 1):
                        total += np.int64(costs[view, row, column])
                own = np.float32(np.int64(costs[view, y, x]))
                means[view] = (np.float32(total) / size + np.float32(0.25) * own) / _COST_UNITS
            chosen = np.uint32(0)
            best = _ZERO
            for pick in range(most_views):
                least = np.float32(1e9)
                which = -1
                for view in range(count):
                    if means[view] < least:
                        least = means[view]
                        which = view
                if which < 0:
                    break
                if pick == 0:
                    best = least
                elif least > best * _RATIO_ABOVE + _COST_ABOVE:
                    break
                chosen |= np.uint32(1) << np.uint32(which)
                means[which] = np.float32(1e9)
            views[y, x] = chosen


@parallel
def plane_costs(
    grey, planes, costs, views, rays, packed, bases, geometry, depths, depth_bases, back, geometric_weight,
):  # fmt: skip
    """Fill ``costs`` (height, width) float32 with the mean cost over each pixel's own view set."""
    height, width = views.shape
    for y in prange(height):
        weights = np.empty(SAMPLES, np.float32)
        centred = np.empty(SAMPLES, np.float32)
        ry = (np.float32(y) - rays[3]) / rays[1]
        for x in range(width):
            if views[y, x] == 0:
                costs[y, x] = WORST
                continue
            rx = (np.float32(x) - rays[2]) / rays[0]
            variance = weigh_patch(grey, x, y, weights, centred)
            costs[y, x] = _plane_cost(
                planes[y, x, 0], planes[y, x, 1], planes[y, x, 2], planes[y, x, 3], x, y, rx, ry, rays[0], rays[1],
                views[y, x], _TWO + _TWO, packed, bases, geometry, depths, depth_bases, back, geometric_weight,
                weights, centred, variance,
            )  # fmt: skip


@parallel
def sweep(
    grey, planes, costs, views, rays, packed, bases, geometry, depths, depth_bases, back, geometric_weight,
    nearest, farthest, disparity, widest, forward, seed,
):  # fmt: skip
    """One pass over all pixels, in place.

    Args:
        grey: (height + 2 RADIUS, width + 2 RADIUS) uint8, the padded photo.
        planes, costs, views: the state: (height, width, 4) float32, (height, width) float32, (height, width) uint32.
        rays: (4,) float32: fx, fy, cx, cy.
        packed, bases, geometry: of :class:`.packing.Views`.
        depths, depth_bases, back: of :class:`.packing.NeighbourDepths`.
        geometric_weight: cost of a pixel of inconsistency; 0 for none, then the depth maps are not read.
        nearest, farthest: float32, inverse depths of the range's ends.
        disparity: float32, the change of inverse depth that moves a projection by a pixel in a typical view.
        widest: float32, if > 0 the largest random change of inverse depth, instead of the fine steps.
        forward: bool; whether from the top left or from the bottom right.
        seed: of this sweep.
    """
    height, width = views.shape
    edges = np.empty(BANDS + 1, np.int64)
    for band in range(BANDS + 1):
        edges[band] = band * height // BANDS
    # what a band sees of the row before it in the order of the sweep
    border_planes = np.empty((BANDS, width, 4), np.float32)
    border_costs = np.empty((BANDS, width), np.float32)
    border_views = np.zeros((BANDS, width), np.uint32)
    for band in range(BANDS):
        row = edges[band] - 1 if forward else edges[band + 1]
        if 0 <= row < height:
            border_planes[band] = planes[row]
            border_costs[band] = costs[row]
            border_views[band] = views[row]
    step = 1 if forward else -1
    for band in prange(BANDS):
        first, last = edges[band], edges[band + 1]
        weights = np.empty(SAMPLES, np.float32)
        centred = np.empty(SAMPLES, np.float32)
        for i in range(last - first):
            y = first + i if forward else last - 1 - i
            state = _seeded(seed, y)
            ry = (np.float32(y) - rays[3]) / rays[1]
            for j in range(width):
                x = j if forward else width - 1 - j
                view_set = views[y, x]
                if view_set == 0:
                    continue
                rx = (np.float32(x) - rays[2]) / rays[0]
                variance = weigh_patch(grey, x, y, weights, centred)
                nx = planes[y, x, 0]
                ny = planes[y, x, 1]
                nz = planes[y, x, 2]
                depth = planes[y, x, 3]
                cost = costs[y, x]

                # adopt the views of a neighbour that does much better
                randoms = 0
                if cost > _DOING_BADLY:
                    adopted = np.uint32(0)
                    threshold = _MUCH_BETTER * cost
                    if j > 0 and costs[y, x - step] < threshold and views[y, x - step] != 0:
                        adopted = views[y, x - step]
                        threshold = costs[y, x - step]
                    if i > 0:
                        if costs[y - step, x] < threshold and views[y - step, x] != 0:
                            adopted = views[y - step, x]
                    elif border_views[band, x] != 0 and border_costs[band, x] < threshold:
                        adopted = border_views[band, x]
                    if adopted != 0:
                        randoms = 2
                        if adopted != view_set:
                            view_set = adopted
                            cost = _plane_cost(
                                nx, ny, nz, depth, x, y, rx, ry, rays[0], rays[1], view_set, _TWO + _TWO,
                                packed, bases, geometry, depths, depth_bases, back, geometric_weight,
                                weights, centred, variance,
                            )  # fmt: skip

                # neighbours' planes, random planes, then changes of the pixel's own
                for trial in range(8):
                    if trial < 3:
                        if trial == 0:
                            if j == 0 or views[y, x - step] == 0:
                                continue
                            qx, qy = x - step, y
                            tx = planes[qy, qx, 0]
                            ty = planes[qy, qx, 1]
                            tz = planes[qy, qx, 2]
                            td = planes[qy, qx, 3]
                        elif trial == 1:
                            qx, qy = x, y - step
                            if i > 0:
                                if views[qy, qx] == 0:
                                    continue
                                tx = planes[qy, qx, 0]
                                ty = planes[qy, qx, 1]
                                tz = planes[qy, qx, 2]
                                td = planes[qy, qx, 3]
                            else:
                                if border_views[band, x] == 0:
                                    continue
                                tx = border_planes[band, x, 0]
                                ty = border_planes[band, x, 1]
                                tz = border_planes[band, x, 2]
                                td = border_planes[band, x, 3]
                        else:
                            state = _advanced(state)
                            qx = x + np.int64(np.int32(_uniform(state) * np.float32(2 * _REACH + 1))) - _REACH
                            state = _advanced(state)
                            qy = y + np.int64(np.int32(_uniform(state) * np.float32(2 * _REACH + 1))) - _REACH
                            qx = min(max(qx, 0), width - 1)
                            qy = min(max(qy, first), last - 1)
                            if views[qy, qx] == 0 or (qx == x and qy == y):
                                continue
                            tx = planes[qy, qx, 0]
                            ty = planes[qy, qx, 1]
                            tz = planes[qy, qx, 2]
                            td = planes[qy, qx, 3]
                        sx = (np.float32(qx) - rays[2]) / rays[0]
                        sy = (np.float32(qy) - rays[3]) / rays[1]
                        slant = tx * rx + ty * ry + tz
                        if slant > _GRAZING:
                            continue
                        td = td * (tx * sx + ty * sy + tz) / slant
                        same = abs(_ONE / td - _ONE / depth) < np.float32(0.02) * disparity
                        if same and tx * nx + ty * ny + tz * nz > _SAME_NORMAL:
                            continue
                    elif trial < 5:
                        if randoms == 0:
                            continue
                        randoms -= 1
                        state, tx, ty, tz = _random_normal(state, rx, ry)
                        state = _advanced(state)
                        td = _ONE / (farthest + _uniform(state) * (nearest - farthest))
                    else:
                        tx, ty, tz, td = nx, ny, nz, depth
                        if trial != 6:
                            state = _advanced(state)
                            if widest > _ZERO:
                                change = widest * _uniform(state)
                            else:
                                change = disparity * _STEP_LEAST * np.exp(_uniform(state) * _STEP_RATIO_LOG)
                            state = _advanced(state)
                            if _uniform(state) < np.float32(0.5):
                                change = -change
                            inverse = min(max(_ONE / depth + change, farthest), nearest)
                            td = _ONE / inverse
                        if trial != 5:
                            state = _advanced(state)
                            tilt = _TWO * _TILT_LEAST * np.exp(_uniform(state) * _TILT_RATIO_LOG)
                            state = _advanced(state)
                            tx += tilt * (_uniform(state) - np.float32(0.5))
                            state = _advanced(state)
                            ty += tilt * (_uniform(state) - np.float32(0.5))
                            state = _advanced(state)
                            tz += tilt * (_uniform(state) - np.float32(0.5))
                            tx, ty, tz = _facing(tx, ty, tz, rx, ry)
                    if not (td * nearest >= _ONE and td * farthest <= _ONE):
                        continue
                    trial_cost = _plane_cost(
                        tx, ty, tz, td, x, y, rx, ry, rays[0], rays[1], view_set, cost,
                        packed, bases, geometry, depths, depth_bases, back, geometric_weight,
                        weights, centred, variance,
                    )  # fmt: skip
                    if trial_cost < cost:
                        cost = trial_cost
                        nx, ny, nz, depth = tx, ty, tz, td
                planes[y, x, 0] = nx
                planes[y, x, 1] = ny
                planes[y, x, 2] = nz
                planes[y, x, 3] = depth
                costs[y, x] = cost
                views[y, x] = view_set
