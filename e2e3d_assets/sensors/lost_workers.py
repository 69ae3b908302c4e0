"""The sensor on workers: ends runs whose process is gone, so that they can be started again.

A code server reports the workers that die, unless it died with them or the database was away at that moment. Such a run
would count as running for the longest time that a run may take, and its image set would wait as long. Sensors are
evaluated in the code server, on whose machine the workers are.
"""

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher

from ..workers import is_of_code_server, is_orphan, obituary, worker_of

_WORKING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@dg.sensor(
    name="lost_worker_sensor",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose worker was killed together with its code server, and stops cancelled orphans.",
)
def lost_worker_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Compare what is running by the records with the processes of this machine."""
    if not isinstance(context.instance.run_launcher, DefaultRunLauncher):
        return dg.SkipReason("Workers are elsewhere; their launcher looks after them.")
    working = [run for run in context.instance.get_runs(dg.RunsFilter(statuses=_WORKING)) if is_of_code_server(run)]
    lost = [run for run in working if _is_lost(context.instance, run)]
    for run in lost:
        _end(context.instance, run)
    return dg.SkipReason(f"{len(lost)} of {len(working)} runs had lost their worker.")


def _is_lost(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    worker = worker_of(instance, run.run_id)
    if worker is None:
        return False
    process = worker.process()
    if process is None:
        return True
    if run.status == dg.DagsterRunStatus.CANCELING and is_orphan(process):
        process.terminate()  # nobody else knows how to reach it
    return False


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Read again before: a worker that has just finished is gone, too."""
    status = getattr(instance.get_run_by_id(run.run_id), "status", None)
    if status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "Its worker is gone.")
    elif status in _WORKING:
        instance.report_run_failed(run, obituary(instance, run.run_id))
