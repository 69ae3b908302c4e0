"""A point in space from where it was marked in several photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
import pycolmap
from numpy.typing import NDArray

MIN_ANGLE_DEG = 1.5
_MAX_ERROR_PX = 8.0  # of a mark set by hand; a mark on the wrong thing is off by more
_MAX_HYPOTHESES = 200
_ROUNDS = 3


@dataclass(frozen=True)
class Triangulated:
    """A point in the model's frame, and in how many photos it was marked well."""

    xyz: NDArray[np.float64]
    photos: int


class Views:
    """The registered photos of a model, by name."""

    def __init__(self, model: pycolmap.Reconstruction) -> None:
        images = [model.image(image_id) for image_id in model.reg_image_ids()]
        self._images = {image.name: (image, model.camera(image.camera_id)) for image in images}

    def triangulate(self, marks: Sequence[tuple[str, float, float]]) -> Triangulated | None:
        """The point that most marks agree on; None if fewer than two do, or if their rays are nearly parallel.

        Args:
            marks: (photo, x, y), pixels as in COLMAP; photos that are not registered are left out.
        """
        seen = [_Ray.of(*self._images[name], np.array((x, y))) for name, x, y in marks if name in self._images]
        rays = [ray for ray in seen if ray is not None]
        best: NDArray[np.bool_] | None = None
        best_cost = np.inf
        for pair in islice(combinations(rays, 2), _MAX_HYPOTHESES):
            if _widest_angle_deg(pair) < MIN_ANGLE_DEG:
                continue
            point = _nearest_to(pair)
            errors = np.array([ray.error_px(point) for ray in rays])
            if (cost := float(np.minimum(errors, _MAX_ERROR_PX).sum())) < best_cost:
                best, best_cost = errors < _MAX_ERROR_PX, cost
        if best is None or best.sum() < 2:
            return None
        agreeing = [ray for ray, agrees in zip(rays, best, strict=True) if agrees]
        if _widest_angle_deg(agreeing) < MIN_ANGLE_DEG:
            return None
        return Triangulated(_nearest_to(agreeing), len(agreeing))


@dataclass(frozen=True)
class _Ray:
    image: pycolmap.Image
    camera: pycolmap.Camera
    pixel: NDArray[np.float64]
    centre: NDArray[np.float64]
    direction: NDArray[np.float64]

    @classmethod
    def of(cls, image: pycolmap.Image, camera: pycolmap.Camera, pixel: NDArray[np.float64]) -> "_Ray | None":
        seen = camera.cam_from_img(pixel)
        if seen is None:
            return None
        towards = image.cam_from_world().rotation.matrix().T @ np.append(np.ravel(seen), 1.0)
        return cls(image, camera, pixel, image.projection_center(), towards / np.linalg.norm(towards))

    def error_px(self, point: NDArray[np.float64]) -> float:
        """Between the mark and where the point is seen; infinite behind the camera."""
        seen = self.image.project_point(point)
        return float(np.linalg.norm(seen - self.pixel)) if seen is not None else np.inf


def _nearest_to(rays: Sequence[_Ray]) -> NDArray[np.float64]:
    """Least squares of the distances to the rays, each in relation to the distance from its camera."""
    point = np.zeros(3)
    weights = np.ones(len(rays))
    centres = np.array([ray.centre for ray in rays])
    across = np.array([np.eye(3) - np.outer(ray.direction, ray.direction) for ray in rays])
    for _ in range(_ROUNDS):
        normal = np.einsum("n,nij->ij", weights, across)
        point = np.linalg.solve(normal, np.einsum("n,nij,nj->i", weights, across, centres))
        weights = 1.0 / np.maximum(np.sum((point - centres) ** 2, axis=1), 1e-18)
        weights /= weights.max()
    return point


def _widest_angle_deg(rays: Sequence[_Ray]) -> float:
    directions = np.array([ray.direction for ray in rays])
    return float(np.degrees(np.arccos(np.clip((directions @ directions.T).min(), -1.0, 1.0))))
