"""What the depth maps say about a surface: here is empty space, here is a surface.

What belongs here: votes of photos on points. What does not: what becomes of a point that was voted down
(:mod:`meshing`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from .stereo.compiled import parallel
from .stereo.formats import map_path, read_map
from .stereo.views import Camera, SparseScene

_TOLERANCE_PIXELS = 4.0  # a depth is as sure as a few pixels are wide there
_STRICTNESS = 0.5  # of the tolerance, for points with normals: nobody has measured them
_LEAST_COSINE = 0.1  # of the angle between ray and normal, that counts
_NEIGHBOURHOOD = 1  # pixels around in which the nearest depth counts: silhouettes are not exact


@dataclass(frozen=True)
class Votes:
    """How many photos look through each point, see it on a surface, have a surface before it, or know nothing there.

    Attributes:
        through: (N,) int32.
        upon: (N,) int32.
        behind: (N,) int32.
        blank: (N,) int32, within the frame but without a depth, such as sky.
    """

    through: NDArray[np.int32]
    upon: NDArray[np.int32]
    behind: NDArray[np.int32]
    blank: NDArray[np.int32]

    @classmethod
    def none(cls, points: int) -> "Votes":
        """Of so many points, before any photo was asked."""
        return cls(*(np.zeros(points, np.int32) for _ in range(4)))

    @property
    def refuted(self) -> NDArray[np.bool_]:
        """(N,) where at least two photos look through and more do than see a surface."""
        return (self.through >= 2) & (self.through > self.upon)

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """(N,) where most photos know nothing: sky, or something without texture."""
        return self.blank > self.upon + self.behind

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """(N,) where no photo sees a surface, and some have one before the point."""
        return (self.upon == 0) & (self.behind > 0) & ~self.unknown & ~self.refuted


DepthView = tuple[Camera, NDArray[np.float32]]


def depth_views(scene: SparseScene, depth_maps: Path) -> Iterator[DepthView]:
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
        normals: (N, 3) unit vectors; if given, half the tolerance counts, along them and no longer along the rays: a
            plane seen at a grazing angle is not empty because it lies a little lower than drawn.
    """

    def __init__(
        self, points: NDArray[np.float64], tolerance: float, normals: NDArray[np.float64] | None = None
    ) -> None:
        self._points = np.ascontiguousarray(points, np.float64)
        self._normals = np.empty((0, 3)) if normals is None else np.ascontiguousarray(normals, np.float64)
        self.tolerance = tolerance
        self.votes = Votes.none(len(points))

    def add(self, camera: Camera, depth: NDArray[np.float32]) -> None:
        """Count one photo's votes."""
        _vote(
            self._points,
            self._normals,
            camera.R,
            camera.t,
            camera.K,
            np.ascontiguousarray(depth),
            self.tolerance,
            self.votes.through,
            self.votes.upon,
            self.votes.behind,
            self.votes.blank,
        )


@parallel
def _vote(points, normals, R, t, K, depth, tolerance, through, upon, behind, blank):
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
            blank[i] += 1
            continue
        slack = tolerance + _TOLERANCE_PIXELS * z / K[0, 0]
        if len(normals):
            across = 0.0
            for axis in range(3):
                across += normals[i, axis] * (R[0, axis] * x + R[1, axis] * y + R[2, axis] * z)
            cosine = abs(across) / np.sqrt(x * x + y * y + z * z)
            slack *= _STRICTNESS / max(cosine, _LEAST_COSINE)
        if z < nearest - slack:
            through[i] += 1
        elif z <= farthest + slack:
            upon[i] += 1
        else:
            behind[i] += 1
