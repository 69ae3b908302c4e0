"""Named selections of assets that people and sensors launch."""

import dagster as dg

reconstruct_job = dg.define_asset_job(
    "reconstruct_job",
    selection=dg.AssetSelection.all(),
    description="Photos to a textured model: every asset of one image set.",
)
