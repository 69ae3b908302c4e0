"""How much memory there is to take. Nothing else belongs here; what is taken by whom is the stages' affair."""

import re
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that this process may still take: what is free on the machine and within its cgroup's limit."""
    free = psutil.virtual_memory().available
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        cached = re.search(r"^inactive_file (\d+)$", (CGROUP / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # no cgroup, or its limit reads "max"
        return free
    return max(0, min(free, limit - used + (int(cached[1]) if cached else 0)))
