"""Two photos' depth maps to points."""

import numpy as np
import pytest

from e2e3d_assets.reconstruction.stereo.merging import Maps, Placed, Tolerance, merge
from e2e3d_assets.reconstruction.stereo.views import Camera

SIZE = 32
TOLERANCE = Tolerance(np.float32(1), np.float32(0.01), np.float32(0.9), 2, 3, 4)


def wall_seen_twice(disagreement: float, widths: tuple[int, int], turned: bool = False) -> tuple[Maps, list[Placed]]:
    """A wall, two units away; the second photo has it nearer by a share of its distance."""
    K = np.array([[SIZE, 0, SIZE / 2], [0, SIZE, SIZE / 2], [0, 0, 1.0]])
    placed = [
        Placed(Camera(SIZE, SIZE, K, np.eye(3), np.array([offset, 0, 0])), i * SIZE**2)
        for i, offset in enumerate((0.0, 0.5))
    ]
    maps = Maps.empty(2, SIZE**2)
    for photo, (depth, width) in enumerate(zip((2.0, 2 * (1 - disagreement)), widths, strict=True)):
        there = slice(photo * SIZE**2, (photo + 1) * SIZE**2)
        maps.depths[there] = depth
        maps.normals[there] = (-120, 0, -40) if turned and photo else (0, 0, -127)
        maps.confidences[there] = 100
        maps.widths[there] = width
    return maps, placed


@pytest.mark.parametrize(
    ("disagreement", "widths", "turned", "agrees"),
    [
        (0.0, (1, 1), False, True),
        (0.02, (1, 1), False, False),
        (0.02, (4, 4), False, True),
        (0.02, (4, 8), False, True),
        (0.06, (4, 4), False, False),
        (0.06, (4, 8), False, True),
        (0.0, (1, 1), True, False),
        (0.0, (4, 4), True, True),
        (0.0, (4, 1), False, False),
        (0.02, (1, 8), False, False),
    ],
)
def test_vague_depths_agree_within_their_own_pixels(
    disagreement: float, widths: tuple[int, int], turned: bool, agrees: bool
) -> None:
    """A forest whose depths were right at an eighth of the size gave no points; nor may such depths blur finer ones."""
    maps, placed = wall_seen_twice(disagreement, widths, turned)

    points = merge(maps, placed[0], placed[1:], TOLERANCE)

    assert (len(points) > SIZE**2 / 2) == agrees
    assert agrees or not len(points)
