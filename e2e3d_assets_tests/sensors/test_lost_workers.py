"""The sensor on workers: runs of a real instance, whose workers are processes of the test."""

import subprocess
import time

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import GRPC_INFO_TAG

from e2e3d_assets.runs import problem_of
from e2e3d_assets.sensors.lost_workers import lost_worker_sensor
from e2e3d_assets.workers import Worker, stage_at_work


@dg.op
def mesh(): ...


@dg.job
def some_job():
    mesh()


@pytest.fixture
def instance(sqlite_instance) -> dg.DagsterInstance:
    return sqlite_instance


@pytest.fixture
def worker():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def run_of(
    instance: dg.DagsterInstance, pid: int, status=dg.DagsterRunStatus.STARTED, *, by_code_server: bool = True
) -> dg.DagsterRun:
    run = instance.create_run_for_job(some_job, status=status, tags={GRPC_INFO_TAG: "{}"} if by_code_server else {})
    started(instance, run, pid)
    return run


def started(instance: dg.DagsterInstance, run: dg.DagsterRun, pid: int) -> None:
    instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))


def tick(instance: dg.DagsterInstance) -> str:
    result = lost_worker_sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    return instance.get_run_by_id(run.run_id).status


def test_a_living_worker_is_left_alone(instance, worker):
    """Prevents a long stage from being taken for a dead one, also where an earlier launch of the run failed."""
    with subprocess.Popen(["true"]) as earlier:
        pass
    run = run_of(instance, earlier.pid)
    started(instance, run, worker.pid)
    assert tick(instance) == "0 of 1 runs had lost their worker."
    assert status(instance, run) == dg.DagsterRunStatus.STARTED


@pytest.mark.parametrize("reaped", [True, False])
def test_a_dead_worker_ends_its_run_in_plain_words(instance, worker, reaped):
    """Prevents an image set that waits half a day for a process that a crash took together with its code server."""
    run = run_of(instance, worker.pid)
    worker.kill()
    if reaped:
        worker.wait()
    else:  # its parent does not look
        until_gone = Worker(worker.pid, time.time())
        while until_gone.process():
            time.sleep(0.01)
    tick(instance)
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE
    stage, problem = problem_of(instance, run.run_id)
    assert (stage, "ran out of memory" in str(problem)) == (None, True)


def test_what_dagster_says_of_a_killed_worker_is_put_into_words(instance, worker):
    """Prevents mail that says "marked as failed from outside the execution context" of a run that memory killed."""
    run = run_of(instance, worker.pid)
    instance.report_run_failed(run)
    assert "ran out of memory" in str(problem_of(instance, run.run_id)[1])


def test_a_number_that_passed_to_another_process_is_no_life(instance, worker):
    """Prevents a process that came later, in a new container too, from standing for the worker."""
    assert Worker(worker.pid, told_at=1000).process() is None


def test_runs_that_people_execute_elsewhere_are_left_alone(instance, worker):
    """Prevents `e2e3d backfill` on another machine from being declared dead."""
    worker.kill()
    worker.wait()
    run = run_of(instance, worker.pid, by_code_server=False)
    assert tick(instance) == "0 of 0 runs had lost their worker."
    assert status(instance, run) == dg.DagsterRunStatus.STARTED


def test_a_cancelled_orphan_is_stopped(instance, worker):
    """Prevents a run that was cancelled after a crash of the code server from working on, beside its successor, and
    a second interruption of workers that are stopping in good order.
    """
    run_of(instance, worker.pid, dg.DagsterRunStatus.CANCELING)
    shell = subprocess.run(
        ["sh", "-c", "sleep 600 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True, check=True
    )
    orphan = Worker(int(shell.stdout), time.time())
    run = run_of(instance, orphan.pid, dg.DagsterRunStatus.CANCELING)
    tick(instance)
    deadline = time.monotonic() + 10
    while orphan.process():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert worker.poll() is None
    tick(instance)
    assert status(instance, run) == dg.DagsterRunStatus.CANCELED


def test_the_stage_that_was_at_work_is_named(instance):
    """Prevents a guess which stage needs less."""
    result = some_job.execute_in_process(instance=instance)
    assert stage_at_work(instance, result.run_id) is None
