"""What is compiled ahead is what the stages use."""

import subprocess
import sys
from pathlib import Path

import pytest
import trimesh

_STAGES = """
import sys
from pathlib import Path
import numpy as np
from e2e3d_assets.reconstruction.carving import Ballot, depth_views
from e2e3d_assets.reconstruction.depth import estimate_depth_maps
from e2e3d_assets.reconstruction.fusion import fuse_depth_maps
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import DenseCloudOptions, DepthMapsOptions, TexturedMeshOptions
from e2e3d_assets.reconstruction.rehearsal import rehearse
from e2e3d_assets.reconstruction.stereo.compiled import kernels
from e2e3d_assets.reconstruction.stereo.views import read_scene
from e2e3d_assets.reconstruction.texturing import texture_mesh

workspace, root = map(Path, sys.argv[1:])
depth_maps, cloud, texture = (root / name for name in ("depth_maps", "dense_cloud", "textured_mesh"))
rehearse()
rehearsed = {kernel: list(kernel.signatures) for kernel in kernels}
for out in (depth_maps, cloud, texture):
    out.mkdir()
estimate_depth_maps(workspace, depth_maps, DepthMapsOptions(max_photo_size=128), Monitor())
fuse_depth_maps(workspace, depth_maps, cloud, DenseCloudOptions(), Monitor())
ballot = Ballot(np.zeros((1, 3)), 0.1)
for view in depth_views(read_scene(workspace), depth_maps):
    ballot.add(*view)
texture_mesh(root / "mesh", workspace, texture, TexturedMeshOptions(), Monitor())
others = {kernel.__name__: kernel.signatures for kernel in kernels if kernel.signatures != rehearsed[kernel]}
assert not others, others
"""


@pytest.mark.slow
def test_stages_find_their_kernels_compiled(workspace: Path, tmp_path: Path):
    """Prevents first users from waiting for kernels, and last digits that depend on who compiled them."""
    (tmp_path / "mesh").mkdir()
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.5).apply_translation([0, 0, 0.5])
    ball.export(tmp_path / "mesh" / "mesh.ply")
    done = subprocess.run(
        [sys.executable, "-c", _STAGES, workspace, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
