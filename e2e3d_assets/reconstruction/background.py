"""Calls in threads of their own, which do not outlive the process: the caller stays free to be interrupted."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_daemon_thread(call: Callable[[], Result]) -> Future[Result]:
    """Start ``call()``; the future has its result or whatever it raised.

    Wait for the future, not for the thread: an interrupted ``Thread.join`` takes a living thread for dead. An executor
    of :mod:`concurrent.futures` will not do: its threads hold up the end of the process.
    """
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=work, name="stage", daemon=True).start()
    return future


def two_at_a_time(items: Iterable[Item], work: Callable[[Item], None]) -> None:
    """``work(item)`` for each item in order, the next one begun before the last is done.

    For work that takes turns at something that only one can have: while one computes, the other reads or writes.

    Raises:
        Exception: what ``items`` or the first failing ``work`` raised, when nothing works any more.
    """
    begun: deque[Future[None]] = deque()
    try:
        for item in items:
            begun.append(in_daemon_thread(partial(work, item)))
            if len(begun) == 2:
                begun.popleft().result()
        while begun:
            begun.popleft().result()
    finally:
        wait(begun)
