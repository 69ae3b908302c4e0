"""Removing old run records, so that the database does not grow for ever. Ticks are Dagster's own to remove.

What belongs here: which records nobody needs. What does not: products (``storage.retention``), and when it is done.
"""

import itertools
from collections.abc import Iterable, Set
from datetime import datetime

import dagster as dg

from .runs import FINISHED, PARTITION_TAG, UPLOAD_TAG, latest_versions

_MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION
_PAGE = 500


def prune_runs(instance: dg.DagsterInstance, before: datetime, *, dry_run: bool = True) -> list[str]:
    """Remove finished runs that were last touched before a time, but for those that something still rests on.

    Kept are the last run of each image set, the runs that say which upload was worked on last, and every run that holds
    the latest materialization of an asset: Dagster would forget that the product exists.

    Returns:
        Ids of the runs that were removed, or would be.
    """
    old = instance.get_runs(dg.RunsFilter(statuses=FINISHED, updated_before=before))
    uploads = {version.tag for version in latest_versions(instance).values()}
    candidates = [
        run
        for run in old
        if run.tags.get(UPLOAD_TAG) not in uploads and not _is_last(instance, run.run_id, run.tags.get(PARTITION_TAG))
    ]
    holders = _holders(instance, {run.tags[PARTITION_TAG] for run in candidates if PARTITION_TAG in run.tags})
    removed = [run.run_id for run in candidates if run.run_id not in holders]
    if not dry_run:
        for run_id in removed:
            instance.delete_run(run_id)
    return removed


def _is_last(instance: dg.DagsterInstance, run_id: str, image_set: str | None) -> bool:
    if image_set is None:
        return False
    (last,) = instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: image_set}), limit=1)
    return last.dagster_run.run_id == run_id


def _holders(instance: dg.DagsterInstance, image_sets: Set[str]) -> set[str]:
    """Runs that hold the latest materialization of any asset, of these partitions or without partitions."""
    found = set()
    for key in instance.get_asset_keys():
        if (latest := instance.get_latest_materialization_event(key)) is not None:
            found.add(latest.run_id)
        ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, _MATERIALIZATION, set(image_sets))
        for page in _pages(ids.values()):
            wanted = dg.AssetRecordsFilter(key, storage_ids=page)
            found.update(record.run_id for record in instance.fetch_materializations(wanted, limit=len(page)).records)
    return found


def _pages(ids: Iterable[int]) -> Iterable[list[int]]:
    iterator = iter(ids)
    while page := list(itertools.islice(iterator, _PAGE)):
        yield page
