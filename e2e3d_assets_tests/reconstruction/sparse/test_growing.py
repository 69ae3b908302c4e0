"""A model grows from an earlier one whose photos have other names, ids and neighbours now."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.reconstruction.options import SparseModelOptions
from e2e3d_assets.reconstruction.sparse.growing import find_earlier_model, is_worth_growing, posed_photos
from e2e3d_assets.reconstruction.sparse.match_document import MatchesDocument
from e2e3d_assets.reconstruction.sparse.sparse_document import SparseDocument

from ..camera_networks import build_model, ring, write_products

VIEWS = ring(9)


def build(
    root: Path, views: Sequence[int], digests: Sequence[int], previous: Path | None = None, **scene: Any
) -> tuple[Path, Figures]:
    """The model of some views, whose photos are called 000.jpg, 001.jpg ... and known by their digests."""
    model = build_model([VIEWS[view] for view in views], **scene)
    names = write_products([model], root / "photos", root / "matches")
    document = MatchesDocument.load(root / "matches")
    known = {name: f"digest {digest}" for name, digest in zip(names, digests, strict=True)}
    document.model_copy(update={"digests": known}).save(root / "matches")
    out = root / "sparse_model"
    out.mkdir()
    return out, build_sparse_model(root / "photos", root / "matches", out, SparseModelOptions(), Monitor(), previous)


def camera_error(out: Path, views: Sequence[int]) -> float:
    """The largest error of a camera's place, on a ring of radius 5."""
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    centres = np.array([image.projection_center() for image in images])
    true = np.array([VIEWS[view][1] for view in views])
    found = pycolmap.estimate_sim3d(centres, true)
    return max(np.linalg.norm([found * centre for centre in centres] - true, axis=1))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of views 0 to 6."""
    return build(tmp_path_factory.mktemp("earlier"), range(7), range(7))[0]


def test_photos_are_the_same_by_content_not_by_name_or_number(earlier: Path, tmp_path: Path):
    """By name or id, a photo that was put before the others would give each the pose of its neighbour."""
    views = [8, 7, 6, 5, 4, 3, 2]
    out, figures = build(tmp_path, views, views, earlier)
    assert figures["origin"] == "grown from the previous model: 5 photos kept, 2 added, 2 removed"
    assert (figures["photos_registered"], figures["photos_placed_before"]) == (7, 5)
    assert camera_error(out, views) < 0.02
    digests = MatchesDocument.load(tmp_path / "matches").digests
    found = find_earlier_model(earlier, digests, digests.keys())
    assert found is not None
    assert found.same == {"002.jpg": "006.jpg", "003.jpg": "005.jpg", "004.jpg": "004.jpg", "005.jpg": "003.jpg"} | {
        "006.jpg": "002.jpg"
    }
    known, posed = (
        pycolmap.Reconstruction(earlier / "sparse" / "0"),
        posed_photos(found, tmp_path / "matches" / "database.db"),
    )
    assert posed.num_reg_images() == 5
    for here, there in found.same.items():
        poses = [model.find_image_with_name(name).cam_from_world() for model, name in ((posed, here), (known, there))]
        assert np.array_equal(poses[0].matrix(), poses[1].matrix())


def test_wrong_earlier_poses_are_not_inherited(earlier: Path, tmp_path: Path):
    """An error of an earlier model would stay in the set for ever."""
    views = list(range(8))
    out, figures = build(tmp_path, views, [3, 0, 5, 1, 6, 2, 4, 9], earlier)
    assert figures["photos_registered"] == 8
    assert camera_error(out, views) < 0.02


def test_what_is_poorer_than_before_is_mapped_anew(earlier: Path, tmp_path: Path):
    """Growing saves time; it must not cost quality."""
    better = tmp_path / "better"
    shutil.copytree(earlier, better)
    document = SparseDocument.load(better)
    models = [summary.model_copy(update={"mean_reprojection_error_px": 0.1}) for summary in document.models]
    document.model_copy(update={"models": models}).save(better)
    views = list(range(8))
    out, figures = build(tmp_path, views, views, better)
    told = str(figures["origin"])
    assert told.startswith("mapped anew: growing the previous model was given up, its error grew from 0.10 to 0.")
    assert figures["photos_registered"] == 8
    assert camera_error(out, views) < 0.02


def test_principal_point_is_decided_anew(tmp_path: Path):
    """Refined among many points, the offset would stay in the model of a few, where a fresh run leaves the centre."""
    before, _ = build(tmp_path / "before", range(8), range(8), offset_px=(20.0, 0.0))
    assert abs(pycolmap.Reconstruction(before / "sparse" / "0").camera(1).principal_point_x - 620) < 2
    out, figures = build(tmp_path / "after", range(4), range(4), before, offset_px=(20.0, 0.0), points=60)
    assert str(figures["origin"]).startswith("grown")
    assert pycolmap.Reconstruction(out / "sparse" / "0").camera(1).principal_point_x == 600


def test_photos_at_another_zoom_end_growing(tmp_path: Path, earlier: Path):
    """Registered into the model with its camera, a new photo at another zoom bent it; zooms told apart do not grow."""
    out, figures = build(tmp_path / "zoomed", range(9), range(9), earlier, zooms=[1.0] * 8 + [1.25])
    assert (
        figures["origin"] == "mapped anew: growing the previous model was given up, photos of one camera differ in zoom"
    )
    assert figures["zooms_told_apart"] == 2
    assert camera_error(out, range(9)) < 0.02
    _, figures = build(tmp_path / "again", range(9), range(9), out, zooms=[1.0] * 8 + [1.25])
    assert figures["origin"] == "mapped anew"


@pytest.mark.parametrize(
    ("kept", "before", "connected", "worth"), [(7, 8, 14, True), (2, 2, 4, False), (3, 7, 3, False), (7, 7, 15, False)]
)
def test_a_small_rest_is_no_start(kept: int, before: int, connected: int, worth: bool):
    """Three photos of ten would decide where the ten stand, and cost as much as none."""
    assert is_worth_growing(kept, before, connected) == worth
