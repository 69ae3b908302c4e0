"""What of a closed surface is kept, on a floor that bulges where nobody knows better."""

import numpy as np
import pytest
import trimesh

from e2e3d_assets.reconstruction.carving import Ballot, DepthView
from e2e3d_assets.reconstruction.mesh_cutting import cut
from e2e3d_assets.reconstruction.raycasting import Raycaster, orbit_camera

CELL = 0.01
CAMERAS = [orbit_camera(np.zeros(3), 1.0, np.array([np.cos(a), np.sin(a), 0.35]), 320, 240) for a in range(6)]
POND = 0.25  # half width of what has no points


def _joined(*parts: trimesh.Trimesh) -> trimesh.Trimesh:
    whole = trimesh.util.concatenate(parts)
    assert isinstance(whole, trimesh.Trimesh)
    return whole


def _box(extents: list[float]) -> trimesh.Trimesh:
    fine = trimesh.creation.box(extents).subdivide_to_size(0.04)
    assert isinstance(fine, trimesh.Trimesh)
    return fine


def _bulging_floor() -> trimesh.Trimesh:
    """4 by 4, level but for a bulge over the pond."""
    floor = _box([4, 4, 0.5])
    inside = np.clip(1 - (floor.vertices[:, :2] / POND) ** 2, 0, 1).prod(axis=1)
    upper = floor.vertices[:, 2] > 0
    floor.vertices[upper, 2] += 0.15 * inside[upper]
    floor.apply_translation([0, 0, -0.25])
    return floor


def _seen(scene: trimesh.Trimesh, doubted: trimesh.Trimesh | None = None, knowing: int = 2) -> list[DepthView]:
    """Depth maps of a scene and a doubted thing, of which only the first photos know."""
    whole = _joined(scene, doubted) if doubted else scene
    casters = [Raycaster(mesh.vertices, mesh.faces) for mesh in (scene, whole)]
    views = []
    for index, camera in enumerate(CAMERAS):
        without, depth = (caster.hits(camera).depth for caster in casters)
        unknown = ~np.isfinite(depth) | ((depth < without) & (index >= knowing))
        views.append((camera, np.where(unknown, 0, depth).astype(np.float32)))
    return views


def _kept(surface: trimesh.Trimesh, points: np.ndarray, views: list[DepthView]) -> trimesh.Trimesh:
    ballot = Ballot(surface.vertices, 2 * CELL)
    for view in views:
        ballot.add(*view)
    faces = np.asarray(surface.faces, np.int32)
    return trimesh.Trimesh(*cut(surface.vertices, faces, points, ballot, lambda: views, CAMERAS, CELL))


def _ground(half: float) -> np.ndarray:
    """Points on the floor but for the pond."""
    x, y = (each.ravel() for each in np.meshgrid(*[np.arange(-half, half, 0.01)] * 2))
    around = np.maximum(np.abs(x), np.abs(y)) > POND
    return np.stack([x, y, 0 * x], axis=1)[around]


@pytest.mark.parametrize("depth", [0.0, 0.4])
def test_a_bulge_becomes_floor_but_a_pit_stays_open(depth: float):
    """Fails if the tread of a stair is torn open since photos look through Poisson's bulge, or if a pit is covered."""
    pit = trimesh.creation.box([2 * POND, 2 * POND, 0.01]).apply_translation([0, 0, -depth - 0.005])
    rim = [
        trimesh.creation.box([4, 2 - POND, 0.01]).apply_translation([0, sign * (1 + POND / 2), -0.005])
        for sign in (-1, 1)
    ]
    rim += [
        trimesh.creation.box([2 - POND, 2 * POND, 0.01]).apply_translation([sign * (1 + POND / 2), 0, -0.005])
        for sign in (-1, 1)
    ]
    kept = _kept(_bulging_floor(), _ground(1.9), _seen(_joined(pit, *rim)))
    over = kept.vertices[(np.abs(kept.vertices[:, :2]) < POND * 0.8).all(axis=1)]
    if depth:
        assert not len(over)
    else:
        assert len(over)
        assert np.abs(over[:, 2]).max() < 0.02


@pytest.mark.parametrize("knowing", [2, 4])
def test_stray_fragments_go_and_islands_stay(knowing: int):
    """Fails if crumbs that two photos made up float around the model, or if a lamp above the street is lost, a tree top
    that only two photos have in their frames, or a thing that the depth maps of some photos miss."""
    floor = _box([4, 4, 0.01]).apply_translation([0, 0, -0.005])
    crumb = trimesh.creation.icosphere(3, 0.06)
    lamp, tree, stray = (
        crumb.copy().apply_translation(place) for place in ([0, 0, 0.5], [1.5, -1.5, 0.4], [0.9, 0.9, 0.6])
    )
    points = np.concatenate([_ground(1.9), *[each.subdivide().vertices for each in (lamp, tree, stray)]])
    views = _seen(_joined(floor, lamp, tree), stray, knowing)
    kept = _kept(_joined(floor, lamp, tree, stray), points, views)
    heights = {round(abs(float(part.centroid[2])), 1) for part in kept.split(only_watertight=False)}
    assert heights == {0.0, 0.4, 0.5} | ({0.6} if knowing > 2 else set())
