"""What a broken decoder may do to the process that asked for a photo: nothing."""

import os
import signal
import threading
import time
from contextlib import closing

import pytest

from e2e3d_assets.reconstruction.errors import BadInput, Cancelled
from e2e3d_assets.reconstruction.intake import sandbox
from e2e3d_assets.reconstruction.intake.sandbox import DecoderDied, Sandbox
from e2e3d_assets.reconstruction.monitor import Monitor


def answer(value: int, monitor: Monitor) -> tuple[int, int]:
    monitor.progress(1, 2, "half")
    return value + 1, os.getpid()


def crash(monitor: Monitor) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def swell(monitor: Monitor) -> int:
    return len(bytearray(sandbox.MEMORY_BYTES + 2**20))


def refuse(monitor: Monitor) -> None:
    raise BadInput("No", "Mend it", ["x.mp4"])


def hang(monitor: Monitor) -> None:
    monitor.progress(0, 1, "hanging")
    signal.alarm(1)  # what a call has long had when it hangs
    time.sleep(60)


def test_a_crash_costs_one_call_only():
    """One damaged HEIC must not take the run with it, nor the photos after it."""
    heard: list[tuple[int, int, str]] = []
    monitor = Monitor(lambda *progress: heard.append(progress))
    with closing(Sandbox()) as child:
        first, pid = child.call(answer, 1, monitor=monitor)
        with pytest.raises(BadInput, match="Mend it") as caught:
            child.call(refuse, monitor=monitor)
        assert caught.value.files == ("x.mp4",)
        with pytest.raises(DecoderDied, match="breaks its decoder"):
            child.call(crash, monitor=monitor)
        second, other_pid = child.call(answer, 2, monitor=monitor)
    assert (first, second) == (2, 3)
    assert pid != other_pid
    assert heard == [(1, 2, "half")] * 2


def test_a_swelling_call_is_stopped():
    """A few bytes that claim gigabytes must not push the machine into swapping."""
    with closing(Sandbox()) as child, pytest.raises(MemoryError):
        child.call(swell, monitor=Monitor())


def test_a_hanging_call_ends():
    """A decoder in an endless loop would keep the run for ever."""
    with closing(Sandbox()) as child, pytest.raises(DecoderDied, match="longer than"):
        child.call(hang, monitor=Monitor())


def test_cancelling_kills_the_child():
    """A cancelled run must not leave a decoder at work."""
    cancelled = threading.Event()
    monitor = Monitor(lambda *_: cancelled.set(), cancelled)
    with closing(Sandbox()) as child, pytest.raises(Cancelled):
        child.call(hang, monitor=monitor)
