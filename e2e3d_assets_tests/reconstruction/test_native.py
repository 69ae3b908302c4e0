"""How much of the machine native code takes, and that it can be stopped."""

import _thread
import threading
import time
from pathlib import Path

import pycolmap
import pytest

from e2e3d_assets.reconstruction import memory, native
from e2e3d_assets.reconstruction.errors import Cancelled
from e2e3d_assets.reconstruction.monitor import Monitor


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(native, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


def test_memory_within_a_container(cgroup: Path):
    """A container of 2 GB on a machine of 256 GB: threads by the machine's memory would be killed."""
    (cgroup / "memory.max").write_text("2000000000\n")
    (cgroup / "memory.current").write_text("1500000000\n")
    (cgroup / "memory.stat").write_text("anon 1\ninactive_file 500000000\nactive_file 7\n")
    assert memory.available_memory() == 1_000_000_000
    assert native.threads_within_memory(500e6) == 1
    assert native.threads_within_memory(1.0) == native.thread_count()


def test_memory_without_limit(cgroup: Path):
    """Most containers have no limit: theirs reads max, which is no number."""
    free = memory.available_memory()
    (cgroup / "memory.max").write_text("max\n")
    assert memory.available_memory() == pytest.approx(free, rel=0.5)
    assert native.threads_within_memory(1e18) == 1


def test_cpu_quota(cgroup: Path):
    """A container with half a CPU on 64 cores: 64 threads would wait for each other."""
    (cgroup / "cpu.max").write_text("50000 100000\n")
    assert native.thread_count() == 1


def test_native_call_is_stopped_and_its_error_raised():
    """A native error lost in its thread would look like success; a cancelled call must not go on."""

    def fails(token: object) -> None:
        raise ValueError("native")

    with pytest.raises(ValueError, match="native"):
        native.run_cancellable(fails, Monitor())
    monitor = Monitor()
    threading.Timer(0.2, monitor.cancelled.set).start()

    def endless(token: pycolmap.CancellationToken) -> None:
        while not token.is_cancelled:
            time.sleep(0.01)

    with pytest.raises(Cancelled):
        native.run_cancellable(endless, monitor)


def test_interrupted_caller_stops_the_call():
    """Ctrl-C in an engineer's script must not leave native threads at work."""
    ended = threading.Event()

    def endless(token: pycolmap.CancellationToken) -> None:
        while not token.is_cancelled:
            time.sleep(0.01)
        ended.set()

    threading.Timer(0.2, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        native.run_cancellable(endless, Monitor())
    assert ended.wait(5)
