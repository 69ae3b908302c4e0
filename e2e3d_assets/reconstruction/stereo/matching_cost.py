"""How well a plane explains the photos: bilaterally weighted NCC of a patch and its projection into another photo.

What belongs here: the cost of one plane at one pixel in one view, photometric and geometric. What does not: which
planes are tried (:mod:`.propagation`).

The cost follows Schönberger et al., "Pixelwise View Selection for Unstructured Multi-View Stereo" (ECCV 2016):
normalised cross-correlation weighted by distance and likeness to the central pixel, which tolerates changes of exposure
and edges of depth. Two things make it cheap. The homography that a plane induces is linearised at the patch's centre,
which saves a division a sample and errs by less than 0.1 px over a patch nine pixels wide. And the four pixels that a
bilinear sample needs lie in one 32-bit word (:mod:`.packing`), which turns four gathers into one.
"""

import numpy as np
from numpy.typing import NDArray

from .compiled import inlined, load

RADIUS = 4
PAD = 8
"""Edge pixels repeated around a packed photo, so that patches may reach over its border."""
WORST = np.float32(2.0)
"""The cost of a plane that a view cannot judge; 1 - NCC lies in 0…2."""

_LATTICE = (-4, -2, -1, 1, 2, 4)
_OFFSETS = [(x, y) for y in _LATTICE for x in _LATTICE if abs(x) + abs(y) < 2 * RADIUS]
SAMPLES = len(_OFFSETS)
OFFSET_X = np.array([x for x, _ in _OFFSETS], np.float32)
OFFSET_Y = np.array([y for _, y in _OFFSETS], np.float32)
SPATIAL_WEIGHT = np.exp(-(OFFSET_X**2 + OFFSET_Y**2) / (2 * RADIUS**2)).astype(np.float32)
LIKENESS = np.float32(1 / 35.0**2)  # a sample whose grey value differs by 35 counts a quarter
NOISE = np.float32(
    1.0
)  # variance of sensor noise, grey values squared: flat patches get a cost near 1, not a random one

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_FAR_BEHIND = np.float32(1e-6)
SAME_SURFACE = np.float32(1.03)  # ratio of depths of neighbouring pixels
_BYTE = np.uint32(255)
_SHIFT_RIGHT = np.uint32(8)
_SHIFT_BELOW = np.uint32(16)
_SHIFT_DIAGONAL = np.uint32(24)


@inlined
def _grey(word):
    return np.float32(np.int32(word & _BYTE))


def patch_offsets(stride: int) -> NDArray[np.int32]:
    """Distances in a packed photo from a pixel to its patch's samples, (SAMPLES,)."""
    return (OFFSET_Y * stride + OFFSET_X).astype(np.int32)


@inlined
def weigh_patch(reference, at, offsets, weights, centred):
    """Weights (summing to 1) and weighted, centred grey values of the patch around a pixel; answers its variance.

    Args:
        reference: packed photo, flat.
        at: the pixel's index in it.
        offsets: from :func:`patch_offsets`.
        weights, centred: (SAMPLES,) float32, filled here.
    """
    centre = _grey(load(reference, at, np.int32(0)))
    total = _ZERO
    mean = _ZERO
    for i in range(SAMPLES):
        value = _grey(load(reference, at, offsets[i]))
        unlikeness = value - centre
        fall = _ONE + LIKENESS * unlikeness * unlikeness
        weight = SPATIAL_WEIGHT[i] / (fall * fall)
        weights[i] = weight
        centred[i] = value
        total += weight
        mean += weight * value
    scale = _ONE / total
    mean *= scale
    variance = NOISE
    for i in range(SAMPLES):
        weight = weights[i] * scale
        deviation = centred[i] - mean
        weights[i] = weight
        centred[i] = weight * deviation
        variance += weight * deviation * deviation
    return variance


@inlined
def photometric_cost(compared, index, x, y, inverse_depth, slope_x, slope_y, weights, centred, variance):
    """1 - NCC between the patch at (x, y) and its projection by a plane into one view; WORST where unseen.

    Args:
        compared: a :class:`.packing.Comparison`.
        index: of the view.
        inverse_depth: of the plane at the pixel.
        slope_x, slope_y: change of the plane's inverse depth per pixel.
        weights, centred, variance: of the patch, from :func:`weigh_patch`.
    """
    view = compared.geometry[index]
    hz = view[6] * x + view[7] * y + view[8] + view[11] * inverse_depth
    if hz < _FAR_BEHIND:
        return WORST
    scale = _ONE / hz
    u = (view[0] * x + view[1] * y + view[2] + view[9] * inverse_depth) * scale
    v = (view[3] * x + view[4] * y + view[5] + view[10] * inverse_depth) * scale
    zx = view[6] + view[11] * slope_x
    zy = view[7] + view[11] * slope_y
    ux = (view[0] + view[9] * slope_x - u * zx) * scale
    uy = (view[1] + view[9] * slope_y - u * zy) * scale
    vx = (view[3] + view[10] * slope_x - v * zx) * scale
    vy = (view[4] + view[10] * slope_y - v * zy) * scale
    reach_u = np.float32(RADIUS) * (abs(ux) + abs(uy))
    reach_v = np.float32(RADIUS) * (abs(vx) + abs(vy))
    seen_from_front = ux * vy - uy * vx > _ZERO
    width = view[12]
    height = view[13]
    pad = np.float32(PAD - 1)
    inside = (
        (u >= _ZERO)
        and (v >= _ZERO)
        and (u <= width - _ONE)
        and (v <= height - _ONE)
        and (u - reach_u > -pad)
        and (v - reach_v > -pad)
        and (u + reach_u < width - _ONE + pad)
        and (v + reach_v < height - _ONE + pad)
    )
    if not (inside and seen_from_front):
        return WORST
    stride = view[14]
    base = compared.bases[index]
    u += np.float32(PAD)
    v += np.float32(PAD)
    mean = _ZERO
    square = _ZERO
    product = _ZERO
    for i in range(SAMPLES):
        sx = u + ux * OFFSET_X[i] + uy * OFFSET_Y[i]
        sy = v + vx * OFFSET_X[i] + vy * OFFSET_Y[i]
        left = np.floor(sx)
        top = np.floor(sy)
        fx = sx - left
        fy = sy - top
        word = load(compared.packed, base, np.int32(top * stride + left))
        a = _grey(word)
        b = _grey(word >> _SHIFT_RIGHT)
        c = _grey(word >> _SHIFT_BELOW)
        d = _grey(word >> _SHIFT_DIAGONAL)
        above = a + fx * (b - a)
        below = c + fx * (d - c)
        value = above + fy * (below - above)
        weighted = weights[i] * value
        mean += weighted
        square += weighted * value
        product += centred[i] * value
    other_variance = max(square - mean * mean, _ZERO) + NOISE
    return _ONE - product / np.sqrt(variance * other_variance)


@inlined
def _inverse_depth_at(depths, base, width, height, x, y):
    """Inverse depth between pixels, linear as on a plane; the nearest pixel's at holes and edges; 0 unknown."""
    left = min(max(np.int64(np.floor(x)), 0), width - 2)
    top = min(max(np.int64(np.floor(y)), 0), height - 2)
    fx, fy = x - np.float32(left), y - np.float32(top)
    at = base + top * width + left
    a, b = depths[at], depths[at + 1]
    c, d = depths[at + width], depths[at + width + 1]
    least = min(a, b, c, d)
    if least > _ZERO and max(a, b, c, d) < SAME_SURFACE * least:
        above = (_ONE - fx) / a + fx / b
        below = (_ONE - fx) / c + fx / d
        return (_ONE - fy) * above + fy * below
    nearest = depths[at + width * np.int64(fy + _HALF) + np.int64(fx + _HALF)]
    return _ONE / nearest if nearest > _ZERO else _ZERO


@inlined
def geometric_cost(compared, index, x, y, inverse_depth, most):
    """Pixels between (x, y) and where the view's own depth map projects back to, at most ``most``.

    Args:
        compared: a :class:`.packing.Comparison`.
        index: of the view.
    """
    view = compared.geometry[index]
    back = compared.back[index]
    hz = view[6] * x + view[7] * y + view[8] + view[11] * inverse_depth
    if hz < _FAR_BEHIND:
        return most
    scale = _ONE / hz
    u = (view[0] * x + view[1] * y + view[2] + view[9] * inverse_depth) * scale
    v = (view[3] * x + view[4] * y + view[5] + view[10] * inverse_depth) * scale
    if not (u > -_HALF and v > -_HALF and u < view[12] - _HALF and v < view[13] - _HALF):
        return most
    inverse = _inverse_depth_at(
        compared.depths, compared.depth_bases[index], np.int64(back[14]), np.int64(back[15]),
        (u + _HALF) * back[12] - _HALF, (v + _HALF) * back[13] - _HALF,
    )  # fmt: skip
    if not inverse > _ZERO:
        return most
    bz = back[6] * u + back[7] * v + back[8] + back[11] * inverse
    if bz < _FAR_BEHIND:
        return most
    scale = _ONE / bz
    dx = (back[0] * u + back[1] * v + back[2] + back[9] * inverse) * scale - x
    dy = (back[3] * u + back[4] * v + back[5] + back[10] * inverse) * scale - y
    return min(np.sqrt(dx * dx + dy * dy), most)
