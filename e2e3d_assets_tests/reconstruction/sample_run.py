"""The sparse stages in a row on a few reduced sample photos."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from e2e3d_assets.reconstruction.features import extract_features
from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.matching import match_features
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.reconstruction.options import (
    FeaturesOptions,
    MatchesOptions,
    PhotosOptions,
    SparseModelOptions,
    UndistortedPhotosOptions,
)
from e2e3d_assets.reconstruction.photos import prepare_photos
from e2e3d_assets.reconstruction.undistortion import undistort_photos

PHOTOS = 5
MAX_FEATURES = 2000


@dataclass(frozen=True)
class SampleRun:
    """Output directories by stage, the stages' figures, and what features and matches told on their way."""

    root: Path
    figures: dict[str, Figures]
    progress: dict[str, list[tuple[int, int]]]

    def __getitem__(self, stage: str) -> Path:
        return self.root / stage


def run_stages(sample: Path, root: Path) -> SampleRun:
    """Reduce the first photos of the sample set and run the stages on them."""
    upload = root / "upload"
    upload.mkdir()
    for path in sorted(sample.iterdir())[:PHOTOS]:
        with Image.open(path) as photo:
            exif = photo.info["exif"]
            photo.thumbnail((400, 400))
            photo.save(upload / path.name, quality=92, exif=exif)
    run = SampleRun(root, {}, {})

    def stage(name: str) -> tuple[Path, Monitor]:
        out = root / name
        out.mkdir()
        told = run.progress.setdefault(name, [])
        return out, Monitor(lambda done, total, what: told.append((done, total)))

    out, monitor = stage("photos")
    run.figures["photos"] = prepare_photos(upload, out, PhotosOptions(), monitor)
    out, monitor = stage("features")
    options = FeaturesOptions(max_features=MAX_FEATURES)
    run.figures["features"] = extract_features(run["photos"], out, options, monitor)
    out, monitor = stage("matches")
    run.figures["matches"] = match_features(run["photos"], run["features"], out, MatchesOptions(), monitor)
    out, monitor = stage("sparse_model")
    run.figures["sparse_model"] = build_sparse_model(run["photos"], run["matches"], out, SparseModelOptions(), monitor)
    out, monitor = stage("undistorted_photos")
    run.figures["undistorted_photos"] = undistort_photos(
        run["photos"], run["sparse_model"], out, UndistortedPhotosOptions(max_photo_size=300), monitor
    )
    return run
