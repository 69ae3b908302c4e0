"""The stage depth_maps: a depth, normal and confidence map for every photo.

What belongs here: the order of work over photos, what is kept on disk between steps, the stage's report. What does not:
stereo itself (:mod:`.stereo`).

The work goes over all photos three times, and each time holds two photos and their sources in memory, of which one
is read or written while the kernels have the other:

1. *search*: coarse depth maps (half size) from the photos alone;
2. *refine*: coarse maps made consistent with each other, then full size from the photos alone: the neighbours' coarse
   depths settle what is ambiguous, but would only blur what is sharp;
3. *confirm*: what no neighbour confirms is taken from the coarsest maps as far as these are confirmed, or else
   emptied; what is left gets its confidence.

Each step is a function from directories to a directory and takes a subset of photos, so that several processes or
machines can share one set: run a step's chunks, give all their directories to the next step's.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .background import two_at_a_time
from .errors import BadInput
from .monitor import Figures, Monitor
from .options import DepthMapsOptions
from .stereo import formats, photos, previews
from .stereo.confirmation import confirmed, filled
from .stereo.devices import kernels_for
from .stereo.estimation import Level, Problem, estimate
from .stereo.propagation import State
from .stereo.silhouettes import away_from_blank
from .stereo.states import (
    QUARTER,
    folder_of,
    has_state,
    load_array,
    load_depth,
    load_state,
    save_array,
    save_state,
)
from .stereo.views import Camera, ReferencePlan, SparseScene, plan_references, read_scene
from .stereo.warming import warm_up

ALGORITHM_VERSION = "5"
WITNESSES = 12
"""Photos that may confirm a depth. More than it is estimated from: confirming is cheap."""

_MOST_PIXELS = 2.0
_MOST_PIXELS_QUARTER = 1.0
_HALF_SIZE = 0.5
_MOST_MISFIT = 0.01  # widths of a photo; good models have a thousandth


def estimate_depth_maps(undistorted: Path, out: Path, options: DepthMapsOptions, monitor: Monitor) -> Figures:
    """Estimate every photo's depth map.

    What an interrupted call with the same inputs left in ``out`` is not computed again.

    Args:
        undistorted: a COLMAP dense workspace with PINHOLE cameras; masks may lie in ``masks/<photo>.png`` (black:
            ignore).
        out: gets COLMAP's ``stereo/`` folder (``.geometric.bin``; and ``confidence_maps``, one channel, 0…1),
            ``depth_maps.json`` (each photo's fate) and ``preview.jpg``.
        options: sizes and effort.
        monitor: progress per photo and step.

    Returns:
        Photos with a depth map, photos skipped, share of pixels that got a depth.

    Raises:
        BadInput: if no photo has what it takes: points to see and another photo that sees them from elsewhere.
    """
    work = _work_folder(undistorted, out, options)
    plan = DepthPlan.read(undistorted, options)
    steps = _Steps(monitor, 3 * len(plan.usable))
    search_depth_maps(undistorted, work / "searched", options, steps.part(0))
    refine_depth_maps(undistorted, [work / "searched"], work / "refined", options, steps.part(1))
    confirm_depth_maps(undistorted, [work / "refined"], out, options, steps.part(2))
    figures = describe_depth_maps(undistorted, out, options)
    shutil.rmtree(work)
    return figures


@dataclass(frozen=True)
class DepthPlan:
    """What every step needs to know of the set."""

    scene: SparseScene
    cameras: tuple[Camera, ...]
    references: tuple[ReferencePlan, ...]

    @classmethod
    def read(cls, undistorted: Path, options: DepthMapsOptions) -> "DepthPlan":
        """Plan from the sparse model. Raises BadInput if no photo can have a depth map."""
        scene = read_scene(undistorted)
        if scene.median_error > _MOST_MISFIT:
            raise BadInput(
                "The cameras do not fit the photos: points appear "
                f"{100 * min(scene.median_error, 1):.0f} % of a photo's width from where they were found",
                "Leave out the given calibration or mend it, and repeat the reconstruction from the photos",
            )
        references = tuple(plan_references(scene, options.sources, max(WITNESSES, options.sources)))
        if all(reference.skipped_because for reference in references):
            raise BadInput(
                "No depth can be estimated: no two photos show enough common points from different places",
                "Take photos while moving around the subject, so that each part is seen by at least three of them",
                scene.names,
            )
        return cls(scene, tuple(c.limited(options.max_photo_size) for c in scene.cameras), references)

    @cached_property
    def usable(self) -> list[ReferencePlan]:
        """The photos that get a depth map."""
        return [reference for reference in self.references if not reference.skipped_because]

    @cached_property
    def with_depth(self) -> frozenset[int]:
        """Their indices."""
        return frozenset(reference.photo for reference in self.usable)

    def name(self, reference: ReferencePlan) -> str:
        """The photo's name."""
        return self.scene.names[reference.photo]

    def chosen(self, names: Sequence[str] | None) -> list[ReferencePlan]:
        """Those of ``names`` that get a depth map; None means all."""
        wanted = set(self.scene.names if names is None else names)
        return [reference for reference in self.usable if self.name(reference) in wanted]

    def unfinished(
        self, names: Sequence[str] | None, done: Callable[[str], bool], what: str, monitor: Monitor
    ) -> Iterator[ReferencePlan]:
        """A step's work: chosen photos not ``done``, told as ``what`` of their names. Compiles the kernels first."""
        warm_up(monitor)
        chosen = self.chosen(names)
        for position, reference in enumerate(chosen):
            name = self.name(reference)
            monitor.progress(position, len(chosen), what.format(name))
            if not done(name):
                yield reference


def split_photos(undistorted: Path, options: DepthMapsOptions, most: int) -> list[list[str]]:
    """Names of the photos that get a depth map, in chunks of about equal size and at most ``most``.

    Raises:
        BadInput: as :func:`estimate_depth_maps`.
    """
    plan = DepthPlan.read(undistorted, options)
    names = sorted(plan.scene.names[reference.photo] for reference in plan.usable)
    chunks = -(-len(names) // most)
    return [names[len(names) * i // chunks : len(names) * (i + 1) // chunks] for i in range(chunks)]


def photos_read(undistorted: Path, options: DepthMapsOptions, photos: Sequence[str]) -> set[str]:
    """The photos whose earlier states the later steps read for ``photos``: their own and their neighbours'."""
    plan = DepthPlan.read(undistorted, options)
    seen = {r.photo for r in plan.chosen(photos)}.union(*({*r.sources, *r.witnesses} for r in plan.chosen(photos)))
    return {plan.scene.names[photo] for photo in seen}


def search_depth_maps(
    undistorted: Path, out: Path, options: DepthMapsOptions, monitor: Monitor, photos: Sequence[str] | None = None
) -> None:
    """First step: coarse depth maps of ``photos`` (None: all), each from the photos alone.

    Args:
        undistorted: as for :func:`estimate_depth_maps`.
        out: gets the coarse states and reduced grey photos. Photos whose state is there already are left alone.
        options: as for every step.
        monitor: progress per photo.
        photos: names of the chunk's photos.
    """
    plan = DepthPlan.read(undistorted, options)
    kernels = kernels_for(options.device)
    quarter, half = Level(0.25, options.quarter_sweeps), Level(_HALF_SIZE, options.half_sweeps)

    def search(reference: ReferencePlan) -> None:
        problem = _problem(undistorted, plan, reference, options, out / "grey")
        state = estimate(problem, [quarter], kernels, between_sweeps=monitor.check)
        save_state(out, plan.name(reference), state, QUARTER)
        state = estimate(problem, [half], kernels, state, between_sweeps=monitor.check)
        save_state(out, plan.name(reference), state)

    what = f"coarse depth of {{}} ({kernels.device})"
    two_at_a_time(plan.unfinished(photos, partial(has_state, out), what, monitor), search)


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
        undistorted: as for :func:`estimate_depth_maps`.
        searched: what :func:`search_depth_maps` wrote in all chunks, or at least what it wrote for
            :func:`photos_read` of these photos.
        out: gets the full-size states.
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
    nothing = np.zeros((2, 2), np.float32)

    def refine(reference: ReferencePlan) -> None:
        name = plan.name(reference)
        coarse = folder_of(searched, name)
        problem = _problem(undistorted, plan, reference, options, coarse / "grey")
        neighbours = [
            load_depth(searched, plan.scene.names[source]) if source in plan.with_depth else nothing
            for source in reference.sources
        ]
        state = estimate(problem, levels, kernels, load_state(coarse, name), neighbours, monitor.check)
        quarter = load_state(coarse, name, QUARTER)
        trusted = _confirmed(undistorted, plan, reference, quarter, searched, QUARTER)
        save_array(out, name, "trusted" + QUARTER, trusted)
        save_array(out, name, "planes" + QUARTER, quarter.planes)
        save_state(out, name, state)

    what = f"depth of {{}} ({kernels.device})"
    two_at_a_time(plan.unfinished(photos, partial(has_state, out), what, monitor), refine)


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
        undistorted: as for :func:`estimate_depth_maps`.
        refined: what :func:`refine_depth_maps` wrote in all chunks, or at least what it wrote for
            :func:`photos_read` of these photos.
        out: gets ``stereo/{depth,normal,confidence}_maps``.
        options: as for every step.
        monitor: progress per photo.
        photos: names of the chunk's photos.
    """
    plan = DepthPlan.read(undistorted, options)

    def confirm(reference: ReferencePlan) -> None:
        name = plan.name(reference)
        own = folder_of(refined, name)
        state = load_state(own, name)
        planes, confidence = filled(
            plan.cameras[reference.photo],
            state,
            _confirmed(undistorted, plan, reference, state, refined),
            load_array(own, name, "planes" + QUARTER),
            load_array(own, name, "trusted" + QUARTER),
        )
        formats.write_map(formats.map_path(out, "depth", name), planes[..., 3])
        formats.write_map(formats.map_path(out, "normal", name), planes[..., :3])
        formats.write_map(formats.map_path(out, "confidence", name), confidence)

    two_at_a_time(plan.unfinished(photos, partial(_has_maps, out), "confirming {}", monitor), confirm)


def _has_maps(folder: Path, name: str) -> bool:
    """The confidence map is written last."""
    return formats.map_path(folder, "confidence", name).exists()


def join_depth_maps(
    undistorted: Path, confirmed: Sequence[Path], out: Path, options: DepthMapsOptions, monitor: Monitor
) -> Figures:
    """Make one product of what :func:`confirm_depth_maps` wrote in all chunks; gives what the stage gives."""
    files = [(folder, path) for folder in confirmed for path in sorted((folder / "stereo").rglob("*.bin"))]
    for done, (folder, path) in enumerate(files):
        monitor.progress(done, len(files), "maps put together")
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        _share(path, target)
    return describe_depth_maps(undistorted, out, options)


def describe_depth_maps(undistorted: Path, out: Path, options: DepthMapsOptions) -> Figures:
    """After the last step: write the lists, ``depth_maps.json`` and the preview into ``out``."""
    plan = DepthPlan.read(undistorted, options)
    names = plan.scene.names
    formats.write_lists(out, {names[r.photo]: [names[s] for s in r.sources] for r in plan.usable})
    fates = {names[r.photo]: _fate(plan, r, out) for r in plan.references}
    (out / "depth_maps.json").write_text(json.dumps({"photos": fates}, indent=1))
    previews.contact_sheet(
        [(names[r.photo], formats.read_map(formats.map_path(out, "depth", names[r.photo]))) for r in plan.usable],
        out / "preview.jpg",
    )
    coverages = [fate["coverage_percent"] for fate in fates.values() if "coverage_percent" in fate]
    confidences = [fate["mean_confidence"] for fate in fates.values() if "mean_confidence" in fate]
    return {
        "photos_with_depth": len(plan.usable),
        "photos_skipped": len(plan.references) - len(plan.usable),
        "megapixels": round(
            sum(plan.cameras[r.photo].width * plan.cameras[r.photo].height for r in plan.usable) / 1e6, 2
        ),
        "median_coverage_percent": round(float(np.median(coverages)), 1),
        "least_coverage_percent": round(min(coverages), 1),
        "mean_confidence": round(float(np.mean(confidences)), 3),
    }


def _fate(plan: DepthPlan, reference: ReferencePlan, out: Path) -> dict[str, Any]:
    if reference.skipped_because:
        return {"skipped_because": reference.skipped_because}
    names = plan.scene.names
    confidence = formats.read_map(formats.map_path(out, "confidence", names[reference.photo]))
    kept = confidence > 0
    return {
        "width": confidence.shape[1],
        "height": confidence.shape[0],
        "sources": [names[s] for s in reference.sources],
        "nearest_depth": reference.depth_range[0],
        "farthest_depth": reference.depth_range[1],
        "coverage_percent": round(100 * float(kept.mean()), 2),
        "mean_confidence": round(float(confidence[kept].mean()), 4) if kept.any() else 0.0,
    }


def _confirmed(
    undistorted: Path, plan: DepthPlan, reference: ReferencePlan, state: State, folders: Sequence[Path], size: str = ""
) -> NDArray[np.float32]:
    """Confidence of each pixel of a photo's state of some size; 0 where the depth is not to be believed."""
    name = plan.name(reference)
    witnesses = [witness for witness in reference.witnesses if witness in plan.with_depth]
    depths = [load_depth(folders, plan.scene.names[witness], size) for witness in witnesses]
    cameras = [plan.cameras[w].resized(d.shape[1], d.shape[0]) for w, d in zip(witnesses, depths, strict=True)]
    camera = plan.cameras[reference.photo].resized(state.costs.shape[1], state.costs.shape[0])
    photo = photos.read_grey(undistorted, name, camera)
    if size == QUARTER:
        return away_from_blank(confirmed(camera, photo, state, cameras, depths, _MOST_PIXELS_QUARTER), photo)
    return confirmed(camera, photo, state, cameras, depths, _MOST_PIXELS)


def _problem(
    undistorted: Path, plan: DepthPlan, reference: ReferencePlan, options: DepthMapsOptions, grey: Path
) -> Problem:
    def read(photo: int) -> NDArray[np.uint8]:
        return photos.read_grey_once(undistorted, plan.scene.names[photo], plan.cameras[photo], grey)

    camera = plan.cameras[reference.photo]
    return Problem(
        camera,
        [plan.cameras[source] for source in reference.sources],
        read(reference.photo),
        [read(source) for source in reference.sources],
        photos.read_mask(undistorted, plan.name(reference), camera),
        reference.depth_range,
        reference.baseline,
        options.views_per_pixel,
        reference.photo,
    )


class _Steps(Monitor):
    """One progress over the stage's three steps."""

    def __init__(self, monitor: Monitor, total: int) -> None:
        super().__init__(monitor.progress, monitor.cancelled)
        self._total = total

    def part(self, index: int) -> Monitor:
        before = index * self._total // 3
        return Monitor(lambda done, _total, what: self.progress(before + done, self._total, what), self.cancelled)


def _work_folder(undistorted: Path, out: Path, options: DepthMapsOptions) -> Path:
    """Where steps keep their results: named after the inputs, so that only equal inputs find them."""
    digest = hashlib.sha256(f"{ALGORITHM_VERSION} {options.model_dump_json()}".encode())
    for path in sorted(p for folder in ("images", "masks", "sparse") for p in (undistorted / folder).rglob("*")):
        digest.update(f"{path.relative_to(undistorted)} {path.stat().st_size}".encode())
        if path.suffix == ".bin":
            digest.update(path.read_bytes())
    work = out / f"work-{digest.hexdigest()[:16]}"
    if not work.exists():
        for stale in out.iterdir():
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        work.mkdir()
    return work


def _share(path: Path, target: Path) -> None:
    """A second name for a file that nobody changes; a copy where the file system has no such thing."""
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)
