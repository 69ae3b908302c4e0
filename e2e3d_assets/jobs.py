"""Named selections of assets that people and sensors launch, and what executes them."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from .runs import JOB

QUIET_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config of commands that tell people of the run themselves; the event log still has everything."""


def _in_processes(config: Mapping[str, Any]) -> dict[str, Any]:
    if config["processes"] == 1:
        return {"in_process": {}}
    return {"multiprocess": {"max_concurrent": config["processes"]}}


stage_executor = dg.multi_or_in_process_executor.configured(
    _in_processes,
    name="stage_executor",
    config_schema={
        "processes": dg.Field(
            dg.IntSource,
            default_value=1,
            description="Processes that share the steps of a run. One is best for most sets: stages use all cores, "
            "and a process takes some seconds to start.",
        )
    },
)
"""One process per run, or as many as the run's configuration says under ``execution: config: processes``."""

reconstruct_job = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.all(),
    description="Photos to a textured model: every asset of one image set.",
)
