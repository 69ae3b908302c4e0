"""The pipeline with real assets, store and instance, and stages that compute nothing: for tests of everything around.

``install`` puts fake modules where the assets import their stages from. What a stage is to do is said by a file
``behaviour.json`` in the upload, for example ``{"seconds": {"mesh": 5}, "fails": ["mesh"], "bad_input": ["photos"]}``;
see ``_behave`` for the rest.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.monitor import Figures, Monitor

BEHAVIOUR = "behaviour.json"
_SCIENCE = "e2e3d_assets.reconstruction"
JOURNAL = "FAKE_SCIENCE_JOURNAL"
"""Variable that names a file to which each working stage adds a line of JSON: stage, pid, event."""

_STAGES = {
    "photos": ("photos", "prepare_photos"),
    "features": ("features", "extract_features"),
    "matches": ("matching", "match_features"),
    "sparse_model": ("mapping", "build_sparse_model"),
    "undistorted_photos": ("undistortion", "undistort_photos"),
    "depth_maps": ("depth", "estimate_depth_maps"),
    "dense_cloud": ("fusion", "fuse_depth_maps"),
    "mesh": ("meshing", "build_mesh"),
    "textured_mesh": ("texturing", "texture_mesh"),
    "model_files": ("exporting", "export_model_files"),
    "viewer": ("viewer", "build_viewer"),
}
_FIGURES: Figures = {
    "photos_given": 3,
    "photos_accepted": 3,
    "groups": 1,
    "photos_without_partner": 0,
    "photos_registered": 3,
    "photos_not_registered": 0,
    "mean_reprojection_error_px": 0.5,
    "median_coverage_percent": 80.0,
    "points": 20_000,
    "faces": 1000,
    "non_manifold_edges": 0,
    "consistently_oriented": True,
    "textured_area_percent": 99.0,
}


def install() -> None:
    """Replace the science of this process."""
    for stage, (module, function) in _STAGES.items():
        _module(module, **{function: _fake_stage(stage)})
    vars(sys.modules[f"{_SCIENCE}.depth"]).update(join_depth_maps=None)
    _module("stereo.plan", split_photos=lambda *_: [["a.jpg"]])  # one chunk, which is the whole set
    _module("report", build_report=_fake_report)
    _module("reopening", compare_model_files=lambda path: ([], {"faces": 1}))


def journal(path: Path) -> list[dict[str, Any]]:
    """What working stages wrote down."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _module(name: str, **contents: Any) -> None:
    full_name = f"{_SCIENCE}.{name}"
    module = ModuleType(full_name)
    vars(module).update(contents)
    sys.modules[full_name] = module


def _fake_stage(stage: str) -> Callable[..., Figures]:
    def run(*inputs: Path, out: Path, options: Any, monitor: Monitor, **_: str) -> Figures:
        return _behave(stage, inputs, out, monitor)

    return run


def _fake_report(record: Any, products: dict[str, Path], out: Path, options: Any, monitor: Monitor) -> Figures:
    return _behave("report", list(products.values()), out, monitor)


def _behave(stage: str, inputs: Sequence[Path], out: Path, monitor: Monitor) -> Figures:
    given = next((folder / BEHAVIOUR for folder in inputs if (folder / BEHAVIOUR).exists()), None)
    behaviour = json.loads(given.read_text()) if given else {}
    again = any(line["stage"] == stage for line in journal(Path(os.environ.get(JOURNAL, os.devnull))))
    _write_down(stage, "began")
    if stage in behaviour.get("bad_input", ()):
        raise BadInput("These photos show nothing", "Take others", ["a.jpg"])
    if stage in behaviour.get("fails", ()):
        raise RuntimeError(f"{stage} is broken")
    if stage in behaviour.get("bad_input_once", ()) and not again:
        raise BadInput("The moon is in the way", "Wait for another day")
    child = subprocess.Popen(["sleep", "600"]) if stage in behaviour.get("children", ()) else None
    try:
        ends = time.monotonic() + behaviour.get("seconds", {}).get(stage, 0)
        while time.monotonic() < ends:
            monitor.progress(1, 2, "fakes")
            time.sleep(0.05)
    finally:
        if child:
            child.kill()
            child.wait()
        _write_down(stage, "stopped")
    if given:
        (out / BEHAVIOUR).write_text(given.read_text())
    (out / f"{stage}.bin").write_bytes(stage.encode() * 1000)
    _write_down(stage, "finished")
    return dict(_FIGURES)


def _write_down(stage: str, event: str) -> None:
    if path := os.environ.get(JOURNAL):
        line = json.dumps({"stage": stage, "event": event, "pid": os.getpid(), "time": time.time()}) + "\n"
        with Path(path).open("a") as file:
            file.write(line)
