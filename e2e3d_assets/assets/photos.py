"""Intake: from an upload to verified photos."""

import dagster as dg

from ..stages import Stages, stage_asset


@stage_asset(group_name="intake", kinds={"opencv", "dataset"}, code_version="13", tags={"cost": "low"})
def photos(context: dg.AssetExecutionContext, stages: Stages):
    """Verified photos: decoded, upright, sRGB, with camera, GPS, sharpness, and the fate of every file of the upload.

    A photo that cannot be used is listed in `photos.json` with its reason; the run goes on with the others.
    """
    from ..reconstruction.photos import prepare_photos

    yield from stages.run(context, prepare_photos, stages.upload(context.partition_key))
