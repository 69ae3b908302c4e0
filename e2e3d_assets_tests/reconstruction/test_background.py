"""Work in threads: overlap, and nothing left working behind a failure."""

import threading
import time

import pytest

from e2e3d_assets.reconstruction.background import two_at_a_time


def test_two_items_are_worked_on_at_once_and_never_three() -> None:
    """Reading and writing held up the kernels: four threads were 2.7 times as fast as one."""
    meeting = threading.Barrier(2, timeout=10)
    working: set[int] = set()
    most = 0

    def work(item: int) -> None:
        nonlocal most
        working.add(item)
        most = max(most, len(working))
        meeting.wait()
        working.remove(item)

    two_at_a_time(range(8), work)
    assert most == 2


def test_a_failure_is_raised_when_nothing_works_any_more() -> None:
    """A stage's folder is removed when it fails; a thread that still wrote into it would make another failure."""
    begun = threading.Event()
    finished = []

    def work(item: int) -> None:
        if item == 0:
            assert begun.wait(10)
            raise ValueError("broken")
        begun.set()
        time.sleep(0.1)
        finished.append(item)

    with pytest.raises(ValueError, match="broken"):
        two_at_a_time(range(8), work)
    assert finished == [1]
