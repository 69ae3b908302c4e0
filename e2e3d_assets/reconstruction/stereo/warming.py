"""Compiling every kernel before it is needed, once per machine and version.

What belongs here: :func:`warm_up`. What does not: anything that depends on real photos.
"""

import numpy as np

from . import consistency
from .compiled import cache_folder
from .estimation import Level, Problem, estimate
from .merging import PhotoMaps, Tolerance, merge
from .packing import pack_depths, view_geometry
from .views import Camera

_SIZE = 32


def warm_up() -> str:
    """Compile all kernels into the cache, and answer the cache's folder. Fast when they are there already."""
    K = np.array([[_SIZE, 0, _SIZE / 2], [0, _SIZE, _SIZE / 2], [0, 0, 1.0]])
    cameras = [Camera(_SIZE, _SIZE, K, np.eye(3), np.array([offset, 0, 0])) for offset in (0.0, 0.1)]
    photo = np.random.default_rng(0).integers(0, 255, (_SIZE, _SIZE), np.uint8)
    mask = np.ones(photo.shape, bool)
    problem = Problem(cameras[0], cameras[1:], photo, [photo], mask, (0.5, 2.0), 0.1, 1, 0)
    depth = np.ones(photo.shape, np.float32)
    estimate(problem, [Level(1.0, 1, 1)], None, [depth])
    geometry = view_geometry(cameras[0], cameras[1:])
    consistency.agreement(depth, geometry, pack_depths(cameras[0], cameras[1:], [depth]), 1.0)
    normal = np.zeros((*photo.shape, 3), np.int8)
    colour = np.zeros((*photo.shape, 3), np.uint8)
    maps = [PhotoMaps(camera, depth, normal, photo, colour, np.zeros_like(photo)) for camera in cameras]
    merge(maps[0], maps[1:], Tolerance(1.0, 0.01, 30.0, 2, 3, 4))
    return str(cache_folder())
