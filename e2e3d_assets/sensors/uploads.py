"""The upload sensor: lists the uploads, asks :mod:`~e2e3d_assets.sensors.upload_decisions`, requests runs."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from ..jobs import reconstruct_job
from ..partitions import DELETED, image_sets
from ..runs import UPLOAD_TAG, Choice, choice_of, latest_versions
from ..settings import Settings
from ..storage.errors import StoreError
from ..storage.uploads import OPTIONS, UploadStore
from ..stores import open_uploads, survey_uploads
from .upload_decisions import Known, Wanted, decide, state_of

_REMARKS_SHOWN = 20


@dg.sensor(
    name="upload_sensor",
    job=reconstruct_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for each upload that is complete and that no run has worked on yet.",
)
def upload_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Request a run for each new or changed upload; the cursor names the last state in which nothing was left to do."""
    settings = Settings()
    store = open_uploads(settings)
    try:
        uploads, unusable = survey_uploads(store)
    except StoreError as error:
        told = f"The uploads cannot be listed, so nothing is changed. {error}"
        return dg.SensorResult(skip_reason=told, cursor=context.cursor)
    state = state_of(uploads)
    if not unusable and context.cursor == _cursor(state):
        return dg.SensorResult(skip_reason=f"Nothing has changed in {len(uploads)} image sets.", cursor=context.cursor)
    known = _known(context.instance)
    decision = decide(uploads, known, timedelta(seconds=settings.upload_quiet_seconds), datetime.now(UTC))
    requests, remarks = _requests(decision.ready, settings.upload_runs_per_tick, store, context.instance)
    remarks = _abridged([*decision.remarks, *unusable, *remarks])
    for remark in remarks:
        context.log.info(remark)
    cursor = _cursor(state) if decision.settled else context.cursor
    if not requests:
        return dg.SensorResult(skip_reason="\n".join(remarks) or "Every upload has its run.", cursor=cursor)
    new = [str(request.partition_key) for request in requests if request.partition_key not in known.image_sets]
    return dg.SensorResult(
        run_requests=requests,
        cursor=cursor,
        dynamic_partitions_requests=[image_sets.build_add_request(new)] if new else [],
    )


def _known(instance: dg.DagsterInstance) -> Known:
    return Known(
        versions=latest_versions(instance),
        image_sets=set(instance.get_dynamic_partitions(str(image_sets.name))),
        deleted=set(instance.get_dynamic_partitions(DELETED)),
    )


def _requests(
    ready: Sequence[Wanted], most: int, store: UploadStore, instance: dg.DagsterInstance
) -> tuple[list[dg.RunRequest], list[str]]:
    """Runs for the first usable uploads, and remarks about the others. One whose options are wrong blocks nobody."""
    requests, remarks = [], []
    for tried, wanted in enumerate(ready):
        if len(requests) == most:
            return requests, [*remarks, f"{len(ready) - tried} more uploads get their runs at the next ticks."]
        try:
            requests.append(_request(wanted, store, instance))
        except ValueError as error:
            remarks.append(f"{wanted.upload.image_set}: {OPTIONS} cannot be used. {error}")
        except StoreError as error:
            remarks.append(f"{wanted.upload.image_set}: {error}")
    return requests, remarks


def _request(wanted: Wanted, store: UploadStore, instance: dg.DagsterInstance) -> dg.RunRequest:
    """The run for an upload: as its options file says, else as the image set was reconstructed last."""
    text = store.read_options(wanted.upload)
    choice = Choice.of_json(text) if text is not None else choice_of(instance, wanted.image_set, None, {})
    return dg.RunRequest(
        run_key=wanted.version.tag,
        partition_key=wanted.image_set,
        run_config=choice.run_config(),
        tags={UPLOAD_TAG: wanted.version.tag},
    )


def _abridged(remarks: Sequence[str]) -> list[str]:
    more = len(remarks) - _REMARKS_SHOWN
    return [*remarks[:_REMARKS_SHOWN], *([f"{more} more remarks."] if more > 0 else [])]


def _cursor(settled_state: str) -> str:
    return json.dumps({"settled": settled_state})
