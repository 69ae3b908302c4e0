"""Parts that look alike are reported; good sets give no alarm."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.sparse.contradictions import contradictions
from e2e3d_assets.reconstruction.sparse.sparse_document import Contradiction

from ..camera_networks import build_model, ring, write_products


def opposite_sides_alike(i: int, j: int, matches: np.ndarray) -> np.ndarray:
    """Photos that face one another across the ring match too, but points that are not the same."""
    return np.roll(matches, 1, axis=0) * [1, 0] + matches * [0, 1] if abs(i - j) == 4 else matches


def find(tmp_path: Path, *found: Callable[[int, int, np.ndarray], np.ndarray]) -> list[Contradiction]:
    model = build_model(ring(8))
    write_products([model], tmp_path / "photos", tmp_path / "matches", *found)
    return contradictions(model, tmp_path / "matches" / "database.db", Monitor())


def test_good_set_gives_no_alarm(tmp_path: Path):
    """A warning that comes with every set is read by nobody."""
    assert find(tmp_path) == []


def test_pairs_that_fit_only_by_themselves_are_named(tmp_path: Path):
    """A house with two like sides: the model has one or both of them wrong, and looks well to all other figures."""
    found = find(tmp_path, opposite_sides_alike)
    assert {pair.photos for pair in found} == {(f"{i:03d}.jpg", f"{i + 4:03d}.jpg") for i in range(1, 5)}
    missing = [pair.common_points - pair.fitting_points for pair in found]
    assert missing == sorted(missing, reverse=True)
