"""One photo's depth map, coarse to fine.

What belongs here: the order of levels and sweeps, and what is carried from one level to the next. What does not: the
kernels (:mod:`.propagation`), files and other photos' state.

The pyramid with propagation at every level follows Xu & Tao, "Multi-Scale Geometric Consistency Guided Multi-View
Stereo" (CVPR 2019): where a patch is featureless at full size, it is not at a quarter of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import propagation
from .packing import NeighbourDepths, Views, no_depths, pack_depths, pack_views, padded, resized
from .views import Camera

_GEOMETRIC_WEIGHT = np.float32(0.05)


@dataclass(frozen=True)
class Level:
    """What is done at one size.

    Attributes:
        scale: of the depth map's size.
        sweeps: sweeps by the photos alone.
        geometric_sweeps: sweeps that also ask the neighbours' depth maps.
        keeps_views: whether view sets are carried up from the level below instead of chosen anew: cheaper.
    """

    scale: float
    sweeps: int
    geometric_sweeps: int = 0
    keeps_views: bool = False


@dataclass
class State:
    """What is known of one photo at one size; arrays as in :mod:`.propagation`."""

    planes: NDArray[np.float32]
    costs: NDArray[np.float32]
    views: NDArray[np.uint32]

    @property
    def depth(self) -> NDArray[np.float32]:
        """(height, width), 0 where not estimated."""
        return self.planes[..., 3]


@dataclass(frozen=True)
class Problem:
    """One reference photo and its sources, at the depth map's full size.

    Attributes:
        camera, sources: cameras.
        photo, source_photos: grey photos at the cameras' sizes.
        mask: where a depth is wanted.
        depth_range: nearest and farthest depth.
        baseline: a typical distance between the reference and a source, across the viewing direction.
        most_views: views that a pixel is judged by, at most.
        seed: of the random search.
    """

    camera: Camera
    sources: Sequence[Camera]
    photo: NDArray[np.uint8]
    source_photos: Sequence[NDArray[np.uint8]]
    mask: NDArray[np.bool_]
    depth_range: tuple[float, float]
    baseline: float
    most_views: int
    seed: int


def level_size(camera: Camera, scale: float) -> tuple[int, int]:
    """Width and height of a level."""
    return max(8, round(camera.width * scale)), max(8, round(camera.height * scale))


class LevelEstimator:
    """Sweeps over one photo at one size."""

    def __init__(self, problem: Problem, scale: float) -> None:
        width, height = level_size(problem.camera, scale)
        self._problem = problem
        self._camera = problem.camera.resized(width, height)
        self._sources = [source.resized(*level_size(source, scale)) for source in problem.sources]
        self._grey = padded(resized(problem.photo, width, height))
        self._views: Views = pack_views(
            self._camera,
            self._sources,
            [resized(p, s.width, s.height) for p, s in zip(problem.source_photos, self._sources, strict=True)],
        )
        K = self._camera.K
        self._rays = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], np.float32)
        near, far = problem.depth_range
        self._nearest, self._farthest = np.float32(1 / near), np.float32(1 / far)
        self._disparity = np.float32(1 / (K[0, 0] * problem.baseline))
        self._mask = _reduced(problem.mask, width, height)
        self._seed = problem.seed * 1_000_003 + width * 101
        self._depths = no_depths(len(self._sources))
        self._weight = np.float32(0)

    def start(self) -> State:
        """Random planes everywhere."""
        shape = self._mask.shape
        views = np.where(self._mask, np.uint32((1 << len(self._sources)) - 1), np.uint32(0))
        state = State(np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32), views)
        nearest, farthest = (np.float32(d) for d in self._problem.depth_range)
        propagation.random_planes(state.planes, views, self._rays, nearest, farthest, self._next_seed())
        return state

    def refine(self, coarse: State) -> State:
        """The planes of a coarser level, evaluated at this level's pixels."""
        height, width = self._mask.shape
        rows = np.minimum(np.arange(height) * coarse.views.shape[0] // height, coarse.views.shape[0] - 1)
        columns = np.minimum(np.arange(width) * coarse.views.shape[1] // width, coarse.views.shape[1] - 1)
        taken = np.ix_(rows, columns)
        planes = np.ascontiguousarray(coarse.planes[taken])
        views = np.where(self._mask, coarse.views[taken], np.uint32(0))
        own_x, own_y = self._ray_grid(np.arange(width), np.arange(height))
        ratio_x, ratio_y = coarse.views.shape[1] / width, coarse.views.shape[0] / height
        from_x, from_y = self._ray_grid((columns + 0.5) / ratio_x - 0.5, (rows + 0.5) / ratio_y - 0.5)
        here = planes[..., 0] * own_x + planes[..., 1] * own_y + planes[..., 2]
        there = planes[..., 0] * from_x + planes[..., 1] * from_y + planes[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = planes[..., 3] * there / here
        near, far = self._problem.depth_range
        good = np.isfinite(depth) & (depth > near) & (depth < far)
        planes[..., 3] = np.where(good, depth, np.clip(planes[..., 3], near, far))
        planes[views == 0, 3] = 0
        return State(planes, np.zeros(views.shape, np.float32), views)

    def consult(self, depths: Sequence[NDArray[np.float32]]) -> None:
        """From now on ask how far the sources' depth maps agree."""
        self._depths: NeighbourDepths = pack_depths(self._camera, self._sources, depths)
        self._weight = _GEOMETRIC_WEIGHT

    def choose_views(self, state: State) -> None:
        """Choose every pixel's views by the present planes."""
        costs = np.zeros((len(self._sources), *state.views.shape), np.uint8)
        propagation.view_costs(
            self._grey,
            state.planes,
            state.views,
            self._rays,
            self._views.packed,
            self._views.bases,
            self._views.geometry,
            costs,
        )
        propagation.choose_views(costs, state.views, self._problem.most_views)

    def assess(self, state: State) -> None:
        """Cost the present planes by the present views."""
        propagation.plane_costs(
            self._grey,
            state.planes,
            state.costs,
            state.views,
            self._rays,
            self._views.packed,
            self._views.bases,
            self._views.geometry,
            self._depths.depths,
            self._depths.bases,
            self._depths.back,
            self._weight,
        )

    def sweep(self, state: State, index: int, widest: float = 0.0) -> None:
        """One sweep; even ones run from the top left, odd ones back."""
        propagation.sweep(
            self._grey,
            state.planes,
            state.costs,
            state.views,
            self._rays,
            self._views.packed,
            self._views.bases,
            self._views.geometry,
            self._depths.depths,
            self._depths.bases,
            self._depths.back,
            self._weight,
            self._nearest,
            self._farthest,
            self._disparity,
            np.float32(widest),
            index % 2 == 0,
            self._next_seed(),
        )

    @property
    def range_of_inverse_depth(self) -> float:
        """Between the farthest and the nearest depth."""
        return float(self._nearest - self._farthest)

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed

    def _ray_grid(self, x: NDArray, y: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        fx, fy, cx, cy = self._rays.astype(np.float64)
        return ((x - cx) / fx).astype(np.float32)[None, :], ((y - cy) / fy).astype(np.float32)[:, None]


def _reduced(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(np.int64)
    return mask[np.ix_(rows, columns)]


def estimate(
    problem: Problem,
    levels: Sequence[Level],
    start: State | None = None,
    neighbour_depths: Sequence[NDArray[np.float32]] | None = None,
    between_sweeps: Callable[[], None] = lambda: None,
) -> State:
    """Run sweeps level by level, from random planes or from a coarser (or equally fine) state.

    Args:
        problem: the photo.
        levels: coarse to fine.
        start: where to go on from.
        neighbour_depths: the sources' depth maps, of any size, for the geometric sweeps; without them there are none.
        between_sweeps: called often; may raise to stop.
    """
    state = start
    for level in levels:
        estimator = LevelEstimator(problem, level.scale)
        widest = 0.0 if state else estimator.range_of_inverse_depth / 2
        state = estimator.refine(state) if state else estimator.start()
        for index in range(level.sweeps):
            between_sweeps()
            if not level.keeps_views:
                estimator.choose_views(state)
            if index == 0 or not level.keeps_views:
                estimator.assess(state)
            estimator.sweep(state, index, widest / 2**index)
        if neighbour_depths is not None and level.geometric_sweeps:
            estimator.consult(neighbour_depths)
            estimator.assess(state)
            for index in range(level.geometric_sweeps):
                between_sweeps()
                estimator.sweep(state, level.sweeps + index)
    assert state is not None
    return state
