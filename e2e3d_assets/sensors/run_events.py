"""The sensor on runs: notices which have finished or are stuck, and tells it by every channel.

What belongs here: reading runs, and carrying out what the outbox says. The state is kept in the instance's key-value
store, so that the command line can show it, and so that it is saved after each letter: what is told arrives at least
once, whatever is killed.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import AwareDatetime, BaseModel

from ..notifications.channels import Channel, Undelivered, open_channels
from ..notifications.events import Kind, RunEvent
from ..notifications.outbox import Outbox
from ..runs import PARTITION_TAG, UNFINISHED, problem_of
from ..settings import Settings

_STATE_KEY = "e2e3d_notifications"
_RUNS_PER_TICK = 100
_SECONDS_PER_TICK = 25  # Dagster ends a tick after 60
_OVERLAP = timedelta(minutes=2)  # between the time that a run's record says and its being visible to others

_KINDS: dict[dg.DagsterRunStatus, Kind] = {
    dg.DagsterRunStatus.SUCCESS: "run.succeeded",
    dg.DagsterRunStatus.FAILURE: "run.failed",
    dg.DagsterRunStatus.CANCELED: "run.cancelled",
}


class Told(BaseModel):
    """What has been noticed so far, and what of it is still to be told."""

    ended_until: AwareDatetime
    """The latest end of a run that was noticed."""
    recent: dict[str, AwareDatetime] = {}
    """Runs that ended shortly before that, and when."""
    stuck: frozenset[str] = frozenset()
    """Runs that were reported as stuck and still are."""
    outbox: Outbox = Outbox()


@dg.sensor(
    name="run_event_sensor",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells webhooks, Slack and mail which runs succeeded, failed, were cancelled or are stuck.",
)
def run_event_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Notice, tell, and say how many letters wait or were given up."""
    settings = Settings()
    channels = open_channels(settings)
    if not channels:
        return dg.SkipReason(
            "Nobody is to be told: E2E3D_WEBHOOK_URLS, E2E3D_SLACK_WEBHOOK_URL, E2E3D_MAIL_TO are empty."
        )
    now = datetime.now(UTC)
    told = load_told(context.instance) or Told(ended_until=now)
    ended = _newly_ended(context.instance, told)
    stuck = _stuck(context.instance, now - timedelta(hours=settings.longest_run_hours))
    events = [_event(context.instance, record, _KINDS[record.dagster_run.status], settings) for record in ended]
    events += [
        _event(context.instance, record, "run.stuck", settings)
        for record in stuck
        if record.dagster_run.run_id not in told.stuck
    ]
    told = _noticed(told, ended, stuck).model_copy(update={"outbox": told.outbox.put(events, channels, now)})
    save_told(context.instance, told)
    told, sent = _send_due(context, told, channels, now)
    return dg.SkipReason(
        f"{sent} told, {len(told.outbox.waiting)} wait for another attempt, {len(told.outbox.dead)} dead letters"
        f"{' (see `e2e3d notifications`)' if told.outbox.dead else ''}."
    )


def load_told(instance: dg.DagsterInstance) -> Told | None:
    """The sensor's state; none before its first tick."""
    text = instance.daemon_cursor_storage.get_cursor_values({_STATE_KEY}).get(_STATE_KEY)
    return Told.model_validate_json(text) if text else None


def save_told(instance: dg.DagsterInstance, told: Told) -> None:
    """Replace the sensor's state."""
    instance.daemon_cursor_storage.set_cursor_values({_STATE_KEY: told.model_dump_json()})


def _newly_ended(instance: dg.DagsterInstance, told: Told) -> list[dg.RunRecord]:
    """Finished runs that nobody was told of. A record may become visible later than others that say a later time."""
    since = told.ended_until - _OVERLAP
    records = instance.get_run_records(
        dg.RunsFilter(statuses=list(_KINDS), updated_after=since),
        order_by="update_timestamp",
        ascending=True,
        limit=_RUNS_PER_TICK + len(told.recent),
    )
    return [
        record
        for record in records
        if (_ended(record) or since) > since
        and record.dagster_run.run_id not in told.recent
        and record.dagster_run.tags.get("dagster/will_retry") != "true"
    ]


def _stuck(instance: dg.DagsterInstance, before: datetime) -> Sequence[dg.RunRecord]:
    return instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED, created_before=before), limit=_RUNS_PER_TICK)


def _noticed(told: Told, ended: Sequence[dg.RunRecord], stuck: Sequence[dg.RunRecord]) -> Told:
    times = {**told.recent, **{record.dagster_run.run_id: _ended(record) or told.ended_until for record in ended}}
    until = max([told.ended_until, *times.values()])
    return told.model_copy(
        update={
            "ended_until": until,
            "recent": {run_id: time for run_id, time in times.items() if time > until - _OVERLAP},
            "stuck": frozenset(record.dagster_run.run_id for record in stuck),
        }
    )


def _send_due(
    context: dg.SensorEvaluationContext, told: Told, channels: dict[str, Channel], now: datetime
) -> tuple[Told, int]:
    sent = 0
    stop = time.monotonic() + _SECONDS_PER_TICK
    for letter in told.outbox.due(now):
        if time.monotonic() > stop:
            break
        channel = channels.get(letter.channel)
        try:
            if channel is None:
                raise Undelivered("this channel is no longer configured", permanent=True)
            channel.send(letter.event)
        except Undelivered as error:
            context.log.warning(f"{letter.channel} was not told of {letter.event.id}: {error}")
            outbox = told.outbox.failed(letter, str(error), datetime.now(UTC), permanent=error.permanent)
        else:
            sent += 1
            outbox = told.outbox.delivered(letter)
        told = told.model_copy(update={"outbox": outbox})
        save_told(context.instance, told)
    return told, sent


def _event(instance: dg.DagsterInstance, record: dg.RunRecord, kind: Kind, settings: Settings) -> RunEvent:
    run = record.dagster_run
    stage, problem = problem_of(instance, run.run_id) if kind == "run.failed" else (None, None)
    return RunEvent(
        kind=kind,
        run_id=run.run_id,
        job=run.job_name,
        image_set=run.tags.get(PARTITION_TAG),
        started=_time(record.start_time),
        ended=_ended(record),
        stage=stage,
        problem=problem,
        url=f"{settings.ui_url.rstrip('/')}/runs/{run.run_id}",
    )


def _ended(record: dg.RunRecord) -> datetime | None:
    return _time(record.end_time)


def _time(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, tz=UTC) if timestamp is not None else None
