"""Native calls: their results and errors come back, and whoever interrupts the caller stops them too."""

import _thread
import threading
import time

import pycolmap
import pytest

from e2e3d_assets.reconstruction.errors import Cancelled
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.native import available_memory, run_cancellable, thread_count, threads_within_memory


def _until_cancelled(token: pycolmap.CancellationToken, ended: threading.Event) -> None:
    while not token.is_cancelled():
        time.sleep(0.01)
    ended.set()


def test_result_and_error_come_back():
    """Prevents native errors from being lost in a thread."""
    assert run_cancellable(lambda token: 7, Monitor()) == 7
    with pytest.raises(ZeroDivisionError):
        run_cancellable(lambda token: 1 // 0, Monitor())


def test_cancelled_monitor_stops_the_call():
    """Prevents a cancelled run from waiting for an hour of bundle adjustment."""
    monitor, ended = Monitor(), threading.Event()
    threading.Timer(0.2, monitor.cancelled.set).start()
    with pytest.raises(Cancelled):
        run_cancellable(lambda token: _until_cancelled(token, ended), monitor)
    assert ended.is_set()


def test_interrupted_caller_stops_the_call():
    """Prevents Ctrl-C in an engineer's script from leaving native threads at work."""
    ended = threading.Event()
    threading.Timer(0.2, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        run_cancellable(lambda token: _until_cancelled(token, ended), Monitor())
    assert ended.wait(5)


def test_threads_are_few_where_each_needs_much(monkeypatch):
    """Prevents key points of large photos from ending in out of memory on machines with many cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert thread_count() == 8
    assert threads_within_memory(1.0) == 8
    assert threads_within_memory(available_memory() * 2) == 1
