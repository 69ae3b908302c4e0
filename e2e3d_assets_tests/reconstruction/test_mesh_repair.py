"""Topology of triangle meshes."""

import numpy as np
import trimesh

from e2e3d_assets.reconstruction import mesh_repair


def _ball() -> tuple[np.ndarray, np.ndarray]:
    ball = trimesh.creation.icosphere(subdivisions=2)
    return np.asarray(ball.vertices), np.asarray(ball.faces, np.int32)


def test_a_clean_mesh_stays_as_it_is():
    """Fails if repair eats good faces or splits good vertices."""
    vertices, faces = _ball()
    repaired, kept = mesh_repair.manifold(vertices, faces)
    assert len(repaired) == len(vertices)
    assert len(kept) == len(faces)
    figures = mesh_repair.figures(repaired, kept)
    assert figures["watertight"]
    assert figures["consistently_oriented"]
    assert figures["components"] == 1


def test_fins_repeated_degenerate_and_turned_faces_go():
    """Fails if a third face at an edge, a face given twice, a face without area or a turned face survives."""
    vertices, faces = _ball()
    a, b = faces[0][:2]
    tip = len(vertices)
    fin = [[a, b, tip]]
    bad = np.concatenate([faces, faces[:1], [[a, a, b]], fin]).astype(np.int32)
    bad[5] = bad[5][::-1]
    repaired, kept = mesh_repair.manifold(np.vstack([vertices, vertices[a] * 1.01]), bad)
    figures = mesh_repair.figures(repaired, kept)
    assert figures["non_manifold_edges"] == 0
    assert figures["consistently_oriented"]
    assert len(kept) >= len(faces) - 4


def test_fans_that_touch_in_one_vertex_are_parted():
    """Fails if a vertex where two surfaces touch stays common: most tools call that mesh broken."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], float)
    repaired, faces = mesh_repair.manifold(vertices, np.array([[0, 1, 2], [0, 3, 4]], np.int32))
    assert len(repaired) == 6
    assert not set(faces[0]) & set(faces[1])


def test_small_parts_go_by_what_they_count():
    """Fails if components are judged by anything but the size that the caller gives."""
    vertices, faces = _ball()
    both = np.vstack([vertices, vertices * 0.01 + 5])
    all_faces = np.concatenate([faces, faces + len(vertices)])
    area = mesh_repair.areas(both, all_faces)
    _, by_area = mesh_repair.without_small_parts(both, all_faces, area, 0.01)
    _, by_count = mesh_repair.without_small_parts(both, all_faces, np.ones(len(all_faces)), 0.01)
    assert len(by_area) == len(faces)
    assert len(by_count) == 2 * len(faces)


def test_patches_know_their_size_and_whether_they_are_enclosed():
    """Fails if a hole in a wall and the wall's ragged border are taken for the same."""
    steps = 20
    x, y = np.meshgrid(np.linspace(0, 1, steps + 1), np.linspace(0, 1, steps + 1))
    vertices = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)
    corner = (np.arange(steps)[:, None] * (steps + 1) + np.arange(steps)).ravel()
    halves = [[corner, corner + 1, corner + steps + 2], [corner, corner + steps + 2, corner + steps + 1]]
    faces = np.concatenate([np.stack(half, axis=1) for half in halves]).astype(np.int32)
    center = vertices[faces].mean(axis=1)
    chosen = (np.linalg.norm(center - [0.5, 0.5, 0], axis=1) < 0.1) | (center[:, 1] < 0.05)
    found = mesh_repair.patches(vertices, faces, chosen)
    assert len(found.extent) == 2
    assert sorted(found.enclosed) == [False, True]
    assert found.extent[found.enclosed][0] < 0.3 < found.extent[~found.enclosed][0]
    np.testing.assert_allclose(found.mean(chosen), 1)


def test_a_bulge_is_drawn_tight():
    """Fails if a bulge over a hole stays, if its rim moves, or if what hangs on nothing is drawn somewhere."""
    vertices, faces = _ball()
    bulge = vertices[faces].mean(axis=1)[:, 2] > 0
    flat = mesh_repair.stretched(vertices, faces, bulge)
    rim = np.intersect1d(faces[bulge], faces[~bulge])
    inner = np.setdiff1d(faces[bulge], rim)
    np.testing.assert_array_equal(flat[np.setdiff1d(np.arange(len(vertices)), inner)], np.delete(vertices, inner, 0))
    assert np.abs(flat[inner, 2]).max() <= np.abs(vertices[rim, 2]).max() + 1e-9
    np.testing.assert_array_equal(mesh_repair.stretched(vertices, faces, np.ones(len(faces), bool)), vertices)
