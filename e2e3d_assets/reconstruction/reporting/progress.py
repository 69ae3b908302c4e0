"""Progress of many small steps, counted over the whole stage. Nothing else belongs here."""

from collections.abc import Callable
from typing import TypeAlias

from ..monitor import Monitor

Tick: TypeAlias = Callable[[str], None]
"""Called when the next small step begins, with what it is; raises Cancelled if the stage shall stop."""


def ticks(monitor: Monitor, total: int) -> Tick:
    """Count steps, of which there will be ``total``, and tell the monitor."""
    done = 0

    def tick(what: str) -> None:
        nonlocal done
        monitor.progress(min(done, total), total, what)
        done += 1

    return tick
