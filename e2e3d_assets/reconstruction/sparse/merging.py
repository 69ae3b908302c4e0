"""Joining models that show the same structure: a mapper leaves them apart where no single photo has points enough.

What belongs here: finding how two models lie to one another from all their photos' common points together, and judging
what comes of it. Poses are joined, points are triangulated anew from the matches (so that common points become one),
and everything is adjusted; where that costs points or accuracy, the models stay apart.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pycolmap

from ..monitor import Monitor
from ..native import run_cancellable
from .match_document import MIN_INLIERS

_MIN_COMMON = 30
_MIN_PHOTO_PAIRS = 2
_AGREEING_SHARE = 0.5
_TOLERANCE_OF_DISTANCE = 0.02
_KEPT_OBSERVATIONS = 0.8
_MAX_ERROR_GROWTH = 1.5


def merge_models(
    models: Sequence[pycolmap.Reconstruction],
    database: Path,
    images: Path,
    options: pycolmap.IncrementalPipelineOptions,
    folder: Callable[[], Path],
    monitor: Monitor,
) -> list[pycolmap.Reconstruction]:
    """Join what can be joined, as long as there is anything.

    Args:
        models: of one database, the largest first.
        database: key points and verified pairs.
        images: the photos.
        options: of triangulation and adjustment: threads, seed, cameras that are kept.
        folder: gives an empty folder for the mapper's files.
        monitor: cancellation.

    Returns:
        the models, joined ones first.
    """
    rest = list(models)
    joined: list[pycolmap.Reconstruction] = []
    while rest:
        base = rest.pop(0)
        while True:
            for other in rest:
                monitor.check()
                larger = _join(base, other, database, images, options, folder, monitor)
                if larger is not None:
                    base = larger
                    rest.remove(other)
                    break
            else:
                break
        joined.append(base)
    return joined


def common_points(
    base: pycolmap.Reconstruction, other: pycolmap.Reconstruction, database: Path
) -> tuple[np.ndarray, np.ndarray, float, int]:
    """3D points of two models that verified pairs of photos take for the same.

    Returns:
        (N, 3) in the base, (N, 3) in the other, their median distance from the base's photos, and the pairs of photos.
    """
    found: dict[tuple[int, int], float] = {}
    photo_pairs = 0
    with pycolmap.Database.open(database) as opened:
        pairs = [(i, i) for i in sorted(set(base.reg_image_ids()) & set(other.reg_image_ids()))]
        for pair_id, inliers in zip(*opened.read_two_view_geometry_num_inliers(), strict=True):
            one, two = pycolmap.pair_id_to_image_pair(pair_id)
            if inliers >= MIN_INLIERS:
                pairs += [(i, j) for i, j in ((one, two), (two, one)) if _holds(base, i) and _holds(other, j)]
        for i, j in pairs:
            here, there = base.image(i), other.image(j)
            before = len(found)
            for p, q in _matches(opened, i, j, here.num_points2D()):
                a, b = here.points2D[p].point3D_id, there.points2D[q].point3D_id
                if base.exists_point3D(a) and other.exists_point3D(b):
                    found[a, b] = float(np.linalg.norm(base.point3D(a).xyz - here.projection_center()))
            photo_pairs += len(found) > before
    points = np.array([base.point3D(a).xyz for a, _ in found]).reshape(-1, 3)
    counterparts = np.array([other.point3D(b).xyz for _, b in found]).reshape(-1, 3)
    return points, counterparts, float(np.median([*found.values()] or [0.0])), photo_pairs


def _holds(model: pycolmap.Reconstruction, image_id: int) -> bool:
    return model.exists_image(image_id) and model.image(image_id).has_pose


def _matches(opened: pycolmap.Database, i: int, j: int, key_points: int) -> np.ndarray:
    """(N, 2) key points that are one: of a photo with itself, all of them."""
    if i == j:
        return np.stack([np.arange(key_points)] * 2, axis=1)
    matches = opened.read_two_view_geometry(min(i, j), max(i, j)).inlier_matches
    return matches if i < j else matches[:, ::-1]


def _join(
    base: pycolmap.Reconstruction,
    other: pycolmap.Reconstruction,
    database: Path,
    images: Path,
    options: pycolmap.IncrementalPipelineOptions,
    folder: Callable[[], Path],
    monitor: Monitor,
) -> pycolmap.Reconstruction | None:
    points, counterparts, distance, photo_pairs = common_points(base, other, database)
    if len(points) < _MIN_COMMON or photo_pairs < _MIN_PHOTO_PAIRS:
        return None
    ransac = pycolmap.RANSACOptions()
    ransac.max_error = _TOLERANCE_OF_DISTANCE * distance
    ransac.random_seed = options.random_seed
    found = pycolmap.estimate_sim3d_robust(counterparts, points, ransac)
    if found is None:
        return None
    base_from_other = found["tgt_from_src"] if isinstance(found, dict) else found
    moved = np.array([base_from_other * point for point in counterparts])
    agreeing = np.linalg.norm(moved - points, axis=1) <= ransac.max_error
    if agreeing.sum() < max(_MIN_COMMON, _AGREEING_SHARE * len(points)):
        return None
    posed = _with_photos_of(base, other, base_from_other)
    joined = run_cancellable(
        lambda token: pycolmap.triangulate_points(
            posed, database, images, folder(), True, options, True, cancellation_token=token
        ),
        monitor,
    )
    joined.update_point_3d_errors()
    error = max(base.compute_mean_reprojection_error(), other.compute_mean_reprojection_error())
    observations = base.compute_num_observations() + other.compute_num_observations()
    if joined.compute_mean_reprojection_error() > _MAX_ERROR_GROWTH * error:
        return None
    return joined if joined.compute_num_observations() >= _KEPT_OBSERVATIONS * observations else None


def _with_photos_of(
    base: pycolmap.Reconstruction, other: pycolmap.Reconstruction, base_from_other: pycolmap.Sim3d
) -> pycolmap.Reconstruction:
    """A copy of ``base`` with the other's further photos posed in its frame, without points of theirs."""
    posed = pycolmap.Reconstruction(base)
    moved = pycolmap.Reconstruction(other)
    moved.transform(base_from_other)
    for image_id in moved.reg_image_ids():
        image = moved.image(image_id)
        if _holds(posed, image_id):
            continue
        if not posed.exists_camera(image.camera_id):
            posed.add_camera_with_trivial_rig(moved.camera(image.camera_id))
        pixels = np.array([point.xy for point in image.points2D])
        posed.add_image_with_trivial_frame(
            pycolmap.Image(image.name, pixels, image.camera_id, image_id), image.cam_from_world()
        )
    return posed
