"""Small models that look unlike the full one: torn seams, colours of another side, noise, another frame."""

import numpy as np
import pytest
import trimesh

from e2e3d_assets.reconstruction.delivery.levels_of_detail import level_of_detail
from e2e3d_assets.reconstruction.errors import Cancelled
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.raycasting import orbit_camera, render
from e2e3d_assets.reconstruction.textured_mesh import TexturedMesh

from ..delivery_scene import BOX, OFFSET, textured_box


@pytest.fixture(scope="module")
def full() -> TexturedMesh:
    return textured_box(subdivisions=4)


@pytest.fixture(scope="module")
def level(full: TexturedMesh) -> TexturedMesh:
    return level_of_detail(full, 300, 256, Monitor())


def test_level_is_small_and_lies_where_the_full_model_lies(level: TexturedMesh):
    """A model that was centred on the way no longer fits cameras and cloud."""
    assert 12 <= len(level.faces) <= 300
    assert len(level.pages) == 1
    assert level.pages[0].shape == (256, 256, 3)
    assert np.allclose([level.vertices.min(axis=0), level.vertices.max(axis=0)], [OFFSET - BOX / 2, OFFSET + BOX / 2])
    x, y, z = BOX
    area = trimesh.Trimesh(level.vertices, level.faces, process=False).area
    assert area == pytest.approx(2 * (x * y + y * z + z * x), rel=0.01)


@pytest.mark.parametrize("direction", [(1, 1, 1), (-1, -0.6, 0.4), (0.3, -1, -0.7)])
def test_level_looks_like_the_full_model(full: TexturedMesh, level: TexturedMesh, direction):
    """The new atlas must show on each side what the old one showed there."""
    camera = orbit_camera(OFFSET, 0.8, np.array(direction, float), 200, 160)
    difference = render(full, camera).astype(float) - render(level, camera)
    assert 10 * np.log10(255**2 / np.mean(difference**2)) > 27


def test_page_is_filled_to_its_corners(level: TexturedMesh):
    """Unfilled texels show as dark rims on phones, which draw reduced pages."""
    assert (level.pages[0].max(axis=2) > 0).all()


def test_cancelling_stops(full: TexturedMesh):
    """Simplifying millions of faces takes long."""
    monitor = Monitor()
    monitor.cancelled.set()
    with pytest.raises(Cancelled):
        level_of_detail(full, 300, 256, monitor)
