"""Stage undistorted_photos: a COLMAP workspace of pinhole photos, and nothing else."""

import pycolmap

from .sample_run import PHOTOS, SampleRun


def test_workspace_layout(sample_run: SampleRun):
    """Dense stereo reads images/ and sparse/; scripts and empty folders would be stored and confuse."""
    out = sample_run["undistorted_photos"]
    assert {path.name for path in out.iterdir()} == {"images", "sparse", "preview.jpg"}
    model = pycolmap.Reconstruction(out / "sparse")
    assert model.num_reg_images() == PHOTOS
    assert {camera.model_name for camera in model.cameras.values()} == {"PINHOLE"}
    assert {path.name for path in (out / "images").iterdir()} == {
        model.image(image_id).name for image_id in model.reg_image_ids()
    }


def test_size_limit(sample_run: SampleRun):
    """Photos beyond the limit would multiply the time of every later stage."""
    assert 250 <= sample_run.figures["undistorted_photos"]["longest_side_px"] <= 300


def test_poses_are_those_of_the_sparse_model(sample_run: SampleRun):
    """All products of a run share one world frame."""
    before = pycolmap.Reconstruction(sample_run["sparse_model"] / "sparse" / "0")
    after = pycolmap.Reconstruction(sample_run["undistorted_photos"] / "sparse")
    for image_id in before.reg_image_ids():
        image = before.image(image_id)
        twin = after.find_image_with_name(image.name)
        assert twin is not None
        assert abs(image.cam_from_world().matrix() - twin.cam_from_world().matrix()).max() < 1e-12
