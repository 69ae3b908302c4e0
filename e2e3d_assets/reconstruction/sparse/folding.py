"""Like sides laid over one another: photos of two sides of a thing that look the same, placed as if of one.

What belongs here: finding such photos in a model that no verified pair contradicts, because nobody walked from one side
to the other. What gives them away is what is missing: two photos from nearly one place must see the same things, and
these see the same thing before other surroundings (Zach, Irschara and Bischof, "What can missing correspondences tell
us about 3D structure and motion?", 2008). Before a blank background nothing is missing, and nothing can be found.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pycolmap
from scipy.sparse import csr_matrix, triu

from ..monitor import Monitor
from .sparse_document import Contradiction

_MIN_COMMON = 30
_MAX_ANGLE_DEG = 20.0
_MAX_DISTANCE_RATIO = 1.4
_CELLS = 6
"""Across the photo and down."""
_MIN_IN_CELL = 8
_BLIND = 0.1
"""In a cell where both photos have points, fewer common ones than this share are chance."""
_MIN_BLIND_SHARE = 0.15
"""On six real sets no pair up to 25 degrees apart had any such cell (89 pairs), and up to 35 degrees 0.05 at most."""


@dataclass(frozen=True)
class _View:
    image: pycolmap.Image
    camera: pycolmap.Camera
    points: np.ndarray
    """(K,) the 3D points that it sees, as indices."""
    cells: np.ndarray
    """(K,) where it sees them."""


def folded_photos(model: pycolmap.Reconstruction, monitor: Monitor) -> list[Contradiction]:
    """Pairs of photos that share a thing, but nothing around it, though they were taken from nearly one place.

    Args:
        model: adjusted.
        monitor: cancellation.

    Returns:
        the pairs that see least of one another's points first; ``common_points`` are the first photo's points that lie
        in the second's view, ``fitting_points`` those of them that it sees.
    """
    ids = sorted(model.points3D)
    index = {point_id: position for position, point_id in enumerate(ids)}
    xyz = np.array([model.point3D(point_id).xyz for point_id in ids]).reshape(-1, 3)
    views = [_view(model, image_id, index) for image_id in sorted(model.reg_image_ids())]
    found: list[Contradiction] = []
    for one, other in _near_pairs(views, xyz):
        monitor.check()
        (blind, inside, seen), (blind_back, _, _) = _missing(one, other, xyz), _missing(other, one, xyz)
        if min(blind, blind_back) >= _MIN_BLIND_SHARE:
            names = one.image.name, other.image.name
            found.append(Contradiction(photos=names, common_points=inside, fitting_points=seen, kind="folded"))
    return sorted(found, key=lambda pair: (pair.fitting_points / pair.common_points, pair.photos))


def _view(model: pycolmap.Reconstruction, image_id: int, index: dict[int, int]) -> _View:
    image = model.image(image_id)
    camera = model.camera(image.camera_id)
    seen = {index[point.point3D_id]: point.xy for point in image.get_observation_points2D()}
    points = np.array(sorted(seen), np.int64)
    return _View(image, camera, points, _cells(camera, np.array([seen[point] for point in points]).reshape(-1, 2)))


def _cells(camera: pycolmap.Camera, pixels: np.ndarray) -> np.ndarray:
    cells = np.clip((pixels * (_CELLS / np.array([camera.width, camera.height]))).astype(int), 0, _CELLS - 1)
    return cells[:, 0] * _CELLS + cells[:, 1]


def _near_pairs(views: list[_View], xyz: np.ndarray) -> Iterable[tuple[_View, _View]]:
    """Pairs that see common points from nearly one direction and distance."""
    rows = np.repeat(np.arange(len(views)), [len(view.points) for view in views])
    columns = np.concatenate([view.points for view in views]) if views else np.empty(0, np.int64)
    seen = csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), (len(views), len(xyz)))
    common = triu(seen @ seen.T, 1).tocoo()
    for i, j in zip(common.row[common.data >= _MIN_COMMON], common.col[common.data >= _MIN_COMMON], strict=True):
        one, other = views[i], views[j]
        middle = np.median(xyz[np.intersect1d(one.points, other.points)], axis=0)
        a, b = one.image.projection_center() - middle, other.image.projection_center() - middle
        distances = float(np.linalg.norm(a)), float(np.linalg.norm(b))
        angle = np.degrees(np.arccos(np.clip(a @ b / (distances[0] * distances[1]), -1.0, 1.0)))
        if angle <= _MAX_ANGLE_DEG and max(distances) <= _MAX_DISTANCE_RATIO * min(distances):
            yield one, other


def _missing(one: _View, other: _View, xyz: np.ndarray) -> tuple[float, int, int]:
    """Of one photo's points in the other's view: the share in cells without common ones, the number, and those seen."""
    inside = other.image.cam_from_world() * xyz[one.points]
    points, inside = one.points[inside[:, 2] > 0], inside[inside[:, 2] > 0]
    pixels = np.asarray(other.camera.img_from_cam(inside)).reshape(-1, 2)
    within = ((pixels > 0) & (pixels < (other.camera.width, other.camera.height))).all(axis=1)
    points, cells = points[within], _cells(other.camera, pixels[within])
    seen = np.isin(points, other.points)
    size = _CELLS * _CELLS
    there, own, both = (
        np.bincount(cells, minlength=size),
        np.bincount(other.cells, minlength=size),
        np.bincount(cells, seen, minlength=size),
    )
    least = np.minimum(there, own)
    blind = (least >= _MIN_IN_CELL) & (both < _BLIND * least)
    return float(there[blind].sum() / max(1, len(points))), len(points), int(seen.sum())
