"""Synthetic models with exact truth: cameras on a ring, a strip or wherever, points, and noise on their images."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from e2e3d_assets.reconstruction.photo_set import PhotoRecord, PhotoSet
from e2e3d_assets.reconstruction.sparse.colmap_database import DATABASE, close_journal
from e2e3d_assets.reconstruction.sparse.match_document import MatchedPair, MatchesDocument, connected_groups

WIDTH, HEIGHT, FOCAL = 1200, 900, 1100.0


def look_at(centre: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(3, 3) world-to-camera rotation of a level camera."""
    view = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(view, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(view, right), view])


def ring(
    count: int, radius: float = 5.0, heights: tuple[float, ...] = (1.0, 3.5)
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rotation, centre) of level cameras around the origin, z up, at heights by turns."""
    poses = []
    for index, angle in enumerate(np.linspace(0, 2 * np.pi, count, endpoint=False)):
        centre = np.array([radius * np.cos(angle), radius * np.sin(angle), heights[index % len(heights)]])
        poses.append((look_at(centre, np.zeros(3), np.array([0.0, 0.0, 1.0])), centre))
    return poses


def strip(count: int, height: float = 5.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rotation, centre) of cameras in one line that look straight down, all turned alike."""
    rotation = np.array([[1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]])
    return [(rotation, np.array([0.6 * (i - count / 2), 0.0, height])) for i in range(count)]


def build_model(
    poses: list[tuple[np.ndarray, np.ndarray]],
    offset_px: tuple[float, float] = (0.0, 0.0),
    noise_px: float = 0.3,
    points: int = 400,
    seed: int = 0,
    sees: Callable[[int, np.ndarray], np.ndarray] | None = None,
    cameras: int = 1,
    zooms: Sequence[float] = (1.0,),
) -> pycolmap.Reconstruction:
    """A model whose observations have noise and whose camera's principal point is off by ``offset_px``.

    Poses and points are the true ones. ``sees`` says of a photo (0, 1 ...) which of the (N, 3) points it shows. Several
    cameras, all alike, took two photos each by turns. ``zooms`` multiply the focal length, by turns of the photos; the
    model's camera does not know of them.
    """
    random = np.random.default_rng(seed)
    xyz = random.uniform((-1.5, -1.5, -0.5), (1.5, 1.5, 0.5), (points, 3))
    model = pycolmap.Reconstruction()
    params = [FOCAL, WIDTH / 2 + offset_px[0], HEIGHT / 2 + offset_px[1], 0.0]
    camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=WIDTH, height=HEIGHT, params=params, camera_id=1)
    for camera.camera_id in range(cameras, 0, -1):
        model.add_camera_with_trivial_rig(camera)
    tracks: dict[int, list[tuple[int, int]]] = {}
    for image_id, (rotation, centre) in enumerate(poses, 1):
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ centre)
        zoom = zooms[image_id % len(zooms)]
        pixels = camera.img_from_cam((xyz - centre) @ rotation.T * (zoom, zoom, 1.0)) + random.normal(
            0, noise_px, (points, 2)
        )
        inside = ((pixels > 0) & (pixels < (WIDTH, HEIGHT))).all(axis=1)
        seen = np.flatnonzero(inside if sees is None else inside & sees(image_id - 1, xyz))
        image = pycolmap.Image(f"{image_id:03d}.jpg", pixels[seen], 1 + image_id // 2 % cameras, image_id)
        model.add_image_with_trivial_frame(image, pose)
        for index, point in enumerate(seen):
            tracks.setdefault(int(point), []).append((image_id, index))
    for point, elements in sorted(tracks.items()):
        if len(elements) >= 2:
            track = pycolmap.Track([pycolmap.TrackElement(image_id, index) for image_id, index in elements])
            model.add_point3D(xyz[point], track, np.array([200, 120, 60], np.uint8))
    model.update_point_3d_errors()
    return model


def centre_principal_point(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model as a mapper that keeps the principal point at the centre would leave it."""
    for camera in model.cameras.values():
        camera.params = [camera.params[0], WIDTH / 2, HEIGHT / 2, camera.params[3]]
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    pycolmap.bundle_adjustment(model, options)
    model.update_point_3d_errors()
    return model


def write_products(
    models: list[pycolmap.Reconstruction],
    photos: Path,
    matches: Path,
    found: Callable[[int, int, np.ndarray], np.ndarray] = lambda i, j, matches: matches,
) -> list[str]:
    """What stages photos and matches would leave of these models, each a group of photos of its own.

    Args:
        models: with their observations.
        photos: gets the photos.
        matches: gets database and document.
        found: what matching made of the true (N, 2) matches of a group's i-th and j-th photo.

    Returns:
        the photos' names.
    """
    (photos / "images").mkdir(parents=True)
    matches.mkdir()
    names: list[str] = []
    pairs: list[MatchedPair] = []
    with pycolmap.Database.open(matches / DATABASE) as database:
        for model in models:
            group_names, group_pairs = _write_group(database, model, len(names), found)
            names += group_names
            pairs += group_pairs
    close_journal(matches / DATABASE)
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 150)).save(photos / "images" / name)
    records = [PhotoRecord(given_name=name, name=name, status="accepted", width=WIDTH, height=HEIGHT) for name in names]
    PhotoSet(source="photos", photos=records).save(photos)
    MatchesDocument(pairing="auto", pairs=pairs, groups=connected_groups(names, pairs)).save(matches)
    return names


def _write_group(
    database: pycolmap.Database,
    model: pycolmap.Reconstruction,
    before: int,
    found: Callable[[int, int, np.ndarray], np.ndarray],
) -> tuple[list[str], list[MatchedPair]]:
    camera = pycolmap.Camera(model.camera(1).todict())
    camera_id = database.write_camera(camera)
    rig = pycolmap.Rig()
    rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id))
    rig_id = database.write_rig(rig)
    ids, points, names = [], [], []
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        name = f"{before + len(names):03d}.jpg"
        written = pycolmap.Image(name, np.array([p.xy for p in image.points2D]), camera_id)
        new_id = database.write_image(written)
        written.image_id = new_id
        frame = pycolmap.Frame()
        frame.rig_id = rig_id
        frame.add_data_id(written.data_id)
        database.write_frame(frame)
        keypoints = np.array([p.xy for p in image.points2D], np.float32)
        database.write_keypoints(new_id, keypoints)
        ids.append(new_id)
        points.append({p.point3D_id: index for index, p in enumerate(image.points2D) if p.has_point3D()})
        names.append(name)
    pairs: list[MatchedPair] = []
    for i in range(len(ids)):
        for j in range(i + 1, len(ids)):
            common = sorted(points[i].keys() & points[j].keys())
            fitting = found(i, j, np.array([(points[i][p], points[j][p]) for p in common], np.uint32))
            if len(fitting) < 15:
                continue
            database.write_matches(ids[i], ids[j], fitting)
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = fitting
            database.write_two_view_geometry(ids[i], ids[j], geometry)
            pairs.append(
                MatchedPair(photos=(names[i], names[j]), matches=len(fitting), inliers=len(fitting), why=["exhaustive"])
            )
    return names, pairs
