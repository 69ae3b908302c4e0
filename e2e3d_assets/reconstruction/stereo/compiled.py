"""How kernels are compiled: one decorator each, one cache folder, one threading layer.

What belongs here: numba's settings. What does not: any arithmetic.

Compiled kernels are kept in ``$NUMBA_CACHE_DIR`` or, where that is not set, in a folder of the user's (or, where that
cannot be written, the temporary folder), so that a package installed read-only starts hot in its second process. The
folder is named after the kernels' source texts: an upgrade never meets a stale kernel.
"""

import functools
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from ..native import thread_count

_SOURCES = Path(__file__).parent


def cache_folder() -> Path:
    """Where compiled kernels are kept, created if need be."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_SOURCES.glob("*.py")))).hexdigest()[:12]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for root in (home, Path(tempfile.gettempdir())):
        folder = root / "e2e3d" / "kernels" / digest
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise OSError("no folder for compiled kernels can be written: set NUMBA_CACHE_DIR")


_settings: Any = numba.config  # pyright: ignore[reportPrivateImportUsage]
if not _settings.CACHE_DIR:
    _settings.CACHE_DIR = str(cache_folder())
# libgomp comes with every Linux; elsewhere numba's own pool. Both are entered under the lock below only.
_settings.THREADING_LAYER = "omp" if sys.platform == "linux" else "workqueue"

_one_at_a_time = threading.Lock()

inlined = numba.njit(fastmath=True, forceinline=True)
"""A piece of a kernel."""

serial = numba.njit(fastmath=True, cache=True, nogil=True)
"""A kernel of one thread."""


def parallel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that uses :func:`~..native.thread_count` threads; calls from several Python threads queue up."""
    compiled = numba.njit(fastmath=True, cache=True, nogil=True, parallel=True)(function)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        with _one_at_a_time:
            numba.set_num_threads(min(thread_count(), _settings.NUMBA_NUM_THREADS))
            return compiled(*arguments)

    return call
