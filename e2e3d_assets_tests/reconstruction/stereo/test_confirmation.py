"""Where a depth of a quarter's size steps in for one that nothing confirms."""

import numpy as np

from e2e3d_assets.reconstruction.stereo.confirmation import filled
from e2e3d_assets.reconstruction.stereo.propagation import State
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
    camera, planes = wall(40, 24)
    _, coarse = wall(10, 6)
    trusted = np.zeros((24, 40), np.float32)
    trusted[:, :20] = 0.9
    views = np.full((24, 40), 3, np.uint32)
    views[:4] = 0
    coarse_trusted = np.full((6, 10), 0.6, np.float32)
    coarse_trusted[:, 8:] = 0
    wrong = planes.copy()
    wrong[:, 20:, 3] = 7.0

    found, confidence = filled(
        camera, State(wrong, np.zeros((24, 40), np.float32), views), trusted, coarse, coarse_trusted
    )

    expected = np.zeros((24, 40), np.float32)
    expected[:, :20] = 0.9
    expected[4:, 20:32] = 0.3
    np.testing.assert_allclose(confidence, expected, atol=1e-6)
    known = confidence > 0
    np.testing.assert_allclose(found[known], planes[known], rtol=1e-4)
    assert not found[~known].any()
