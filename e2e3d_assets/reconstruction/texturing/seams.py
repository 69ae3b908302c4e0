"""Seams between charts: what is added to each photo's colours, and how photos fade into each other.

What belongs here: corrections and shares at the corners of faces. What does not: pixels (:mod:`.painting`).

Each photo's colours are drawn towards the mean of all photos, smoothly, so that only its detail is its own: on a carpet
whose shade changes with the view the model came 0.5 dB nearer to the photos (15 photos), on a statue 0.1 dB.

A *node* is a vertex together with one of the photos that faces around it take their colour from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import cg

from .observations import Observations, ranges
from .selection import UNSEEN

_SMOOTHNESS = 0.3  # of the corrections within a chart, relative to agreement at the seams
_PRIOR = 1e-3  # of no correction
_CONSENSUS = 0.1  # of the mean colour of all photos that see a place …
_TYPICAL_SHADING = 16.0  # … which differs from one photo's so much by light and view: far more is another surface
_TOLERANCE = 0.01
_MOST_ITERATIONS = 400


@dataclass(frozen=True)
class Shares:
    """What each photo gives to each face, ordered by photo.

    Attributes:
        begins: (photos + 1,) int64, where each photo's entries begin.
        face: (N,) int64.
        weight: (N, 3) float32, share of the photo at the face's corners; those of a face add up to 1.
        correction: (N, 3, 3) float32, grey levels to add to the photo's colours at the face's corners.
    """

    begins: NDArray[np.int64]
    face: NDArray[np.int64]
    weight: NDArray[np.float32]
    correction: NDArray[np.float32]

    def of(self, photo: int) -> slice:
        """The entries of one photo."""
        return slice(int(self.begins[photo]), int(self.begins[photo + 1]))


def shares(
    faces: NDArray[np.int32],
    label: NDArray[np.int32],
    observations: Observations,
    outlier: NDArray[np.bool_],
    vertex_count: int,
    photos: int,
) -> Shares:
    """Level and blend the seams.

    Args:
        faces: (F, 3).
        label: (F,) photo of each face, or UNSEEN.
        observations: exposure-corrected.
        outlier: (N,) pairs of face and photo that must not be painted.
        vertex_count: V.
        photos: how many there are.
    """
    nodes = _Nodes.of(faces, label, vertex_count, photos)
    wanted, sure = _towards_consensus(nodes, label, observations, outlier)
    correction = _levelled(nodes, faces, observations, outlier, wanted, _CONSENSUS * sure, vertex_count)
    seen = np.flatnonzero(label != UNSEEN)
    own_node = nodes.of_corner
    face, photo, weight, node = _guests(nodes, faces, label, observations, outlier)
    others = np.zeros((len(faces), 3), np.float32)
    np.add.at(others, face, weight)
    # A guest has no node at corners that it does not reach: its correction at the others serves there.
    there = node >= 0
    guest = np.where(there[..., None], correction[np.maximum(node, 0)], 0)
    mean = guest.sum(axis=1) / np.maximum(there.sum(axis=1), 1)[:, None]
    guest = np.where(there[..., None], guest, mean[:, None, :])
    all_photos = np.concatenate([label[seen], photo])
    order = np.argsort(all_photos, kind="stable")
    return Shares(
        np.searchsorted(all_photos[order], np.arange(photos + 1)),
        np.concatenate([seen, face])[order],
        np.concatenate([1 - others[seen], weight])[order],
        np.concatenate([correction[own_node], guest.astype(np.float32)])[order],
    )


@dataclass(frozen=True)
class _Nodes:
    """All nodes, ascending by vertex, then photo.

    Attributes:
        vertex, photo: (N,) int64.
        share: (N,) float32, part of the faces around the vertex that use the photo.
        begins: (V + 1,) where each vertex' nodes begin.
        of_corner: (seen faces, 3) the node of each corner.
    """

    vertex: NDArray[np.int64]
    photo: NDArray[np.int64]
    share: NDArray[np.float32]
    begins: NDArray[np.int64]
    of_corner: NDArray[np.int64]

    @classmethod
    def of(cls, faces: NDArray[np.int32], label: NDArray[np.int32], vertex_count: int, photos: int) -> "_Nodes":
        seen = np.flatnonzero(label != UNSEEN)
        key = faces[seen].astype(np.int64) * photos + label[seen][:, None]
        keys, node, count = np.unique(key, return_inverse=True, return_counts=True)
        vertex = keys // photos
        total = np.bincount(vertex, count, vertex_count)
        return cls(
            vertex,
            keys % photos,
            (count / total[vertex]).astype(np.float32),
            np.searchsorted(vertex, np.arange(vertex_count + 1)),
            node.reshape(-1, 3),
        )

    def __len__(self) -> int:
        return len(self.vertex)


def _guests(
    nodes: _Nodes,
    faces: NDArray[np.int32],
    label: NDArray[np.int32],
    observations: Observations,
    outlier: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Faces at seams and the photos from the other side of the seam that see them as well.

    Returns:
        face (M,), photo (M,), share of the photo at the corners (M, 3), its node at the corners (M, 3; -1: none).
    """
    seen = np.flatnonzero(label != UNSEEN)
    corner_face, corner = np.repeat(seen, 3), np.tile(np.arange(3), len(seen))
    vertex = faces[seen].ravel()
    count = nodes.begins[vertex + 1] - nodes.begins[vertex]
    at_seam = count > 1
    corner_face, corner, vertex, count = corner_face[at_seam], corner[at_seam], vertex[at_seam], count[at_seam]
    node = ranges(nodes.begins[vertex], count)
    corner_face, corner = np.repeat(corner_face, count), np.repeat(corner, count)
    photo = nodes.photo[node]
    index, known = observations.find(corner_face, photo)
    use = known & (photo != label[corner_face])
    use[use] &= ~outlier[index[use]]
    corner_face, corner, node, photo = corner_face[use], corner[use], node[use], photo[use]
    width = int(photo.max(initial=0)) + 1
    entries, entry = np.unique(corner_face * width + photo, return_inverse=True)
    weight = np.zeros((len(entries), 3), np.float32)
    weight[entry, corner] = nodes.share[node]
    at = np.full((len(entries), 3), -1, np.int64)
    at[entry, corner] = node
    return entries // width, entries % width, weight, at


def _levelled(
    nodes: _Nodes,
    faces: NDArray[np.int32],
    observations: Observations,
    outlier: NDArray[np.bool_],
    wanted: NDArray[np.float64],
    insistence: NDArray[np.float64],
    vertex_count: int,
) -> NDArray[np.float32]:
    """Colours (nodes, 3) to add, so that differences at seams vanish, and corrections stay smooth within charts and on
    the whole as wanted (nodes, 3), with insistence (nodes,).

    After Lempitsky and Ivanov (CVPR 2007); the difference at a seam's vertex is the mean over the faces around it that
    both photos see, which a small misalignment does not disturb.
    """
    first, second, difference = _seam_differences(nodes, faces, observations, outlier, vertex_count)
    count = len(nodes)
    rows = np.arange(len(first))
    ones = np.ones(len(first))
    D = csr_array(
        (np.concatenate([ones, -ones]), (np.concatenate([rows, rows]), np.concatenate([first, second]))),
        (len(first), count),
    )
    tails, heads = nodes.of_corner.ravel(), np.roll(nodes.of_corner, -1, axis=1).ravel()
    adjacency = coo_array((np.full(len(tails), _SMOOTHNESS), (tails, heads)), (count, count)).tocsr()
    adjacency = adjacency + adjacency.T
    system = (D.T @ D + diags_array(adjacency.sum(axis=1) + _PRIOR + insistence) - adjacency).tocsr()
    jacobi = diags_array(1 / system.diagonal())
    correction = np.zeros((count, 3), np.float32)
    for channel in range(3):
        correction[:, channel], _ = cg(
            system,
            D.T @ difference[:, channel] + insistence * wanted[:, channel],
            rtol=_TOLERANCE,
            maxiter=_MOST_ITERATIONS,
            M=jacobi,
        )
    return correction


def _towards_consensus(
    nodes: _Nodes, label: NDArray[np.int32], observations: Observations, outlier: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How to bring each node's photo to the mean of all photos that see the faces around it.

    Sheen and shade that change with the view, lens shading and what is left of exposure are evened out by that.

    Returns:
        Colours to add (nodes, 3) and how sure that is, 0…1 (nodes,).
    """
    face = observations.face
    weight = np.where(outlier, 0, observations.quality)
    total = np.maximum(np.bincount(face, weight, len(label)), 1e-30)
    own = observations.photo == label[face]
    change = np.zeros((len(label), 3))
    for channel in range(3):
        color = observations.color[:, channel]
        change[:, channel] = np.bincount(face, weight * color, len(label)) / total
        change[face[own], channel] -= color[own]
    several = np.bincount(face, weight > 0, len(label)) > 1
    sure = several / (1 + (change**2).sum(axis=1) / (3 * _TYPICAL_SHADING**2)) ** 2
    corners = nodes.of_corner.ravel()
    sure, change = (np.repeat(values[label != UNSEEN], 3, axis=0) for values in (sure, change))
    together = np.bincount(corners, sure, len(nodes))
    count = np.maximum(np.bincount(corners, minlength=len(nodes)), 1)
    sums = [np.bincount(corners, sure * change[:, channel], len(nodes)) for channel in range(3)]
    return np.stack(sums, axis=1) / np.maximum(together, 1e-30)[:, None], together / count


def _seam_differences(
    nodes: _Nodes,
    faces: NDArray[np.int32],
    observations: Observations,
    outlier: NDArray[np.bool_],
    vertex_count: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of nodes at one vertex, and the colour of the second less that of the first (P, 3)."""
    one, two = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for distance in range(1, int(np.diff(nodes.begins).max(initial=1))):
        at = np.flatnonzero(nodes.vertex[:-distance] == nodes.vertex[distance:])
        one.append(at)
        two.append(at + distance)
    first, second = np.concatenate(one), np.concatenate(two)
    corner_vertex = faces.ravel()
    order = np.argsort(corner_vertex, kind="stable")
    begins = np.searchsorted(corner_vertex[order], np.arange(vertex_count + 1))
    vertex = nodes.vertex[first]
    span = begins[vertex + 1] - begins[vertex]
    pair = np.repeat(np.arange(len(first)), span)
    face = order[ranges(begins[vertex], span)] // 3
    index_one, known_one = observations.find(face, nodes.photo[first][pair])
    index_two, known_two = observations.find(face, nodes.photo[second][pair])
    both = known_one & known_two & ~outlier[index_one] & ~outlier[index_two]
    change = observations.color[index_two[both]] - observations.color[index_one[both]]
    weight = np.bincount(pair[both], minlength=len(first))
    sums = [np.bincount(pair[both], change[:, channel], len(first)) for channel in range(3)]
    known = weight > 0
    return first[known], second[known], (np.stack(sums, axis=1) / np.maximum(weight, 1)[:, None])[known]
