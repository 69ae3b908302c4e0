"""Depth maps and dense cloud: CPU seconds per megapixel, memory, threads, compiling; the score where truth is known.

``python -m e2e3d_assets_tests.benchmarks.bench_dense [--quality medium] [--size PIXELS] [--data DIR --evaluator FILE]
[SET]``. Without ``--data`` the sample photos are used. DIR holds one folder a set: ``images/`` and, for scoring,
``gt/points.ply.xz`` and ``gt/poses.json``; the evaluator is called with the cloud and the sparse model. Everything is
measured in processes of its own, after the kernels have been compiled; CPU seconds are the figure to compare.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from e2e3d_assets.presets import QUALITIES, Options, options_for

_SAMPLE = Path(__file__).parents[1] / "data" / "banana"
_FEW_PHOTOS = 8
_THRESHOLDS = (".001", ".002", ".005")


def main() -> None:
    """Prepare one set, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--evaluator", type=Path)
    parser.add_argument("--quality", choices=QUALITIES, default="medium")
    parser.add_argument("--size", type=int, help="longer side of the depth maps, pixels, instead of the preset's")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    overrides = {"depth_maps": {"max_photo_size": arguments.size}} if arguments.size else {}
    options = options_for(arguments.quality, overrides)
    if arguments.child:
        print(json.dumps(_CHILDREN[arguments.child[0]](options, *map(Path, arguments.child[1:]))))
        return
    photos = arguments.data / (arguments.set or "") if arguments.data else _SAMPLE
    with tempfile.TemporaryDirectory() as scratch:
        _measure(photos, Path(scratch), arguments.evaluator)


def _measure(photos: Path, scratch: Path, evaluator: Path | None) -> None:
    cold = _in_process(scratch, "compile", environment={"NUMBA_CACHE_DIR": str(scratch / "cold")})
    hot = _in_process(scratch, "compile", environment={"NUMBA_CACHE_DIR": str(scratch / "cold")})
    print(f"kernels: compiled in {cold['wall']:.1f} s, found compiled in {hot['wall']:.1f} s")
    _in_process(scratch, "prepare", photos / "images", scratch)
    undistorted = scratch / "undistorted"
    whole = _in_process(scratch, "estimate", undistorted, scratch / "whole")
    fused = _in_process(scratch, "fuse", undistorted, scratch / "whole", scratch / "cloud")
    megapixels = whole["figures"]["megapixels"]
    print(f"depth maps: {whole['figures']}")
    print(f"  {whole['cpu']:.1f} CPU-s ({whole['cpu'] / megapixels:.2f} per megapixel), {whole['wall']:.1f} s")
    print(f"dense cloud: {fused['figures']}")
    print(f"  {fused['cpu']:.1f} CPU-s, {fused['wall']:.1f} s; together {whole['cpu'] + fused['cpu']:.1f} CPU-s")
    peaks = [max(whole["peak_mb"], fused["peak_mb"])]
    few = _first_photos(undistorted, scratch / "few")
    part = [_in_process(scratch, "estimate", few, scratch / "part")]
    part.append(_in_process(scratch, "fuse", few, scratch / "part", scratch / "part_cloud"))
    peaks.append(max(child["peak_mb"] for child in part))
    print(f"peak memory: {peaks[0]:.0f} MB, {peaks[0] / peaks[1]:.2f} times that of {_FEW_PHOTOS} photos")
    single = _in_process(scratch, "estimate", few, scratch / "single", environment={"OMP_NUM_THREADS": "1"})
    print(f"{os.cpu_count()} threads: {single['wall'] / part[0]['wall']:.2f} times as fast as one")
    if evaluator is not None:
        _score(photos / "gt", undistorted / "sparse", scratch / "cloud" / "dense_cloud.ply", evaluator)


def _score(truth: Path, model: Path, cloud: Path, evaluator: Path) -> None:
    command = [sys.executable, str(evaluator), "cloud", "--gt-points", str(truth / "points.ply.xz")]
    command += ["--gt", str(truth / "poses.json"), "--model", str(model), "--cloud", str(cloud)]
    command += ["--thresholds", *_THRESHOLDS]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    scores = json.loads(answer.stdout.splitlines()[-1])
    for score in scores["scores"]:
        print(f"within {score['threshold']}: F {score['f']:.3f}, P {score['precision']:.3f}, R {score['recall']:.3f}")
    print(f"accuracy: mean {scores['accuracy_mean']:.6f}, median {scores['accuracy_median']:.6f}")


def _in_process(scratch: Path, child: str, *paths: Path, environment: dict[str, str] | None = None) -> dict[str, Any]:
    for path in paths[1:]:
        path.mkdir(exist_ok=True)
    command = [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--child", child, *map(str, paths)]
    start = time.perf_counter()
    answer = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    return {"wall": time.perf_counter() - start, **json.loads(answer.stdout.splitlines()[-1])}


def _first_photos(undistorted: Path, folder: Path) -> Path:
    """The workspace with all but a few photos taken out of its model."""
    import pycolmap

    shutil.copytree(undistorted, folder)
    model = pycolmap.Reconstruction(folder / "sparse")
    names = sorted(image.name for image in model.images.values())
    for image in list(model.images.values()):
        if image.name not in names[:_FEW_PHOTOS]:
            model.deregister_frame(image.frame_id)
    model.write_binary(folder / "sparse")
    return folder


def _compile(_options: Options) -> dict[str, Any]:
    from e2e3d_assets.reconstruction.stereo import warm_up

    warm_up()
    return {}


def _prepare(options: Options, images: Path, scratch: Path) -> dict[str, Any]:
    from e2e3d_assets.reconstruction.features import extract_features
    from e2e3d_assets.reconstruction.mapping import build_sparse_model
    from e2e3d_assets.reconstruction.matching import match_features
    from e2e3d_assets.reconstruction.monitor import Monitor
    from e2e3d_assets.reconstruction.photos import prepare_photos
    from e2e3d_assets.reconstruction.undistortion import undistort_photos

    names = ("photos", "features", "matches", "sparse_model", "undistorted")
    photos, features, matches, sparse, undistorted = (scratch / name for name in names)
    for folder in (photos, features, matches, sparse, undistorted):
        folder.mkdir()
    monitor = Monitor()
    prepare_photos(images, photos, options.photos, monitor)
    extract_features(photos, features, options.features, monitor)
    match_features(photos, features, matches, options.matches, monitor)
    build_sparse_model(photos, matches, sparse, options.sparse_model, monitor)
    undistort_photos(photos, sparse, undistorted, options.undistorted_photos, monitor)
    return {}


def _estimate(options: Options, undistorted: Path, out: Path) -> dict[str, Any]:
    from e2e3d_assets.reconstruction.depth import estimate_depth_maps
    from e2e3d_assets.reconstruction.monitor import Monitor
    from e2e3d_assets.reconstruction.stereo import warm_up

    warm_up()
    start = time.process_time()
    figures = estimate_depth_maps(undistorted, out, options.depth_maps, Monitor())
    return {"figures": figures, "cpu": time.process_time() - start, "peak_mb": _peak_mb()}


def _fuse(options: Options, undistorted: Path, depth_maps: Path, out: Path) -> dict[str, Any]:
    from e2e3d_assets.reconstruction.fusion import fuse_depth_maps
    from e2e3d_assets.reconstruction.monitor import Monitor

    start = time.process_time()
    figures = fuse_depth_maps(undistorted, depth_maps, out, options.dense_cloud, Monitor())
    return {"figures": figures, "cpu": time.process_time() - start, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


_CHILDREN = {"compile": _compile, "prepare": _prepare, "estimate": _estimate, "fuse": _fuse}

if __name__ == "__main__":
    main()
