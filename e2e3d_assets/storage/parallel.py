"""Doing many small waits at once, and telling how far they are. Nothing here knows what is done."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

ByteListener = Callable[[int, int], object]
"""Called with (bytes done, bytes in all), one call at a time, from whichever thread works."""


class Tally:
    """Adds up what several threads have done."""

    def __init__(self, total: int, listener: ByteListener | None) -> None:
        self._done, self._total = 0, total
        self._listener = listener
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        """Tell that so much more is done."""
        with self._lock:
            self._done += amount
            if self._listener:
                self._listener(self._done, self._total)


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, stopping: threading.Event | None = None
) -> list[Result]:
    """``[function(item) for item in items]`` on several threads.

    The first failure stops what has not begun, waits for what has, and is raised. An interruption of the calling thread
    waits for nothing.

    Args:
        function: what to do.
        items: with what.
        threads: how many at once.
        stopping: set when the results are not wanted any more, for functions that take long to look at.
    """
    stopping = stopping or threading.Event()
    work = list(items)
    pool = ThreadPoolExecutor(max(1, min(threads, len(work))), thread_name_prefix="store")
    try:
        futures = [pool.submit(function, item) for item in work]
        finished, unfinished = wait(futures, return_when=FIRST_EXCEPTION)
    except BaseException:
        stopping.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    if unfinished:
        stopping.set()
    pool.shutdown(wait=True, cancel_futures=True)
    if failure := next((error for future in finished if (error := future.exception())), None):
        raise failure
    return [future.result() for future in futures]
