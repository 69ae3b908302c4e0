"""The stage depth_maps: a depth, normal and confidence map for every photo.

What belongs here: the stage as one call, what is kept on disk if it is interrupted, and its product's lists and
figures. What does not: the steps of the work (:mod:`.stereo.steps`), stereo itself (:mod:`.stereo`).
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .monitor import Figures, Monitor
from .options import DepthMapsOptions
from .stereo import formats, previews
from .stereo.plan import DepthPlan
from .stereo.steps import confirm_depth_maps, refine_depth_maps, search_depth_maps
from .stereo.views import ReferencePlan

ALGORITHM_VERSION = "7"


def estimate_depth_maps(undistorted: Path, out: Path, options: DepthMapsOptions, monitor: Monitor) -> Figures:
    """Estimate every photo's depth map.

    What an interrupted call with the same inputs left in ``out`` is not computed again.

    Args:
        undistorted: a COLMAP dense workspace with PINHOLE cameras; masks may lie in ``masks/<photo>.png`` (black:
            ignore).
        out: gets COLMAP's ``stereo/`` folder (``.geometric.bin``; and ``confidence_maps``, one channel, 0…1; and
            ``width_maps``, see :func:`.stereo.formats.write_widths`), ``depth_maps.json`` (each photo's fate) and
            ``preview.jpg``.
        options: sizes and effort.
        monitor: progress per photo and step.

    Returns:
        Photos with a depth map, photos skipped, share of pixels that got a depth, the processor that worked.

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


def join_depth_maps(
    undistorted: Path, confirmed: Sequence[Path], out: Path, options: DepthMapsOptions, monitor: Monitor
) -> Figures:
    """Make one product of what :func:`confirm_depth_maps` wrote in all chunks; gives what the stage gives."""
    files = [
        (folder, path) for folder in confirmed for path in sorted((folder / "stereo").rglob("*")) if path.is_file()
    ]
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
        "device": _in_words([fate["device"] for fate in fates.values() if "device" in fate]),
    }


def _in_words(devices: Sequence[str]) -> str:
    """The processor of all photos; where it was not the same, that of how many."""
    counts = Counter(devices)
    if len(counts) == 1:
        return devices[0]
    return "; ".join(f"{device}: {count} of {len(devices)} photos" for device, count in counts.items())


def _fate(plan: DepthPlan, reference: ReferencePlan, out: Path) -> dict[str, Any]:
    if reference.skipped_because:
        return {"skipped_because": reference.skipped_because}
    names = plan.scene.names
    confidence = formats.read_map(formats.map_path(out, "confidence", names[reference.photo]))
    kept = confidence > 0
    return {
        "width": confidence.shape[1],
        "height": confidence.shape[0],
        "device": formats.read_device(out, names[reference.photo]),
        "sources": [names[s] for s in reference.sources],
        "nearest_depth": reference.depth_range[0],
        "farthest_depth": reference.depth_range[1],
        "coverage_percent": round(100 * float(kept.mean()), 2),
        "mean_confidence": round(float(confidence[kept].mean()), 4) if kept.any() else 0.0,
    }


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
