"""What is done every night: old run records and old revisions go, and what is left is counted.

What belongs here: the jobs and their hours. What is removed is for :mod:`e2e3d_assets.run_retention` and
:mod:`e2e3d_assets.storage.retention` to say.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from .run_retention import prune_runs
from .settings import Settings
from .storage.errors import StoreError
from .storage.retention import prune
from .storage.scratch import Scratch
from .storage.store import ArtifactStore
from .storage_report import survey_storage, table, totals
from .stores import open_artifacts, open_uploads, survey_uploads

STORAGE_REPORT = "storage_report"

storage_report = dg.AssetSpec(
    STORAGE_REPORT,
    group_name="operations",
    kinds={"table"},
    owners=["team:reconstruction"],
    description="What every image set takes in the stores, counted each night by `maintenance_job`.",
)


class Pruning(dg.Config):
    """How the night's work removes things."""

    dry_run: bool = False
    """Only tell what would be removed."""


@dg.op
def prune_run_records(context: dg.OpExecutionContext, config: Pruning) -> None:
    """Remove run records that nothing rests on any more."""
    before = datetime.now(UTC) - timedelta(days=Settings().keep_run_days)
    removed = prune_runs(context.instance, before, dry_run=config.dry_run)
    context.log.info(f"{_verb(config)} {len(removed)} run records from before {before:%Y-%m-%d}.")


@dg.op(ins={"after": dg.In(dg.Nothing)})
def tend_storage(context: dg.OpExecutionContext, config: Pruning) -> None:
    """Remove revisions that nobody needs, then record what is left, so that the UI plots it.

    One damaged image set stops neither the others nor the report; it fails the run at its end.
    """
    settings = Settings()
    Scratch(settings.scratch).sweep()
    store = open_artifacts(settings)
    troubled = _prune_products(context, store, settings, config)
    if not config.dry_run:
        freed = store.cache.trim(int(settings.cache_gb * 1e9), settings.longest_run_hours * 3600)
        context.log.info(f"Removed {freed:,} bytes of local copies that no run has used of late.")
    uploads, _ = survey_uploads(open_uploads(settings))
    rows = survey_storage(store, uploads)
    context.log_event(dg.AssetMaterialization(STORAGE_REPORT, metadata={**totals(rows), "table": table(rows)}))
    if troubled:
        raise dg.Failure(f"Not everything could be looked at: {', '.join(troubled)}.", allow_retries=False)


@dg.job(description="Every night: remove old run records and revisions, then count what is stored.")
def maintenance_job() -> None:
    """Records first, products after them."""
    tend_storage(prune_run_records())


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_schedule",
    job=maintenance_job,
    cron_schedule="20 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def _prune_products(
    context: dg.OpExecutionContext, store: ArtifactStore, settings: Settings, config: Pruning
) -> list[str]:
    """Remove old revisions of every image set; give the sets where that failed."""
    troubled = []
    age = timedelta(hours=settings.longest_run_hours)
    for image_set in store.image_sets():
        try:
            removals = prune(store, image_set, keep=settings.keep_revisions, min_age=age, dry_run=config.dry_run)
        except StoreError as error:
            troubled.append(image_set)
            context.log.error(f"{image_set}: {error}")
            continue
        for removal in removals:
            what = f"{image_set}/{removal.asset}/{removal.revision}"
            context.log.info(f"{_verb(config)} {what}: {removal.size:,} bytes, {removal.reason}.")
    return troubled


def _verb(config: Pruning) -> str:
    return "Would remove" if config.dry_run else "Removed"
