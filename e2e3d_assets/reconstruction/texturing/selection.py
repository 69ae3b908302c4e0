"""Which photo each face takes its colour from.

What belongs here: the energy and its minimisation. The energy is that of Lempitsky and Ivanov, "Seamless Mosaicing of
Image-Based Texture Maps" (CVPR 2007), and Waechter et al. (ECCV 2014): a cost for each face's choice and one for each
seam. Costs are measured in areas and lengths of the surface, so that the answer does not depend on how it is cut into
triangles. It is minimised by sequential tree-reweighted message passing (Kolmogorov, PAMI 2006), which needs no more
than the photos that see a face.
"""

import numpy as np
from numpy.typing import NDArray

from ..mesh_repair import areas, face_neighbours
from ..stereo.compiled import inlined, serial
from .observations import Observations

UNSEEN = -1
_SEAM_COST = 0.6  # of a seam as long as a typical edge, in units of a typical face's log quality
_WORST_COST = 4.0
_OUTLIER_COST = 6.0
_DETAIL_FLOOR = 2.0  # grey levels a pixel: below, gradients are noise
_DETAIL_WEIGHT = 0.5  # 1 is Waechter's gradient times area: 0.3 dB worse on an open scene, equal on relic and banana
_ITERATIONS = 12
_NONE = -1


def select_photos(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], observations: Observations, outlier: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """(F,) the photo of each face, :data:`UNSEEN` where no photo sees it.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        observations: what is seen, exposure-corrected.
        outlier: (N,) pairs to avoid.
    """
    pairs = face_neighbours(faces)
    neighbours, lengths = _neighbour_table(vertices, faces, pairs)
    area = areas(vertices, faces)
    size = np.clip(area / max(np.median(area), 1e-30), 0.05, 50.0)
    cost = _choice_costs(observations, outlier) * size[observations.face]
    return _minimised(
        observations.begins, observations.photo, cost, neighbours, (_SEAM_COST * lengths).astype(np.float32)
    )


def _choice_costs(observations: Observations, outlier: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) negative log of quality relative to the face's best, with sharpness and agreement counted in."""
    face = observations.face
    seen = np.diff(observations.begins) > 0
    score = np.log(observations.quality) + _DETAIL_WEIGHT * np.log(observations.detail + _DETAIL_FLOOR)
    best = np.full(len(seen), -np.inf)
    if len(score):
        begins = observations.begins[:-1][seen]
        agreeing = np.maximum.reduceat(np.where(outlier, -np.inf, score), begins)
        best[seen] = np.where(np.isfinite(agreeing), agreeing, np.maximum.reduceat(score, begins))
    return np.clip(best[face] - score, 0, _WORST_COST) + _OUTLIER_COST * outlier


def _neighbour_table(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """(F, 3) neighbours across edges (-1: none) and the shared edges' lengths relative to the median edge."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.argsort(both[:, 0], kind="stable")
    both = both[order]
    slot = np.arange(len(both)) - np.searchsorted(both[:, 0], both[:, 0])
    table = np.full((len(faces), 3), _NONE, np.int32)
    table[both[:, 0], slot] = both[:, 1]
    lengths = np.zeros((len(faces), 3))
    shared = (faces[both[:, 0]][:, :, None] == faces[both[:, 1]][:, None, :]).any(axis=2)
    corners = vertices[faces[both[:, 0]]]
    edges = np.linalg.norm(corners[:, [1, 2, 0]] - corners[:, [2, 0, 1]], axis=2)  # opposite to each corner
    lengths[both[:, 0], slot] = edges[np.arange(len(both)), np.argmin(shared, axis=1)]
    typical = np.median(lengths[table != _NONE]) if len(both) else 1.0
    return table, np.clip(lengths / max(typical, 1e-30), 0.05, 20.0)


@serial
def _minimised(begins, photo, cost, neighbours, seam):
    """Labels (F,) of low energy: message passing forth and back, then greedy improvement."""
    count = len(begins) - 1
    messages = np.zeros((3, len(photo)), np.float32)  # from neighbour slot to each of a face's photos
    back_slot = np.full((count, 3), -1, np.int8)
    for face in range(count):
        for slot in range(3):
            other = neighbours[face, slot]
            if other >= 0:
                for k in range(3):
                    if neighbours[other, k] == face:
                        back_slot[face, slot] = k
    for iteration in range(2 * _ITERATIONS):
        forward = iteration % 2 == 0
        for step in range(count):
            face = step if forward else count - 1 - step
            _send(face, forward, begins, photo, cost, neighbours, back_slot, seam, messages)
    labels = np.full(count, UNSEEN, np.int32)
    for face in range(count):
        best = np.inf
        for i in range(begins[face], begins[face + 1]):
            total = cost[i]
            for slot in range(3):
                other = neighbours[face, slot]
                if other < 0:
                    continue
                if other > face:
                    total += messages[slot, i]
                elif labels[other] != photo[i]:
                    total += seam[face, slot]
            if total < best:
                best, labels[face] = total, photo[i]
    for _ in range(10):
        changed = 0
        for face in range(count):
            best, chosen = np.inf, labels[face]
            for i in range(begins[face], begins[face + 1]):
                total = cost[i]
                for slot in range(3):
                    other = neighbours[face, slot]
                    if other >= 0 and labels[other] != photo[i]:
                        total += seam[face, slot]
                if total < best - 1e-9:
                    best, chosen = total, photo[i]
            if chosen != labels[face]:
                labels[face] = chosen
                changed += 1
        if changed == 0:
            break
    return labels


@inlined
def _send(face, forward, begins, photo, cost, neighbours, back_slot, seam, messages):
    """Pass one face's messages to its later (forward) or earlier neighbours."""
    first, last = begins[face], begins[face + 1]
    if first == last:
        return
    earlier = 0
    later = 0
    for slot in range(3):
        other = neighbours[face, slot]
        if other >= 0:
            if other > face:
                later += 1
            else:
                earlier += 1
    share = 1.0 / max(1, earlier, later)
    for slot in range(3):
        other = neighbours[face, slot]
        if other < 0 or (other > face) != forward:
            continue
        reverse = back_slot[face, slot]
        least = np.inf
        for i in range(first, last):
            total = cost[i] + messages[0, i] + messages[1, i] + messages[2, i]
            least = min(least, share * total - messages[slot, i])
        # Both lists of photos ascend: walk them together.
        i = first
        smallest = np.inf
        for j in range(begins[other], begins[other + 1]):
            while i < last and photo[i] < photo[j]:
                i += 1
            value = least + seam[face, slot]
            if i < last and photo[i] == photo[j]:
                total = cost[i] + messages[0, i] + messages[1, i] + messages[2, i]
                value = min(value, share * total - messages[slot, i])
            messages[reverse, j] = value
            smallest = min(smallest, value)
        for j in range(begins[other], begins[other + 1]):
            messages[reverse, j] -= smallest
