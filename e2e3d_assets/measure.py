"""What a piece of work cost: wall time, CPU time of all threads and children, peak memory."""

import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds, and the highest resident memory of this process and its children together in bytes."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int

    def __add__(self, other: "Cost") -> "Cost":
        """Of both pieces of work, one after the other or in processes of their own."""
        return Cost(
            self.wall_seconds + other.wall_seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_memory_bytes, other.peak_memory_bytes),
        )


class Meter:
    """Measures from its construction to :meth:`cost`; one at a time per process, since peak memory is the process's.

    The kernel keeps the peak of each process, but not of several together. So whoever waits for the work calls
    :meth:`look` some times a second: the largest sum seen counts where it is more than this process's own peak.
    """

    def __init__(self) -> None:
        # Linux forgets the old peak on request; elsewhere the peak is that of the process so far.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._wall = time.perf_counter()
        self._cpu = _cpu_seconds()
        self._together = 0

    def look(self) -> None:
        """See how much memory this process and its children have now: takes a millisecond."""
        self._together = max(self._together, _memory_with_children_bytes())

    def cost(self) -> Cost:
        """What was spent since construction."""
        peak = max(_peak_memory_bytes(), self._together)
        return Cost(time.perf_counter() - self._wall, _cpu_seconds() - self._cpu, peak)


def _cpu_seconds() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)


def _memory_with_children_bytes() -> int:
    """Resident now; pages that several share count for each."""
    process = psutil.Process()
    total = 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # it has just ended
            total += each.memory_info().rss
    return total


def _peak_memory_bytes() -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
