"""One photo's depth map, coarse to fine.

What belongs here: the order of levels and sweeps, and what is carried from one level to the next. What does not: the
kernels (:mod:`.propagation`), files and other photos' state.

The pyramid with propagation at every level follows Xu & Tao, "Multi-Scale Geometric Consistency Guided Multi-View
Stereo" (CVPR 2019): where a patch is featureless at full size, it is not at a quarter of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .packing import Comparison, compare, compare_depths, resized
from .propagation import Search, State
from .views import Camera

_BEYOND = 3.0  # how many times nearer or farther than expected a surface may go on


@dataclass(frozen=True)
class Level:
    """What is done at one size.

    Attributes:
        scale: of the depth map's size.
        sweeps: sweeps by the photos alone.
        geometric_sweeps: sweeps that also ask the neighbours' depth maps.
        keeps_views: whether view sets come from the level below instead of being chosen anew: cheaper.
        geometric_weight: what a pixel of disagreement with a neighbour's depth map costs; a mismatch costs one.
    """

    scale: float
    sweeps: int
    geometric_sweeps: int = 0
    keeps_views: bool = False
    geometric_weight: float = 0.05


@dataclass(frozen=True)
class Problem:
    """One reference photo and its sources, at the depth map's full size.

    Attributes:
        camera, sources: cameras.
        photo, source_photos: grey photos at the cameras' sizes.
        mask: where a depth is wanted.
        depth_range: nearest and farthest depth expected; surfaces may go on beyond.
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

    def resized(self, scale: float) -> "Problem":
        """The same with smaller photos."""
        sources = [source.resized(*level_size(source, scale)) for source in self.sources]
        width, height = level_size(self.camera, scale)
        return replace(
            self,
            camera=self.camera.resized(width, height),
            sources=sources,
            photo=resized(self.photo, width, height),
            source_photos=[resized(p, s.width, s.height) for p, s in zip(self.source_photos, sources, strict=True)],
            mask=_reduced(self.mask, width, height),
        )


def level_size(camera: Camera, scale: float) -> tuple[int, int]:
    """Width and height of a level."""
    return max(8, round(camera.width * scale)), max(8, round(camera.height * scale))


class Kernels(Protocol):
    """What a processor must offer; :mod:`.propagation` and :mod:`.view_choice` say more. States change in place."""

    device: str

    def random_planes(self, compared: Comparison, state: State, search: Search) -> None:
        """Fill the state's planes at random."""
        ...

    def plane_costs(self, compared: Comparison, state: State) -> None:
        """Fill the state's costs."""
        ...

    def choose_views(self, compared: Comparison, state: State, most_views: int) -> None:
        """Replace the state's view sets."""
        ...

    def sweep(self, compared: Comparison, state: State, search: Search) -> None:
        """Offer every pixel better planes."""
        ...


class LevelEstimator:
    """Sweeps over one photo at the problem's size."""

    def __init__(self, problem: Problem, kernels: Kernels) -> None:
        self._kernels = kernels
        self._problem = problem
        self._compared = compare(problem.camera, problem.photo, problem.sources, problem.source_photos)
        self._seed = problem.seed * 1_000_003 + problem.camera.width * 101

    def start(self) -> State:
        """Random planes everywhere."""
        mask = self._problem.mask
        shape = mask.shape
        views = np.where(mask, np.uint32((1 << len(self._problem.sources)) - 1), np.uint32(0))
        state = State(np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32), views)
        self._kernels.random_planes(self._compared, state, self._search(0, 0.0))
        return state

    def refine(self, coarse: State) -> State:
        """The planes of a coarser (or as fine a) level, evaluated at this level's pixels."""
        height, width = self._problem.mask.shape
        planes, taken = continued_planes(coarse.planes, self._problem.camera, *np.ogrid[:height, :width])
        views = np.where(self._problem.mask, coarse.views[taken], np.uint32(0))
        near, far = self._problem.depth_range[0] / _BEYOND, self._problem.depth_range[1] * _BEYOND
        good = (planes[..., 3] > near) & (planes[..., 3] < far)
        planes[..., 3] = np.where(good, planes[..., 3], np.clip(coarse.planes[..., 3][taken], near, far))
        planes[views == 0, 3] = 0
        return State(planes, np.zeros(views.shape, np.float32), views)

    def consult(self, depths: Sequence[NDArray[np.float32]], weight: float) -> None:
        """From now on ask how far the sources' depth maps, of any size, agree."""
        asked = compare_depths(self._problem.camera, self._problem.sources, depths)
        self._compared = self._compared._replace(
            depths=asked.depths, depth_bases=asked.depth_bases, back=asked.back, geometric_weight=np.float32(weight)
        )

    def choose_views(self, state: State) -> None:
        """Choose every pixel's views by the present planes."""
        self._kernels.choose_views(self._compared, state, self._problem.most_views)

    def assess(self, state: State) -> None:
        """Cost the present planes by the present views."""
        self._kernels.plane_costs(self._compared, state)

    def sweep(self, state: State, index: int, widest: float = 0.0) -> None:
        """One sweep; even ones run from the top left, odd ones back."""
        self._kernels.sweep(self._compared, state, self._search(index, widest))

    def _search(self, index: int, widest: float) -> Search:
        self._seed += 1
        near, far = self._problem.depth_range
        disparity = 1 / (self._problem.camera.K[0, 0] * self._problem.baseline)
        return Search(
            np.float32(1 / near),
            np.float32(1 / far),
            np.float32(1 / (far * _BEYOND)),
            np.float32(_BEYOND / near),
            np.float32(disparity),
            np.float32(widest),
            index % 2 == 0,
            self._seed,
        )


def continued_planes(
    coarse: NDArray[np.float32], camera: Camera, y: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.float32], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """A smaller (or as large a) map's planes at some pixels, and the rows and columns that they are taken from.

    Args:
        coarse: (height, width, 4), as in :class:`.propagation.State`; seen from the same place.
        camera: at the size wanted. A depth may come out negative or not finite, where a plane is seen edge-on.
        y, x: the pixels, of shapes that go together to that of the answer, which has four channels more.
    """
    coarse_height, coarse_width = coarse.shape[:2]
    rows, columns = y * coarse_height // camera.height, x * coarse_width // camera.width
    planes = coarse[rows, columns]
    here = _along_rays(planes, camera, x, y)
    there = _along_rays(
        planes,
        camera,
        (columns + 0.5) * camera.width / coarse_width - 0.5,
        (rows + 0.5) * camera.height / coarse_height - 0.5,
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        planes[..., 3] = planes[..., 3] * there / here
    return planes, (rows, columns)


def _along_rays(planes: NDArray[np.float32], camera: Camera, x: NDArray, y: NDArray) -> NDArray[np.float32]:
    """Product of each plane's normal and the ray through column x, row y."""
    K = camera.K
    rx = ((x - K[0, 2]) / K[0, 0]).astype(np.float32)
    ry = ((y - K[1, 2]) / K[1, 1]).astype(np.float32)
    return planes[..., 0] * rx + planes[..., 1] * ry + planes[..., 2]


def _reduced(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(np.int64)
    return mask[np.ix_(rows, columns)]


def estimate(
    problem: Problem,
    levels: Sequence[Level],
    kernels: Kernels,
    start: State | None = None,
    neighbour_depths: Sequence[NDArray[np.float32]] | None = None,
    between_sweeps: Callable[[], None] = lambda: None,
) -> State:
    """Run sweeps level by level, from random planes or from a coarser (or equally fine) state.

    Args:
        problem: the photo.
        levels: coarse to fine.
        kernels: of the processor that works.
        start: where to go on from.
        neighbour_depths: the sources' depth maps, of any size, for the geometric sweeps; without them there are none.
        between_sweeps: called often; may raise to stop.
    """
    state = start
    for level in levels:
        state = _estimate_level(problem, level, kernels, state, neighbour_depths, between_sweeps)
    assert state is not None
    return state


def _estimate_level(
    problem: Problem,
    level: Level,
    kernels: Kernels,
    coarse: State | None,
    neighbour_depths: Sequence[NDArray[np.float32]] | None,
    between_sweeps: Callable[[], None],
) -> State:
    estimator = LevelEstimator(problem.resized(level.scale), kernels)
    widest = 0.0 if coarse else (1 / problem.depth_range[0] - 1 / problem.depth_range[1]) / 2
    state = estimator.refine(coarse) if coarse else estimator.start()
    for index in range(level.sweeps):
        between_sweeps()
        if not level.keeps_views:
            estimator.choose_views(state)
        if index == 0 or not level.keeps_views:
            estimator.assess(state)
        estimator.sweep(state, index, widest / 2**index)
    if neighbour_depths is not None and level.geometric_sweeps:
        estimator.consult(neighbour_depths, level.geometric_weight)
        estimator.assess(state)
        for index in range(level.geometric_sweeps):
            between_sweeps()
            estimator.sweep(state, level.sweeps + index)
    return state
