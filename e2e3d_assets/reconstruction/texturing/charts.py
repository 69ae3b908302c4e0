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
    low = np.full((len(photo), 2), np.inf)
    high = np.full((len(photo), 2), -np.inf)
    np.minimum.at(low, chart, places.min(axis=1))
    np.maximum.at(high, chart, places.max(axis=1))
    origin = np.floor(low).astype(np.int64) - gutter
    return Charts(of_face, photo, origin, np.ceil(high).astype(np.int64) + gutter + 1 - origin)


def scaled(pixels: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Pixel coordinates (integers at centres) in the picture resized by ``scale``."""
    return (pixels + 0.5) * scale - 0.5
