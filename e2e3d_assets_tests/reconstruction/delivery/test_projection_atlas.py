"""Atlases whose faces share texels, leave the page or shrink to nothing, or that differ from call to call."""

import numpy as np
import open3d as o3d
import pytest
import trimesh

from e2e3d_assets.reconstruction.delivery.projection_atlas import project_atlas

SIZE = 512


def helicoid() -> trimesh.Trimesh:
    """Three turns of a stair: every turn faces up, and hides the turn below."""
    turns, steps = 3, 120
    angle = np.linspace(0, 2 * np.pi * turns, steps)
    rim = np.stack([np.cos(angle), np.sin(angle), angle / 8], axis=1)
    vertices = np.concatenate([rim * [0.3, 0.3, 1], rim])
    inner, outer = np.arange(steps - 1), np.arange(steps - 1) + steps
    faces = np.concatenate(
        [np.stack([inner, outer, outer + 1], axis=1), np.stack([inner, outer + 1, inner + 1], axis=1)]
    )
    return trimesh.Trimesh(vertices, faces, process=False)


SURFACES = {
    "sphere": trimesh.creation.icosphere(subdivisions=4),
    "torus": trimesh.creation.torus(1.0, 0.35),
    "stair": helicoid(),
    "rough": trimesh.permutate.noise(trimesh.creation.icosphere(subdivisions=3), 0.05),
}


@pytest.mark.parametrize("name", SURFACES)
def test_no_two_faces_share_texels(name: str):
    """A shared texel shows one place's colours at another."""
    surface = SURFACES[name]
    uv = project_atlas(np.asarray(surface.vertices), surface.faces.astype(np.int32), SIZE)
    assert uv.min() > 0
    assert uv.max() < 1
    middle = np.column_stack([uv.mean(axis=1), np.ones(len(uv)), np.zeros((len(uv), 2)), -np.ones(len(uv))])
    flat = o3d.t.geometry.RaycastingScene()
    corners = np.dstack([uv, np.zeros(uv.shape[:2])]).reshape(-1, 3).astype(np.float32)
    flat.add_triangles(corners, np.arange(len(corners), dtype=np.uint32).reshape(-1, 3))
    assert flat.count_intersections(middle.astype(np.float32)).numpy().max() == 1


@pytest.mark.parametrize("name", ["sphere", "torus", "stair"])
def test_faces_keep_most_of_their_size(name: str):
    """A face without texels is a smear of one colour."""
    surface = SURFACES[name]
    uv = project_atlas(np.asarray(surface.vertices), surface.faces.astype(np.int32), SIZE).astype(float)
    first, second = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    share = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / surface.area_faces
    assert share.min() > 0.25 * share.max()


def test_equal_surfaces_get_equal_atlases():
    """A level of detail that differs without a reason makes everything behind it stale."""
    surface = SURFACES["rough"]
    atlases = [project_atlas(np.asarray(surface.vertices), surface.faces.astype(np.int32), SIZE) for _ in range(2)]
    assert np.array_equal(*atlases)


def test_too_many_patches_are_refused():
    """Dust that cannot be laid out must end in words, not in an endless search."""
    with pytest.raises(ValueError, match="patches"):
        project_atlas(np.random.default_rng(0).random((900, 3)), np.arange(900, dtype=np.int32).reshape(-1, 3), 64)
