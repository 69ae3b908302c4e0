"""Doubled structure: parts that look alike and were taken for one another, or one part that stands in the model twice.

What belongs here: asking a model whether it explains the pairs of photos that were verified by themselves. A repeated
façade or a thing with two like sides gives pairs that fit one another well and yet contradict the model, because only
one of two such explanations can be in it (Zach et al., "Disambiguating visual relations using loop constraints", 2010).
Nothing is mended: either explanation may be the wrong one, and only a person can tell. Like sides that no pair links
are in :mod:`~e2e3d_assets.reconstruction.sparse.folding`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from ..monitor import Monitor
from .sparse_document import Contradiction

_MIN_KNOWN = 20
"""Matches with a point in the model that a pair must have to be judged: as many agree by chance in hardly any."""
_FITTING_SHARE = 0.3
_TOLERANCE_OF_SIZE = 0.01


@dataclass(frozen=True)
class _View:
    image: pycolmap.Image
    camera: pycolmap.Camera
    points: np.ndarray
    """(K,) the key points' 3D points, as indices; -1 where there is none."""
    pixels: np.ndarray


def contradictions(model: pycolmap.Reconstruction, database: Path, monitor: Monitor) -> list[Contradiction]:
    """Verified pairs of registered photos whose common points the model has elsewhere, the strongest first.

    A match fits if the 3D point of one end, projected into the other photo, lies within a hundredth of its size of the
    other end; matches without a 3D point say nothing.

    Args:
        model: adjusted.
        database: its key points and verified pairs; opened for writing by COLMAP.
        monitor: cancellation.
    """
    ids = sorted(model.points3D)
    index = {point_id: position for position, point_id in enumerate(ids)}
    xyz = np.array([model.point3D(point_id).xyz for point_id in ids])
    found: list[Contradiction] = []
    with pycolmap.Database.open(database) as opened:
        views = {image_id: _view(model, opened, image_id, index) for image_id in model.reg_image_ids()}
        for one, other in _verified_pairs(opened, views):
            monitor.check()
            matches = opened.read_two_view_geometry(one, other).inlier_matches
            known, fitting = _fitting(views[one], views[other], matches, xyz)
            if known >= _MIN_KNOWN and fitting < _FITTING_SHARE * known:
                names = views[one].image.name, views[other].image.name
                found.append(Contradiction(photos=names, common_points=known, fitting_points=fitting))
    return sorted(found, key=lambda pair: (pair.fitting_points - pair.common_points, pair.photos))


def _view(model: pycolmap.Reconstruction, opened: pycolmap.Database, image_id: int, index: dict[int, int]) -> _View:
    image = model.image(image_id)
    pixels = opened.read_keypoints(image_id)[:, :2].astype(np.float64)
    points = np.full(len(pixels), -1)
    for position, point in enumerate(image.points2D):
        if point.has_point3D():
            points[position] = index[point.point3D_id]
    return _View(image, model.camera(image.camera_id), points, pixels)


def _verified_pairs(opened: pycolmap.Database, views: dict[int, _View]) -> Iterable[tuple[int, int]]:
    pair_ids, inliers = opened.read_two_view_geometry_num_inliers()
    for pair_id, count in zip(pair_ids, inliers, strict=True):
        one, other = pycolmap.pair_id_to_image_pair(pair_id)
        if count >= _MIN_KNOWN and one in views and other in views:
            yield one, other


def _fitting(one: _View, other: _View, matches: np.ndarray, xyz: np.ndarray) -> tuple[int, int]:
    """Matches with a 3D point at an end, and those of them that fit."""
    points = one.points[matches[:, 0]], other.points[matches[:, 1]]
    pixels = one.pixels[matches[:, 0]], other.pixels[matches[:, 1]]
    known = (points[0] >= 0) | (points[1] >= 0)
    fits = _lands(other, points[0], pixels[1], xyz) | _lands(one, points[1], pixels[0], xyz)
    return int(known.sum()), int((known & fits).sum())


def _lands(view: _View, points: np.ndarray, pixels: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """Whether each of some points, where there is one, projects to where its match says."""
    there = np.flatnonzero(points >= 0)
    lands = np.zeros(len(points), bool)
    inside = view.image.cam_from_world() * xyz[points[there]]
    there, inside = there[inside[:, 2] > 0], inside[inside[:, 2] > 0]
    tolerance = _TOLERANCE_OF_SIZE * max(view.camera.width, view.camera.height)
    projected = np.asarray(view.camera.img_from_cam(inside)).reshape(-1, 2)
    lands[there] = np.linalg.norm(projected - pixels[there], axis=1) < tolerance
    return lands
