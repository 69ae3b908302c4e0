"""Whether a model is of one piece: parts that share no points have no known place to one another.

What belongs here: finding the pieces of a model by the points that its photos share. A mapper that places one photo by
chance agreements goes on from there, and the model is two places laid over one another.
"""

import numpy as np
import pycolmap
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

_FIRM_POINTS = 10
"""Two photos that share so many points are of one piece."""
_POINTS_A_PHOTO = 12
_POINTS_A_PIECE = 30
"""A piece belongs to the rest by so many points together, or by fewer if it is of one or two photos."""


def leave_out_loose_pieces(model: pycolmap.Reconstruction) -> None:
    """Take out of a model in place what shares hardly any points with its largest piece."""
    ids = list(model.reg_image_ids())
    if not ids:
        return
    seen = _seen_points(model, ids)
    kept = largest_piece(seen)
    for image_id in np.array(ids)[~kept]:
        model.deregister_frame(model.image(int(image_id)).frame_id)
    model.tear_down()  # the covariance of the adjustment fails for photos without a pose


def largest_piece(seen: csr_matrix) -> np.ndarray:
    """Which photos are of the largest piece.

    Args:
        seen: (photos, points), 1 where a photo sees a point.

    Returns:
        (photos,) bool.
    """
    shared = (seen @ seen.T).tocoo()
    firm = shared.data >= _FIRM_POINTS
    edges = csr_matrix((shared.data[firm], (shared.row[firm], shared.col[firm])), shared.shape)
    piece = connected_components(edges, directed=False)[1]
    sizes = np.bincount(piece)
    kept = piece == np.argmax(sizes)
    while True:
        points = np.asarray(seen[kept].sum(axis=0)).ravel() > 0
        joining = [
            number
            for number in np.unique(piece[~kept])
            if _common(seen, piece == number, points) >= min(_POINTS_A_PIECE, _POINTS_A_PHOTO * sizes[number])
        ]
        if not joining:
            return kept
        kept |= np.isin(piece, joining)


def _common(seen: csr_matrix, photos: np.ndarray, points: np.ndarray) -> int:
    """How many of some points (a mask) some photos (a mask) see."""
    return int((points & (np.asarray(seen[photos].sum(axis=0)).ravel() > 0)).sum())


def _seen_points(model: pycolmap.Reconstruction, ids: list[int]) -> csr_matrix:
    row = {image_id: index for index, image_id in enumerate(ids)}
    tracks = [{element.image_id for element in point.track.elements} for point in model.points3D.values()]
    columns = np.repeat(np.arange(len(tracks)), [len(track) for track in tracks])
    rows = np.array([row[image_id] for track in tracks for image_id in track], np.int64)
    return csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), (len(ids), len(tracks)))
