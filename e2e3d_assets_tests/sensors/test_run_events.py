"""The sensor on runs: real runs of an ephemeral instance, a real receiver."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from e2e3d_assets.sensors.run_events import Told, load_told, run_event_sensor, save_told
from e2e3d_assets_tests.notifications.receivers import HttpReceiver, http_receiver


@dg.op
def work(context: dg.OpExecutionContext):
    """Fails where its run's tags say so."""
    if context.run.tags.get("fail"):
        raise dg.Failure("3 photos are needed. Upload more.")


@dg.job
def some_job():
    work()


def run(instance: dg.DagsterInstance, image_set: str | None = "banana", **tags: str) -> str:
    """Run it to its end; give the run's id."""
    partition = {"dagster/partition": image_set} if image_set else {}
    return some_job.execute_in_process(instance=instance, tags=tags | partition, raise_on_error=False).run_id


@pytest.fixture
def receiver(monkeypatch):
    with http_receiver() as receiver:
        monkeypatch.setenv("E2E3D_WEBHOOK_URLS", receiver.url)
        yield receiver


@pytest.fixture
def watched(instance: dg.DagsterInstance, receiver: HttpReceiver) -> dg.DagsterInstance:
    """An instance on which the sensor has run before."""
    tick(instance)
    return instance


def tick(instance: dg.DagsterInstance) -> str:
    result = run_event_sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


def told(receiver: HttpReceiver) -> list[dict]:
    return [json.loads(body) for _, body in receiver.got]


def test_success_and_failure_are_told_once(watched, receiver):
    """Prevents silence, and a message at each tick."""
    good, bad = run(watched), run(watched, fail="yes")
    tick(watched)
    tick(watched)
    events = {event["run_id"]: event for event in told(receiver)}
    assert len(receiver.got) == 2
    assert events[good]["kind"] == "run.succeeded"
    assert events[bad]["kind"] == "run.failed"
    assert events[bad]["stage"] == "work"
    assert events[bad]["problem"] == "3 photos are needed. Upload more."
    assert events[bad]["image_set"] == "banana"
    assert bad in events[bad]["url"]


def test_runs_that_will_be_repeated_are_not_failures_yet(watched, receiver):
    """Prevents an alarm for a crash that mends itself."""
    run(watched, fail="yes", **{"dagster/will_retry": "true"})
    tick(watched)
    assert told(receiver) == []


def test_what_could_not_be_told_is_told_later(watched, receiver):
    """Prevents a restart of the receiver from losing an event."""
    receiver.answers = [500]
    run(watched)
    assert "1 wait for another attempt" in tick(watched)
    assert "0 told, 1 wait" in tick(watched), "not before its time"
    state = load_told(watched)
    early = state.outbox.waiting[0].model_copy(update={"due": datetime.now(UTC)})
    save_told(watched, state.model_copy(update={"outbox": state.outbox.model_copy(update={"waiting": (early,)})}))
    assert "1 told, 0 wait" in tick(watched)
    assert len({headers["E2E3D-Delivery"] for headers, _ in receiver.got}) == 1, "receivers can tell a repetition"


def test_dead_letters_are_visible(watched, receiver):
    """Prevents a wrong address from being found when the first customer complains."""
    receiver.answers = [404]
    run(watched)
    assert "1 dead letters (see `e2e3d notifications`)" in tick(watched)
    assert load_told(watched).outbox.dead[0].reason == "127.0.0.1 answered 404"


def test_runs_before_the_first_tick_are_history(instance, receiver):
    """Prevents a flood of old news when notifications are switched on."""
    run_id = run(instance)
    save_told(instance, Told(ended_until=datetime.now(UTC) + timedelta(minutes=5)))
    tick(instance)
    assert run_id not in {event["run_id"] for event in told(receiver)}


def test_stuck_run_is_told_once(watched, receiver, monkeypatch):
    """Prevents a run that hangs for days without anybody noticing, and an alarm every ten seconds."""
    monkeypatch.setenv("E2E3D_LONGEST_RUN_HOURS", "0.0000001")
    run_id = watched.create_run_for_job(some_job, status=dg.DagsterRunStatus.STARTED).run_id
    tick(watched)
    tick(watched)
    assert [(event["kind"], event["run_id"]) for event in told(receiver)] == [("run.stuck", run_id)]
    watched.report_run_canceled(watched.get_run_by_id(run_id))
    tick(watched)
    assert told(receiver)[-1]["kind"] == "run.cancelled"
    assert load_told(watched).stuck == frozenset()


def test_without_receivers_nothing_is_kept(instance):
    """Prevents an outbox that grows for nobody."""
    run(instance)
    assert "Nobody is to be told" in tick(instance)
    assert load_told(instance) is None
