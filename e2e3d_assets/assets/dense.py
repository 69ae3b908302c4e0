"""Dense reconstruction without CUDA: from posed photos to a coloured point cloud."""

import dagster as dg

from ..stages import Stages, stage_asset
from ..storage.artifacts import Artifact


@stage_asset(group_name="dense", kinds={"colmap"}, code_version="1", pool="cpu_heavy", tags={"cost": "low"})
def undistorted_photos(context: dg.AssetExecutionContext, stages: Stages, photos: Artifact, sparse_model: Artifact):
    """Pinhole photos and their sparse model: a COLMAP dense workspace."""
    from ..reconstruction.undistortion import undistort_photos

    yield from stages.run(context, undistort_photos, photos, sparse_model)


@stage_asset(group_name="dense", kinds={"numba"}, code_version="1", pool="cpu_heavy", tags={"cost": "high"})
def depth_maps(context: dg.AssetExecutionContext, stages: Stages, undistorted_photos: Artifact):
    """Depth, normal and confidence where several photos agree, by PatchMatch stereo, in COLMAP's formats."""
    from ..reconstruction.depth import estimate_depth_maps

    yield from stages.run(context, estimate_depth_maps, undistorted_photos)


@stage_asset(group_name="dense", kinds={"numba"}, code_version="1", pool="ram_heavy", tags={"cost": "medium"})
def dense_cloud(context: dg.AssetExecutionContext, stages: Stages, undistorted_photos: Artifact, depth_maps: Artifact):
    """Oriented, coloured points fused from the depth maps, each with its confidence and number of views."""
    from ..reconstruction.fusion import fuse_depth_maps

    yield from stages.run(context, fuse_depth_maps, undistorted_photos, depth_maps)
