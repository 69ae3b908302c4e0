"""Deleting an image set with everything that belongs to it. Its key is never used again.

What belongs here: the order of the steps, so that a deletion that is cut off can be repeated. What does not: asking.
"""

import time

import dagster as dg

from .partitions import DELETED, image_sets, key_of
from .runs import PARTITION_TAG, UNFINISHED
from .storage.store import ArtifactStore
from .storage.uploads import UploadStore

_POLL_SECONDS = 0.5


class InFlight(Exception):
    """Runs of the image set are not finished."""


def runs_in_flight(instance: dg.DagsterInstance, image_set: str) -> list[str]:
    """Ids of unfinished runs of an image set."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={PARTITION_TAG: image_set}))
    return [run.run_id for run in runs]


def cancel_runs(instance: dg.DagsterInstance, image_set: str, patience_seconds: float) -> None:
    """Cancel every unfinished run of an image set and wait until they have stopped.

    Raises:
        InFlight: some did not stop in time, or cannot be reached from here.
    """
    for run_id in runs_in_flight(instance, image_set):
        instance.run_coordinator.cancel_run(run_id)
    deadline = time.monotonic() + patience_seconds
    while left := runs_in_flight(instance, image_set):
        if time.monotonic() > deadline:
            raise InFlight(f"{_named(left)} did not stop within {patience_seconds:.0f} s.")
        time.sleep(_POLL_SECONDS)


def is_known(image_set: str, store: ArtifactStore, uploads: UploadStore, instance: dg.DagsterInstance) -> bool:
    """Whether anything is there that could be deleted."""
    return (
        image_set in instance.get_dynamic_partitions(str(image_sets.name))
        or image_set in store.image_sets()
        or bool(_folders(image_set, uploads))
    )


def delete_set(image_set: str, store: ArtifactStore, uploads: UploadStore, instance: dg.DagsterInstance) -> None:
    """Remove an image set's products, then its uploads, then its partition. Repeat it if it was cut off.

    The key is written down as deleted first: from then on the upload sensor starts nothing for it. The partition goes
    last, because Dagster fails runs whose partition vanishes.

    Raises:
        InFlight: a run is not finished; nothing was removed, or nothing more than before that run began.
        StoreError: the store failed; what is left goes at the next attempt.
    """
    _require_idle(instance, image_set)
    instance.add_dynamic_partitions(DELETED, [image_set])
    store.delete(image_set)
    for folder in _folders(image_set, uploads):
        uploads.delete(folder)
    _require_idle(instance, image_set)
    if image_set in instance.get_dynamic_partitions(str(image_sets.name)):
        instance.delete_dynamic_partition(str(image_sets.name), image_set)


def _folders(image_set: str, uploads: UploadStore) -> list[str]:
    return [folder for folder in uploads.image_sets() if key_of(folder) == image_set]


def _require_idle(instance: dg.DagsterInstance, image_set: str) -> None:
    if runs := runs_in_flight(instance, image_set):
        raise InFlight(f"{_named(runs)} of {image_set} is not finished. Cancel it first, or use --cancel-runs.")


def _named(run_ids: list[str]) -> str:
    return "Run " + ", ".join(run_id[:8] for run_id in run_ids)
