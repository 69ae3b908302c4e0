"""Parallel work: order, failures, progress."""

import os
import signal
import threading
import time

import pytest

from e2e3d_assets.storage.parallel import Tally, in_parallel


def test_results_keep_their_order():
    """Prevents the digest of one file from being noted for another."""

    def slow_first(item: int) -> int:
        time.sleep(0.02 / (item + 1))
        return item * 2

    assert in_parallel(slow_first, range(20), 8) == [item * 2 for item in range(20)]
    assert in_parallel(slow_first, [3], 8) == [6]
    assert in_parallel(slow_first, [], 8) == []


def test_the_first_failure_stops_the_rest():
    """Prevents a store that is gone from being asked ten thousand times more."""
    begun = []

    def fail(item: int) -> None:
        begun.append(item)
        time.sleep(0.01)
        raise OSError(item)

    with pytest.raises(OSError, match=r"\d"):
        in_parallel(fail, range(1000), 4)
    assert len(begun) < 20


def test_what_has_begun_is_finished_before_the_failure_is_told():
    """Prevents threads that still write while the caller cleans up."""
    working = threading.Event()

    def work(item: int) -> None:
        if item == 0:
            raise OSError
        working.set()
        time.sleep(0.05)
        working.clear()

    with pytest.raises(OSError):  # noqa: PT011
        in_parallel(work, range(4), 4)
    assert not working.is_set()


def test_an_interruption_waits_for_nothing():
    """Prevents a cancelled run from going on until its last ten gigabytes are stored."""
    stopping, ended = threading.Event(), threading.Event()

    def work(_: int) -> None:
        assert stopping.wait(60)
        ended.set()

    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        in_parallel(work, range(1), 4, stopping)
    assert ended.wait(60)


def test_a_tally_tells_every_step_once():
    """Prevents a progress that jumps back or ends short."""
    told = []
    tally = Tally(800, lambda done, total: told.append((done, total)))
    in_parallel(lambda _: tally.add(1), range(800), 8)
    assert told == [(done, 800) for done in range(1, 801)]
