"""The ground and the thing that was photographed: where they are, and the surface without all that is around.

What belongs here: the ground plane, the region of the object, and the cut. What does not: where the photos look
(:mod:`.viewpoints`).
"""

from dataclasses import dataclass

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from . import mesh_repair
from .errors import BadInput
from .monitor import Figures
from .viewpoints import Focus

_STEEPEST = np.cos(np.radians(30))  # of a ground, in the z of its normal
_POINTS_USED = 60_000
_THICKNESS = 0.01  # of the region's radius, that points lie off the ground and still belong to it
_LEAST_SHARE = 0.1  # of the points in the region, that a ground has
_ROUNDS = 500


@dataclass(frozen=True)
class Ground:
    """The plane n · x = d that most level points in the region lie on.

    Attributes:
        normal: (3,) unit vector, upwards.
        offset: d, world units.
    """

    normal: NDArray[np.float64]
    offset: float

    def height(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) of points (N, 3), world units."""
        return points @ self.normal - self.offset


def find_ground(points: NDArray[np.float64], normals: NDArray[np.float64], focus: Focus) -> Ground | None:
    """The ground, by RANSAC (Fischler and Bolles, 1981) over the upward points around the focus; None without one.

    Args:
        points: (N, 3), world frame, z up.
        normals: (N, 3), outwards.
        focus: what the photos are of.
    """
    step = max(1, len(points) // _POINTS_USED)
    points, normals = points[::step], normals[::step]
    near = np.linalg.norm(points - focus.center, axis=1) <= 2 * focus.radius
    level = points[near & (normals[:, 2] >= _STEEPEST)]
    if len(level) < max(3, _LEAST_SHARE * near.sum()):
        return None
    o3d.utility.random.seed(0)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(level))
    plane, inliers = cloud.segment_plane(_THICKNESS * focus.radius, 3, _ROUNDS)
    normal, offset = np.array(plane[:3]), -float(plane[3])
    sign = 1.0 if normal[2] > 0 else -1.0
    if len(inliers) < _LEAST_SHARE * near.sum() or abs(normal[2]) < _STEEPEST:
        return None
    return Ground(sign * normal, sign * offset)


def cropped(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], focus: Focus, ground: Ground | None
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The surface within the focus and above the ground.

    Raises:
        BadInput: if nothing is left, or the photos look out from one place.
    """
    if focus.inside:
        raise BadInput("The photos look around from within and show no single object", "Set mesh.crop to none")
    kept = np.linalg.norm(vertices - focus.center, axis=1) <= focus.radius
    if ground is not None:
        kept &= ground.height(vertices) > 2 * _THICKNESS * focus.radius
    faces = faces[kept[faces].all(axis=1)]
    if not len(faces):
        raise BadInput("Nothing stands out of the ground where the photos look", "Set mesh.crop to none")
    return mesh_repair.compacted(vertices, faces)


def figures(focus: Focus, ground: Ground | None) -> Figures:
    """The object's region and the ground under it, as far as there are any."""
    found: Figures = {"ground_found": ground is not None}
    if not focus.inside:
        x, y, z = (round(float(value), 4) for value in focus.center)
        found |= {"object_x": x, "object_y": y, "object_z": z, "object_radius": round(focus.radius, 4)}
    if ground is not None:
        found["ground_tilt_degrees"] = round(float(np.degrees(np.arccos(np.clip(ground.normal[2], -1, 1)))), 2)
        found["ground_z"] = round(float(focus.center[2] - ground.height(focus.center[None])[0] / ground.normal[2]), 4)
    return found
