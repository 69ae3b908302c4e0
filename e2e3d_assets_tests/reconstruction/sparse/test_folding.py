"""Two like sides of a thing that lie over one another in the model are reported; good sets give no alarm."""

import numpy as np

from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.sparse.folding import folded_photos

from ..camera_networks import build_model, ring

SIDE = 8


def one_thing_before_two_backgrounds(photo: int, points: np.ndarray) -> np.ndarray:
    """Both halves of the photos show what is in the middle; of what is around it, each half shows its own."""
    own = np.arange(len(points)) % 2 == photo // SIDE
    return (np.linalg.norm(points[:, :2], axis=1) < 0.8) | own


def every_second_point(photo: int, points: np.ndarray) -> np.ndarray:
    """Key points are found again by chance."""
    return np.random.default_rng(photo).random(len(points)) < 0.5


def test_like_sides_are_found_by_what_is_missing_around_them():
    """A box photographed from the front and from the back is half a box, and no pair of photos contradicts it."""
    views = ring(SIDE) * 2
    found = folded_photos(build_model(views, points=2000, sees=one_thing_before_two_backgrounds), Monitor())
    assert {pair.photos for pair in found} == {(f"{i:03d}.jpg", f"{i + SIDE:03d}.jpg") for i in range(1, SIDE + 1)}
    assert {pair.kind for pair in found} == {"folded"}
    assert all(0 < pair.fitting_points < 0.6 * pair.common_points for pair in found)


def test_points_that_a_photo_misses_are_no_alarm():
    """Half of the key points are never found again: were that taken for missing, every set would be doubtful."""
    assert folded_photos(build_model(ring(24), points=2000, sees=every_second_point), Monitor()) == []
