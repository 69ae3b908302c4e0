"""Depth maps to points: what several photos agree on becomes one point.

What belongs here: merging one photo's depth map with its witnesses'. What does not: reading maps, the order of photos,
writing points (:mod:`..fusion`).

Each pixel looks its point up in the witnesses' maps, one hop as in Galliani et al., "Massively Parallel Multiview
Stereopsis by Surface Normal Diffusion" (ICCV 2015): those that agree in place, depth and normal are averaged in and
marked as spent, so that a piece of surface becomes about one point and not one for each photo. How many must agree
depends on how many could have: two where few photos look, more where many do. A witness whose own surface lies behind
the point looks through it and votes against.

A depth that was estimated for a wider pixel than the map's agrees with others like it within so wider tolerances, and
whichever way they look; where a photo knows the place more finely, the vague depth gives no point.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compiled import inlined, parallel
from .packing import view_geometry
from .planes import GRAZING
from .ply import POINT
from .views import Camera

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_NORMAL_UNITS = np.float32(127)
_FAR_BEHIND = np.float32(1e-6)
_VOTES_AGAINST = 2  # one that looks through a point weighs as much as so many that agree


class Tolerance(NamedTuple):
    """When depths of two photos are the same place, and how many photos it takes.

    Attributes:
        pixels: float32, reprojection error.
        relative_depth: float32, difference of depths.
        least_cosine: float32, between normals.
        few_views: photos that must agree where fewer than ``many_views`` could see the place.
        enough_views: photos that must agree where at least ``many_views`` could.
        many_views: see above.
    """

    pixels: np.float32
    relative_depth: np.float32
    least_cosine: np.float32
    few_views: int
    enough_views: int
    many_views: int


class Maps(NamedTuple):
    """Maps of several photos, laid end to end at equal distances.

    Attributes:
        depths: (photos * pixels,) float32, 0 where unknown.
        normals: (photos * pixels, 3) int8, 127ths, camera frame.
        confidences: (photos * pixels,) uint8, 255ths.
        colours: (photos * pixels, 3) uint8, RGB.
        widths: (photos * pixels,) uint8, of the pixel that a depth was estimated for, in pixels of the map.
        spent: (photos * pixels,) uint8, 1 where a point was already made of a pixel; changed by :func:`merge`.
    """

    depths: NDArray[np.float32]
    normals: NDArray[np.int8]
    confidences: NDArray[np.uint8]
    colours: NDArray[np.uint8]
    widths: NDArray[np.uint8]
    spent: NDArray[np.uint8]

    @classmethod
    def empty(cls, photos: int, pixels: int) -> "Maps":
        """Room for so many photos of at most so many pixels."""
        size = photos * pixels
        return cls(
            np.zeros(size, np.float32),
            np.zeros((size, 3), np.int8),
            np.zeros(size, np.uint8),
            np.zeros((size, 3), np.uint8),
            np.ones(size, np.uint8),
            np.zeros(size, np.uint8),
        )


class Placed(NamedTuple):
    """A photo whose maps lie in :class:`Maps`.

    Attributes:
        camera: at the maps' size.
        begin: where they begin.
    """

    camera: Camera
    begin: int


def merge(maps: Maps, reference: Placed, witnesses: Sequence[Placed], tolerance: Tolerance) -> NDArray:
    """The points that a photo and its witnesses agree on, as an array of :data:`.ply.POINT`; marks what they spent."""
    camera = reference.camera
    K = camera.K
    found = np.zeros((camera.height, camera.width, 9), np.float32)
    _merge(
        maps,
        reference.begin,
        np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], np.float32),
        view_geometry(camera, [witness.camera for witness in witnesses]),
        np.stack([_frame_change(witness.camera, camera) for witness in witnesses]),
        np.array([witness.begin for witness in witnesses], np.int64),
        tolerance,
        found,
    )
    return _points(camera, found[found[..., 8] > 0])


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


@inlined
def _normal(normals, at):
    return (
        np.float32(normals[at, 0]) / _NORMAL_UNITS,
        np.float32(normals[at, 1]) / _NORMAL_UNITS,
        np.float32(normals[at, 2]) / _NORMAL_UNITS,
    )


@inlined
def _continued_depth(depth, normal, back, u, v, column, row):
    """The witness's plane where the point falls, not at the centre of the pixel that it falls on."""
    sx, sy, sz = normal
    slant = sx * (u - back[23]) / back[21] + sy * (v - back[24]) / back[22] + sz
    if not slant < GRAZING:
        return depth
    centre = sx * (np.float32(column) - back[23]) / back[21] + sy * (np.float32(row) - back[24]) / back[22] + sz
    return depth * centre / slant


@parallel
def _merge(maps, begin, rays, geometry, back, begins, tolerance, found):
    """Fill ``found`` (height, width, 9): point, normal, colour as 0xRRGGBB, confidence, views (0: no point)."""
    depths, normals, confidences, colours, widths, spent = maps
    height, width, _ = found.shape
    others = geometry.shape[0]
    for y in prange(height):
        ry = (np.float32(y) - rays[3]) / rays[1]
        agreeing = np.empty(others, np.int64)
        totals = np.empty(9, np.float32)
        for x in range(width):
            at = begin + y * width + x
            here = depths[at]
            if not here > _ZERO or spent[at] != 0:
                continue
            rx = (np.float32(x) - rays[2]) / rays[0]
            inverse = _ONE / here
            nx, ny, nz = _normal(normals, at)
            weights = np.float32(confidences[at]) + _ONE
            totals[0], totals[1], totals[2] = weights * rx * here, weights * ry * here, weights * here
            totals[3], totals[4], totals[5] = weights * nx, weights * ny, weights * nz
            for channel in range(3):
                totals[6 + channel] = weights * np.float32(colours[at, channel])
            count = 1
            could_see = 1
            against = 0
            known_finely = False
            for other in range(others):
                view = geometry[other]
                px, py = np.float32(x), np.float32(y)
                hz = view[6] * px + view[7] * py + view[8] + view[11] * inverse
                if hz < _FAR_BEHIND:
                    continue
                u = (view[0] * px + view[1] * py + view[2] + view[9] * inverse) / hz
                v = (view[3] * px + view[4] * py + view[5] + view[10] * inverse) / hz
                if not (u > -_HALF and v > -_HALF and u < view[12] - _HALF and v < view[13] - _HALF):
                    continue
                column, row = np.int64(u + _HALF), np.int64(v + _HALF)
                there = begins[other] + row * np.int64(view[12]) + column
                seen = depths[there]
                expected = hz * here
                wide = np.float32(max(widths[at], widths[there])) if widths[at] > 1 else _ONE
                pixels, relative_depth = wide * tolerance.pixels, wide * tolerance.relative_depth
                margin = relative_depth * expected
                if seen > _ZERO and seen < expected - margin:
                    continue  # hidden from the witness
                could_see += 1
                if not seen > _ZERO:
                    continue
                if seen > expected + margin:
                    against += 1
                    continue
                normal = _normal(normals, there)
                to = back[other]
                seen = _continued_depth(seen, normal, to, u, v, column, row)
                ax = (to[0] * u + to[1] * v + to[2]) * seen + to[18]
                ay = (to[3] * u + to[4] * v + to[5]) * seen + to[19]
                az = (to[6] * u + to[7] * v + to[8]) * seen + to[20]
                du = (ax / az - rx) * rays[0]
                dv = (ay / az - ry) * rays[1]
                if du * du + dv * dv > pixels * pixels or abs(az - here) > relative_depth * here:
                    continue
                if widths[there] < widths[at]:
                    known_finely = True
                    break
                ox = to[9] * normal[0] + to[10] * normal[1] + to[11] * normal[2]
                oy = to[12] * normal[0] + to[13] * normal[1] + to[14] * normal[2]
                oz = to[15] * normal[0] + to[16] * normal[1] + to[17] * normal[2]
                if widths[at] == 1 and ox * nx + oy * ny + oz * nz < tolerance.least_cosine:
                    continue
                agreeing[count - 1] = there
                count += 1
                weight = np.float32(confidences[there]) + _ONE
                weights += weight
                totals[0] += weight * ax
                totals[1] += weight * ay
                totals[2] += weight * az
                totals[3] += weight * ox
                totals[4] += weight * oy
                totals[5] += weight * oz
                for channel in range(3):
                    totals[6 + channel] += weight * np.float32(colours[there, channel])
            needed = tolerance.enough_views if could_see >= tolerance.many_views else tolerance.few_views
            if known_finely or count < needed or _VOTES_AGAINST * against > count:
                continue
            for i in range(count - 1):
                spent[agreeing[i]] = 1
            for i in range(3):
                found[y, x, i] = totals[i] / weights
                found[y, x, 3 + i] = totals[3 + i]
            colour = 0
            for channel in range(3):
                colour = colour * 256 + np.int64(totals[6 + channel] / weights + _HALF)
            found[y, x, 6] = np.float32(colour)
            found[y, x, 7] = (weights / np.float32(count) - _ONE) / np.float32(255)
            found[y, x, 8] = np.float32(count)
