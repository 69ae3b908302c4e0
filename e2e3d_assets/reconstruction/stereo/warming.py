"""Compiling every kernel before it is needed, once per machine and version.

What belongs here: :func:`warm_up`. What does not: anything that depends on real photos.
"""

import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import numpy as np

from ..monitor import Monitor
from . import consistency
from .compiled import cache_folder, version
from .devices import CpuKernels
from .estimation import Level, Problem, estimate
from .merging import Maps, Placed, Tolerance, merge
from .packing import compare_depths
from .silhouettes import without_rims
from .views import Camera

_SIZE = 32
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
        monitor.progress(0, 1, "compiling the stereo kernels, once on this machine")
        command = [sys.executable, "-m", f"{__package__}.warming"]
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


def call_every_kernel() -> None:
    """Estimate and merge a made-up scene of a few pixels."""
    K = np.array([[_SIZE, 0, _SIZE / 2], [0, _SIZE, _SIZE / 2], [0, 0, 1.0]])
    cameras = [Camera(_SIZE, _SIZE, K, np.eye(3), np.array([offset, 0, 0])) for offset in (0.0, 0.1)]
    photo = np.random.default_rng(0).integers(0, 255, (_SIZE, _SIZE), np.uint8)
    problem = Problem(
        camera=cameras[0],
        sources=cameras[1:],
        photo=photo,
        source_photos=[photo],
        mask=np.ones(photo.shape, bool),
        depth_range=(0.5, 2.0),
        baseline=0.1,
        most_views=1,
        seed=0,
    )
    depth = np.ones(photo.shape, np.float32)
    estimate(problem, [Level(1.0, 1, 1)], CpuKernels(), neighbour_depths=[depth])
    consistency.agreement(depth, compare_depths(cameras[0], cameras[1:], [depth]), 2.0, 1.0)
    without_rims(depth, photo)
    placed = [Placed(camera, i * photo.size) for i, camera in enumerate(cameras)]
    tolerance = Tolerance(np.float32(1), np.float32(0.01), np.float32(0.9), 2, 3, 4)
    merge(Maps.empty(2, photo.size), placed[0], placed[1:], tolerance)


if __name__ == "__main__":
    call_every_kernel()
