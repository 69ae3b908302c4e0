"""Surface: from points to triangles that wear the photos."""

import dagster as dg

from ..stages import Stages, stage_asset
from ..storage.artifacts import Artifact


@stage_asset(group_name="surface", kinds={"open3d"}, code_version="7", pool="ram_heavy", tags={"cost": "medium"})
def mesh(
    context: dg.AssetExecutionContext,
    stages: Stages,
    dense_cloud: Artifact,
    undistorted_photos: Artifact,
    depth_maps: Artifact,
):
    """Triangles through the dense cloud: cut where photos look through, cleaned, simplified to the face budget."""
    from ..reconstruction.meshing import build_mesh

    yield from stages.run(context, build_mesh, dense_cloud, undistorted_photos, depth_maps)


@stage_asset(group_name="surface", kinds={"open3d"}, code_version="4", pool="cpu_heavy", tags={"cost": "medium"})
def textured_mesh(context: dg.AssetExecutionContext, stages: Stages, mesh: Artifact, undistorted_photos: Artifact):
    """The mesh with a texture atlas: each face takes its colour from the photo that sees it best."""
    from ..reconstruction.texturing import texture_mesh

    yield from stages.run(context, texture_mesh, mesh, undistorted_photos)
