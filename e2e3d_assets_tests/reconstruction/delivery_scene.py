"""A small made-up scene, with a product of every stage, for the tests of the delivering and reporting stages.

A textured box (two atlas pages) on the ground, seen by eight cameras in a ring, in a world frame with z up.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
import trimesh
from PIL import Image

from e2e3d_assets.reconstruction.photo_set import PhotoCamera, PhotoRecord, PhotoSet
from e2e3d_assets.reconstruction.raycasting import render
from e2e3d_assets.reconstruction.sparse.match_document import MatchedPair, MatchesDocument
from e2e3d_assets.reconstruction.sparse.sparse_document import (
    CameraResult,
    ControlPointResult,
    Georeference,
    MarkerResult,
    MarkerScale,
    ModelSummary,
    PhotoPose,
    SparseDocument,
)
from e2e3d_assets.reconstruction.stereo.formats import map_path, write_map
from e2e3d_assets.reconstruction.stereo.ply import POINT, PlyWriter
from e2e3d_assets.reconstruction.stereo.views import Camera
from e2e3d_assets.reconstruction.textured_mesh import TexturedMesh

CAMERAS = 8
BOX = np.array([1.0, 0.6, 0.8])
OFFSET = np.array([2.0, -1.0, 0.4])  # the box's centre: far enough from the origin that a wrong frame shows
Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
SIZE = (320, 240)
FOCAL = 300.0
NOISE_PX = 0.4
GEOREFERENCE = Georeference(
    latitude=47,
    longitude=11,
    altitude=600,
    photos_used=8,
    photos_with_gps=8,
    median_residual_m=0.5,
    max_residual_m=1,
    control_points=[ControlPointResult(name="gcp <7>", photos=5, used=False, residual_m=1, offset_m=(0.6, 0, -0.8))],
)


STAGES = (
    "photos",
    "features",
    "matches",
    "sparse_model",
    "undistorted_photos",
    "depth_maps",
    "dense_cloud",
    "mesh",
    "textured_mesh",
    "model_files",
    "viewer",
)


@dataclass(frozen=True)
class DeliveryScene:
    """Directories of products, by asset."""

    root: Path

    @property
    def products(self) -> dict[str, Path]:
        return {asset: self[asset] for asset in STAGES}

    def __getitem__(self, asset: str) -> Path:
        return self.root / asset


def make_scene(root: Path) -> DeliveryScene:
    scene = DeliveryScene(root)
    for asset in STAGES:
        scene[asset].mkdir(parents=True)
    model = _sparse_model()
    (scene["sparse_model"] / "sparse" / "0").mkdir(parents=True)
    model.write_binary(scene["sparse_model"] / "sparse" / "0")
    _sparse_document(model).save(scene["sparse_model"])
    mesh = textured_box()
    mesh.save_glb(scene["textured_mesh"] / "model.glb")
    page_image(0).save(scene["textured_mesh"] / "preview.jpg")
    _write_photos(scene["photos"], mesh)
    _write_cloud(scene["dense_cloud"])
    _write_matches(scene["matches"])
    _write_depths(scene["undistorted_photos"], scene["depth_maps"], model, scene["photos"])
    for made_by_tests in ("model_files", "viewer"):
        (scene[made_by_tests] / "made_up.txt").write_text("made up")
    return scene


def surface_points(count: int, seed: int = 0) -> np.ndarray:
    box = trimesh.creation.box(BOX)
    points, _ = trimesh.sample.sample_surface(box, count, seed=seed)
    return points + OFFSET


def look_at(center: np.ndarray, target: np.ndarray) -> pycolmap.Rigid3d:
    forward = (target - center) / np.linalg.norm(target - center)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ center)


def camera_center(i: int) -> np.ndarray:
    angle = 2 * np.pi * i / CAMERAS
    return OFFSET + np.array([2.5 * np.cos(angle), 2.5 * np.sin(angle), 1.2])


def _sparse_model() -> pycolmap.Reconstruction:
    rng = np.random.default_rng(0)
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(1, "PINHOLE", FOCAL, *SIZE)
    model.add_camera_with_trivial_rig(camera)
    points = surface_points(400)
    poses = [look_at(camera_center(i), OFFSET) for i in range(CAMERAS)]
    tracks = [pycolmap.Track() for _ in points]
    for i, pose in enumerate(poses):
        in_camera = pose * points
        pixels = camera.img_from_cam(in_camera) + rng.normal(0, NOISE_PX, (len(points), 2))
        seen = np.flatnonzero(((pixels > 0) & (pixels < SIZE)).all(axis=1) & (rng.random(len(points)) < 0.6))
        image = pycolmap.Image(
            name=f"photo_{i}.jpg", keypoints=pixels[seen], camera_id=camera.camera_id, image_id=i + 1
        )
        model.add_image_with_trivial_frame(image, pose)
        for index, point in enumerate(seen):
            tracks[point].add_element(i + 1, index)
    for point, track in zip(points, tracks, strict=True):
        if track.length() >= 2:
            model.add_point3D(point, track, np.array([200, 120, 60], np.uint8))
    model.update_point_3d_errors()
    return model


def _sparse_document(model: pycolmap.Reconstruction) -> SparseDocument:
    camera = model.cameras[1]
    return SparseDocument(
        mapper="incremental",
        attempts=[],
        photos=[
            PhotoPose(
                name=image.name,
                registered=True,
                model=0,
                observations=image.num_points3D,
                mean_reprojection_error_px=0.5,
                position=tuple(image.projection_center()),
            )
            for image in model.images.values()
        ],
        cameras=[
            CameraResult(
                camera_id=1,
                model="PINHOLE",
                width=camera.width,
                height=camera.height,
                params=list(camera.params),
                photos=CAMERAS,
                principal_point_refined=False,
                principal_point_why="made up",
                principal_point_offset_px=(0, 0),
            )
        ],
        models=[
            ModelSummary(
                photos=CAMERAS,
                points=len(model.points3D),
                mean_reprojection_error_px=model.compute_mean_reprojection_error(),
                mean_track_length=model.compute_mean_track_length(),
            )
        ],
        georeference=GEOREFERENCE,
        marker_scale=MarkerScale(side_m=0.2, markers=[MarkerResult(number=23, photos=4, used=True, side_m=0.2001)]),
        frame="made up",
    )


def _write_photos(directory: Path, mesh: TexturedMesh) -> None:
    """Renderings of the box: the model agrees with its photos."""
    (directory / "images").mkdir()
    records = []
    for i in range(CAMERAS):
        pose = look_at(camera_center(i), OFFSET).matrix()
        K = np.array([[FOCAL, 0, SIZE[0] / 2 - 0.5], [0, FOCAL, SIZE[1] / 2 - 0.5], [0, 0, 1]])
        photo = render(mesh, Camera(*SIZE, K, pose[:, :3], pose[:, 3]))
        Image.fromarray(photo).save(directory / "images" / f"photo_{i}.jpg", quality=95)
        records.append(
            PhotoRecord(
                given_name=f"Photo {i}.JPG",
                name=f"photo_{i}.jpg",
                status="accepted",
                width=SIZE[0],
                height=SIZE[1],
                camera=PhotoCamera(make="Make", model="Model"),
                sharpness=0.5 + i / 20,
            )
        )
    records.append(PhotoRecord(given_name="broken.jpg", status="rejected", reason="it is not a photo"))
    PhotoSet(source="photos", photos=records).save(directory)


def textured_box(subdivisions: int = 2) -> TexturedMesh:
    """Upper and lower half of the box's triangles take their colour from different pages."""
    box = trimesh.creation.box(BOX)
    for _ in range(subdivisions):
        box = box.subdivide()
    corners = box.vertices[box.faces].reshape(-1, 3)
    normals = np.repeat(np.abs(box.face_normals), 3, axis=0)
    axis = np.argmax(normals, axis=1)
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    uv = np.take_along_axis(corners / BOX + 0.5, others, axis=1)
    pages = tuple(np.asarray(page_image(page)) for page in range(2))
    return TexturedMesh(
        box.vertices + OFFSET,
        box.faces.astype(np.int32),
        uv.reshape(-1, 3, 2).astype(np.float32),
        (box.triangles_center[:, 2] < 0).astype(np.int32),
        pages,
    )


def page_image(page: int) -> Image.Image:
    """Left to right redder, top to bottom greener; blue tells the page."""
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = ramp, ramp[:, None], 80 + 120 * page
    return Image.fromarray(pixels)


def _write_cloud(directory: Path) -> None:
    points = np.zeros(2000, POINT)
    points["x"], points["y"], points["z"] = surface_points(len(points), seed=1).T
    points["nz"] = 1
    points["red"], points["green"], points["blue"] = 90, 160, 40
    with PlyWriter(directory / "dense_cloud.ply") as file:
        file.write(points)


def _write_matches(directory: Path) -> None:
    """Neighbours in the ring match."""
    names = [f"photo_{i}.jpg" for i in range(CAMERAS)]
    pairs = [
        MatchedPair(photos=(names[i], names[(i + 1) % CAMERAS]), matches=200, inliers=150, why=["exhaustive"])
        for i in range(CAMERAS)
    ]
    document = MatchesDocument(pairing="exhaustive", pairs=pairs, groups=[names])
    document.save(directory)


def _write_depths(undistorted: Path, depth_maps: Path, model: pycolmap.Reconstruction, photos: Path) -> None:
    (undistorted / "sparse").mkdir()
    model.write_binary(undistorted / "sparse")
    shutil.copytree(photos / "images", undistorted / "images")
    depth = np.tile(np.linspace(1, 4, SIZE[0], dtype=np.float32), (SIZE[1], 1))
    depth[:40] = 0
    for i in range(CAMERAS):
        write_map(map_path(depth_maps, "depth", f"photo_{i}.jpg"), depth)
