"""Where a depth of a smaller size steps in for one that nothing confirms."""

import numpy as np

from e2e3d_assets.reconstruction.stereo.confirmation import filled
from e2e3d_assets.reconstruction.stereo.views import Camera

NORMAL = np.array([0.3, -0.2, -0.933], np.float32)
"""Of a slanted wall, two units away in the middle of the photo."""


def wall(width: int, height: int) -> tuple[Camera, np.ndarray]:
    K = np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1.0]])
    camera = Camera(width, height, K, np.eye(3), np.zeros(3))
    rows, columns = np.mgrid[:height, :width]
    rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones((height, width))], axis=-1)
    depth = 2 * NORMAL[2] / (rays @ NORMAL)
    planes = np.concatenate([np.broadcast_to(NORMAL, (height, width, 3)), depth[..., None]], axis=-1)
    return camera, planes.astype(np.float32)


def test_confirmed_coarse_planes_go_on_where_nothing_else_is_known() -> None:
    """A forest seen by two photos came out empty, though its depth at a quarter of the size was right."""
    camera, planes = wall(160, 96)
    _, coarse = wall(40, 24)
    trusted = np.zeros((96, 160), np.float32)
    trusted[:, :80] = 0.9
    wanted = np.ones((96, 160), bool)
    wanted[:16] = False
    coarse_trusted = np.full((24, 40), 0.6, np.float32)
    coarse_trusted[:, 32:] = 0
    wrong = planes.copy()
    wrong[:, 80:, 3] = 7.0

    found, confidence = filled(camera, wrong, trusted, wanted, coarse, coarse_trusted)

    expected = np.zeros((96, 160), np.float32)
    expected[:, :80] = 0.9
    expected[16:, 80:128] = 0.3
    np.testing.assert_allclose(confidence, expected, atol=1e-6)
    known = confidence > 0
    np.testing.assert_allclose(found[known], planes[known], rtol=1e-4)
    assert not found[~known].any()


def test_what_is_near_does_not_grow_over_what_is_known_behind_it() -> None:
    """At a quarter of the size a statue's outline reached over the wall beside it, hidden from the other photos."""
    camera, planes = wall(160, 96)
    _, coarse = wall(40, 24)
    coarse[:, :21, 3] /= 2
    trusted = np.zeros((96, 160), np.float32)
    trusted[:, 84:] = 0.9
    everywhere = np.ones((96, 160), bool)

    _, confidence = filled(camera, planes, trusted, everywhere, coarse, np.full((24, 40), 0.6, np.float32))

    assert (confidence[:, :68] > 0).all()
    assert not confidence[:, 68:84].any()
    assert (confidence[:, 84:] == np.float32(0.9)).all()


def test_outlines_do_not_grow_over_what_is_not_known() -> None:
    """Coarsely seen, a statue's legs had grown together, with a rim of blocks where the lawn behind is unknown."""
    camera, _ = wall(160, 96)
    planes, coarse = np.zeros((96, 160, 4), np.float32), np.zeros((24, 40, 4), np.float32)
    planes[..., 2], planes[..., 3] = -1, 2
    coarse[..., 2], coarse[..., 3] = -1, 2
    trusted = np.zeros((96, 160), np.float32)
    trusted[20:60, 40:80] = 0.9
    trusted[36:44, 56:64] = 0
    coarse_trusted = np.zeros((24, 40), np.float32)
    coarse_trusted[3:17, 8:22] = 0.6

    _, confidence = filled(camera, planes, trusted, np.ones((96, 160), bool), coarse, coarse_trusted)

    trusted[36:44, 56:64] = 0.3  # a gap in it is filled
    np.testing.assert_allclose(confidence, trusted, atol=1e-6)
