"""Which pairs are chosen, as properties."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from e2e3d_assets.reconstruction.photo_set import Gps
from e2e3d_assets.reconstruction.sparse.pairing import (
    alike_pairs,
    every_pair,
    ground_positions,
    linking_pairs,
    merge_reasons,
    nearby_pairs,
    not_far_apart,
    pauses,
    sequence_pairs,
)


@given(st.integers(0, 300), st.integers(2, 40), st.sets(st.integers(1, 299), max_size=5))
def test_sequence_links_neighbours_and_spans_no_break(count: int, neighbours: int, breaks: set[int]):
    """A chain that misses one link falls into two models; pairs across a break waste time."""
    inside = {index for index in breaks if index < count}
    pairs = sequence_pairs(count, neighbours, inside)
    assert all(0 <= i < j < count for i, j in pairs)
    assert len(set(pairs)) == len(pairs) <= count * (neighbours // 2 + 2)
    assert {(i, i + 1) for i in range(count - 1) if i + 1 not in inside} <= set(pairs)
    assert not any(i < index <= j for i, j in pairs for index in inside)


def test_pauses():
    """A photo taken an hour later is no neighbour of the one before; nor is one without time."""
    times = ["2024-01-01T10:00:00", "2024-01-01T10:00:05", "2024-01-01T11:00:00", None, "2024-01-01T11:00:05"]
    assert pauses(times) == [2, 3, 4]


def test_nearest_by_gps_are_paired_in_metres():
    """Degrees of longitude are short in the north: taken as equal, neighbours across would be missed."""
    places = {3 * k: Gps(latitude=65.0 + 1e-4 * (k // 3), longitude=25.0 + 2e-4 * (k % 3)) for k in range(9)}
    pairs = nearby_pairs(places, 2)
    assert (0, 3) in pairs  # 9.4 m across; up is 11.1 m
    assert all(i % 3 == 0 and j % 3 == 0 and i < j for i, j in pairs)


def test_like_places_far_apart_are_no_pair():
    """Ground that repeats every 250 m folded a made-up flight of 1,000 photos: all registered, 100 m off."""
    places = {k: Gps(latitude=5e-5 * k, longitude=10.0) for k in range(60)}  # 5.6 m apart
    places[60] = Gps(latitude=0.0, longitude=10.02)  # from a hill, 2.2 km away
    pairs = [(0, 3), (0, 15), (0, 50), (7, 60), (0, 61)]
    assert not_far_apart(pairs, places, 4) == [(0, 3), (0, 15), (7, 60), (0, 61)]


def test_gps_across_the_date_line():
    """At 180 degrees two neighbours have longitudes of opposite sign."""
    ground = ground_positions([Gps(latitude=0.0, longitude=179.9999), Gps(latitude=0.0, longitude=-179.9999)])
    assert np.linalg.norm(ground[1] - ground[0]) < 30


def test_alike_pairs():
    """Two scenes in one set: photos must be paired inside their scene first."""
    random = np.random.default_rng(0)
    scenes = np.repeat(np.eye(2, 16), 6, axis=0) + random.normal(0, 0.05, (12, 16))
    signatures = scenes / np.linalg.norm(scenes, axis=1, keepdims=True)
    pairs = alike_pairs(signatures.astype(np.float32), 3)
    assert all((i < 6) == (j < 6) for i, j in pairs)
    assert {index for pair in pairs for index in pair} == set(range(12))
    assert alike_pairs(signatures[:1], 3) == []


def test_groups_are_linked_by_their_most_alike_photos():
    """One scene in two groups falls into two models; its most alike pair across must be tried, once."""
    angles = np.radians([0, 2, 50, 52.5, 6.5, 8.7, 90, 92])
    signatures = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = [[0, 1, 2, 3], [4, 5], [6, 7]]
    assert linking_pairs(signatures, groups, {(1, 4)}, 2) == [(0, 4), (1, 5), (3, 6), (3, 7)]
    assert (1, 4) in linking_pairs(signatures, groups, set(), 1)
    assert linking_pairs(signatures, groups[:1], set(), 5) == []


def test_reasons_are_merged():
    """A pair chosen twice is compared once, and says both reasons."""
    merged = merge_reasons({"sequence": [(0, 1), (1, 2)], "gps": [(0, 1)]})
    assert merged == {(0, 1): ["sequence", "gps"], (1, 2): ["sequence"]}


def test_every_pair():
    """None twice, none missing."""
    assert every_pair(4) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
