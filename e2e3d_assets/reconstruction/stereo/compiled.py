"""How kernels are compiled: one decorator each, one cache folder, one threading layer.

What belongs here: numba's settings. What does not: any arithmetic.

Compiled kernels are kept in ``$NUMBA_CACHE_DIR`` or, where that is not set, in a folder of the user's (or, where that
cannot be written, the temporary folder), so that a package installed read-only starts hot in its second process. The
folder is named after the kernels' source texts: an upgrade never meets a stale kernel.
"""

import functools
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic

from ..native import thread_count

_STEREO = Path(__file__).parent
_USES_KERNELS = b".compiled import"


@functools.cache
def version() -> str:
    """A digest of the kernels' source texts: this package, which also lays out what they read, and others with some."""
    digest = hashlib.sha256()
    for path in sorted(_STEREO.parent.rglob("*.py")):
        text = path.read_bytes()
        if path.parent == _STEREO or _USES_KERNELS in text:
            digest.update(text)
    return digest.hexdigest()[:12]


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    return Path(_settings.CACHE_DIR)


def _first_own_folder() -> Path:
    """A folder that only this user may write: what lies in it is run."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for root in (user / "e2e3d", Path(tempfile.gettempdir()) / f"e2e3d-{os.getuid()}"):
        folder = root / "kernels" / version()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            owner = root.stat().st_uid
        except OSError:
            continue
        if os.access(folder, os.W_OK) and owner == os.getuid():
            return folder
    raise OSError("no folder for compiled kernels can be written: set NUMBA_CACHE_DIR")


_settings: Any = numba.config  # pyright: ignore[reportPrivateImportUsage]
if not _settings.CACHE_DIR:
    _settings.CACHE_DIR = str(_first_own_folder())
# numba's own pool is there on every platform and its idle threads sleep; OpenMP's spin, a third of all CPU time
_settings.THREADING_LAYER = "workqueue"

_one_at_a_time = threading.Lock()

inlined = numba.njit(fastmath=True, forceinline=True)
"""A piece of a kernel."""

kernels: list[Any] = []
"""Every kernel of the modules that were imported."""


def serial(function: Callable[..., Any]) -> Any:
    """A kernel of one thread."""
    kernels.append(numba.njit(fastmath=True, cache=True, nogil=True)(function))
    return kernels[-1]


def _load(typing_context, array, begin, index):
    """``array[begin + index]``, index an int32 that stays 32 bits wide and may be negative.

    Plain indexing widens every index to 64 bits and asks whether it counts from the end, which makes a vector gather
    of 32-bit words half again as slow. Nothing is checked.
    """

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        start = builder.gep(data, [arguments[1]], inbounds=True)
        return builder.load(builder.gep(start, [arguments[2]], inbounds=True))

    return array.dtype(array, types.int64, types.int32), generate


load: Any = intrinsic(_load)


def parallel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that uses :func:`~..native.thread_count` threads; calls from several Python threads queue up."""
    compiled = numba.njit(fastmath=True, cache=True, nogil=True, parallel=True)(function)
    kernels.append(compiled)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        with _one_at_a_time:
            numba.set_num_threads(min(thread_count(), _settings.NUMBA_NUM_THREADS))
            return compiled(*arguments)

    return call
