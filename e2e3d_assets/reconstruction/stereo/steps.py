"""The three steps of depth_maps.

What belongs here: the order of work over photos, and what is kept on disk between steps. What does not: what is done
with one photo (:mod:`.estimation`, :mod:`.confirmation`), the product's lists and figures (:mod:`..depth`).

The work goes over all photos three times, and each time holds two photos and their sources in memory, of which one
is read or written while the kernels have the other:

1. *search*: coarse depth maps, up to half size, from the photos alone;
2. *refine*: half-size maps made consistent with each other, then full size from the photos alone: the neighbours'
   coarse depths settle what is ambiguous, but would only blur what is sharp;
3. *confirm*: what no neighbour confirms is taken from smaller maps as far as these are confirmed, or else emptied; what
   is left gets its confidence.

The maps of a quarter and an eighth of the size are the way out where photos hardly match, as in a forest seen from two
places: they are made to agree with the neighbours' as left by the step before, much more strongly than elsewhere, in
*refine* and again in *confirm*. What is wrong by chance finds nothing to agree with.

Each step is a function from directories to a directory and takes a subset of photos, so that several processes or
machines can share one set: run a step's chunks, give all their directories to the next step's.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..background import two_at_a_time
from ..monitor import Monitor
from ..options import DepthMapsOptions
from . import formats
from .confirmation import COARSE, FULL_SIZE, confirmed, filled
from .devices import kernels_for
from .estimation import Kernels, Level, Problem, estimate, level_size
from .photos import keep_grey, read_grey, read_grey_once, read_mask
from .plan import DepthPlan
from .propagation import State
from .silhouettes import away_from_blank
from .states import (
    EIGHTH,
    QUARTER,
    folder_of,
    has_state,
    load_depth,
    load_device,
    load_state,
    save_device,
    save_state,
)
from .views import Camera, ReferencePlan
from .warming import warm_up

_HALF_SIZE = 0.5
_SMALLER = {QUARTER: 0.25, EIGHTH: 0.125}
_DRAWN_TOGETHER = Level(1.0, 0, geometric_sweeps=2, geometric_weight=0.2)
_NOTHING = np.zeros((2, 2), np.float32)


def search_depth_maps(
    undistorted: Path, out: Path, options: DepthMapsOptions, monitor: Monitor, photos: Sequence[str] | None = None
) -> None:
    """First step: coarse depth maps of ``photos`` (None: all), each from the photos alone.

    Args:
        undistorted: as for :func:`..depth.estimate_depth_maps`.
        out: gets the coarse states and reduced grey photos. Photos whose state is there already are left alone.
        options: as for every step.
        monitor: progress per photo.
        photos: names of the chunk's photos.
    """
    plan = DepthPlan.read(undistorted, options)
    kernels = kernels_for(options.device)
    levels = {
        EIGHTH: Level(_SMALLER[EIGHTH], options.eighth_sweeps),
        QUARTER: Level(_SMALLER[QUARTER], options.quarter_sweeps),
        "": Level(_HALF_SIZE, options.half_sweeps),
    }

    def search(reference: ReferencePlan) -> None:
        problem = _problem(undistorted, plan, reference, options, out / "grey")
        state = None
        for size, level in levels.items():
            state = estimate(problem, [level], kernels, state, between_sweeps=monitor.check)
            save_state(out, plan.name(reference), state, size)

    def what(name: str) -> str:
        return f"coarse depth of {name} ({kernels.device})"

    two_at_a_time(_unfinished(plan, photos, partial(has_state, out), what, monitor), search)


def refine_depth_maps(
    undistorted: Path,
    searched: Sequence[Path],
    out: Path,
    options: DepthMapsOptions,
    monitor: Monitor,
    photos: Sequence[str] | None = None,
) -> None:
    """Second step: full-size depth maps of ``photos`` (None: all), consistent with their sources' coarse ones.

    Args:
        undistorted: as for :func:`..depth.estimate_depth_maps`.
        searched: what :func:`search_depth_maps` wrote in all chunks, or at least what it wrote for
            :func:`.plan.photos_read` of these photos.
        out: gets the full-size states, and smaller ones with reduced grey photos.
        options: as for every step.
        monitor: progress per photo.
        photos: names of the chunk's photos.
    """
    plan = DepthPlan.read(undistorted, options)
    kernels = kernels_for(options.device)
    levels = [
        Level(_HALF_SIZE, 0, options.geometric_sweeps),
        Level(1.0, options.full_sweeps, keeps_views=options.keep_views),
    ]

    def refine(reference: ReferencePlan) -> None:
        name = plan.name(reference)
        own = folder_of(searched, name)
        problem = _problem(undistorted, plan, reference, options, own / "grey")
        neighbours = _source_depths(plan, reference, searched)
        state = estimate(problem, levels, kernels, load_state(own, name), neighbours, monitor.check)
        for size, scale in _SMALLER.items():
            small = problem.resized(scale)
            for photo, grey in zip(
                (reference.photo, *reference.sources), (small.photo, *small.source_photos), strict=True
            ):
                keep_grey(out / f"grey{size}", plan.scene.names[photo], grey)
            save_state(out, name, _agreeing(plan, reference, small, searched, size, kernels, monitor), size)
        save_device(out, name, kernels.device)
        save_state(out, name, state)

    def what(name: str) -> str:
        return f"depth of {name} ({kernels.device})"

    two_at_a_time(_unfinished(plan, photos, partial(has_state, out), what, monitor), refine)


def confirm_depth_maps(
    undistorted: Path,
    refined: Sequence[Path],
    out: Path,
    options: DepthMapsOptions,
    monitor: Monitor,
    photos: Sequence[str] | None = None,
) -> None:
    """Third step: keep the depths that other photos confirm, and write COLMAP's maps.

    Args:
        undistorted: as for :func:`..depth.estimate_depth_maps`.
        refined: what :func:`refine_depth_maps` wrote in all chunks, or at least what it wrote for
            :func:`.plan.photos_read` of these photos.
        out: gets ``stereo/{depth,normal,confidence,width}_maps`` and ``stereo/devices``.
        options: as for every step.
        monitor: progress per photo.
        photos: names of the chunk's photos.
    """
    plan = DepthPlan.read(undistorted, options)
    kernels = kernels_for(options.device)

    def confirm(reference: ReferencePlan) -> None:
        name = plan.name(reference)
        own = folder_of(refined, name)
        camera = plan.cameras[reference.photo]
        state = load_state(own, name)
        grey = read_grey(undistorted, name, camera)
        planes = state.planes
        trusted = confirmed(camera, grey, state, *_witnesses(plan, reference, refined), FULL_SIZE)
        widths = np.ones(trusted.shape, np.uint8)
        for size, scale in _SMALLER.items():
            small = _problem(undistorted, plan, reference, options, own / f"grey{size}", scale)
            agreeing = _agreeing(plan, reference, small, refined, size, kernels, monitor)
            agreed = confirmed(small.camera, small.photo, agreeing, *_witnesses(plan, reference, refined, size), COARSE)
            widths[trusted == 0] = round(1 / scale)
            planes, trusted = filled(
                camera, planes, trusted, state.views > 0, agreeing.planes, away_from_blank(agreed, small.photo)
            )
        formats.write_device(out, name, load_device(own, name))
        formats.write_widths(out, name, widths)
        formats.write_map(formats.map_path(out, "depth", name), planes[..., 3])
        formats.write_map(formats.map_path(out, "normal", name), planes[..., :3])
        formats.write_map(formats.map_path(out, "confidence", name), trusted)

    two_at_a_time(_unfinished(plan, photos, partial(_has_maps, out), "confirming {}".format, monitor), confirm)


def _has_maps(folder: Path, name: str) -> bool:
    """The confidence map is written last."""
    return formats.map_path(folder, "confidence", name).exists()


def _unfinished(
    plan: DepthPlan,
    names: Sequence[str] | None,
    done: Callable[[str], bool],
    what: Callable[[str], str],
    monitor: Monitor,
) -> Iterator[ReferencePlan]:
    """A step's work: chosen photos not ``done``, told as ``what`` of their names. Compiles the kernels first."""
    warm_up(monitor)
    chosen = plan.chosen(names)
    for position, reference in enumerate(chosen):
        name = plan.name(reference)
        monitor.progress(position, len(chosen), what(name))
        if not done(name):
            yield reference


def _agreeing(
    plan: DepthPlan,
    reference: ReferencePlan,
    small: Problem,
    folders: Sequence[Path],
    size: str,
    kernels: Kernels,
    monitor: Monitor,
) -> State:
    """A photo's state of a smaller size, drawn towards its sources' as the step before left them."""
    name = plan.name(reference)
    state = load_state(folder_of(folders, name), name, size)
    neighbours = _source_depths(plan, reference, folders, size)
    return estimate(small, [_DRAWN_TOGETHER], kernels, state, neighbours, monitor.check)


def _source_depths(
    plan: DepthPlan, reference: ReferencePlan, folders: Sequence[Path], size: str = ""
) -> list[NDArray[np.float32]]:
    return [
        load_depth(folders, plan.scene.names[source], size) if source in plan.with_depth else _NOTHING
        for source in reference.sources
    ]


def _witnesses(
    plan: DepthPlan, reference: ReferencePlan, folders: Sequence[Path], size: str = ""
) -> tuple[list[Camera], list[NDArray[np.float32]]]:
    """The photos that may confirm a photo's depths: their depth maps of some size, and their cameras at that size."""
    photos = [photo for photo in reference.witnesses if photo in plan.with_depth]
    depths = [load_depth(folders, plan.scene.names[photo], size) for photo in photos]
    cameras = [plan.cameras[p].resized(d.shape[1], d.shape[0]) for p, d in zip(photos, depths, strict=True)]
    return cameras, depths


def _problem(
    undistorted: Path,
    plan: DepthPlan,
    reference: ReferencePlan,
    options: DepthMapsOptions,
    grey: Path,
    scale: float = 1.0,
) -> Problem:
    def camera_of(photo: int) -> Camera:
        return plan.cameras[photo].resized(*level_size(plan.cameras[photo], scale))

    def read(photo: int) -> NDArray[np.uint8]:
        return read_grey_once(undistorted, plan.scene.names[photo], camera_of(photo), grey)

    camera = camera_of(reference.photo)
    return Problem(
        camera,
        [camera_of(source) for source in reference.sources],
        read(reference.photo),
        [read(source) for source in reference.sources],
        read_mask(undistorted, plan.name(reference), camera),
        reference.depth_range,
        reference.baseline,
        options.views_per_pixel,
        reference.photo,
    )
