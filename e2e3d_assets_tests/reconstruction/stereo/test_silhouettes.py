"""Rims of wrong depth around things before a blank background."""

import numpy as np
import pytest

from e2e3d_assets.reconstruction.stereo.silhouettes import away_from_blank, without_rims

SIZE = 64
THING = np.s_[20:44, 20:44]


def sky(noise: float = 1.0) -> np.ndarray:
    return 200 + np.random.default_rng(0).normal(0, noise, (SIZE, SIZE))


def textured_thing_in_the_sky() -> np.ndarray:
    photo = sky()
    photo[THING] = np.random.default_rng(1).uniform(40, 140, photo[THING].shape)
    return photo.astype(np.uint8)


@pytest.mark.parametrize("background", [0.0, 9.0])
def test_rims_go_and_the_thing_stays(background: float):
    """They would hang around every model as a fringe of background colour."""
    depth = np.full((SIZE, SIZE), background, np.float32)
    depth[17:47, 17:47] = 2.0
    kept = without_rims(depth, textured_thing_in_the_sky())
    assert (kept[THING] > 0).mean() > 0.97
    rim = (depth == 2.0) & (kept > 0)
    rim[THING] = False
    assert rim.sum() < 0.05 * (30 * 30 - 24 * 24)
    np.testing.assert_array_equal(kept[depth != 2.0], depth[depth != 2.0])


def test_blank_tiles_with_joints_stay():
    """A plain tile beside a dark joint has a right depth: both lie in one plane."""
    photo = sky()
    photo[::8] -= 80
    photo[:, ::8] -= 80
    depth = np.full((SIZE, SIZE), 2.0, np.float32)
    np.testing.assert_array_equal(without_rims(depth, photo.astype(np.uint8)), depth)


def test_weak_texture_up_to_the_outline_stays():
    """Only what has nothing of its own to match may go: plaster has."""
    photo = sky(noise=6.0)
    photo[:, :32] = 60 + np.random.default_rng(2).normal(0, 6.0, (SIZE, 32))
    depth = np.zeros((SIZE, SIZE), np.float32)
    depth[:, 32:] = 2.0
    assert (without_rims(depth, np.clip(photo, 0, 255).astype(np.uint8)) > 0).mean() > 0.48


def test_plain_poles_stay():
    """Railings and stems have no texture across, but they look unlike what is behind them."""
    photo = sky()
    photo[:, 30:34] = 60
    depth = np.full((SIZE, SIZE), 9.0, np.float32)
    depth[:, 27:37] = 2.0
    kept = without_rims(depth, photo.astype(np.uint8))
    assert (kept[:, 30:34] == 2.0).all()
    assert not kept[:, 27:29].any()
    assert not kept[:, 35:37].any()


def test_islands_and_rims_in_a_blank_sky_go() -> None:
    """At a quarter of the size clouds agree by chance, and an outline's patch reaches sixteen pixels into the sky."""
    photo = np.full((40, 60), 200, np.uint8)
    photo[:, 30:] = np.random.default_rng(0).integers(0, 255, (40, 30))
    trusted = np.zeros((40, 60), np.float32)
    trusted[10:13, 10:13] = 0.5
    trusted[:, 28:] = 0.5
    trusted[20, 45] = 0
    kept = away_from_blank(trusted, photo) > 0
    assert not kept[:, :29].any()
    assert kept[:, 31:].sum() == 40 * 29 - 1
