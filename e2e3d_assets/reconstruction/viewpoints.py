"""From where people should look at a model: what the photographer aimed at, and the sides that were photographed.

What belongs here: pure geometry on camera positions and sparse points. What does not: drawing.

Three ways to take photos are told apart: around a thing (the optical axes meet), past it (along a wall, from the air:
they are parallel) and from within (a room, a yard: they diverge).
"""

from dataclasses import dataclass, replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from .raycasting import orbit_camera
from .stereo.views import Camera

_WELL_SEEN = 3  # photos that must see a point before it counts
_CORE_QUANTILE = 0.8  # share of the well-seen points that "the whole" shall hold: far background is left out
_CLOSED_RING_GAP = np.radians(100)  # a larger gap between neighbouring photos means that one side was not photographed
_MANY_SIDES = 0.6  # length of the mean optical axis: 1 if all are parallel, 0 if they go evenly to all sides
_INSIDE_FOV_DEG = 70.0
_MIN_ELEVATION, _MAX_ELEVATION = np.radians(10), np.radians(60)


@dataclass(frozen=True)
class Focus:
    """What the photos are of: a ball in the world frame, and where the cameras stand around it.

    Attributes:
        inside: whether the photos were taken from within, looking out.
        center: (3,) world position; where the photographer stood, if ``inside``.
        radius: of the ball that holds most of what is well seen, world units.
        directions: (N, 3) unit vectors from what is seen to each camera.
        observations: (N,) sparse points that each camera sees.
    """

    inside: bool
    center: NDArray[np.float64]
    radius: float
    directions: NDArray[np.float64]
    observations: NDArray[np.int64]

    def within(self, vertices: NDArray) -> "Focus":
        """The same, no larger than a mesh with these vertices (V, 3) needs."""
        reach = float(np.linalg.norm(vertices - self.center, axis=1).max())
        return replace(self, radius=min(self.radius, reach))

    @property
    def azimuths(self) -> NDArray[np.float64]:
        """(N,) angles of the cameras around the vertical, radians."""
        return np.arctan2(self.directions[:, 1], self.directions[:, 0])

    @property
    def elevation(self) -> float:
        """A height to look from, radians: that of the middle camera, but neither flat nor from straight above."""
        if self.inside:
            return 0.0
        return float(
            np.clip(np.median(np.arcsin(np.clip(self.directions[:, 2], -1, 1))), _MIN_ELEVATION, _MAX_ELEVATION)
        )

    @property
    def best_azimuth(self) -> float:
        """The side of the camera that sees most, radians."""
        return float(self.azimuths[np.argmax(self.observations)])

    @property
    def best_direction(self) -> NDArray[np.float64]:
        """(3,) unit vector to look from first."""
        return direction(self.best_azimuth, self.elevation)

    def camera(self, azimuth: float, width: int, height: int) -> Camera:
        """A camera that shows what was photographed, from one side or (``inside``) towards it.

        Args:
            azimuth: radians.
            width: pixels.
            height: pixels.
        """
        toward = direction(azimuth, self.elevation)
        if self.inside:
            return orbit_camera(self.center, 0.0, toward, width, height, _INSIDE_FOV_DEG)
        return orbit_camera(self.center, self.radius, toward, width, height)


def direction(azimuth: float, elevation: float) -> NDArray[np.float64]:
    """The unit vector (3,) of an azimuth and an elevation, radians."""
    return np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])


def focus_of(model: pycolmap.Reconstruction) -> Focus:
    """Find what the registered photos are of.

    The centre is the point nearest to all optical axes where they meet in front of the cameras, the middle of the
    cameras where they look out from it, else the middle of the well-seen points.
    """
    images = [model.images[i] for i in sorted(model.reg_image_ids())]
    centers = np.array([image.projection_center() for image in images])
    axes = np.array([image.viewing_direction() for image in images])
    tracks = [(point.xyz, point.track.length()) for point in model.points3D.values()]
    points = np.array([xyz for xyz, length in tracks if length >= _WELL_SEEN] or [xyz for xyz, _ in tracks])
    observations = np.array([image.num_points3D for image in images])

    if _looks_out(centers, axes):
        center = np.median(centers, axis=0)
        return Focus(True, center, _core_radius(points, center), -axes, observations)
    center = _meeting_point(centers, axes)
    middle = np.median(points, axis=0)
    if center is None or np.linalg.norm(center - middle) > _core_radius(points, middle):
        center = middle
    framed = [
        np.linalg.norm(c - center) * min(image.camera.width, image.camera.height) / 2 / image.camera.mean_focal_length()
        for c, image in zip(centers, images, strict=True)
    ]
    offsets = centers - center
    directions = offsets / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-12)
    radius = max(_core_radius(points, center), float(np.median(framed)))
    return Focus(False, center, radius, directions, observations)


def _core_radius(points: NDArray[np.float64], center: NDArray[np.float64]) -> float:
    return float(np.quantile(np.linalg.norm(points - center, axis=1), _CORE_QUANTILE))


def _looks_out(centers: NDArray[np.float64], axes: NDArray[np.float64]) -> bool:
    """Whether the cameras look to many sides, and away from one another."""
    offsets = centers - centers.mean(axis=0)
    outward = np.einsum("ij,ij->i", offsets, axes) / np.maximum(np.linalg.norm(offsets, axis=1), 1e-12)
    return bool(np.linalg.norm(axes.mean(axis=0)) < _MANY_SIDES and outward.mean() > 0)


def _meeting_point(centers: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The point nearest to all axes in the least-squares sense; None where they are almost parallel or diverge."""
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    normal = across.sum(axis=0)
    if np.linalg.eigvalsh(normal)[0] < 0.02 * len(axes):
        return None
    center = np.linalg.solve(normal, (across @ centers[:, :, None]).sum(axis=0)[:, 0])
    in_front = np.einsum("ij,ij->i", center - centers, axes) > 0
    return center if in_front.mean() > 0.9 else None


def turntable_azimuths(camera_azimuths: NDArray[np.float64], start: float, count: int) -> NDArray[np.float64]:
    """Angles (count,) to render a model from: all around where it was photographed all around, else from the
    photographed side only.

    Args:
        camera_azimuths: (N,) of the photos, radians.
        start: the first angle of a full turn, radians.
        count: how many.
    """
    first, span = _photographed_arc(camera_azimuths)
    if span is None:
        return start + np.arange(count) * 2 * np.pi / count
    return first + np.linspace(0, span, count)


def film_azimuths(camera_azimuths: NDArray[np.float64], start: float, count: int) -> NDArray[np.float64]:
    """Like :func:`turntable_azimuths`, for an endless film: a turn, or a swing to and fro."""
    first, span = _photographed_arc(camera_azimuths)
    if span is None:
        return turntable_azimuths(camera_azimuths, start, count)
    return first + span * (0.5 - 0.5 * np.cos(np.arange(count) * 2 * np.pi / count))


def _photographed_arc(camera_azimuths: NDArray[np.float64]) -> tuple[float, float | None]:
    """(first angle, width) of the arc that holds all cameras; the width is None where they go all around."""
    angles = np.sort(np.mod(camera_azimuths, 2 * np.pi))
    gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
    widest = int(np.argmax(gaps))
    first = float(angles[(widest + 1) % len(angles)])
    return first, None if gaps[widest] <= _CLOSED_RING_GAP else float(2 * np.pi - gaps[widest])
