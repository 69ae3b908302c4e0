"""A call in a thread of its own: its caller stays free to be interrupted, and does not outlive its process."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

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
