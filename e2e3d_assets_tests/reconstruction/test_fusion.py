"""The stage dense_cloud on a ray-traced scene with exact surfaces."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.fusion import fuse_depth_maps
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import DenseCloudOptions
from e2e3d_assets.reconstruction.stereo.formats import map_path, read_map, write_map
from e2e3d_assets.reconstruction.stereo.ply import read_points

from .stereo.scene import RADIUS, Rendering


@pytest.fixture(scope="module")
def fused(workspace: Path, depth_maps: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("dense_cloud")
    return out, fuse_depth_maps(workspace, depth_maps, out, DenseCloudOptions(), Monitor())


def test_points_lie_on_the_surfaces(fused: tuple[Path, dict]):
    """Position, normal and number of photos, in the world frame."""
    out, figures = fused
    points = read_points(out / "dense_cloud.ply")
    assert figures["points"] == len(points) > 10_000
    xyz = np.stack([points[axis] for axis in "xyz"], 1)
    normals = np.stack([points[f"n{axis}"] for axis in "xyz"], 1)
    from_centre = xyz - [0, 0, RADIUS]
    ball = np.abs(np.linalg.norm(from_centre, axis=1) - RADIUS)
    table = np.abs(xyz[:, 2])
    assert np.median(np.minimum(ball, table)) < 0.003
    assert (np.minimum(ball, table) < 0.02).mean() > 0.95
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
    on_table = (table < 0.01) & (ball > 0.05)
    assert np.median(normals[on_table, 2]) > 0.99
    on_ball = (ball < 0.01) & (table > 0.05)
    outward = (normals * from_centre).sum(1)[on_ball] / RADIUS
    assert np.median(outward) > 0.98
    assert points["views"].min() >= 2
    assert points["views"].max() <= 5
    assert (points["confidence"] > 0).all()
    assert 0 < (out / "preview.jpg").stat().st_size <= 30_000


def test_surface_becomes_about_one_point_a_pixel(fused: tuple[Path, dict], renderings: list[Rendering]):
    """Without thinning every photo would add its own copy of the surface."""
    per_photo = np.mean([(r.depth > 0).sum() for r in renderings])
    assert 0.8 * per_photo < fused[1]["points"] < 2.5 * per_photo


def test_nothing_agrees(workspace: Path, depth_maps: Path, tmp_path: Path):
    """Depth maps that contradict each other must not make a cloud, nor a crash."""
    wrong, out = tmp_path / "wrong", tmp_path / "out"
    shutil.copytree(depth_maps, wrong)
    out.mkdir()
    for i in range(5):
        path = map_path(wrong, "depth", f"{i:03d}.png")
        write_map(path, np.array(read_map(path)) * np.float32(3**i))
    with pytest.raises(BadInput, match="No depth is confirmed"):
        fuse_depth_maps(workspace, wrong, out, DenseCloudOptions(), Monitor())
    assert not (out / "dense_cloud.ply").exists()
