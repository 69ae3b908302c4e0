"""The processes that execute runs: whether they live, and what to say of one that died.

What belongs here: telling from a run's events and this machine's processes. What does not: what is done about it
(``sensors.lost_workers``).
"""

import os
from typing import NamedTuple

import dagster as dg
import psutil
from dagster._core.storage.tags import GRPC_INFO_TAG

_CLOCK_SECONDS = 1.0
_STARTED = "Started process for run"  # Dagster's words; processes of single steps tell of themselves otherwise
_ENDS = (dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_SKIPPED)


class Worker(NamedTuple):
    """A process by its number, and when the run's log first told of it (seconds since 1970)."""

    pid: int
    told_at: float

    def process(self) -> psutil.Process | None:
        """The living process; none if it is gone, or if its number has passed to another one since."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            return process if alive and process.create_time() <= self.told_at + _CLOCK_SECONDS else None
        except psutil.NoSuchProcess:
            return None


def is_of_code_server(run: dg.DagsterRun) -> bool:
    """Whether a code server started the run's worker: only then it lives on the code server's machine."""
    return GRPC_INFO_TAG in run.tags


def worker_of(instance: dg.DagsterInstance, run_id: str) -> Worker | None:
    """The process that executes a run; none before it has told of itself.

    A run has several, one after the other, where its code server died while it was being launched.
    """
    for entry in reversed(instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
        event = entry.get_dagster_event()
        if (event.message or "").startswith(_STARTED):
            return Worker(int(str(event.engine_event_data.metadata["pid"].value)), entry.timestamp)
    return None


def is_orphan(process: psutil.Process) -> bool:
    """Whether a worker is not of this process, a code server: the one that started it is gone."""
    try:
        return os.getpid() not in {parent.pid for parent in process.parents()}
    except psutil.NoSuchProcess:
        return False


def obituary(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why a worker most probably died without a word, and what to do, for people."""
    stage = stage_at_work(instance, run_id)
    memory = f"{psutil.virtual_memory().total / 1e9:.0f} GB"
    return (
        f"The worker was killed{f' while {stage} was at work' if stage else ''}. If nobody stopped it, the machine "
        f"probably ran out of memory (it has {memory}) or of disk: give it more, let fewer runs work at once "
        "(max_concurrent_runs in dagster.yaml), or choose a lower quality. Finished stages are used again."
    )


def stage_at_work(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """The last step that has begun and not ended."""
    begun = [entry.get_dagster_event() for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)]
    ended = {entry.get_dagster_event().step_key for entry in instance.all_logs(run_id, of_type={*_ENDS})}
    return next((event.step_key for event in reversed(begun) if event.step_key not in ended), None)
