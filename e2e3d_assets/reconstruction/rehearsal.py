"""A made-up scene of a few pixels, taken through everything that has a kernel.

What belongs here: calls that make numba compile, with arguments of the types that the stages use. What does not: when
this is done (:mod:`.stereo.warming`), anything that depends on real photos.
"""

import numpy as np

from .carving import Ballot
from .stereo import compiled, consistency
from .stereo.devices import CpuKernels
from .stereo.estimation import Level, Problem, estimate
from .stereo.merging import Maps, Placed, Tolerance, merge
from .stereo.packing import compare_depths
from .stereo.silhouettes import without_rims
from .stereo.views import Camera
from .texturing.exposure import outliers
from .texturing.observations import Observations
from .texturing.packing import pack
from .texturing.painting import NOBODY, own_gutter, own_pixels, paint
from .texturing.seams import shares
from .texturing.selection import select_photos

_SIZE = 32


def rehearse() -> None:
    """Call every kernel.

    Raises:
        AssertionError: if one was left out.
    """
    K = np.array([[_SIZE, 0, _SIZE / 2], [0, _SIZE, _SIZE / 2], [0, 0, 1.0]])
    R = np.asfortranarray(np.eye(3))  # column by column, as pycolmap gives it: another type to numba
    cameras = [Camera(_SIZE, _SIZE, K, R, np.array([offset, 0, 0])) for offset in (0.0, 0.1)]
    _depth_maps(cameras)
    _surface(cameras[0])
    left_out = [kernel.__name__ for kernel in compiled.kernels if not kernel.signatures]
    assert not left_out, left_out


def _depth_maps(cameras: list[Camera]) -> None:
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


def _surface(camera: Camera) -> None:
    """A square of two faces, each seen by two photos."""
    vertices = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    depth = np.ones((_SIZE, _SIZE), np.float32)
    depth.setflags(write=False)  # as it is read from a file
    Ballot(vertices, 0.1).add(camera, depth)
    seen = Observations(
        begins=np.array([0, 2, 4]),
        photo=np.array([0, 1, 0, 1], np.int32),
        quality=np.ones(4, np.float32),
        color=np.ones((4, 3), np.float32),
        detail=np.ones(4, np.float32),
    )
    outlier = outliers(seen, faces)
    label = select_photos(vertices, faces, seen, outlier)
    given = shares(faces, label, seen, outlier, len(vertices), photos=2)
    layout = pack(np.full((1, 2), _SIZE), _SIZE)
    owner = np.full((_SIZE, _SIZE), NOBODY, np.int32)
    page = np.zeros((_SIZE, _SIZE, 3), np.uint8)
    corners = vertices[faces][..., :2].copy()
    own_pixels(owner, 0, corners, layout.page[[0, 0]], np.arange(len(faces)))
    own_gutter(owner, 1)
    paint(
        page, owner, corners, given.face, vertices[faces[given.face]], np.ones((len(given.face), 3)), given.weight,
        np.ones(3), given.correction, page, 1,
    )  # fmt: skip


if __name__ == "__main__":
    rehearse()
