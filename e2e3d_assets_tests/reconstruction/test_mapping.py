"""Stage sparse_model: what is registered, kept, reported and refused."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.errors import BadInput, Cancelled
from e2e3d_assets.reconstruction.mapping import build_sparse_model, why_not_registered
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.reconstruction.options import SparseModelOptions
from e2e3d_assets.reconstruction.sparse import initial_pair
from e2e3d_assets.reconstruction.sparse.building import leave_out_unsure_photos
from e2e3d_assets.reconstruction.sparse.sparse_document import SparseDocument

from .camera_networks import HEIGHT, WIDTH, build_model, ring, write_products


def build(tmp_path: Path, *models: pycolmap.Reconstruction, **options: object) -> tuple[Path, SparseDocument, Figures]:
    write_products(list(models), tmp_path / "photos", tmp_path / "matches")
    out = tmp_path / "sparse_model"
    out.mkdir()
    figures = build_sparse_model(
        tmp_path / "photos", tmp_path / "matches", out, SparseModelOptions.model_validate(options), Monitor()
    )
    return out, SparseDocument.load(out), figures


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_ring_is_registered_and_accounted_for(tmp_path: Path, mapper: str):
    """All photos of a good set are in; the inputs stay as they were; nothing is left lying about."""
    out, document, figures = build(tmp_path, build_model(ring(8)), mapper=mapper)
    assert figures["photos_registered"] == 8
    assert [photo.registered for photo in document.photos] == [True] * 8
    assert figures["mean_reprojection_error_px"] < 0.6
    assert sorted(path.name for path in out.iterdir()) == ["preview.jpg", "sparse", "sparse_model.json"]
    assert sorted(path.name for path in (tmp_path / "matches").iterdir()) == ["database.db", "matches.json"]
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    position = np.array(document.photos[0].position)
    assert np.allclose(model.find_image_with_name("000.jpg").projection_center(), position)


def test_two_places_give_two_models(tmp_path: Path):
    """Photos of two rooms in one upload: the larger is the model, the other is kept and said."""
    out, document, figures = build(tmp_path, build_model(ring(5), seed=1), build_model(ring(8), seed=2))
    assert figures["models"] == 2
    assert [summary.photos for summary in document.models] == [8, 5]
    assert pycolmap.Reconstruction(out / "sparse" / "0").num_reg_images() == 8
    assert pycolmap.Reconstruction(out / "sparse" / "1").num_reg_images() == 5
    assert document.photos[0].reason == "it belongs to a separate model, sparse/1"


def test_three_photos_are_enough(tmp_path: Path):
    """COLMAP's usual smallest model has ten photos: a small set would give nothing."""
    _, document, figures = build(tmp_path, build_model(ring(16)[:3]))
    assert figures["photos_registered"] == 3
    assert not document.cameras[0].principal_point_refined


def test_small_baseline_is_tried_again_with_lower_thresholds(tmp_path: Path):
    """Photos a few degrees apart fail COLMAP's first pair; giving up there loses whole sets."""
    _, document, figures = build(tmp_path, build_model(ring(400, heights=(2.0,))[:4], noise_px=0.02))
    assert figures["photos_registered"] == 4
    assert len(document.attempts) > 1


def test_slow_video_begins_with_its_widest_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """COLMAP tried each of 1,613 narrow pairs, and each again at lower thresholds: minutes before the first photo."""
    monkeypatch.setattr(initial_pair, "_MANY_PAIRS", 20)
    monkeypatch.setattr(initial_pair, "_LOOKED_AT", 20)
    _, document, figures = build(tmp_path, build_model(ring(240, heights=(2.0,))[:9]))
    assert len(document.attempts) == 1
    assert document.attempts[0].startswith("usual thresholds, begun with the widest of narrow pairs, ")
    assert figures["photos_registered"] == 9


def test_wide_pairs_are_left_to_the_mapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where its search ends soon, COLMAP also weighs how many points a pair has in common."""
    monkeypatch.setattr(initial_pair, "_MANY_PAIRS", 20)
    monkeypatch.setattr(initial_pair, "_LOOKED_AT", 20)
    _, document, _ = build(tmp_path, build_model(ring(9)))
    assert document.attempts == ["usual thresholds"]


def test_no_model_is_bad_input(tmp_path: Path):
    """Photos from one spot have no depth: the user must read what to do, not find an empty model."""
    pose = ring(8)[0]
    with pytest.raises(BadInput, match="walking around"):
        build(tmp_path, build_model([pose] * 3, points=30))


def test_photo_that_rests_on_a_handful_of_points_is_left_out():
    """A pose by chance puts a photo anywhere; its colours and depths would spoil the model there."""
    model = build_model(ring(8))
    unsure = model.image(3)
    for point in list(unsure.get_observation_points2D())[7:]:
        track = model.point3D(point.point3D_id).track
        index = next(element.point2D_idx for element in track.elements if element.image_id == 3)
        model.delete_observation(3, index)
    leave_out_unsure_photos(model)
    assert sorted(model.reg_image_ids()) == [1, 2, 4, 5, 6, 7, 8]


def test_reasons_name_the_photos_concerned():
    """Not registered, full stop: the user would not know what to shoot."""
    assert "it is blurred" in why_not_registered([(20, "a.jpg")], blurred=True)
    assert "nothing overlaps it" in why_not_registered([], blurred=False)
    assert "only one photo, a.jpg, shows the same points (40)" in why_not_registered([(40, "a.jpg")], blurred=False)
    assert "at most 40, with a.jpg" in why_not_registered([(40, "a.jpg"), (20, "b.jpg")], blurred=False)


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_given_calibration_is_kept(tmp_path: Path, mapper: str):
    """A laboratory's calibration must go through the mapper unchanged."""
    write_products([build_model(ring(8))], tmp_path / "photos", tmp_path / "matches")
    params = [1105.0, 1095.0, 602.0, 449.0, 0.001, 0.0, 0.0, 0.0]
    with pycolmap.Database.open(tmp_path / "matches" / "database.db") as database:
        camera = pycolmap.Camera(model="OPENCV", width=WIDTH, height=HEIGHT, params=params, camera_id=1)
        camera.has_prior_focal_length = True
        database.update_camera(camera)
    (tmp_path / "out").mkdir()
    options = SparseModelOptions.model_validate({"mapper": mapper})
    build_sparse_model(tmp_path / "photos", tmp_path / "matches", tmp_path / "out", options, Monitor())
    camera = SparseDocument.load(tmp_path / "out").cameras[0]
    assert camera.params == params
    assert camera.principal_point_why == "the calibration was given"


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_equal_seeds_give_equal_models(tmp_path: Path, mapper: str):
    """A model that changes with every run makes every later product stale."""
    files = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        out, _, _ = build(tmp_path / run, build_model(ring(8)), mapper=mapper)
        files.append((out / "sparse" / "0" / "images.bin").read_bytes())
    assert files[0] == files[1]


def test_cancelling_stops(tmp_path: Path):
    """A cancelled run must not map on for hours."""
    write_products([build_model(ring(8))], tmp_path / "photos", tmp_path / "matches")
    (tmp_path / "out").mkdir()
    monitor = Monitor()
    monitor.cancelled.set()
    with pytest.raises(Cancelled):
        build_sparse_model(tmp_path / "photos", tmp_path / "matches", tmp_path / "out", SparseModelOptions(), monitor)
