"""Eight small photos of the sample set at low quality, from the command line to delivered files that others open."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import open3d
import pycolmap
import pytest
import trimesh
from PIL import Image

from e2e3d_assets.reconstruction.report_schema import Report

pytestmark = pytest.mark.slow

_PHOTOS = 8
_LONGER_SIDE = 800


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    return {**os.environ, "E2E3D_HOME": str(tmp_path_factory.mktemp("end-to-end-home"))}


@pytest.fixture(scope="module")
def photos(tmp_path_factory, banana_photos) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for source in sorted(banana_photos.iterdir())[:_PHOTOS]:
        with Image.open(source) as photo:
            exif = photo.info["exif"]
            photo.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
            photo.save(folder / source.name, quality=92, exif=exif)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory, photos, environment) -> Path:
    """The delivered files."""
    output = tmp_path_factory.mktemp("model")
    done = _e2e3d(environment, "run", photos, "--name", "banana", "--quality", "low", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    return output


def _e2e3d(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("e2e3d")
    return subprocess.run(
        [program, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False, timeout=900
    )


def test_all_files_are_delivered(model):
    """Prevents a run that says it is done and leaves something out."""
    expected = {"model.glb", "model.obj", "model.mtl", "mesh.ply", "dense_cloud.ply"}
    expected |= {"viewer.html", "report.html", "report.json"}
    present = {path.name for path in model.iterdir()}
    assert expected <= present
    assert not [name for name in present if name.startswith(".") or name.endswith(".partial")]


def test_report_keeps_its_schema_and_tells_the_truth(model):
    """Prevents a report that programs cannot read, or that disagrees with the files beside it."""
    report = Report.model_validate_json((model / "report.json").read_bytes())
    assert report.photos.given == _PHOTOS
    assert report.photos.registered >= _PHOTOS - 1
    assert report.sparse.mean_reprojection_error_px < 1.0
    assert {stage.stage for stage in report.stages} >= {"photos", "depth_maps", "textured_mesh"}
    sparse = pycolmap.Reconstruction(model / "sparse")
    assert sparse.num_reg_images() == report.photos.registered
    cloud = open3d.io.read_point_cloud(str(model / "dense_cloud.ply"))
    assert len(cloud.points) == report.dense.points > 10_000
    assert len(trimesh.load(model / "mesh.ply", process=False).faces) == report.mesh.faces > 1_000


def test_all_files_are_in_one_frame(model):
    """Prevents a mesh that lies beside its cameras: vertices, cloud and sparse points must overlap as they are."""
    sparse = pycolmap.Reconstruction(model / "sparse")
    points = np.array([point.xyz for point in sparse.points3D.values()])
    surface = trimesh.load(model / "mesh.ply", process=False)
    size = np.ptp(np.percentile(points, [5, 95], axis=0), axis=0).max()
    rays = open3d.t.geometry.RaycastingScene()
    rays.add_triangles(surface.vertices.astype(np.float32), surface.faces.astype(np.uint32))
    distances = rays.compute_distance(points.astype(np.float32)).numpy()
    assert np.median(distances) < 0.02 * size

    scene = trimesh.load(model / "model.glb", process=False)
    (name,) = list(scene.geometry)[:1]
    vertices = np.vstack([geometry.vertices for geometry in scene.geometry.values()])
    np.testing.assert_allclose(vertices.min(0), surface.vertices.min(0), atol=0.01 * size)
    np.testing.assert_allclose(vertices.max(0), surface.vertices.max(0), atol=0.01 * size)
    node = scene.graph.nodes_geometry[0]
    to_y_up = scene.graph[node][0][:3, :3]
    np.testing.assert_allclose(to_y_up @ [0, 0, 1], [0, 1, 0], atol=1e-6)
    assert scene.geometry[name].visual.material.baseColorTexture.size[0] > 100

    wavefront = trimesh.load(model / "model.obj", process=False, force="mesh")
    np.testing.assert_allclose(wavefront.bounds, surface.bounds, atol=0.01 * size)


def test_pages_need_no_network(model):
    """Prevents a page that is empty for whoever opens it from disk on a train."""
    for page in ("viewer.html", "report.html"):
        text = (model / page).read_text()
        assert 'src="http' not in text
        assert 'href="http' not in text.replace('href="https://github.com', "")
        assert "@import" not in text


def test_second_run_keeps_every_stage(model, photos, environment, tmp_path):
    """Prevents an interrupted run, or a repeated command, from computing everything again."""
    done = _e2e3d(environment, "run", photos, "--name", "banana", "--quality", "low", "--output", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("kept") == 12
    assert (tmp_path / "model.glb").read_bytes() == (model / "model.glb").read_bytes()


def test_set_is_listed_as_finished(model, environment):
    """Prevents sets from being lost between the command line and the instance that the UI shows."""
    done = _e2e3d(environment, "sets")
    assert "banana" in done.stdout
    assert "finished" in done.stdout


def test_export_gives_the_same_files(model, environment, tmp_path):
    """Prevents an export that differs from what the run delivered."""
    assert _e2e3d(environment, "export", "banana", tmp_path).returncode == 0
    names = {path.relative_to(model) for path in model.rglob("*") if path.is_file()}
    assert names == {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert json.loads((tmp_path / "report.json").read_text())["image_set"] == "banana"
