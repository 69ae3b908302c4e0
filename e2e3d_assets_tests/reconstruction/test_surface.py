"""The stages ``mesh`` and ``textured_mesh`` on a small scene with exact truth."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import open3d as o3d
import psutil
import pytest
import trimesh

from e2e3d_assets.reconstruction.errors import BadInput, Cancelled
from e2e3d_assets.reconstruction.meshing import build_mesh
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.reconstruction.options import MeshOptions, TexturedMeshOptions
from e2e3d_assets.reconstruction.poisson import poisson_surface
from e2e3d_assets.reconstruction.raycasting import Raycaster, render
from e2e3d_assets.reconstruction.stereo.ply import PlyWriter
from e2e3d_assets.reconstruction.textured_mesh import TexturedMesh, load_glb
from e2e3d_assets.reconstruction.texturing import texture_mesh

from .surface_scene import Scene, arc, ring, yard


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(ring(8))


def _mesh(products: Path, out: Path, options: MeshOptions) -> Figures:
    """The stage, on the products of the stages before it."""
    return build_mesh(
        products / "dense_cloud", products / "undistorted_photos", products / "depth_maps", out, options, Monitor()
    )


@pytest.fixture(scope="module")
def made(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, dict]:
    """Where everything lies, and both stages' figures. One photo is brighter than the others."""
    root = tmp_path_factory.mktemp("surface")
    for name in ("mesh", "textured_mesh"):
        (root / name).mkdir()
    scene.write_workspace(root / "undistorted_photos", factors=[1.25, *[1.0] * 7])
    scene.write_cloud(root / "dense_cloud")
    scene.write_depth_maps(root / "depth_maps")
    mesh = _mesh(root, root / "mesh", MeshOptions(max_faces=12_000))
    texture = texture_mesh(
        root / "mesh", root / "undistorted_photos", root / "textured_mesh", TexturedMeshOptions(), Monitor()
    )
    return root, mesh, texture


def test_mesh_lies_on_the_truth_and_nowhere_else(scene: Scene, made: tuple[Path, dict, dict]):
    """Fails if surface is invented, lost, shifted or turned inside out."""
    mesh = o3d.io.read_triangle_mesh(made[0] / "mesh" / "mesh.ply")
    vertices = np.asarray(mesh.vertices)
    exact = o3d.t.geometry.RaycastingScene()
    exact.add_triangles(
        o3d.core.Tensor.from_numpy(scene.vertices.astype(np.float32)),
        o3d.core.Tensor.from_numpy(scene.faces.astype(np.uint32)),
    )
    distance = exact.compute_distance(o3d.core.Tensor.from_numpy(vertices.astype(np.float32))).numpy()
    assert np.quantile(distance, 0.9) < 0.01
    ours = Raycaster(vertices, np.asarray(mesh.triangles))
    for camera in scene.cameras[::3]:
        small = camera.limited(100)
        there, places, normals = scene.surface(small)
        hits = ours.hits(small)
        assert (hits.face[there] >= 0).mean() > 0.97
        beside = cv2.dilate(there.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        assert (hits.face[beside] >= 0).mean() < 0.003
        depth = ((places - small.centre) @ small.R.T)[:, 2]
        assert np.median(np.abs(hits.depth[there] - depth)) < 0.005
        mesh.compute_triangle_normals()
        seen = hits.face[there]
        agreement = (np.asarray(mesh.triangle_normals)[seen] * normals).sum(axis=1)[seen >= 0]
        assert np.median(agreement) > 0.95


def test_mesh_is_clean_and_within_its_budget(made: tuple[Path, dict, dict]):
    """Fails if floaters survive, an edge has three faces, or simplification is left out."""
    figures = made[1]
    mesh = trimesh.load_mesh(made[0] / "mesh" / "mesh.ply")
    assert figures["components"] == mesh.body_count <= 2  # nobody sees how the ball touches the floor
    assert figures["non_manifold_edges"] == 0
    assert len(mesh.faces) == figures["faces"] <= 12_000
    assert figures["faces"] > 10_000
    assert np.ptp(mesh.visual.vertex_colors[:, :3], axis=0).min() > 100


def test_textured_model_looks_like_the_photos(scene: Scene, made: tuple[Path, dict, dict]):
    """Fails if colours are taken from wrong places, through occluders, or with the photo's own exposure."""
    model = load_glb(made[0] / "textured_mesh" / "model.glb")
    between = ring(16)[1::4]
    for camera in [*scene.cameras[1::2], *between]:
        exact, found = scene.photo(camera).astype(float), render(model, camera).astype(float)
        inner = cv2.erode(scene.surface(camera)[0].astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        both = inner & (found.min(axis=2) < 255)
        assert both.sum() > 0.95 * inner.sum()
        factor = exact[both].mean() / found[both].mean()
        error = exact[both] - found[both] * factor
        assert 0.95 < factor < 1.05
        assert 10 * np.log10(255**2 / (error**2).mean()) > 27


def test_texture_figures_say_what_was_done(made: tuple[Path, dict, dict]):
    """Fails if the exposure difference is overlooked or most of the surface is left without a photo."""
    figures = made[2]
    assert figures["textured_area_percent"] > 90
    assert figures["photos_used"] >= 7
    assert 1.15 < figures["largest_exposure_factor"] < 1.3
    assert (made[0] / "textured_mesh" / "preview.jpg").stat().st_size <= 30_000
    assert (made[0] / "mesh" / "preview.jpg").stat().st_size <= 30_000


def test_vertices_of_the_model_are_those_of_the_mesh(made: tuple[Path, dict, dict]):
    """Fails if the model leaves the world frame other than by the root node's matrix."""
    mesh = trimesh.load_mesh(made[0] / "mesh" / "mesh.ply")
    scene = trimesh.load_scene(made[0] / "textured_mesh" / "model.glb")
    np.testing.assert_allclose(
        np.concatenate([g.vertices for g in scene.geometry.values()]).min(axis=0), mesh.bounds[0], atol=1e-5
    )
    transform, _ = scene.graph[scene.graph.nodes_geometry[0]]
    np.testing.assert_allclose(transform @ [1, 2, 3, 1], [1, 3, -2, 1])


def test_small_pages_shrink_the_photos(scene: Scene, made: tuple[Path, dict, dict], tmp_path: Path):
    """Fails if charts overflow the pages or pixels and texture coordinates part ways when photos are scaled."""
    root = made[0]
    options = TexturedMeshOptions(max_texture_size=256, max_pages=2)
    figures = texture_mesh(root / "mesh", root / "undistorted_photos", tmp_path, options, Monitor())
    assert float(figures["texture_scale"]) < 0.9
    assert float(figures["texture_pages"]) <= 2
    model = load_glb(tmp_path / "model.glb")
    camera = scene.cameras[3]
    exact, found = scene.photo(camera).astype(float), render(model, camera).astype(float)
    both = scene.surface(camera)[0] & (found.min(axis=2) < 255)
    assert np.abs(exact[both] - found[both]).mean() < 12


@pytest.mark.slow
def test_crop_leaves_what_stands_on_the_ground(made: tuple[Path, dict, dict], tmp_path: Path):
    """Fails if the ground is not found, stays, or takes the object with it."""
    root, figures, _ = made
    assert figures["ground_found"]
    assert abs(figures["ground_z"]) < 0.01
    assert figures["ground_tilt_degrees"] < 1
    _mesh(root, tmp_path, MeshOptions(max_faces=12_000, crop="object"))
    low, high = trimesh.load_mesh(tmp_path / "mesh.ply").bounds
    assert 0 < low[2] < 0.06
    assert high[2] > 0.9
    assert low[0] < -0.4
    assert high[0] < 1.1


def test_empty_cloud_is_bad_input(made: tuple[Path, dict, dict], tmp_path: Path):
    """Fails if a cloud without points gives a traceback instead of a sentence."""
    with PlyWriter(tmp_path / "dense_cloud.ply"):
        pass
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match="only 0 points"):
        build_mesh(
            tmp_path, made[0] / "undistorted_photos", made[0] / "depth_maps", tmp_path / "out", MeshOptions(), Monitor()
        )


def test_cancellation_stops_the_texture(made: tuple[Path, dict, dict], tmp_path: Path):
    """Fails if the stage goes on after it was cancelled."""
    monitor = Monitor(lambda done, total, what: monitor.cancelled.set() if done == 2 else None)
    root = made[0]
    with pytest.raises(Cancelled):
        texture_mesh(root / "mesh", root / "undistorted_photos", tmp_path, TexturedMeshOptions(), monitor)
    assert not (tmp_path / "model.glb").exists()


def test_truncated_model_is_named(made: tuple[Path, dict, dict], tmp_path: Path):
    """Fails if a cut-off file is taken for a model."""
    data = (made[0] / "textured_mesh" / "model.glb").read_bytes()
    (tmp_path / "cut.glb").write_bytes(data[:-10])
    with pytest.raises(ValueError, match=r"cut\.glb"):
        load_glb(tmp_path / "cut.glb")


def test_model_survives_its_file(tmp_path: Path):
    """Fails if faces, texture coordinates or pages are permuted on the way through the file, or a page is kept twice
    for its faces that no photo shows."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3]], np.int32)
    unseen = np.array([False, True, False])
    uv = np.random.default_rng(0).random((3, 3, 2)).astype(np.float32)
    pages = tuple(np.full((8, 8, 3), shade, np.uint8) for shade in (50, 200))
    model = TexturedMesh(vertices, faces, uv, np.array([0, 0, 1], np.int32), pages, unseen)
    model.save_glb(tmp_path / "model.glb")
    again = load_glb(tmp_path / "model.glb")
    np.testing.assert_allclose(again.vertices[again.faces], vertices[faces], atol=1e-6)
    np.testing.assert_array_equal(again.uv, uv)
    np.testing.assert_array_equal(again.face_page, [0, 0, 1])
    np.testing.assert_array_equal(again.unseen, unseen)
    assert [int(page.mean()) for page in again.pages] == [50, 200]


def test_cancellation_ends_the_poisson_process(tmp_path: Path):
    """Fails if a cancelled mesh stage goes on until its minute-long native call returns, or leaves it running."""
    points = np.random.default_rng(0).normal(size=(300_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    others = psutil.Process().children(recursive=True)
    ticks = []

    def tick() -> None:
        ticks.append([child for child in psutil.Process().children(recursive=True) if child not in others])
        if len(ticks) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        poisson_surface(points, points, 9, 1.1, tmp_path, tick)
    assert ticks[-1]
    assert not any(child.is_running() for child in ticks[-1])
    assert not list(tmp_path.iterdir())


_POISSON = """
import sys
from pathlib import Path
import numpy as np, psutil
from e2e3d_assets.reconstruction.poisson import poisson_surface
points = np.random.default_rng(0).normal(size=(300_000, 3))
points /= np.linalg.norm(points, axis=1, keepdims=True)
tell = lambda: print(*(child.pid for child in psutil.Process().children()), flush=True)
poisson_surface(points, points, 10, 1.1, Path(sys.argv[1]), tell)
"""


@pytest.mark.slow
def test_poisson_ends_with_a_killed_worker(tmp_path: Path):
    """Fails if gigabytes stay taken, for a minute and by nobody's order, after the system has killed a worker."""
    command = [sys.executable, "-c", _POISSON, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = psutil.Process(int(worker.stdout.readline()))
        worker.stdout.readline()
        worker.kill()
        child.wait()
    assert list(tmp_path.glob("*/points.npy"))
    assert not list(tmp_path.glob("*/vertices.npy"))


@pytest.mark.slow
def test_open_scene_keeps_its_railing_and_its_sky(tmp_path: Path):
    """Fails if thin bars are swallowed or webs are spun between them, or if the sky behind an open scene is sealed."""
    scene = Scene(arc(9), yard())
    for name in ("mesh", "textured_mesh"):
        (tmp_path / name).mkdir()
    scene.write_workspace(tmp_path / "undistorted_photos", factors=[0.8, 1.25, *[1.0] * 7])
    scene.write_cloud(tmp_path / "dense_cloud")
    scene.write_depth_maps(tmp_path / "depth_maps")
    _mesh(tmp_path, tmp_path / "mesh", MeshOptions(max_faces=40_000))
    mesh = o3d.io.read_triangle_mesh(tmp_path / "mesh" / "mesh.ply")
    ours = Raycaster(np.asarray(mesh.vertices), np.asarray(mesh.triangles))
    sealed, lost = [], []
    for camera in scene.cameras:
        there, places, _ = scene.surface(camera)
        hits = ours.hits(camera)
        sky = cv2.erode((~there).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        sealed.append((hits.face[sky] >= 0).mean())
        depth = ((places - camera.centre) @ camera.R.T)[:, 2]
        stem = places[:, 2] > 0.85
        railing = (np.abs(places[:, 1] - 0.3) < 0.02) & (places[:, 2] > 0.13) & (places[:, 2] < 0.52)
        for thin in (stem, railing):
            lost.append((np.abs(hits.depth[there][thin] - depth[thin]) > 0.05).mean())
    assert np.mean(sealed) < 0.01
    assert np.mean(lost) < 0.1
    figures = texture_mesh(
        tmp_path / "mesh", tmp_path / "undistorted_photos", tmp_path / "textured_mesh", TexturedMeshOptions(), Monitor()
    )
    assert 1.15 < float(figures["largest_exposure_factor"]) < 1.35
