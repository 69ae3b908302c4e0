"""The sparse stages against plain pycolmap with its defaults, on the same photos in the same run.

``python -m e2e3d_assets_tests.benchmarks.bench_sparse [--quality medium] [--data DIR] [--seeds 6] [SET ...]``, or
``… --many 300 [--gps]`` or ``--memory 1000`` for large sets (:mod:`.bench_sparse_many`, :mod:`.bench_sparse_memory`).
Without ``--data``
the sample photos are used. DIR holds one folder a set: ``images/`` and, where the truth is known, ``gt/poses.json``
(``{photo: {"R": world to camera, "t": ...}}``). Plain pycolmap extracts SIFT, matches every pair and maps, with one
shared camera; position errors are in the unit of the truth, after a robust similarity.

With ``--seeds`` each program runs as often, and their median errors with the least and the largest follow: plain
pycolmap draws lots, and a set with a weak network gives it another result each time.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, get_args

import numpy as np
import pycolmap

from e2e3d_assets.presets import Quality, options_for
from e2e3d_assets.reconstruction.features import extract_features
from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.matching import match_features
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.photos import prepare_photos

from .bench_sparse_many import compare_pairings
from .bench_sparse_memory import measure_memory

_SAMPLE = Path(__file__).parents[1] / "data" / "banana"
_HEADER = ("set", "program", "photos", "px", "pos", "rot °", "intake", "extract", "match", "map", "wall s", "CPU s")


@dataclass
class Result:
    """One program on one set: its model, and the CPU seconds of each step."""

    model: pycolmap.Reconstruction | None
    cpu: dict[str, float]
    wall: float


Run: TypeAlias = Callable[[Path, Path, Quality, int], Result]
Errors: TypeAlias = tuple[float, float]


def main() -> None:
    """Run both programs on each set, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--quality", choices=get_args(Quality), default="medium")
    parser.add_argument("--seeds", type=int, default=1, metavar="RUNS", help="how often, each time with another seed")
    parser.add_argument("--many", type=int, metavar="PHOTOS", help="chosen pairs against every pair of made-up photos")
    parser.add_argument("--gps", action="store_true", help="of --many: photos that know where they were taken")
    parser.add_argument("--pairings", nargs="+", choices=("auto", "exhaustive"), default=["auto", "exhaustive"])
    parser.add_argument("--memory", type=int, metavar="PHOTOS", help="peak memory of matching and mapping, made-up")
    arguments = parser.parse_args()
    if arguments.memory is not None:
        measure_memory(arguments.memory)
        return
    if arguments.many is not None:
        compare_pairings(arguments.many, arguments.gps, arguments.pairings)
        return
    folders = [_SAMPLE] if arguments.data is None else sorted(p for p in arguments.data.iterdir() if p.is_dir())
    print("".join(f"{title:>10}" for title in _HEADER))
    for folder in folders:
        if arguments.sets and folder.name not in arguments.sets:
            continue
        for program, run in (("pycolmap", _plain), ("e2e3d", _ours)):
            errors = [_run(folder, program, run, arguments.quality, seed) for seed in range(arguments.seeds)]
            if arguments.seeds > 1 and None not in errors:
                _print_spread(folder, program, np.array(errors))


def _run(folder: Path, program: str, run: Run, quality: Quality, seed: int) -> Errors | None:
    """Run and print a row; the errors, where the truth is known."""
    with tempfile.TemporaryDirectory() as scratch:
        result = run(folder / "images", Path(scratch), quality, seed)
    truth = folder / "gt" / "poses.json"
    poses = json.loads(truth.read_text()) if truth.is_file() else {}
    errors = pose_errors(result.model, poses) if result.model is not None and poses else None
    _print_row(folder, program, result, errors)
    return errors


def _print_spread(folder: Path, program: str, errors: np.ndarray) -> None:
    low, middle, high = np.percentile(errors, (0, 50, 100), axis=0)
    spread = [f"{middle[i]:.3g} ({low[i]:.3g} to {high[i]:.3g})" for i in range(2)]
    print(f"{folder.name[-9:]:>10}{program:>10}  {len(errors)} seeds: pos {spread[0]}, rot ° {spread[1]}", flush=True)


def _ours(images: Path, scratch: Path, quality: Quality, seed: int) -> Result:
    seeds = {"matches": {"seed": seed}, "sparse_model": {"seed": seed}}
    options, monitor = options_for(quality, seeds), Monitor()
    photos, features, matches, sparse = (scratch / name for name in ("photos", "features", "matches", "sparse"))
    for folder in (photos, features, matches, sparse):
        folder.mkdir()
    steps: dict[str, Callable[[], object]] = {
        "intake": lambda: prepare_photos(images, photos, options.photos, monitor),
        "extract": lambda: extract_features(photos, features, options.features, monitor),
        "match": lambda: match_features(photos, features, matches, options.matches, monitor),
        "map": lambda: build_sparse_model(photos, matches, sparse, options.sparse_model, monitor),
    }
    cpu, wall = _timed(steps)
    return Result(pycolmap.Reconstruction(sparse / "sparse" / "0"), cpu, wall)


def _plain(images: Path, scratch: Path, quality: Quality, seed: int) -> Result:
    database = scratch / "database.db"
    models: list[pycolmap.Reconstruction] = []
    camera = pycolmap.CameraMode.SINGLE
    mapping, verification = pycolmap.IncrementalPipelineOptions(), pycolmap.TwoViewGeometryOptions()
    mapping.random_seed = verification.ransac.random_seed = seed
    steps: dict[str, Callable[[], object]] = {
        "extract": lambda: pycolmap.extract_features(database, images, camera_mode=camera, device=pycolmap.Device.cpu),
        "match": lambda: pycolmap.match_exhaustive(
            database, verification_options=verification, device=pycolmap.Device.cpu
        ),
        "map": lambda: models.extend(pycolmap.incremental_mapping(database, images, scratch, mapping).values()),
    }
    cpu, wall = _timed(steps)
    return Result(max(models, key=lambda model: model.num_reg_images(), default=None), cpu, wall)


def _timed(steps: dict[str, Callable[[], object]]) -> tuple[dict[str, float], float]:
    cpu: dict[str, float] = {}
    started = time.perf_counter()
    for name, step in steps.items():
        before = time.process_time()
        step()
        cpu[name] = time.process_time() - before
    return cpu, time.perf_counter() - started


def _print_row(folder: Path, program: str, result: Result, errors: Errors | None) -> None:
    given = sum(path.is_file() for path in (folder / "images").iterdir())
    position, rotation, pixels, registered = "-", "-", "-", 0
    if result.model is not None:
        registered = result.model.num_reg_images()
        pixels = f"{result.model.compute_mean_reprojection_error():.3f}"
        if errors is not None:
            position, rotation = f"{errors[0]:.3g}", f"{errors[1]:.3f}"
    cpu = "".join(f"{result.cpu.get(step, 0.0):10.1f}" for step in ("intake", "extract", "match", "map"))
    names = f"{folder.name[-9:]:>10}{program:>10}{f'{registered}/{given}':>10}{pixels:>10}{position:>10}{rotation:>10}"
    print(f"{names}{cpu}{result.wall:10.1f}{sum(result.cpu.values()):10.1f}", flush=True)


def pose_errors(model: pycolmap.Reconstruction, truth: dict[str, dict]) -> Errors:
    """Median position error in the truth's unit and median rotation error in degrees, after a robust similarity."""
    poses = {Path(name).stem: (np.array(pose["R"]), np.array(pose["t"]).ravel()) for name, pose in truth.items()}
    images = [model.image(i) for i in model.reg_image_ids() if Path(model.image(i).name).stem in poses]
    centres = np.array([image.projection_center() for image in images])
    true = [poses[Path(image.name).stem] for image in images]
    true_centres = np.array([-rotation.T @ t for rotation, t in true])
    options = pycolmap.RANSACOptions()
    options.max_error = 0.02 * float(np.ptp(true_centres, axis=0).max())
    options.random_seed = 0
    found = pycolmap.estimate_sim3d_robust(centres, true_centres, options)
    similarity = found["tgt_from_src"]
    position = np.linalg.norm(np.array([similarity * centre for centre in centres]) - true_centres, axis=1)
    world = similarity.rotation.matrix()
    differences = [i.cam_from_world().rotation.matrix() @ world.T @ r.T for i, (r, _) in zip(images, true, strict=True)]
    return float(np.median(position)), float(np.median([_angle_deg(difference) for difference in differences]))


def _angle_deg(difference: np.ndarray) -> float:
    """Less the quarter turn by which an upright photo differs from its pixels as the sensor gave them."""
    turns = [np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    cosine = max((np.trace(difference @ turn) - 1) / 2 for turn in turns)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


if __name__ == "__main__":
    main()
