"""Calls into pycolmap that can be cancelled, and the one place that says how much of the machine it may use."""

import os
from collections.abc import Callable
from concurrent.futures import wait
from typing import TypeVar

import pycolmap

from .background import in_daemon_thread
from .errors import Cancelled
from .memory import CGROUP, available_memory
from .monitor import Monitor

Result = TypeVar("Result")
_POLL_SECONDS = 0.1
_SHARE_OF_FREE_MEMORY = 0.6

pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR.value)  # stages tell through their monitor alone


def thread_count() -> int:
    """Threads that native code may use: the CPUs this process may run on, within its cgroup's quota.

    ``OMP_NUM_THREADS`` wins where it is set: OpenMP, OpenCV, numba and BLAS follow the same variable.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(cpus, _cgroup_cpus()))


def _cgroup_cpus() -> int:
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        return 1 << 16


def threads_within_memory(bytes_per_thread: float) -> int:
    """Threads for work of which each takes this much memory: at least one, at most :func:`thread_count`."""
    return max(1, min(thread_count(), int(_SHARE_OF_FREE_MEMORY * available_memory() / max(1.0, bytes_per_thread))))


def run_cancellable(call: Callable[[pycolmap.CancellationToken], Result], monitor: Monitor) -> Result:
    """Run ``call(token)`` off this thread, passing the monitor's cancellation on to the native code.

    Raises:
        Cancelled: after the native call has returned, if the monitor was cancelled.
    """
    token = pycolmap.CancellationToken()
    future = in_daemon_thread(lambda: call(token))
    try:
        while not future.done():
            wait([future], _POLL_SECONDS)
            if monitor.cancelled.is_set():
                token.cancel()
    except BaseException:  # the caller's thread was interrupted
        token.cancel()
        raise
    if monitor.cancelled.is_set():
        raise Cancelled
    return future.result()
