"""Stage features: cameras are shared by what took the photos, and key points lie in the database."""

from pathlib import Path

import pycolmap
import pytest

from e2e3d_assets.reconstruction.errors import Cancelled
from e2e3d_assets.reconstruction.features import FeaturesDocument, extract_features, group_by_camera
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import FeaturesOptions
from e2e3d_assets.reconstruction.photo_set import PhotoCamera, PhotoRecord, PhotoSet

from .sample_run import PHOTOS, SampleRun


def record(name: str, width: int = 400, height: int = 300, **camera: object) -> PhotoRecord:
    return PhotoRecord(
        given_name=name,
        name=name,
        status="accepted",
        width=width,
        height=height,
        camera=PhotoCamera.model_validate(camera),
    )


def test_cameras_are_shared_only_by_equal_body_lens_zoom_and_size():
    """Shared by mistake, two zooms get one focal length and the model breaks; kept apart, they lose strength."""
    phone = {"make": "A", "model": "Phone", "focal_mm": 4.2}
    records = [
        record("1.jpg", **phone),
        record("2.jpg", **phone),
        record("zoomed.jpg", **(phone | {"focal_mm": 8.0})),
        record("upright.jpg", width=300, height=400, **phone),
        record("other.jpg", make="B", model="Camera"),
        record("nothing.jpg"),
    ]
    groups = [[photo.name for photo in group] for group in group_by_camera(records)]
    assert groups == [["1.jpg", "2.jpg"], ["zoomed.jpg"], ["upright.jpg"], ["other.jpg"], ["nothing.jpg"]]


def test_database_has_every_photo_in_order_with_the_exif_prior(sample_run: SampleRun):
    """Ids in the order in which threads finish would make every run different."""
    with pycolmap.Database.open(sample_run["features"] / "database.db") as database:
        images = database.read_all_images()
        camera = database.read_camera(1)
        counts = [database.num_keypoints_for_image(image.image_id) for image in images]
    photos = PhotoSet.load(sample_run["photos"]).accepted
    assert [image.name for image in images] == [photo.name for photo in photos]
    assert {image.camera_id for image in images} == {1}
    assert camera.has_prior_focal_length
    assert camera.params[0] == pytest.approx(photos[0].camera.focal_px)
    assert min(counts) > 500
    document = FeaturesDocument.load(sample_run["features"])
    assert list(document.key_points.values()) == counts
    assert document.cameras[0].camera == "NIKON CORPORATION NIKON D3200 40 mm"


def test_output_is_complete_and_closed(sample_run: SampleRun):
    """A write-ahead log left beside the database would be lost when the product is stored file by file."""
    names = {path.name for path in sample_run["features"].iterdir()}
    assert names == {"database.db", "features.json", "preview.jpg"}
    assert (sample_run["features"] / "preview.jpg").stat().st_size <= 30_000


def test_progress_ends_at_all(sample_run: SampleRun):
    """A bar that stops at 80 % looks like a hang."""
    assert sample_run.progress["features"][-1] == (PHOTOS, PHOTOS)
    assert sample_run.progress["matches"][-1] == (10, 10)


def test_cancelling_stops(sample_run: SampleRun, tmp_path: Path):
    """A cancelled run must not go on through thousands of photos."""
    monitor = Monitor()
    monitor.cancelled.set()
    with pytest.raises(Cancelled):
        extract_features(sample_run["photos"], tmp_path, FeaturesOptions(), monitor)
