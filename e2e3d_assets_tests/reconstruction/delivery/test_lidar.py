"""Clouds that lie in the wrong country, lose precision, or that survey programs cannot open."""

from pathlib import Path

import laspy
import numpy as np
import pytest

from e2e3d_assets.reconstruction.delivery.lidar import to_utm, utm, write_laz
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.sparse.sparse_document import Georeference
from e2e3d_assets.reconstruction.stereo.ply import POINT, PlyWriter


def place(latitude: float, longitude: float) -> Georeference:
    return Georeference(
        latitude=latitude,
        longitude=longitude,
        altitude=100,
        photos_used=3,
        photos_with_gps=3,
        median_residual_m=1,
        max_residual_m=1,
    )


@pytest.fixture
def cloud(tmp_path: Path) -> Path:
    points = np.zeros(5000, POINT)
    points["x"], points["y"], points["z"] = np.random.default_rng(0).uniform(-40, 60, (3, 5000))
    points["red"], points["green"], points["blue"] = 255, 10, 0
    points["confidence"], points["views"] = 0.5, 4
    with PlyWriter(tmp_path / "dense_cloud.ply") as file:
        file.write(points)
    return tmp_path / "dense_cloud.ply"


def positions(path: Path) -> np.ndarray:
    points = np.memmap(path, POINT, "r", path.stat().st_size - 5000 * POINT.itemsize)
    return np.stack([points[axis] for axis in "xyz"], axis=1).astype(float)


def test_without_gps_the_world_frame_is_kept(cloud: Path, tmp_path: Path):
    """The cloud must lie where mesh and cameras lie."""
    write_laz(cloud, tmp_path / "cloud.laz", None, Monitor())
    read = laspy.read(tmp_path / "cloud.laz")
    assert np.allclose(read.xyz, positions(cloud), atol=1e-4)
    assert read.header.parse_crs() is None
    assert (int(read.red[0]), int(read.green[0]), int(read.user_data[0])) == (65535, 2570, 4)
    assert int(read.intensity[0]) == pytest.approx(32768, abs=1)


def test_with_gps_the_cloud_lies_on_the_map(cloud: Path, tmp_path: Path):
    """Programs for maps place it by its coordinates and their system."""
    origin = place(47.5, 11.2)
    write_laz(cloud, tmp_path / "cloud.laz", origin, Monitor())
    read = laspy.read(tmp_path / "cloud.laz")
    crs = read.header.parse_crs()
    assert crs is not None
    assert crs.to_epsg() == 32632
    assert np.allclose(read.xyz, to_utm(positions(cloud), origin), atol=1e-3)
    (corner,) = to_utm(np.zeros((1, 3)), origin)
    assert np.allclose(corner, [665671.0, 5263157.0, 100], atol=700)  # 47.5 N is 5,263 km from the equator on this map


@pytest.mark.parametrize(
    ("latitude", "longitude", "code"), [(50.8, -0.1, 32630), (-33.9, 151.2, 32756), (0, 179.9, 32660)]
)
def test_zone_of_a_place(latitude: float, longitude: float, code: int):
    """Brighton, Sydney, and the last zone."""
    assert utm(place(latitude, longitude)).to_epsg() == code


def test_east_is_east_and_lengths_stay():
    """Axes that are exchanged put the model beside its street."""
    origin = place(50.8, -0.1)
    corner, east, north, up = to_utm(np.array([[0.0, 0, 0], [100, 0, 0], [0, 100, 0], [0, 0, 100]]), origin)
    assert np.allclose(east - corner, [100, 0, 0], atol=5)
    assert np.allclose(north - corner, [0, 100, 0], atol=5)
    assert np.allclose(up - corner, [0, 0, 100], atol=0.1)
    assert np.linalg.norm(east - corner) == pytest.approx(100, rel=1e-3)
