"""Who is told how far the stages are: the run's log by default, the terminal when the command line runs them."""

import logging
import time
from typing import Protocol

from .measure import Cost
from .reconstruction.monitor import Figures

_SECONDS_BETWEEN_LOG_LINES = 10.0


class ProgressSink(Protocol):
    """Receives the progress of the stages of one run."""

    def started(self, stage: str, log: logging.Logger) -> None:
        """A stage begins; ``log`` is the run's."""
        ...

    def progress(self, done: int, total: int, what: str) -> None:
        """``done`` of ``total`` units of the running stage are finished. Called from any thread."""
        ...

    def finished(self, stage: str, figures: Figures, cost: Cost, reused: bool) -> None:
        """The stage's product is complete; ``reused`` if it stems from an earlier run."""
        ...


class LogProgress:
    """Writes a line into the run's log now and then: rarely enough for an event log that is kept for years."""

    def started(self, stage: str, log: logging.Logger) -> None:
        """Remember where and about what to log."""
        self._stage, self._log, self._last_line = stage, log, time.monotonic()

    def progress(self, done: int, total: int, what: str) -> None:
        """Log the progress unless a line was logged just before."""
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LOG_LINES:
            self._last_line = now
            self._log.info("%s: %d of %d %s", self._stage, done, total, what)

    def finished(self, stage: str, figures: Figures, cost: Cost, reused: bool) -> None:
        """Nothing to add: the figures are in the materialization."""
