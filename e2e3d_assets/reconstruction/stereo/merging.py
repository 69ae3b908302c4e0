"""Depth maps to points: what several photos agree on becomes one point.

What belongs here: merging one photo's depth map with its witnesses'. What does not: reading maps, the order of photos,
writing points (:mod:`..fusion`).

Each pixel looks its point up in the witnesses' maps, one hop as in Galliani et al., "Massively Parallel Multiview
Stereopsis by Surface Normal Diffusion" (ICCV 2015): those that agree in place, depth and normal are averaged in and
marked as spent, so that a piece of surface becomes about one point and not one for each photo. How many must agree
depends on how many could have: two where few photos look, more where many do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compiled import parallel
from .packing import begins, view_geometry
from .planes import GRAZING
from .ply import POINT
from .views import Camera

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_NORMAL_UNITS = np.float32(127)
_FAR_BEHIND = np.float32(1e-6)


@dataclass(frozen=True)
class PhotoMaps:
    """What merging needs of one photo, all at the depth map's size.

    Attributes:
        camera: its camera.
        depth: (height, width) float32, 0 where unknown.
        normal: (height, width, 3) int8, 127ths, camera frame.
        confidence: (height, width) uint8, 255ths.
        colour: (height, width, 3) uint8, RGB.
        spent: (height, width) uint8, 1 where a point was already made of this pixel; changed by :func:`merge`.
    """

    camera: Camera
    depth: NDArray[np.float32]
    normal: NDArray[np.int8]
    confidence: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    spent: NDArray[np.uint8]


@dataclass(frozen=True)
class Tolerance:
    """When depths of two photos are the same place, and how many photos it takes.

    Attributes:
        pixels: reprojection error.
        relative_depth: difference of depths.
        normal_deg: angle between normals.
        few_views: photos that must agree where fewer than ``many_views`` could see the place.
        enough_views: photos that must agree where at least ``many_views`` could.
        many_views: see above.
    """

    pixels: float
    relative_depth: float
    normal_deg: float
    few_views: int
    enough_views: int
    many_views: int


def merge(reference: PhotoMaps, witnesses: Sequence[PhotoMaps], tolerance: Tolerance) -> NDArray:
    """The points that a photo and its witnesses agree on, as an array of :data:`.ply.POINT`; marks what they spent."""
    height, width = reference.depth.shape
    others = [w.camera for w in witnesses]
    back = np.stack([_frame_change(w.camera, reference.camera) for w in witnesses])
    depths = np.concatenate([w.depth.ravel() for w in witnesses])
    normals = np.concatenate([w.normal.reshape(-1, 3) for w in witnesses])
    confidences = np.concatenate([w.confidence.ravel() for w in witnesses])
    colours = np.concatenate([w.colour.reshape(-1, 3) for w in witnesses])
    spent = np.concatenate([w.spent.ravel() for w in witnesses])
    starts = begins([w.depth for w in witnesses])
    K = reference.camera.K
    found = np.zeros((height, width, 9), np.float32)
    _merge(
        reference.depth, reference.normal, reference.confidence, reference.colour, reference.spent,
        np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], np.float32),
        view_geometry(reference.camera, others), back, starts, depths, normals, confidences, colours, spent,
        np.float32(tolerance.pixels), np.float32(tolerance.relative_depth),
        np.float32(np.cos(np.radians(tolerance.normal_deg))),
        tolerance.few_views, tolerance.enough_views, tolerance.many_views, found,
    )  # fmt: skip
    for witness, start in zip(witnesses, starts, strict=True):
        witness.spent[:] = spent[start : start + witness.spent.size].reshape(witness.spent.shape)
    return _points(reference.camera, found[found[..., 8] > 0])


def _points(camera: Camera, found: NDArray[np.float32]) -> NDArray:
    points = np.empty(len(found), POINT)
    world = (found[:, :3].astype(np.float64) - camera.t) @ camera.R
    normals = found[:, 3:6] @ camera.R.astype(np.float32)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    for axis, name in enumerate(("x", "y", "z")):
        points[name] = world[:, axis]
        points[f"n{name}"] = normals[:, axis]
    colour = found[:, 6].astype(np.uint32)
    points["red"], points["green"], points["blue"] = colour >> 16, colour >> 8 & 255, colour & 255
    points["confidence"] = found[:, 7]
    points["views"] = np.minimum(found[:, 8], 255)
    return points


def _frame_change(source: Camera, target: Camera) -> NDArray[np.float32]:
    """From the source's pixels to the target's camera frame: R K⁻¹ row by row, R, t; the source's fx, fy, cx, cy."""
    R = target.R @ source.R.T
    t = target.t - R @ source.t
    K = source.K
    rays = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    return np.concatenate([(R @ np.linalg.inv(K)).ravel(), R.ravel(), t, rays]).astype(np.float32)


@parallel
def _merge(
    depth, normal, confidence, colour, spent, rays, geometry, back, starts,
    depths, normals, confidences, colours, others_spent,
    most_pixels, most_depth, least_cosine, few_views, enough_views, many_views, found,
):  # fmt: skip
    """Fill ``found`` (height, width, 9): point, normal, colour as 0xRRGGBB, confidence, views (0: no point)."""
    height, width = depth.shape
    others = geometry.shape[0]
    for y in prange(height):
        ry = (np.float32(y) - rays[3]) / rays[1]
        agreeing = np.empty(others, np.int64)
        for x in range(width):
            here = depth[y, x]
            if not here > _ZERO or spent[y, x] != 0:
                continue
            rx = (np.float32(x) - rays[2]) / rays[0]
            own_x, own_y, own_z = rx * here, ry * here, here
            inverse = _ONE / here
            nx = np.float32(normal[y, x, 0]) / _NORMAL_UNITS
            ny = np.float32(normal[y, x, 1]) / _NORMAL_UNITS
            nz = np.float32(normal[y, x, 2]) / _NORMAL_UNITS
            weight = np.float32(confidence[y, x]) + _ONE
            weights = weight
            px, py, pz = weight * own_x, weight * own_y, weight * own_z
            mx, my, mz = weight * nx, weight * ny, weight * nz
            red = weight * np.float32(colour[y, x, 0])
            green = weight * np.float32(colour[y, x, 1])
            blue = weight * np.float32(colour[y, x, 2])
            count = 1
            could_see = 1
            for other in range(others):
                view = geometry[other]
                fx = np.float32(x)
                fy = np.float32(y)
                hz = view[6] * fx + view[7] * fy + view[8] + view[11] * inverse
                if hz < _FAR_BEHIND:
                    continue
                u = (view[0] * fx + view[1] * fy + view[2] + view[9] * inverse) / hz
                v = (view[3] * fx + view[4] * fy + view[5] + view[10] * inverse) / hz
                if not (u > -_HALF and v > -_HALF and u < view[12] - _HALF and v < view[13] - _HALF):
                    continue
                column = np.int64(u + _HALF)
                row = np.int64(v + _HALF)
                at = starts[other] + row * np.int64(view[12]) + column
                seen = depths[at]
                expected = hz * here
                if not seen > _ZERO:
                    could_see += 1
                    continue
                if abs(seen - expected) > most_depth * expected:
                    if seen > expected:
                        could_see += 1
                    continue
                could_see += 1
                sx = np.float32(normals[at, 0]) / _NORMAL_UNITS
                sy = np.float32(normals[at, 1]) / _NORMAL_UNITS
                sz = np.float32(normals[at, 2]) / _NORMAL_UNITS
                to = back[other]
                # the witness's plane where the point falls, not at the centre of the pixel that it falls on
                ru, rv = (u - to[23]) / to[21], (v - to[24]) / to[22]
                cu, cv = (np.float32(column) - to[23]) / to[21], (np.float32(row) - to[24]) / to[22]
                slant = sx * ru + sy * rv + sz
                if slant < GRAZING:
                    seen *= (sx * cu + sy * cv + sz) / slant
                ax = (to[0] * u + to[1] * v + to[2]) * seen + to[18]
                ay = (to[3] * u + to[4] * v + to[5]) * seen + to[19]
                az = (to[6] * u + to[7] * v + to[8]) * seen + to[20]
                du = (ax / az - rx) * rays[0]
                dv = (ay / az - ry) * rays[1]
                if du * du + dv * dv > most_pixels * most_pixels or abs(az - here) > most_depth * here:
                    continue
                ox = to[9] * sx + to[10] * sy + to[11] * sz
                oy = to[12] * sx + to[13] * sy + to[14] * sz
                oz = to[15] * sx + to[16] * sy + to[17] * sz
                if ox * nx + oy * ny + oz * nz < least_cosine:
                    continue
                agreeing[count - 1] = at
                count += 1
                weight = np.float32(confidences[at]) + _ONE
                weights += weight
                px += weight * ax
                py += weight * ay
                pz += weight * az
                mx += weight * ox
                my += weight * oy
                mz += weight * oz
                red += weight * np.float32(colours[at, 0])
                green += weight * np.float32(colours[at, 1])
                blue += weight * np.float32(colours[at, 2])
            if count < (enough_views if could_see >= many_views else few_views):
                continue
            for i in range(count - 1):
                others_spent[agreeing[i]] = 1
            found[y, x, 0] = px / weights
            found[y, x, 1] = py / weights
            found[y, x, 2] = pz / weights
            found[y, x, 3] = mx
            found[y, x, 4] = my
            found[y, x, 5] = mz
            r = np.int64(red / weights + _HALF)
            g = np.int64(green / weights + _HALF)
            b = np.int64(blue / weights + _HALF)
            found[y, x, 6] = np.float32(r * 65536 + g * 256 + b)
            found[y, x, 7] = (weights / np.float32(count) - _ONE) / np.float32(255)
            found[y, x, 8] = np.float32(count)
