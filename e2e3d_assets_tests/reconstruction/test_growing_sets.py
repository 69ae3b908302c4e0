"""Photos are added to a set, removed and renamed: what is known is taken over, and the result is a fresh run's."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from e2e3d_assets.reconstruction.features import FeaturesDocument, extract_features
from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.matching import match_features
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.reconstruction.options import FeaturesOptions, MatchesOptions, PhotosOptions, SparseModelOptions
from e2e3d_assets.reconstruction.photos import prepare_photos
from e2e3d_assets.reconstruction.sparse.match_document import MatchesDocument

from .sample_run import MAX_FEATURES, SampleRun

FEATURES = FeaturesOptions(max_features=MAX_FEATURES)
MATCHES = MatchesOptions()
STAGES = ("features", "matches", "sparse_model")


def files_of(product: Path) -> list[Path]:
    return [path for path in product.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def changed_photos(sample_run: SampleRun, banana_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample run's photos less the first, one of them renamed, and one more."""
    root = tmp_path_factory.mktemp("changed")
    upload, photos = root / "upload", root / "photos"
    upload.mkdir()
    photos.mkdir()
    given = sorted((sample_run.root / "upload").iterdir())
    for path in given[1:]:
        (upload / path.name.replace(given[2].stem, "renamed")).write_bytes(path.read_bytes())
    with Image.open(sorted(banana_photos.iterdir())[len(given)]) as photo:
        exif = photo.info["exif"]
        photo.thumbnail((400, 400))
        photo.save(upload / "added.jpg", quality=92, exif=exif)
    prepare_photos(upload, photos, PhotosOptions(), Monitor())
    return photos


def run(photos: Path, root: Path, previous: SampleRun | None) -> tuple[Path, Path, Path, Figures]:
    features, matches, sparse_model = outs = [root / name for name in ("features", "matches", "sparse_model")]
    for out in outs:
        out.mkdir(parents=True)
    earlier = [previous[out.name] if previous else None for out in outs]
    figures = extract_features(photos, features, FEATURES, Monitor(), earlier[0])
    figures |= match_features(photos, features, matches, MATCHES, Monitor(), earlier[1])
    figures |= build_sparse_model(photos, matches, sparse_model, SparseModelOptions(), Monitor(), earlier[2])
    return features, matches, sparse_model, figures


def same_cameras(one: Path, other: Path, tolerance: float) -> bool:
    """Whether two models have equal photos at equal places, to a share of their extent and up to a similarity."""
    models = [pycolmap.Reconstruction(out / "sparse" / "0") for out in (one, other)]
    names = [sorted(model.image(i).name for i in model.reg_image_ids()) for model in models]
    centres = [
        np.array([model.find_image_with_name(name).projection_center() for name in names[0]]) for model in models
    ]
    similarity = pycolmap.estimate_sim3d(*centres)
    off = np.array([similarity * centre for centre in centres[0]]) - centres[1]
    return names[0] == names[1] and np.linalg.norm(off, axis=1).max() < tolerance * np.ptp(centres[1], axis=0).max()


@pytest.mark.slow
def test_what_is_known_is_taken_over_and_nothing_changes(sample_run: SampleRun, changed_photos: Path, tmp_path: Path):
    """Ten photos added to three hundred must not cost as much as three hundred, nor give another model."""
    before = {path: path.read_bytes() for stage in STAGES for path in files_of(sample_run[stage])}
    features, matches, sparse_model, figures = run(changed_photos, tmp_path / "grown", sample_run)
    fresh_features, fresh_matches, fresh_model, fresh_figures = run(changed_photos, tmp_path / "fresh", None)
    assert (figures["photos_known_from_before"], fresh_figures["photos_known_from_before"]) == (4, 0)
    assert fresh_figures["pairs_known_from_before"] == 0
    assert 4 <= int(figures["pairs_known_from_before"]) <= 6
    assert FeaturesDocument.load(features) == FeaturesDocument.load(fresh_features)
    assert MatchesDocument.load(matches) == MatchesDocument.load(fresh_matches)
    with (
        pycolmap.Database.open(matches / "database.db") as one,
        pycolmap.Database.open(fresh_matches / "database.db") as other,
    ):
        ids, geometries = one.read_two_view_geometries()
        fresh_ids, fresh_geometries = other.read_two_view_geometries()
        assert ids == fresh_ids
        for geometry, fresh_geometry in zip(geometries, fresh_geometries, strict=True):
            assert geometry.inlier_matches.tolist() == fresh_geometry.inlier_matches.tolist()
    assert figures["origin"] == "grown from the previous model: 4 photos kept, 1 added, 1 removed"
    assert fresh_figures["origin"] == "mapped anew"
    assert same_cameras(sparse_model, fresh_model, 0.002)
    assert before == {path: path.read_bytes() for stage in STAGES for path in files_of(sample_run[stage])}


def test_photo_replaced_under_its_name_is_new(sample_run: SampleRun, tmp_path: Path):
    """By name, a better shot of the same name would keep the key points of the worse one."""
    (tmp_path / "images").mkdir()
    for path in sample_run["photos"].rglob("*"):
        target = tmp_path / path.relative_to(sample_run["photos"])
        if path.is_file():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    first = sorted((tmp_path / "images").iterdir())[0]
    with Image.open(first) as photo:
        photo.rotate(180).save(first, quality=92, exif=photo.info["exif"])
    out = tmp_path / "features"
    out.mkdir()
    figures = extract_features(tmp_path, out, FEATURES, Monitor(), sample_run["features"])
    assert figures["photos_known_from_before"] == 4
