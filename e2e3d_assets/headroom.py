"""What must stay free of disk and memory while a stage works, and plain words for what has run out.

Native code that runs out of either takes the whole worker with it: COLMAP aborts when its database cannot grow, and the
system kills whom it likes. So a stage is stopped shortly before, and says why.
"""

import errno
import shutil
from pathlib import Path

from .reconstruction.memory import available_memory

LEAST_DISK_BYTES = 200_000_000
LEAST_MEMORY_BYTES = 150_000_000
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Exhausted(Exception):
    """Disk or memory is used up; the message says what to do."""


def require_headroom(folder: Path) -> None:
    """Make sure that a stage that writes into the folder can go on.

    Raises:
        Exhausted: hardly any disk or memory is left.
    """
    if shutil.disk_usage(folder).free < LEAST_DISK_BYTES:
        raise Exhausted(_disk_words(folder))
    if available_memory() < LEAST_MEMORY_BYTES:
        raise Exhausted(_memory_words())


def exhaustion(error: BaseException, folder: Path) -> str:
    """What has run out, by an error that a stage working in the folder has raised; empty if it is of another kind."""
    if isinstance(error, Exhausted):
        return str(error)
    if isinstance(error, MemoryError):
        return _memory_words()
    if isinstance(error, OSError) and error.errno in _FULL:
        return _disk_words(folder)
    return ""


def _disk_words(folder: Path) -> str:
    usage = shutil.disk_usage(folder)
    return (
        f"The disk of {folder} is full: {_megabytes(usage.free)} of {_megabytes(usage.total)} are free, and "
        f"{_megabytes(LEAST_DISK_BYTES)} must stay free while a stage works. Free some space, or set E2E3D_SCRATCH_DIR "
        "to a larger disk, and start the run again: finished stages are used again."
    )


def _memory_words() -> str:
    return (
        f"The memory is used up: {_megabytes(available_memory())} are free. Give the machine more, let fewer runs work "
        "at once (max_concurrent_runs in dagster.yaml), or choose a lower quality, and start the run again: finished "
        "stages are used again."
    )


def _megabytes(amount: int) -> str:
    return f"{amount / 1e6:,.0f} MB"
