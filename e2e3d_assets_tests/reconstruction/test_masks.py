"""Masks of the upload, from the photos to the texture."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image

from e2e3d_assets.reconstruction.depth import estimate_depth_maps
from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.features import extract_features
from e2e3d_assets.reconstruction.fusion import fuse_depth_maps
from e2e3d_assets.reconstruction.intake.masks import mask_path
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import (
    DenseCloudOptions,
    DepthMapsOptions,
    FeaturesOptions,
    PhotosOptions,
    UndistortedPhotosOptions,
)
from e2e3d_assets.reconstruction.photo_set import PhotoSet
from e2e3d_assets.reconstruction.photos import prepare_photos
from e2e3d_assets.reconstruction.stereo.ply import read_points
from e2e3d_assets.reconstruction.texturing.observations import observe
from e2e3d_assets.reconstruction.undistortion import undistort_photos

from .photo_files import save_photos
from .sample_run import SampleRun
from .stereo import scene

NAMES = ["a/one.jpg", "b/one.jpg", "two.jpg", "three.jpg"]


def folders(root: Path, *names: str) -> list[Path]:
    made = [root / name for name in names]
    for folder in made:
        folder.mkdir()
    return made


def save_left_mask(path: Path, width: int, height: int, white: int = 255) -> None:
    mask = np.full((height, width), white, np.uint8)
    mask[:, : width // 2] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def test_masks_find_their_photos_and_keep_key_points_away(tmp_path: Path):
    """Taken for photos, masks would spoil the set; lost, the user's turntable would become part of the model."""
    upload, photos, features = folders(tmp_path, "upload", "photos", "features")
    save_photos(upload, NAMES)
    save_left_mask(upload / "b/masks/one.png", 320, 240)
    save_left_mask(upload / "masks/two.jpg.png", 160, 120, white=1)
    assert prepare_photos(upload, photos, PhotosOptions(), Monitor())["photos_masked"] == 2
    names = {record.given_name: str(record.name) for record in PhotoSet.load(photos).accepted}
    assert set(names) == set(NAMES)
    assert {path.name for path in (photos / "masks").iterdir()} == {f"{names[n]}.png" for n in ("b/one.jpg", "two.jpg")}
    extract_features(photos, features, FeaturesOptions(), Monitor())
    with pycolmap.Database.open(features / "database.db") as database:
        points = {image.name: database.read_keypoints(image.image_id) for image in database.read_all_images()}
    for given, name in names.items():
        assert len(points[name]) > 50
        assert (points[name][:, 0].min() >= 159) == (given in ("b/one.jpg", "two.jpg"))


@pytest.mark.parametrize(
    ("name", "width", "problem"),
    [("masks/four.png", 320, "belongs to no photo"), ("masks/two.png", 200, "does not fit")],
)
def test_masks_that_fit_no_photo_are_refused(tmp_path: Path, name: str, width: int, problem: str):
    """A mask under a wrong name would be missed only in the finished model."""
    upload, photos = folders(tmp_path, "upload", "photos")
    save_photos(upload, NAMES)
    save_left_mask(upload / name, width, 240)
    with pytest.raises(BadInput, match=problem):
        prepare_photos(upload, photos, PhotosOptions(), Monitor())


def test_masks_are_undistorted_like_their_photos(sample_run: SampleRun, tmp_path: Path):
    """A mask beside its pixels would cut into the subject."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    shutil.copytree(sample_run["photos"], photos)
    out.mkdir()
    first = PhotoSet.load(photos).accepted[0]
    save_left_mask(mask_path(photos, str(first.name)), first.width or 0, first.height or 0)
    undistort_photos(photos, sample_run["sparse_model"], out, UndistortedPhotosOptions(max_photo_size=300), Monitor())
    (mask,) = (out / "masks").iterdir()
    assert mask == mask_path(out, str(first.name))
    values = np.asarray(Image.open(mask))
    with Image.open(out / "images" / str(first.name)) as photo:
        assert values.shape[::-1] == photo.size
    assert set(np.unique(values)) == {0, 255}
    assert np.abs((values == 0).sum(1) - values.shape[1] / 2).max() < 3


def test_masked_things_are_neither_in_the_cloud_nor_in_the_texture(
    renderings: list[scene.Rendering], workspace: Path, tmp_path: Path
):
    """The point of a mask: the ball is masked, the table stays."""
    depth_maps, cloud = folders(tmp_path, "depth_maps", "cloud")
    masked = tmp_path / "masked"
    shutil.copytree(workspace, masked)
    names = [f"{i:03d}.png" for i in range(len(renderings))]
    (masked / "masks").mkdir()
    for name, rendering in zip(names, renderings, strict=True):
        on_table = np.abs(_world(rendering)[..., 2]) < 1e-6
        on_table |= rendering.depth == 0
        cv2.imwrite(str(mask_path(masked, name)), on_table.astype(np.uint8) * 255)
    estimate_depth_maps(masked, depth_maps, DepthMapsOptions(), Monitor())
    fuse_depth_maps(masked, depth_maps, cloud, DenseCloudOptions(), Monitor())
    points = read_points(cloud / "dense_cloud.ply")
    assert len(points) > 5000
    from_centre = np.stack([points["x"], points["y"], points["z"] - scene.RADIUS], 1)
    on_ball = (np.abs(np.linalg.norm(from_centre, axis=1) - scene.RADIUS) < 0.05) & (points["z"] > 0.1)
    assert on_ball.mean() < 0.0005

    vertices = np.array([[0, -0.1, 0.7], [0.1, 0.1, 0.7], [-0.1, 0.1, 0.8], [0.9, -0.4, 0], [1, -0.4, 0], [0.9, 0, 0]])
    faces = np.arange(6, dtype=np.int32).reshape(2, 3)
    cameras = [rendering.camera for rendering in renderings]
    seen = {
        folder: observe(vertices, faces, cameras, folder, names, lambda _: None).face for folder in (workspace, masked)
    }
    assert set(seen[workspace]) == {0, 1}
    assert set(seen[masked]) == {1}


def _world(rendering: scene.Rendering) -> np.ndarray:
    camera = rendering.camera
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.K).T
    return (rays * rendering.depth[..., None] - camera.t) @ camera.R
