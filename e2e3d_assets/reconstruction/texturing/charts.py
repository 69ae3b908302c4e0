"""Charts: patches of neighbouring faces that take their colour from one photo, laid out as they lie in it.

What belongs here: cutting the surface into charts and finding the charts' rectangles. Nothing is unwrapped: a chart's
shape in the atlas is its picture in the photo, so that pixels are copied, not resampled, and no chart is distorted
where the photo was not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..mesh_repair import face_neighbours
from .selection import UNSEEN

_LEAST_FILL = 0.5  # of its rectangle that a chart must fill
_SMALLEST_TO_SPLIT = 48  # pixels: cutting smaller rectangles gains less than the gutters cost


@dataclass(frozen=True)
class Charts:
    """The surface's patches.

    Attributes:
        of_face: (F,) int32 chart of each face; -1 for faces that no photo sees.
        photo: (C,) int32 photo of each chart.
        origin: (C, 2) int64 top-left pixel (x, y) of the rectangle in the scaled photo, gutter included.
        size: (C, 2) int64 width and height of the rectangle, gutter included.
    """

    of_face: NDArray[np.int32]
    photo: NDArray[np.int32]
    origin: NDArray[np.int64]
    size: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.photo)


def cut_charts(faces: NDArray[np.int32], label: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The chart of each face (F,), -1 where unseen, and the photo of each chart (C,)."""
    pairs = face_neighbours(faces)
    pairs = pairs[(label[pairs[:, 0]] == label[pairs[:, 1]]) & (label[pairs[:, 0]] != UNSEEN)]
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (len(faces), len(faces)))
    _, component = connected_components(graph, directed=False)
    seen = label != UNSEEN
    used, chart = np.unique(component[seen], return_inverse=True)
    of_face = np.full(len(faces), -1, np.int32)
    of_face[seen] = chart
    photo = np.zeros(len(used), np.int32)
    photo[chart] = label[seen]
    return of_face, photo


def split_loose(
    of_face: NDArray[np.int32], photo: NDArray[np.int32], corners: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Halve charts that fill little of their rectangle, such as rings, until they do; answers as cut_charts does.

    Both sides of such a cut show the same photo, gutters included, so it cannot be seen.

    Args:
        of_face: (F,) chart of each face, -1 where unseen.
        photo: (C,) photo of each chart.
        corners: (F, 3, 2) pixel coordinates of the faces' corners in the chart's photo.
    """
    of_face = of_face.copy()
    seen = np.flatnonzero(of_face >= 0)
    a, b = corners[seen, 1] - corners[seen, 0], corners[seen, 2] - corners[seen, 0]
    covered = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    middle = corners[seen].mean(axis=1)
    while True:
        chart = of_face[seen]
        low, high = _bounds(chart, corners[seen], len(photo))
        area = (high - low).prod(axis=1)
        loose = np.bincount(chart, covered, len(photo)) < _LEAST_FILL * area
        first, last = _bounds(chart, middle[:, None], len(photo))
        spread = last - first
        loose = np.flatnonzero(loose & (area > _SMALLEST_TO_SPLIT**2) & (spread.max(axis=1) > 1))
        if not len(loose):
            return of_face, photo
        axis = np.argmax(spread, axis=1)[chart]
        beyond = middle[np.arange(len(seen)), axis] > ((first + last) / 2)[chart, axis]
        new = np.full(len(photo), -1, np.int32)
        new[loose] = len(photo) + np.arange(len(loose))
        moved = beyond & (new[chart] >= 0)
        of_face[seen[moved]] = new[chart[moved]]
        photo = np.concatenate([photo, photo[loose]])


def rectangles(
    of_face: NDArray[np.int32], photo: NDArray[np.int32], corners: NDArray[np.float64], scale: float, gutter: int
) -> Charts:
    """The charts' rectangles in their photos, which are scaled first.

    Args:
        of_face: (F,) chart of each face.
        photo: (C,) photo of each chart.
        corners: (F, 3, 2) pixel coordinates of the faces' corners in the chart's photo at full size.
        scale: of the photos, at most 1.
        gutter: pixels around.
    """
    seen = of_face >= 0
    chart = of_face[seen]
    places = scaled(corners[seen], scale)
    low, high = _bounds(chart, places, len(photo))
    origin = np.floor(low).astype(np.int64) - gutter
    return Charts(of_face, photo, origin, np.ceil(high).astype(np.int64) + gutter + 1 - origin)


def scaled(pixels: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Pixel coordinates (integers at centres) in the picture resized by ``scale``."""
    return (pixels + 0.5) * scale - 0.5


def _bounds(
    chart: NDArray[np.int32], places: NDArray[np.float64], charts: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest coordinates (C, 2) of each chart's corners (n, 3, 2)."""
    low = np.full((charts, 2), np.inf)
    high = np.full((charts, 2), -np.inf)
    np.minimum.at(low, chart, places.min(axis=1))
    np.maximum.at(high, chart, places.max(axis=1))
    return low, high
