"""The only wiring: assets, checks, job and resources become one code location."""

import dagster as dg

from .assets import delivery, dense, photos, sparse, surface
from .automation import automated, automation_sensor
from .checks import quality
from .jobs import reconstruct_job, stage_executor
from .progress import LogProgress, ProgressSink
from .schedules import maintenance_job, maintenance_schedule, storage_report
from .sensors.lost_workers import lost_worker_sensor
from .sensors.run_events import run_event_sensor
from .sensors.uploads import upload_sensor
from .stages import Stages
from .storage.io_manager import ArtifactIOManager


def build_defs(*, progress: ProgressSink | None = None) -> dg.Definitions:
    """All definitions; tests and the command line put their own progress in place of the run log's."""
    return dg.Definitions(
        assets=[*_stage_assets(), storage_report],
        asset_checks=dg.load_asset_checks_from_modules([quality]),
        jobs=[reconstruct_job, maintenance_job],
        schedules=[maintenance_schedule],
        sensors=[upload_sensor, run_event_sensor, lost_worker_sensor, automation_sensor],
        executor=stage_executor,
        resources={"artifacts": ArtifactIOManager(), "stages": Stages(progress=progress or LogProgress())},
    )


def _stage_assets() -> list[dg.AssetsDefinition]:
    loaded = dg.load_assets_from_modules([photos, sparse, dense, surface, delivery])
    return [each.map_asset_specs(automated) for each in loaded if isinstance(each, dg.AssetsDefinition)]


defs = build_defs()
