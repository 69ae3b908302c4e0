"""Named selections of assets that people and sensors launch."""

import dagster as dg

QUIET_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config of commands that tell people of the run themselves; the event log still has everything."""

reconstruct_job = dg.define_asset_job(
    "reconstruct_job",
    selection=dg.AssetSelection.all(),
    description="Photos to a textured model: every asset of one image set.",
)
