"""Parallax is there where the camera moved, and only there."""

from pathlib import Path

import numpy as np
import pytest

from e2e3d_assets.reconstruction.sparse.match_document import MatchesDocument
from e2e3d_assets.reconstruction.sparse.parallax import parallax_of_size

from ..camera_networks import build_model, look_at, ring, write_products

UP = np.array([0.0, 0.0, 1.0])
WALL = [(look_at(np.array([x, -6.0, 0.0]), np.array([x, 0.0, 0.0]), UP), np.array([x, -6.0, 0.0])) for x in (-1, 0, 1)]
SPOT = [(look_at(np.array([0, -6.0, 0]), np.array([x, 0.0, 0.0]), UP), np.array([0, -6.0, 0])) for x in (-1, 0, 1)]


@pytest.mark.parametrize(("poses", "least", "most"), [(ring(8), 0.02, 1), (WALL, 0.006, 1), (SPOT, 0, 0.002)])
def test_only_a_turning_camera_has_none(tmp_path: Path, poses: list, least: float, most: float):
    """Photos along a wall taken for a panorama would be refused; a panorama taken for them gives a bent wall."""
    write_products([build_model(poses)], tmp_path / "photos", tmp_path / "matches")
    pairs = [pair.photos for pair in MatchesDocument.load(tmp_path / "matches").pairs]
    assert least < parallax_of_size(tmp_path / "matches" / "database.db", pairs) < most
