"""Choosing pairs against comparing every pair, on as many made-up photos as asked for.

A part of :mod:`.bench_sparse`: ``make bench-sparse ARGS="--many 300"``. Photos (:mod:`.made_photos`) and features are
the same for all; each pairing runs in a process of its own, whose peak memory is that of matches and mapping together.
Photos are small and key points few, so that every pair of 300 can be compared in a quarter of an hour on one core.
"""

import tempfile
import time
from pathlib import Path

from e2e3d_assets.reconstruction.features import extract_features
from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.matching import match_features
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import FeaturesOptions, MatchesOptions, PhotosOptions, SparseModelOptions
from e2e3d_assets.reconstruction.photos import prepare_photos

from .in_own_process import in_own_process, peak_mb
from .made_photos import make_photos

_FEATURES = 1024
_COLUMNS = ("pairing", "pairs", "verified", "registered", "match CPU s", "map CPU s", "peak MB")


def compare_pairings(count: int, gps: bool, pairings: list[str]) -> None:
    """Print a row for each pairing."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name in ("upload", "photos", "features"):
            (root / name).mkdir()
        in_own_process(make_photos, count, root / "upload", gps)
        seconds, megabytes = in_own_process(_extract, root)
        print(f"{count} photos; features: {seconds:.0f} CPU s, {megabytes:.0f} MB")
        print("".join(f"{title:>12}" for title in _COLUMNS))
        for pairing in pairings:
            print("".join(f"{value:>12}" for value in in_own_process(_match_and_map, root, pairing)), flush=True)


def _extract(root: Path) -> tuple[float, float]:
    prepare_photos(root / "upload", root / "photos", PhotosOptions(), Monitor())
    started = time.process_time()
    options = FeaturesOptions(max_features=_FEATURES)
    extract_features(root / "photos", root / "features", options, Monitor())
    return time.process_time() - started, peak_mb()


def _match_and_map(root: Path, pairing: str) -> tuple[str | int, ...]:
    matches, model = root / f"matches-{pairing}", root / f"model-{pairing}"
    matches.mkdir()
    model.mkdir()
    started = time.process_time()
    options = MatchesOptions.model_validate({"pairing": pairing})
    found = match_features(root / "photos", root / "features", matches, options, Monitor())
    matched = time.process_time()
    built = build_sparse_model(root / "photos", matches, model, SparseModelOptions(), Monitor())
    mapped = time.process_time()
    return (
        pairing,
        int(found["pairs_compared"]),
        int(found["pairs_verified"]),
        int(built["photos_registered"]),
        f"{matched - started:.0f}",
        f"{mapped - matched:.0f}",
        f"{peak_mb():.0f}",
    )
