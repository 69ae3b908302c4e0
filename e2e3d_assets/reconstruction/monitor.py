"""What a running stage tells (progress) and asks (shall I stop?). No stage prints or logs by other ways."""

import threading
from collections.abc import Callable
from typing import TypeAlias

from .errors import Cancelled

ProgressListener: TypeAlias = Callable[[int, int, str], None]
Figures: TypeAlias = dict[str, int | float | str | bool]


class Monitor:
    """Progress out, cancellation in. Safe to share between threads.

    Args:
        on_progress: called with (units done, units in all, what is being done), from whichever thread works.
        cancelled: set by somebody else to stop the stage at its next :meth:`check`.
    """

    def __init__(self, on_progress: ProgressListener | None = None, cancelled: threading.Event | None = None) -> None:
        self._on_progress = on_progress
        self.cancelled = cancelled or threading.Event()

    def check(self) -> None:
        """Raise :class:`Cancelled` if the stage shall stop."""
        if self.cancelled.is_set():
            raise Cancelled

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Tell how far the stage is, and stop here if it was cancelled."""
        self.check()
        if self._on_progress is not None:
            self._on_progress(done, total, what)
