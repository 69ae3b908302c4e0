"""Which photos are compared with which, at what depths: decided from the sparse model.

What belongs here: cameras of an undistorted workspace, neighbours and depth ranges (pure functions). What does not:
pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from ..errors import BadInput

_BEST_ANGLE_DEG = 6.0
_LEAST_ANGLE_DEG = 0.5
_SPREAD_BELOW_DEG = 2.4
_SPREAD_ABOVE_DEG = 14.0
_FEWEST_SHARED_POINTS = 8
_FEWEST_DEPTHS = 8
_LEAST_USEFUL_SCORE = 0.002  # of the best neighbour's
_TRIMMED_PERCENT = 1.0
_MARGIN_NEAR = 2.0
_MARGIN_FAR = 1.55
_SAMPLED_POINTS = 500


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; pixel coordinates are integers at pixel centres.

    Attributes:
        K: (3, 3) intrinsics in pixels.
        R, t: world to camera, x_camera = R X + t.
    """

    width: int
    height: int
    K: NDArray[np.float64]
    R: NDArray[np.float64]
    t: NDArray[np.float64]

    @property
    def centre(self) -> NDArray[np.float64]:
        """In world coordinates."""
        return -self.R.T @ self.t

    def resized(self, width: int, height: int) -> "Camera":
        """The same camera with other pixels."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        to_corner, to_centre = np.eye(3), np.eye(3)
        to_corner[:2, 2] = 0.5
        to_centre[:2, 2] = -0.5
        return replace(self, width=width, height=height, K=to_centre @ scale @ to_corner @ self.K)

    def limited(self, size: int) -> "Camera":
        """The same camera with its longer side at most ``size`` pixels."""
        scale = min(1.0, size / max(self.width, self.height))
        return self.resized(max(1, round(self.width * scale)), max(1, round(self.height * scale)))


@dataclass(frozen=True)
class SparseScene:
    """What dense stereo needs of an undistorted workspace's model.

    Attributes:
        names: of the photos, sorted.
        cameras: of the photos, at the undistorted photos' size.
        points: (n, 3) world coordinates.
        observers: indices into ``names``, grouped by point.
        begins: (n + 1,) where each point's observers begin.
        median_error: between points as the cameras show them and where they were found, in widths of the photo.
    """

    names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    points: NDArray[np.float64]
    observers: NDArray[np.int64]
    begins: NDArray[np.int64]
    median_error: float = 0.0


def read_scene(undistorted: Path) -> SparseScene:
    """Read an undistorted COLMAP workspace's sparse model.

    Raises:
        BadInput: if there is no model, it has no points, or its cameras are not undistorted.
    """
    remedy = "Repeat the reconstruction from the photos; if it happens again, take more overlapping photos"
    try:
        model = pycolmap.Reconstruction(undistorted / "sparse")
    except (ValueError, RuntimeError, OSError) as error:
        raise BadInput("The undistorted photos carry no readable sparse model", remedy) from error
    images = sorted((i for i in model.images.values() if i.has_pose), key=lambda image: image.name)
    names = tuple(image.name for image in images)
    cameras = tuple(_camera(image, model.cameras[image.camera_id]) for image in images)
    index = {image.image_id: i for i, image in enumerate(images)}
    tracks = [
        (point.xyz, [index[e.image_id] for e in point.track.elements if e.image_id in index])
        for _, point in sorted(model.points3D.items())
    ]
    tracks = [(xyz, seen) for xyz, seen in tracks if np.isfinite(xyz).all()]
    if not tracks:
        raise BadInput("The sparse model has no points, so nothing is known of the scene's depth", remedy)
    return SparseScene(
        names,
        cameras,
        np.array([xyz for xyz, _ in tracks]),
        np.array([i for _, seen in tracks for i in seen], np.int64),
        np.cumsum([0, *(len(seen) for _, seen in tracks)], dtype=np.int64),
        _median_error(model),
    )


def _median_error(model: pycolmap.Reconstruction) -> float:
    """Over some of the points; one behind a camera that saw it counts as far off."""
    points = [point for _, point in sorted(model.points3D.items())]
    errors = []
    for point in points[:: max(1, len(points) // _SAMPLED_POINTS)]:
        for element in point.track.elements:
            image = model.images[element.image_id]
            shown = image.project_point(point.xyz) if image.has_pose else None
            found = image.points2D[element.point2D_idx].xy
            width = model.cameras[image.camera_id].width
            errors.append(np.inf if shown is None else np.linalg.norm(shown - found) / width)
    return float(np.median(errors)) if errors else 0.0


def _camera(image: pycolmap.Image, camera: pycolmap.Camera) -> Camera:
    if camera.model_name not in ("PINHOLE", "SIMPLE_PINHOLE"):
        raise BadInput(
            f"Camera model {camera.model_name} has distortion", "Give dense stereo undistorted photos", [image.name]
        )
    K = camera.calibration_matrix()
    K[:2, 2] -= 0.5
    pose = image.cam_from_world().matrix()
    if not (np.isfinite(K).all() and np.isfinite(pose).all() and K[0, 0] > 0 and K[1, 1] > 0):
        raise BadInput("A camera of the sparse model is not a camera", "Repeat the sparse stage", [image.name])
    return Camera(camera.width, camera.height, K, pose[:, :3], pose[:, 3])


@dataclass(frozen=True)
class ReferencePlan:
    """How one photo's depth is estimated.

    Attributes:
        sources: photos to compare with, best first.
        witnesses: photos that may confirm a depth when maps are merged, best first; begins with ``sources``.
        depth_range: nearest and farthest depth expected.
        baseline: median distance of the sources' centres from the photo's viewing axis.
        skipped_because: empty, or why the photo gets no depth map.
    """

    photo: int
    sources: tuple[int, ...] = ()
    witnesses: tuple[int, ...] = ()
    depth_range: tuple[float, float] = (0.0, 0.0)
    baseline: float = 0.0
    skipped_because: str = ""


def plan_references(scene: SparseScene, sources: int, witnesses: int) -> list[ReferencePlan]:
    """Choose every photo's sources, witnesses and depth range.

    Args:
        scene: the sparse model.
        sources: most photos to estimate from.
        witnesses: most photos to confirm with.
    """
    owners = np.repeat(np.arange(len(scene.points)), np.diff(scene.begins))
    by_photo = np.argsort(scene.observers, kind="stable")
    counts = np.bincount(scene.observers, minlength=len(scene.names))
    seen_by = np.split(owners[by_photo], np.cumsum(counts)[:-1])
    return [_plan(scene, photo, seen, sources, witnesses) for photo, seen in enumerate(seen_by)]


def _plan(scene: SparseScene, photo: int, seen: NDArray[np.int64], sources: int, witnesses: int) -> ReferencePlan:
    camera = scene.cameras[photo]
    depths = (scene.points[seen] @ camera.R.T + camera.t)[:, 2]
    depths = depths[depths > 0]
    if len(depths) < _FEWEST_DEPTHS:
        return ReferencePlan(photo, skipped_because=f"only {len(depths)} sparse points in front of it")
    scores = neighbour_scores(scene, photo, seen)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > _LEAST_USEFUL_SCORE * scores.max()] if scores.max() > 0 else order[:0]
    if not len(order):
        return ReferencePlan(photo, skipped_because="no other photo shares enough of its view from another place")
    near, far = np.percentile(depths, [_TRIMMED_PERCENT, 100 - _TRIMMED_PERCENT])
    chosen = tuple(int(i) for i in order[:sources])
    return ReferencePlan(
        photo,
        chosen,
        tuple(int(i) for i in order[:witnesses]),
        (float(near / _MARGIN_NEAR), float(far * _MARGIN_FAR)),
        _baseline(camera, [scene.cameras[i] for i in chosen]),
    )


def _baseline(camera: Camera, others: Sequence[Camera]) -> float:
    centres = np.array([camera.R @ other.centre + camera.t for other in others])
    return float(np.median(np.hypot(centres[:, 0], centres[:, 1]))) or float(np.abs(centres).max())


def neighbour_scores(scene: SparseScene, photo: int, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    """How useful each photo is to estimate one photo's depth: (photos,) sums over the sparse points that both see.

    A point counts most where the two rays meet at about six degrees (less says little of depth, more changes the look)
    and where both photos show it at the same scale; after Goesele et al., "Multi-View Stereo for Community Photo
    Collections" (ICCV 2007).

    Args:
        scene: the sparse model.
        photo: the reference.
        seen: indices of the points that it sees.
    """
    lengths = np.diff(scene.begins)[seen]
    starts = np.repeat(scene.begins[seen] - np.cumsum(lengths) + lengths, lengths)
    others = scene.observers[starts + np.arange(lengths.sum())]
    points = scene.points[np.repeat(seen, lengths)]
    centres = np.array([camera.centre for camera in scene.cameras])
    focals = np.array([camera.K[0, 0] for camera in scene.cameras])
    to_here = centres[photo] - points
    to_other = centres[others] - points
    distance_here = np.linalg.norm(to_here, axis=1)
    distance_other = np.linalg.norm(to_other, axis=1)
    distances = np.maximum(distance_here * distance_other, 1e-12)
    cosine = (to_here * to_other).sum(axis=1) / distances
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    spread = np.where(angle < _BEST_ANGLE_DEG, _SPREAD_BELOW_DEG, _SPREAD_ABOVE_DEG)
    scale = focals[photo] * distance_other / np.maximum(focals[others] * distance_here, 1e-12)
    likeness = np.minimum(scale, 1 / np.maximum(scale, 1e-12)) ** 2
    weight = np.exp(-(((angle - _BEST_ANGLE_DEG) / spread) ** 2) / 2) * likeness * (angle > _LEAST_ANGLE_DEG)
    scores = np.asarray(np.bincount(others, weight, minlength=len(scene.names)), np.float64)
    shared = np.bincount(others, minlength=len(scene.names))
    scores[shared < _FEWEST_SHARED_POINTS] = 0
    scores[photo] = 0
    return scores
