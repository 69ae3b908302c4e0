"""Dense reconstruction without CUDA: from posed photos to a coloured point cloud."""

import dagster as dg

from ..stages import Stages, stage_asset, stage_graph_asset
from ..storage.artifacts import Artifact
from .depth_chunks import confirm, plan_chunks, put_together, refine, search


@stage_asset(group_name="dense", kinds={"colmap"}, code_version="1", pool="cpu_heavy", tags={"cost": "low"})
def undistorted_photos(context: dg.AssetExecutionContext, stages: Stages, photos: Artifact, sparse_model: Artifact):
    """Pinhole photos and their sparse model: a COLMAP dense workspace."""
    from ..reconstruction.undistortion import undistort_photos

    yield from stages.run(context, undistort_photos, photos, sparse_model)


@stage_graph_asset(group_name="dense", kinds={"numba"}, code_version="7", tags={"cost": "high"})
def depth_maps(undistorted_photos):
    """Depth, normal and confidence where several photos agree, by PatchMatch stereo, in COLMAP's formats.

    A set of many photos is shared in chunks, each a step of its own: they can run in several processes
    (`execution: config: processes` in the launch form), and after a crash those that are done are not done again.
    """
    chunks = plan_chunks.alias("chunks_to_search")(undistorted_photos)
    searched = chunks.map(lambda chunk: search(undistorted_photos, chunk=chunk)).collect()
    chunks = plan_chunks.alias("chunks_to_refine")(undistorted_photos, earlier=searched)
    refined = chunks.map(lambda chunk: refine(undistorted_photos, chunk=chunk)).collect()
    chunks = plan_chunks.alias("chunks_to_confirm")(undistorted_photos, earlier=refined)
    confirmed = chunks.map(lambda chunk: confirm(undistorted_photos, chunk=chunk)).collect()
    return put_together(undistorted_photos, confirmed=confirmed)


@stage_asset(group_name="dense", kinds={"numba"}, code_version="2", pool="ram_heavy", tags={"cost": "medium"})
def dense_cloud(context: dg.AssetExecutionContext, stages: Stages, undistorted_photos: Artifact, depth_maps: Artifact):
    """Oriented, coloured points fused from the depth maps, each with its confidence and number of views."""
    from ..reconstruction.fusion import fuse_depth_maps

    yield from stages.run(context, fuse_depth_maps, undistorted_photos, depth_maps)
