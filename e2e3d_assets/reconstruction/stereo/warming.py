"""Compiling every kernel before it is needed, once per machine and version.

What belongs here: whether and where it is done. What does not: how every kernel is called (:mod:`..rehearsal`).
"""

import subprocess
import sys
from pathlib import Path

import llvmlite.binding

from ..monitor import Monitor
from .compiled import cache_folder, version

_REHEARSAL = f"{__package__.rpartition('.')[0]}.rehearsal"
_POLL_SECONDS = 0.2
_PACKAGE_PARENT = Path(__file__).parents[3]


def warm_up(monitor: Monitor) -> Path:
    """Compile all kernels if that has not been done, and answer the folder that they are kept in.

    It is done in a process of its own: numba optimises a kernel that it has just compiled otherwise than one from its
    cache, which shows in the last bits of results. So every process, the first included, takes them from the cache.

    Args:
        monitor: asked for cancellation while it compiles.
    """
    folder = cache_folder()
    done = folder / f"e2e3d-{version()}-{llvmlite.binding.get_host_cpu_name()}.compiled"
    if not done.exists():
        monitor.progress(0, 1, "compiling kernels, once on this machine")
        command = [sys.executable, "-m", _REHEARSAL]
        with subprocess.Popen(command, cwd=_PACKAGE_PARENT) as compiler:
            try:
                while _still_runs(compiler):
                    monitor.check()
            except BaseException:
                compiler.kill()
                raise
        if compiler.returncode == 0:
            done.touch()
    return folder


def _still_runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False
