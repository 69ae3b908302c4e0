"""Delivery: files that open everywhere, a page to look at, a report to trust or reject the model by."""

from functools import partial

import dagster as dg

from ..stages import Stages, stage_asset
from ..storage.artifacts import Artifact


@stage_asset(group_name="delivery", kinds={"gltf", "file"}, code_version="4", tags={"cost": "low"})
def model_files(
    context: dg.AssetExecutionContext,
    stages: Stages,
    textured_mesh: Artifact,
    dense_cloud: Artifact,
    sparse_model: Artifact,
):
    """The model as GLB, OBJ, PLY and COLMAP files, all in one coordinate frame."""
    from ..reconstruction.exporting import export_model_files

    yield from stages.run(context, export_model_files, textured_mesh, dense_cloud, sparse_model)


@stage_asset(group_name="delivery", kinds={"html", "dashboard"}, code_version="4", tags={"cost": "low"})
def viewer(
    context: dg.AssetExecutionContext,
    stages: Stages,
    textured_mesh: Artifact,
    dense_cloud: Artifact,
    sparse_model: Artifact,
    photos: Artifact,
):
    """One self-contained web page: model, cloud and cameras, to turn, switch and measure."""
    from ..reconstruction.viewer import build_viewer

    stage = partial(build_viewer, title=context.partition_key)
    yield from stages.run(context, stage, textured_mesh, dense_cloud, sparse_model, photos)


@stage_asset(group_name="delivery", kinds={"html", "report"}, code_version="7", tags={"cost": "low"})
def report(
    context: dg.AssetExecutionContext,
    stages: Stages,
    photos: Artifact,
    features: Artifact,
    matches: Artifact,
    sparse_model: Artifact,
    undistorted_photos: Artifact,
    depth_maps: Artifact,
    dense_cloud: Artifact,
    mesh: Artifact,
    textured_mesh: Artifact,
    model_files: Artifact,
    viewer: Artifact,
):
    """How good the model is and why: figures, pictures, costs and warnings in plain words, as HTML and JSON."""
    from ..reconstruction.report import build_report

    products = {
        "photos": photos,
        "features": features,
        "matches": matches,
        "sparse_model": sparse_model,
        "undistorted_photos": undistorted_photos,
        "depth_maps": depth_maps,
        "dense_cloud": dense_cloud,
        "mesh": mesh,
        "textured_mesh": textured_mesh,
        "model_files": model_files,
        "viewer": viewer,
    }
    record = stages.record(context, products)

    def report_on(*directories, out, options, monitor):
        return build_report(record, dict(zip(products, directories, strict=True)), out, options, monitor)

    yield from stages.run(context, report_on, *products.values())
