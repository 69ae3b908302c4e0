"""Screened Poisson reconstruction in a process of its own, which can be stopped at any moment.

What belongs here: the one native call of the mesh stage that takes a minute and cannot be interrupted, and its
hand-over by files. Run as a module it is that process. What does not: which of its surface is true (:mod:`.meshing`).
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

_POLL_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1  # of Linux' prctl


def poisson_surface(
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    depth: int,
    padding: float,
    scratch: Path,
    tick: Callable[[], None],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The closed surface through oriented points (Kazhdan and Hoppe, TOG 2013): vertices (V, 3) and faces (F, 3).

    Args:
        points: (N, 3).
        normals: (N, 3), outwards.
        depth: levels of the octree.
        padding: of the octree's cube, relative to the points'.
        scratch: folder for some hundred megabytes, which are removed.
        tick: called twice a second; what it raises ends the work at once.

    Raises:
        RuntimeError: if the process died, such as for lack of memory.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        files = [Path(folder) / name for name in ("points.npy", "normals.npy", "vertices.npy", "faces.npy")]
        np.save(files[0], points)
        np.save(files[1], normals)
        command = [sys.executable, "-m", __name__, str(os.getpid()), str(depth), str(padding), *map(str, files)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                tick()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise RuntimeError(f"Poisson reconstruction ended with code {process.returncode}: is there enough memory?")
        return np.load(files[2]), np.load(files[3])


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, however that comes; Linux only.

    A thread that waits for the end of its parent would not do: the native call lets no other thread run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended before
            sys.exit(1)


def _main(parent: str, depth: str, padding: str, points: str, normals: str, vertices: str, faces: str) -> None:
    """On one thread: with more, open3d's reconstruction crashes now and then on a busy machine (isl-org/Open3D issues
    6828 and 7229).
    """
    _end_with(int(parent))
    oriented = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(np.load(points)))
    oriented.normals = o3d.utility.Vector3dVector(np.load(normals))
    mesh, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        oriented, depth=int(depth), scale=float(padding), n_threads=1
    )
    np.save(vertices, np.asarray(mesh.vertices))
    np.save(faces, np.asarray(mesh.triangles))


if __name__ == "__main__":
    _main(*sys.argv[1:])
