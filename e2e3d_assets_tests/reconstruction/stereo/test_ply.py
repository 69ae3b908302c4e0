"""The dense cloud's file."""

from pathlib import Path

import numpy as np
import open3d as o3d
import pytest

from e2e3d_assets.reconstruction.stereo.ply import POINT, PlyWriter, read_in_pieces, read_points


def some_points(count: int) -> np.ndarray:
    points = np.zeros(count, POINT)
    points["x"] = np.arange(count)
    points["nz"] = 1
    points["red"] = 200
    points["views"] = 3
    return points


def test_other_programs_read_it(tmp_path: Path):
    """A header that only we can read would make the product worthless outside."""
    path = tmp_path / "cloud.ply"
    with PlyWriter(path) as file:
        file.write(some_points(7))
        file.write(some_points(5))
    cloud = o3d.io.read_point_cloud(path)
    np.testing.assert_array_equal(np.asarray(cloud.points)[:, 0], [*range(7), *range(5)])
    np.testing.assert_allclose(np.asarray(cloud.normals)[:, 2], 1)
    np.testing.assert_allclose(np.asarray(cloud.colors)[:, 0], 200 / 255, atol=1e-3)
    np.testing.assert_array_equal(read_points(path)["views"], 3)
    pieces = list(read_in_pieces(path, 5))
    assert [len(piece) for piece in pieces] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(pieces), read_points(path))


def test_nothing_is_left_of_a_failed_write(tmp_path: Path):
    """A half-written cloud must not be taken for a whole one."""
    path = tmp_path / "cloud.ply"

    def write_and_fail() -> None:
        with PlyWriter(path) as file:
            file.write(some_points(3))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert not path.exists()


def test_cut_off_files_are_refused(tmp_path: Path):
    """A truncated transfer must be noticed."""
    path = tmp_path / "cloud.ply"
    with PlyWriter(path) as file:
        file.write(some_points(3))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not a complete"):
        read_points(path)
