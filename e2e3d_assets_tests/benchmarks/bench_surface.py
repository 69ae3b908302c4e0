"""Mesh and texture: CPU seconds, memory, and how close they come to truth and photos.

``python -m e2e3d_assets_tests.benchmarks.bench_surface [--quality low --quality medium] [--data DIR --evaluator FILE]
[--products DIR] [SET]``. Without ``--data`` the sample photos are used. DIR holds one folder a set: ``images/`` and, to
score the mesh, ``gt/poses.json`` and ``gt/points.ply.xz``, or ``gt/object_mesh.ply`` on ``gt/table.ply``. Products of
earlier stages are made first, or taken from ``--products`` (one folder a stage), so that several calls compare meshes
of one cloud. Every stage is measured in a process of its own, after its kernels have been compiled; CPU seconds are the
figure to compare. Coverage of the photos is no figure to maximise: of relic's photos the true surface covers 68.10 %.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from e2e3d_assets.measure import Meter
from e2e3d_assets.presets import QUALITIES, Options, options_for
from e2e3d_assets.reconstruction.background import in_daemon_thread
from e2e3d_assets.reconstruction.depth import estimate_depth_maps
from e2e3d_assets.reconstruction.features import extract_features
from e2e3d_assets.reconstruction.fusion import fuse_depth_maps
from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.matching import match_features
from e2e3d_assets.reconstruction.meshing import build_mesh
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.photos import prepare_photos
from e2e3d_assets.reconstruction.raycasting import Raycaster
from e2e3d_assets.reconstruction.texturing import texture_mesh
from e2e3d_assets.reconstruction.undistortion import undistort_photos

_SAMPLE = Path(__file__).parents[1] / "data" / "banana"
_THRESHOLDS = (".001", ".002", ".005")
_TRUE_POINTS = 500_000
_CLEARANCE = 1e-3  # of the object, that a point may be off its own surface
_SECONDS_BETWEEN_LOOKS = 0.1
_EARLIER = {
    "photos": (prepare_photos, ["upload"]),
    "features": (extract_features, ["photos"]),
    "matches": (match_features, ["photos", "features"]),
    "sparse_model": (build_sparse_model, ["photos", "matches"]),
    "undistorted_photos": (undistort_photos, ["photos", "sparse_model"]),
    "depth_maps": (estimate_depth_maps, ["undistorted_photos"]),
    "dense_cloud": (fuse_depth_maps, ["undistorted_photos", "depth_maps"]),
}
_MEASURED = {
    "mesh": (build_mesh, ["dense_cloud", "undistorted_photos", "depth_maps"]),
    "textured_mesh": (texture_mesh, ["mesh", "undistorted_photos"]),
}


def main() -> None:
    """Measure each quality and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--evaluator", type=Path)
    parser.add_argument("--products", type=Path)
    parser.add_argument("--quality", choices=QUALITIES, action="append")
    parser.add_argument("--child", nargs=2, metavar=("STAGE", "ROOT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        stage, root = arguments.child
        print(json.dumps(_run_stage(stage, Path(root), options_for(arguments.quality[0]))))
        return
    photos = arguments.data / (arguments.set or "") if arguments.data else _SAMPLE
    for quality in arguments.quality or ["medium"]:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            (root / "upload").symlink_to((photos / "images").resolve())
            for stage in _EARLIER:
                if arguments.products:
                    (root / stage).symlink_to((arguments.products / stage).resolve())
                else:
                    _in_process(stage, root, quality)
            _measure(root, quality)
            if arguments.evaluator is not None:
                _score(root, photos / "gt", arguments.evaluator)


def _measure(root: Path, quality: str) -> None:
    print(f"== {quality}")
    together = 0.0
    for stage in _MEASURED:
        _in_process(stage, root, quality)  # compiles the kernels
        measured = _in_process(stage, root, quality)
        together += measured["cpu"]
        print(f"{stage}: {measured['figures']}")
        print(f"  {measured['cpu']:.1f} CPU-s, {measured['wall']:.1f} s, peak {measured['peak_mb']:.0f} MB", flush=True)
    print(f"mesh and texture: {together:.1f} CPU-s", flush=True)


def _score(root: Path, truth: Path, evaluator: Path) -> None:
    model = root / "undistorted_photos" / "sparse"
    if points := _true_points(truth, root):
        command = ["mesh", "--gt-points", points, "--gt", truth / "poses.json", "--model", model]
        scores = _evaluated(evaluator, [*command, "--mesh", root / "mesh" / "mesh.ply", "--thresholds", *_THRESHOLDS])
        for score in scores["scores"]:
            precision, recall, f = score["precision"], score["recall"], score["f"]
            print(f"mesh at {score['threshold']:g}: precision {precision:.4f}, recall {recall:.4f}, F {f:.4f}")
        for name in ("faces", "components", "nonmanifold_edges", "boundary_edges"):
            print(f"  {name}: {scores[name]}")
    command = ["render", "--poses", model, "--images", root / "undistorted_photos" / "images", "--yup"]
    scores = _evaluated(evaluator, [*command, "--mesh", root / "textured_mesh" / "model.glb"])
    print(
        f"rendered into the photos: PSNR {scores['psnr']:.2f} dB (exposure-corrected "
        f"{scores['psnr_exposure_corrected']:.2f}), SSIM {scores['ssim']:.4f}, {scores['coverage_pct']:.2f} % covered"
    )


def _true_points(truth: Path, scratch: Path) -> Path | None:
    """Points of the truth with its mesh beside them. Where there are meshes only: points of the object, not the table,
    that two photos see; what a mesh invents where nobody looked would decide otherwise.
    """
    if not (truth / "object_mesh.ply").exists():
        return truth / "points.ply.xz" if (truth / "points.ply.xz").exists() else None
    thing, table = (trimesh.load_mesh(truth / name, process=False) for name in ("object_mesh.ply", "table.ply"))
    scene = trimesh.util.concatenate([thing, table])
    points = trimesh.sample.sample_surface(thing, _TRUE_POINTS, seed=0)[0]
    raycaster = Raycaster(scene.vertices, scene.faces)
    seen = np.zeros(len(points), int)
    for pose in json.loads((truth / "poses.json").read_text()).values():
        R, t, K = (np.array(pose[name]) for name in "RtK")
        pixels = (points @ R.T + t) @ K.T
        inside = (pixels[:, :2] > 0).all(axis=1)
        inside &= (pixels[:, :2] < pixels[:, 2:] * [pose["width"] - 1, pose["height"] - 1]).all(axis=1)
        seen += inside & raycaster.sees(-R.T @ t, points, _CLEARANCE * thing.scale)
    folder = scratch / "truth"
    folder.mkdir(exist_ok=True)
    trimesh.PointCloud(points[seen >= 2]).export(folder / "points.ply")
    scene.export(folder / "mesh.ply")
    return folder / "points.ply"


def _evaluated(evaluator: Path, arguments: list[Any]) -> dict[str, Any]:
    command = [sys.executable, str(evaluator), *map(str, arguments)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def _in_process(stage: str, root: Path, quality: str) -> dict[str, Any]:
    command = [sys.executable, "-m", __spec__.name, "--quality", quality, "--child", stage, str(root)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def _run_stage(name: str, root: Path, options: Options) -> dict[str, Any]:
    """One stage, as a child process: its figures and what it cost."""
    stage, inputs = (_EARLIER | _MEASURED)[name]
    out = root / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    meter = Meter()
    work = in_daemon_thread(lambda: stage(*(root / each for each in inputs), out, getattr(options, name), Monitor()))
    while not work.done():
        meter.look()
        wait([work], _SECONDS_BETWEEN_LOOKS)
    figures, cost = work.result(), meter.cost()
    return {
        "figures": figures,
        "wall": cost.wall_seconds,
        "cpu": cost.cpu_seconds,
        "peak_mb": cost.peak_memory_bytes / 1e6,
    }


if __name__ == "__main__":
    main()
