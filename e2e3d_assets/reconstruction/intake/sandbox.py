"""Native decoders in a process of their own: a broken file that crashes, hangs or swells one costs that file only.

What belongs here: the child process, its limits, and calls into it. What does not: what is called. It guards against
accidents; it is no fence against an attacker, who would still be the same user.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from ..monitor import Monitor

Result = TypeVar("Result")

MEMORY_BYTES = 1800 * 2**20
SILENCE_SECONDS = 25
"""A call that neither ends nor tells of progress for so long is ended."""
_POLL_SECONDS = 0.1


class DecoderDied(Exception):
    """The process ended in the middle of a call; the message says how, for people."""


def call_here(function: Callable[..., Result], *arguments: Any, monitor: Monitor) -> Result:
    """Like :meth:`Sandbox.call`, for what needs no process of its own."""
    return function(*arguments, monitor)


class Sandbox:
    """A child process for one call at a time, started by the first and again after a call that it did not survive."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def call(self, function: Callable[..., Result], *arguments: Any, monitor: Monitor) -> Result:
        """Run ``function(*arguments, monitor)`` in the child.

        Args:
            function: of a module, by whose name the child finds it; it, its arguments and its answer are pickled.
            arguments: its arguments but the last.
            monitor: told of the child's progress; where it is cancelled, the child is killed.

        Raises:
            DecoderDied: it crashed, hung, or took too much memory.
        """
        connection = self._connection or self._start()
        try:
            connection.send((function, arguments))
            while True:
                while not connection.poll(_POLL_SECONDS):
                    monitor.check()
                kind, answer = connection.recv()
                if kind == "progress":
                    monitor.progress(*answer)
                elif kind == "answer":
                    return answer
                else:
                    raise answer
        except (EOFError, ConnectionError) as error:
            raise DecoderDied(self._cause_of_death()) from error
        except BaseException:
            if monitor.cancelled.is_set():
                self.close()
            raise

    def close(self) -> None:
        """End the child."""
        if self._process is not None and self._connection is not None:
            self._process.kill()
            self._process.wait()
            self._connection.close()
        self._process = self._connection = None

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders write lines for every broken file
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._connection = ours
        return ours

    def _cause_of_death(self) -> str:
        code = self._process.wait() if self._process is not None else 0
        self.close()
        return (
            f"decoding it took longer than {SILENCE_SECONDS} s" if code == -signal.SIGALRM else "it breaks its decoder"
        )


def _serve(connection: Connection) -> None:
    """The child's whole life: calls, one after the other, until the parent is gone."""
    with suppress(ValueError):  # the machine's own limit is lower
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def tell(*progress: Any) -> None:
        signal.alarm(SILENCE_SECONDS)  # nobody handles it: it ends the process, wherever it hangs
        connection.send(("progress", progress))

    with suppress(EOFError):
        while True:
            signal.alarm(0)
            function, arguments = connection.recv()
            signal.alarm(SILENCE_SECONDS)
            try:
                answer = "answer", function(*arguments, Monitor(tell))
            except Exception as error:
                answer = "error", error
            connection.send(answer)


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
