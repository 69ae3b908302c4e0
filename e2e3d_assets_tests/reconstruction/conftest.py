"""Scenes that several test modules share, each made once: a ball on a table, and small sample photos."""

from pathlib import Path

import pytest

from e2e3d_assets.reconstruction.depth import estimate_depth_maps
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import DepthMapsOptions

from .sample_run import SampleRun, run_stages
from .stereo import scene

ANGLES = (0, 12, 24, 36, 48)


@pytest.fixture(scope="session")
def renderings() -> list[scene.Rendering]:
    """Five photos, twelve degrees apart; one of them darker."""
    return [scene.render(scene.ring_camera(angle), 0.8 if angle == 12 else 1.0) for angle in ANGLES]


@pytest.fixture(scope="session")
def workspace(renderings: list[scene.Rendering], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos as an undistorted workspace."""
    return scene.write_workspace(tmp_path_factory.mktemp("scene") / "undistorted", renderings)


@pytest.fixture(scope="session")
def depth_maps(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its depth maps, medium quality."""
    out = tmp_path_factory.mktemp("depth_maps")
    estimate_depth_maps(workspace, out, DepthMapsOptions(), Monitor())
    return out


@pytest.fixture(scope="session")
def sample_run(banana_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """Stages photos to undistorted_photos on five sample photos, 400 pixels wide."""
    return run_stages(banana_photos, tmp_path_factory.mktemp("sample"))
