"""Seams between charts: colours levelled so that both sides agree.

What belongs here: the corrections that are added to photos before they are painted.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import cg

from .observations import Observations
from .selection import UNSEEN

_SMOOTHNESS = 0.3  # of the corrections within a chart, relative to agreement at the seams
_PRIOR = 1e-3  # of no correction
_TOLERANCE = 0.01
_MOST_ITERATIONS = 400


def levelled(
    faces: NDArray[np.int32], label: NDArray[np.int32], observations: Observations, vertex_count: int
) -> NDArray[np.float32]:
    """Colours (F, 3 corners, 3 channels) to add to each face's photo, in grey levels.

    One unknown for each vertex and photo that faces there use: differences at seams vanish, corrections stay smooth
    within charts. After Lempitsky and Ivanov (CVPR 2007); a vertex' colour in a photo is the mean over the faces
    around it that both photos of a seam see, which a small misalignment does not disturb.

    Args:
        faces: (F, 3).
        label: (F,) photo of each face, or UNSEEN.
        observations: exposure-corrected.
        vertex_count: V.
    """
    seen = np.flatnonzero(label != UNSEEN)
    photos = int(label.max(initial=0)) + 1
    key = faces[seen].astype(np.int64) * photos + label[seen][:, None]
    nodes, node = np.unique(key, return_inverse=True)
    node = node.reshape(-1, 3)
    first, second, difference = _seam_differences(faces, nodes, photos, observations, vertex_count)
    tails, heads = node.ravel(), np.roll(node, -1, axis=1).ravel()
    count = len(nodes)
    rows = np.arange(len(first))
    ones = np.ones(len(first))
    D = csr_array(
        (np.concatenate([ones, -ones]), (np.concatenate([rows, rows]), np.concatenate([first, second]))),
        (len(first), count),
    )
    weights = np.full(len(tails), _SMOOTHNESS)
    adjacency = coo_array((weights, (tails, heads)), (count, count)).tocsr()
    adjacency = adjacency + adjacency.T
    laplacian = diags_array(adjacency.sum(axis=1)) - adjacency
    system = (D.T @ D + laplacian + _PRIOR * diags_array(np.ones(count))).tocsr()
    jacobi = diags_array(1 / system.diagonal())
    correction = np.zeros((count, 3), np.float32)
    for channel in range(3):
        solution, _ = cg(system, D.T @ difference[:, channel], rtol=_TOLERANCE, maxiter=_MOST_ITERATIONS, M=jacobi)
        correction[:, channel] = solution
    result = np.zeros((len(faces), 3, 3), np.float32)
    result[seen] = correction[node]
    return result


def _seam_differences(
    faces: NDArray[np.int32],
    nodes: NDArray[np.int64],
    photos: int,
    observations: Observations,
    vertex_count: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of nodes at one vertex, and the colour of the second less that of the first (P, 3)."""
    vertex = nodes // photos
    starts = np.flatnonzero(np.r_[True, vertex[1:] != vertex[:-1]])
    counts = np.diff(np.r_[starts, len(vertex)])
    first, second = [], []
    for distance in range(1, int(counts.max(initial=1))):
        at = np.arange(len(nodes) - distance)
        same = vertex[at] == vertex[at + distance]
        first.append(at[same])
        second.append(at[same] + distance)
    if not first:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3))
    one, two = np.concatenate(first), np.concatenate(second)
    around = _faces_around(faces, vertex_count)
    begins, listed = around
    span = begins[vertex[one] + 1] - begins[vertex[one]]
    pair = np.repeat(np.arange(len(one)), span)
    offset = np.arange(len(pair)) - np.repeat(np.cumsum(span) - span, span)
    face = listed[begins[vertex[one]][pair] + offset]
    lookup = observations.face * photos + observations.photo  # ascending
    index_one, found_one = _found(lookup, face * photos + nodes[one][pair] % photos)
    index_two, found_two = _found(lookup, face * photos + nodes[two][pair] % photos)
    both = found_one & found_two
    change = observations.color[index_two[both]] - observations.color[index_one[both]]
    weight = np.bincount(pair[both], minlength=len(one))
    difference = (
        np.stack([np.bincount(pair[both], change[:, channel], len(one)) for channel in range(3)], axis=1)
        / np.maximum(weight, 1)[:, None]
    )
    known = weight > 0
    return one[known], two[known], difference[known]


def _found(ascending: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    index = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return index, ascending[index] == wanted


def _faces_around(faces: NDArray[np.int32], vertex_count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Faces at each vertex: where each vertex' list begins (V + 1,), and the lists (3 F,)."""
    corner_vertex = faces.ravel()
    order = np.argsort(corner_vertex, kind="stable")
    return np.searchsorted(corner_vertex[order], np.arange(vertex_count + 1)), order // 3
