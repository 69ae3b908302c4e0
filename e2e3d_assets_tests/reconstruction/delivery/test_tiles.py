"""Tiles that leave gaps, lie elsewhere on the globe, are never refined, or show other colours than the model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer

from e2e3d_assets.reconstruction.delivery import tiles
from e2e3d_assets.reconstruction.delivery.excerpts import Excerpts
from e2e3d_assets.reconstruction.delivery.levels_of_detail import level_of_detail
from e2e3d_assets.reconstruction.delivery.lidar import to_utm, utm
from e2e3d_assets.reconstruction.delivery.tiles import write_tiles
from e2e3d_assets.reconstruction.errors import Cancelled
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.raycasting import orbit_camera, render
from e2e3d_assets.reconstruction.textured_mesh import TexturedMesh, load_glb

from ..delivery_scene import BOX, GEOREFERENCE, OFFSET, textured_box

PLACE = GEOREFERENCE.model_copy(update={"latitude": -33.9, "longitude": 151.2, "altitude": 80})


@pytest.fixture(scope="module")
def full() -> TexturedMesh:
    return textured_box(subdivisions=4)


@pytest.fixture(scope="module")
def tileset(full: TexturedMesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tiles") / "tiles"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "_TILE_FACES", 300)
        write_tiles(out, [level_of_detail(full, 300, 256, Monitor()), full], PLACE, Monitor())
    return out


def document(tileset: Path) -> dict[str, Any]:
    return json.loads((tileset / "tileset.json").read_text())


def below(tile: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield tile
    for child in tile.get("children", ()):
        yield from below(child)


def test_finest_tiles_are_the_model(full: TexturedMesh, tileset: Path):
    """A triangle that lies in no tile is a hole."""
    leaves = [tile for tile in below(document(tileset)["root"]) if not tile.get("children")]
    assert len(leaves) > 8
    parts = [load_glb(tileset / leaf["content"]["uri"]) for leaf in leaves]
    found = np.concatenate([part.vertices[part.faces] for part in parts]).reshape(-1, 9)
    wanted = full.vertices[full.faces].astype(np.float32).reshape(-1, 9)
    assert np.array_equal(np.unique(found, axis=0), np.unique(wanted, axis=0))
    assert len(found) < 1.7 * len(wanted)


def test_neighbouring_tiles_share_the_faces_between_them(full: TexturedMesh, tileset: Path):
    """Where a coarse tile meets a fine one, rims that end before the border leave a row of holes."""
    leaves = [tile for tile in below(document(tileset)["root"]) if not tile.get("children")]
    parts = [load_glb(tileset / leaf["content"]["uri"]) for leaf in leaves]
    found = np.concatenate([part.vertices[part.faces] for part in parts]).reshape(-1, 9)
    triangles, times = np.unique(found, axis=0, return_counts=True)
    cells = ((triangles.reshape(-1, 3, 3) - full.vertices.min(axis=0)) / BOX.max() * 4).clip(0, 3).astype(int)
    reached = [len(np.unique(corners, axis=0)) for corners in cells]
    assert np.array_equal(times, reached)
    assert times.max() > 1


def test_boxes_hold_what_is_below_them(tileset: Path):
    """Viewers do not look into a box that is out of sight."""

    def reach(tile: dict[str, Any]) -> np.ndarray:
        box = np.array(tile["boundingVolume"]["box"]).reshape(4, 3)
        half = np.abs(box[1:]).sum(axis=0)
        return np.array([box[0] - half, box[0] + half])

    for tile in below(document(tileset)["root"]):
        low, high = reach(tile)
        for child in tile.get("children", ()):
            assert (reach(child)[0] >= low - 1e-6).all()
            assert (reach(child)[1] <= high + 1e-6).all()
        corners = load_glb(tileset / tile["content"]["uri"]).vertices
        assert (corners >= low - 1e-6).all()
        assert (corners <= high + 1e-6).all()


def test_errors_fall_from_coarse_to_fine(tileset: Path):
    """Viewers refine by them: equal errors would never be refined, or at once."""
    described = document(tileset)
    assert described["asset"]["version"] == "1.1"
    assert described["root"]["refine"] == "REPLACE"
    assert described["geometricError"] > described["root"]["geometricError"] > 0
    for tile in below(described["root"]):
        for child in tile.get("children", ()):
            assert child["geometricError"] < tile["geometricError"]
        if not tile.get("children"):
            assert tile["geometricError"] == 0


def test_root_stands_where_the_map_says(tileset: Path):
    """Tiles and LAZ of one model must lie on one another: two ways to the same place on the globe."""
    transform = np.array(document(tileset)["root"]["transform"]).reshape(4, 4).T
    corners = np.array([[0, 0, 0], [50, 0, 0], [0, 50, 0], [0, 0, 50], [-20, 30, 10.0]])
    globe = corners @ transform[:3, :3].T + transform[:3, 3]
    east, north, height = to_utm(corners, PLACE).T
    to_map = Transformer.from_crs("EPSG:4978", utm(PLACE).to_3d(), always_xy=True)
    assert np.allclose(np.stack(to_map.transform(*globe.T), axis=1), np.stack([east, north, height], axis=1), atol=1e-3)


def test_without_gps_the_world_frame_is_kept(full: TexturedMesh, tmp_path: Path):
    """Nobody knows where the model stands: any place would be a lie."""
    write_tiles(tmp_path / "tiles", [full], None, Monitor())
    root = document(tmp_path / "tiles")["root"]
    assert "transform" not in root
    assert np.allclose(root["boundingVolume"]["box"][:3], OFFSET, atol=1e-6)


@pytest.mark.parametrize("direction", [(1, 1, 1), (-1, -0.6, -0.4)])
def test_excerpts_show_the_colours_of_the_whole_model(full: TexturedMesh, direction: tuple[float, float, float]):
    """A tile has its own page: texels that moved without their coordinates show another place."""
    some = np.flatnonzero(full.vertices[full.faces].mean(axis=1)[:, 2] > OFFSET[2] - BOX[2] / 5)
    expected = TexturedMesh(full.vertices, full.faces[some], full.uv[some], full.face_page[some], full.pages)
    excerpt = Excerpts(full).of(some)
    assert excerpt.pages[0].size < 3 * full.pages[0].size
    camera = orbit_camera(OFFSET, 0.8, np.array(direction), 200, 160)
    assert np.abs(render(excerpt, camera).astype(int) - render(expected, camera)).max() <= 2


def test_cancelling_stops(full: TexturedMesh, tmp_path: Path):
    """A large model has hundreds of tiles."""
    monitor = Monitor()
    monitor.cancelled.set()
    with pytest.raises(Cancelled):
        write_tiles(tmp_path / "tiles", [full], None, monitor)
