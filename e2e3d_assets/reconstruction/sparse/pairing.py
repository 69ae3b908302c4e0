"""Which pairs of photos are worth comparing: of few photos all, of many those that chance to show the same thing.

What belongs here: pure choices on positions, order and appearance. The comparing is in
:mod:`~e2e3d_assets.reconstruction.matching`. A pair is (i, j), i < j, indices into the list of photos.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal, TypeAlias

import numpy as np
from scipy.spatial import KDTree

from ..photo_set import Gps

Pair: TypeAlias = tuple[int, int]
Why: TypeAlias = Literal["exhaustive", "sequence", "gps", "appearance", "link", "second look"]

EARTH_RADIUS_M = 6_371_008.8
_MAX_PAUSE = timedelta(minutes=10)
_BLOCK = 256
_FAR_M = 100.0
_FAR_IN_NEIGHBOURHOODS = 5.0


def every_pair(count: int) -> list[Pair]:
    """All pairs of ``count`` photos."""
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


def sequence_pairs(count: int, neighbours: int, breaks: Iterable[int] = ()) -> list[Pair]:
    """Each photo with the next few, and with some at distances of powers of two beyond them.

    Args:
        count: photos in the order in which they were taken.
        neighbours: about this many partners a photo, half of them before it.
        breaks: indices at which a new sequence starts; no pair spans one.
    """
    starts = sorted({0, *breaks})
    near = max(1, neighbours // 2 - 2)
    steps = sorted({*range(1, near + 1), *(1 << power for power in range(2, 6) if 1 << power > near)})[: near + 2]
    pairs: list[Pair] = []
    for start, end in zip(starts, [*starts[1:], count], strict=True):
        pairs += [(i, i + step) for i in range(start, end) for step in steps if i + step < end]
    return pairs


def pauses(times: Sequence[str | None]) -> list[int]:
    """Indices of photos that were taken long after the one before, or by a clock that went back."""
    known = [datetime.fromisoformat(time) if time else None for time in times]
    starts: list[int] = []
    for index in range(1, len(known)):
        before, now = known[index - 1], known[index]
        if before is None or now is None or not timedelta(0) <= now - before <= _MAX_PAUSE:
            starts.append(index)
    return starts


def nearby_pairs(places: Mapping[int, Gps], neighbours: int) -> list[Pair]:
    """Each photo with its nearest by GPS, measured along the ground.

    Args:
        places: GPS by the photo's index; photos without one are not named.
        neighbours: partners a photo.
    """
    if len(places) < 2:
        return []
    indices = sorted(places)
    ground = ground_positions([places[index] for index in indices])
    count = min(neighbours + 1, len(indices))
    nearest = np.asarray(KDTree(ground).query(ground, k=count)[1])
    return _unique((indices[i], indices[int(j)]) for i, row in enumerate(nearest) for j in row)


def not_far_apart(pairs: Sequence[Pair], places: Mapping[int, Gps], neighbours: int) -> list[Pair]:
    """Pairs less those that GPS has many neighbourhoods apart: rows of like houses, panels or vines, not one place.

    A neighbourhood is as wide as the way to a photo's last neighbour, so that a photo taken from afar, or one whose GPS
    is wrong, keeps its pairs.

    Args:
        pairs: chosen by appearance.
        places: GPS by the photo's index; photos without one keep their pairs.
        neighbours: photos in a neighbourhood.
    """
    if len(places) < 2:
        return list(pairs)
    indices = sorted(places)
    ground = ground_positions([places[index] for index in indices])
    width = np.asarray(KDTree(ground).query(ground, k=min(neighbours + 1, len(indices)))[0])[:, -1]
    where = dict(zip(indices, ground, strict=True))
    reach = dict(zip(indices, np.maximum(_FAR_M, _FAR_IN_NEIGHBOURHOODS * width), strict=True))

    def near(i: int, j: int) -> bool:
        return i not in where or j not in where or np.linalg.norm(where[i] - where[j]) <= max(reach[i], reach[j])

    return [(i, j) for i, j in pairs if near(i, j)]


def ground_positions(places: Sequence[Gps]) -> np.ndarray:
    """(N, 2) metres east and north of the first place; for distances of some kilometres."""
    origin = places[0]
    degrees = np.array([(p.longitude - origin.longitude, p.latitude - origin.latitude) for p in places])
    degrees[:, 0] = (degrees[:, 0] + 180.0) % 360.0 - 180.0
    return np.deg2rad(degrees) * EARTH_RADIUS_M * np.array([np.cos(np.deg2rad(origin.latitude)), 1.0])


def alike_pairs(signatures: np.ndarray, neighbours: int) -> list[Pair]:
    """Each photo with those whose signatures are nearest by the cosine.

    Args:
        signatures: (N, D) unit vectors.
        neighbours: partners a photo.
    """
    count = min(neighbours, len(signatures) - 1)
    if count < 1:
        return []
    pairs: list[Pair] = []
    for start in range(0, len(signatures), _BLOCK):
        likeness = signatures[start : start + _BLOCK] @ signatures.T
        rows = np.arange(len(likeness))
        likeness[rows, start + rows] = -np.inf
        nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
        pairs += [(start + int(i), int(j)) for i in rows for j in nearest[i]]
    return _unique(pairs)


def linking_pairs(
    signatures: np.ndarray, groups: Sequence[Sequence[int]], compared: Collection[Pair], pairs_a_group: int
) -> list[Pair]:
    """For each group of photos that hangs together, its most alike pairs with photos outside that were not compared.

    Args:
        signatures: (N, D) unit vectors.
        groups: indices of photos, the largest group first; the others seek to be linked.
        compared: pairs that need no second comparison.
        pairs_a_group: at most.
    """
    chosen: list[Pair] = []
    for group in groups[1:]:
        members = np.asarray(group)
        likeness = signatures[members] @ signatures.T
        likeness[:, members] = -np.inf
        count = min(pairs_a_group + len(compared), len(members) * (len(signatures) - len(members)))
        order = np.argsort(-likeness, axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(order, likeness.shape)
        ranked = ((int(members[row]), int(column)) for row, column in zip(rows, columns, strict=True))
        fresh = (pair for pair in ((min(p), max(p)) for p in ranked) if pair not in compared)
        chosen += islice(fresh, pairs_a_group)
    return _unique(chosen)


def merge_reasons(chosen: Mapping[Why, Sequence[Pair]]) -> dict[Pair, list[Why]]:
    """Each pair once, with all reasons for which it was chosen, in order."""
    reasons: dict[Pair, list[Why]] = {}
    for why, pairs in chosen.items():
        for pair in pairs:
            reasons.setdefault(pair, []).append(why)
    return dict(sorted(reasons.items()))


def _unique(pairs: Iterable[Pair]) -> list[Pair]:
    return sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
