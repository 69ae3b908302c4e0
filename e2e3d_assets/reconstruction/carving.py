"""What the depth maps say about a surface: here is empty space, here is a surface.

What belongs here: votes of photos on points. What does not: what becomes of a point that was voted down
(:mod:`meshing`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from .raycasting import Raycaster
from .stereo.compiled import parallel
from .stereo.formats import map_path, read_map
from .stereo.views import Camera, SparseScene

_TOLERANCE_PIXELS = 4.0  # a depth is as sure as a few pixels are wide there
_CLEARANCE_EDGES = 1.0  # a surface does not hide what lies so near below it
_NEIGHBOURHOOD = 1  # pixels around in which the nearest depth counts: silhouettes are not exact


@dataclass(frozen=True)
class Votes:
    """How many photos look through each point, and how many see it on a surface.

    Attributes:
        through: (N,) int32.
        upon: (N,) int32.
    """

    through: NDArray[np.int32]
    upon: NDArray[np.int32]

    @property
    def refuted(self) -> NDArray[np.bool_]:
        """(N,) where at least two photos look through and more do than see a surface."""
        return (self.through >= 2) & (self.through > self.upon)


def depth_views(scene: SparseScene, depth_maps: Path) -> Iterator[tuple[Camera, NDArray[np.float32]]]:
    """Each photo's depth map (h, w), 0 where unknown, with the camera at its size; photos without one are left out."""
    for name, camera in zip(scene.names, scene.cameras, strict=True):
        path = map_path(depth_maps, "depth", name)
        if path.exists():
            depth = np.asarray(read_map(path))
            yield camera.resized(depth.shape[1], depth.shape[0]), depth


class Ballot:
    """Counts votes photo by photo.

    Args:
        points: (N, 3) world coordinates.
        tolerance: world units within which a point counts as on the surface, in addition to some pixels.
    """

    def __init__(self, points: NDArray[np.float64], tolerance: float) -> None:
        self._points = np.ascontiguousarray(points, np.float64)
        self._tolerance = tolerance
        self.votes = Votes(np.zeros(len(points), np.int32), np.zeros(len(points), np.int32))

    def add(self, camera: Camera, depth: NDArray[np.float32]) -> None:
        """Count one photo's votes."""
        _vote(
            self._points,
            camera.R,
            camera.t,
            camera.K,
            np.ascontiguousarray(depth),
            self._tolerance,
            self.votes.through,
            self.votes.upon,
        )


def exposed(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], chosen: NDArray[np.int64], cameras: Sequence[Camera]
) -> NDArray[np.bool_]:
    """(V,) whether a vertex is among the chosen ones (n,) and some photo has it in its frame with nothing in front."""
    seen = np.zeros(len(vertices), bool)
    if not len(chosen):
        return seen
    raycaster = Raycaster(vertices, faces)
    edges = vertices[faces[:, 0]] - vertices[faces[:, 1]]
    clearance = _CLEARANCE_EDGES * float(np.median(np.linalg.norm(edges, axis=1)))
    for camera in cameras:
        pixels = (vertices[chosen] @ camera.R.T + camera.t) @ camera.K.T
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = pixels[:, 0] / pixels[:, 2], pixels[:, 1] / pixels[:, 2]
        framed = (pixels[:, 2] > 0) & (u >= 0) & (v >= 0) & (u <= camera.width - 1) & (v <= camera.height - 1)
        new = chosen[framed & ~seen[chosen]]
        seen[new] = raycaster.sees(camera.centre, vertices[new], clearance)
    return seen


@parallel
def _vote(points, R, t, K, depth, tolerance, through, upon):
    height, width = depth.shape
    for i in numba.prange(len(points)):
        x = R[0, 0] * points[i, 0] + R[0, 1] * points[i, 1] + R[0, 2] * points[i, 2] + t[0]
        y = R[1, 0] * points[i, 0] + R[1, 1] * points[i, 1] + R[1, 2] * points[i, 2] + t[1]
        z = R[2, 0] * points[i, 0] + R[2, 1] * points[i, 1] + R[2, 2] * points[i, 2] + t[2]
        if z <= 0:
            continue
        u = int(np.floor(K[0, 0] * x / z + K[0, 1] * y / z + K[0, 2] + 0.5))
        v = int(np.floor(K[1, 1] * y / z + K[1, 2] + 0.5))
        if u < _NEIGHBOURHOOD or v < _NEIGHBOURHOOD or u >= width - _NEIGHBOURHOOD or v >= height - _NEIGHBOURHOOD:
            continue
        nearest, farthest = np.float32(0), np.float32(0)
        for dv in range(-_NEIGHBOURHOOD, _NEIGHBOURHOOD + 1):
            for du in range(-_NEIGHBOURHOOD, _NEIGHBOURHOOD + 1):
                d = depth[v + dv, u + du]
                if d > 0:
                    if nearest == 0 or d < nearest:
                        nearest = d
                    farthest = max(farthest, d)
        if nearest == 0:
            continue
        slack = tolerance + _TOLERANCE_PIXELS * z / K[0, 0]
        if z < nearest - slack:
            through[i] += 1
        elif z <= farthest + slack:
            upon[i] += 1
