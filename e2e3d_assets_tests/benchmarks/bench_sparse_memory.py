"""Peak memory of matching and mapping at sizes that take hours to run: a database with made-up key points.

A part of :mod:`.bench_sparse`: ``make bench-sparse ARGS="--memory 1000"``. The flight is that of :mod:`.made_photos`;
each photo has 12,288 key points, what medium quality finds (8,192 places, some with two directions). Two thirds of them
could be found in other photos, and 4,400 to 4,800 get into the model: more than in any real set here (1,400 to 3,600).
Matching compares so many pairs that its caches are full. Mapping is its largest step: all points triangulated from
known poses, and one adjustment of everything. Neither depends on what the photos show.
"""

import tempfile
from pathlib import Path

import numpy as np
import pycolmap

from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.native import thread_count
from e2e3d_assets.reconstruction.sparse.appearance import signatures
from e2e3d_assets.reconstruction.sparse.colmap_database import DATABASE
from e2e3d_assets.reconstruction.sparse.comparison import FIRST_LOOK, Comparison

from .in_own_process import in_own_process, peak_mb
from .made_photos import FOCAL, HEIGHT, WIDTH, flight

_KEY_POINTS = 12_288
_REPEATED = 8192
_DETECTED = 0.5
_PAIRS_COMPARED = 256


def measure_memory(count: int) -> None:
    """Print a row for each part."""
    print(f"{count} photos of {_KEY_POINTS} key points")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        in_own_process(_write_database, root, count)
        print(f"database: {(root / DATABASE).stat().st_size / 1e6:.0f} MB", flush=True)
        print(f"signatures and matching: {in_own_process(_match, root, count):.0f} MB at most", flush=True)
        print(f"triangulation and adjustment: {in_own_process(_triangulate, root):.0f} MB at most", flush=True)


def _match(root: Path, count: int) -> float:
    random = np.random.default_rng(0)
    database = root / "match.db"
    names = [_name(index) for index in range(count)]
    with pycolmap.Database.open(database) as opened, pycolmap.DatabaseTransaction(opened):
        _write_images(opened, count)
        for image_id in range(1, count + 1):
            data = random.integers(0, 255, (_KEY_POINTS, 128), dtype=np.uint8)
            opened.write_descriptors(image_id, pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, data))
            opened.write_keypoints(image_id, random.uniform(0, HEIGHT, (_KEY_POINTS, 2)).astype(np.float32))
    comparison = Comparison(database, names, 0, Monitor())
    with pycolmap.Database.open(database) as opened:
        read = lambda image_id: np.asarray(opened.read_descriptors(image_id).data)  # noqa: E731
        signatures(read, comparison.image_ids, 0, Monitor().check)
    pairs = random.choice(count, (_PAIRS_COMPARED, 2))
    comparison.compare(sorted({(int(i), int(j)) for i, j in np.sort(pairs, axis=1) if i != j}), FIRST_LOOK)
    database.unlink()
    return peak_mb()


def _triangulate(root: Path) -> float:
    options = pycolmap.IncrementalPipelineOptions()
    options.ba_global_max_refinements = 1
    options.ba_global_max_num_iterations = 1
    options.num_threads = thread_count()
    posed = pycolmap.Reconstruction(root / "posed")
    (root / "model").mkdir()
    pycolmap.triangulate_points(posed, root / DATABASE, root, root / "model", True, options, False)
    return peak_mb()


def _write_database(root: Path, count: int) -> None:
    """Key points, matches of overlapping photos, and a model of the true poses without points."""
    random = np.random.default_rng(0)
    cameras = list(flight(count))
    centres = np.array([camera.centre for camera in cameras])
    low, high = centres.min(axis=0), centres.max(axis=0)
    seen_area = WIDTH * HEIGHT / FOCAL**2 * centres[0, 2] ** 2
    density = _REPEATED / _DETECTED / seen_area
    points = np.column_stack(
        [
            random.uniform(low[axis] - 15, high[axis] + 15, int(density * np.prod(high[:2] - low[:2] + 30)))
            for axis in (0, 1)
        ]
        + [random.uniform(0, 6, int(density * np.prod(high[:2] - low[:2] + 30)))]
    )
    posed = pycolmap.Reconstruction()
    seen: list[np.ndarray] = []
    with pycolmap.Database.open(root / DATABASE) as opened, pycolmap.DatabaseTransaction(opened):
        camera = _write_images(opened, count)
        posed.add_camera_with_trivial_rig(camera)
        for index, view in enumerate(cameras):
            near = np.flatnonzero(np.abs(points - view.centre)[:, :2].max(axis=1) < 50)
            inside = (points[near] - view.centre) @ view.R.T
            pixels = inside[:, :2] / inside[:, 2:] * FOCAL + (WIDTH / 2, HEIGHT / 2)
            visible = ((pixels > 0) & (pixels < (WIDTH, HEIGHT))).all(axis=1) & (random.random(len(near)) < _DETECTED)
            chosen = np.flatnonzero(visible)[:_REPEATED]
            key_points = random.uniform(0, HEIGHT, (_KEY_POINTS, 2)).astype(np.float32)
            key_points[: len(chosen)] = pixels[chosen] + random.normal(0, 0.3, (len(chosen), 2))
            seen.append(near[chosen])
            opened.write_keypoints(index + 1, key_points)
            pose = pycolmap.Rigid3d(pycolmap.Rotation3d(view.R), -view.R @ view.centre)
            posed.add_image_with_trivial_frame(pycolmap.Image(_name(index), key_points, 1, index + 1), pose)
        for i in range(count):
            for j in np.flatnonzero(np.linalg.norm(centres[i + 1 :] - centres[i], axis=1) < 22) + i + 1:
                matches = np.stack(np.intersect1d(seen[i], seen[j], return_indices=True)[1:], axis=1).astype(np.uint32)
                if len(matches) < 15:
                    continue
                geometry = pycolmap.TwoViewGeometry()
                geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
                geometry.inlier_matches = matches
                opened.write_matches(i + 1, int(j) + 1, matches)
                opened.write_two_view_geometry(i + 1, int(j) + 1, geometry)
    (root / "posed").mkdir()
    posed.write_binary(root / "posed")


def _write_images(opened: pycolmap.Database, count: int) -> pycolmap.Camera:
    params = [FOCAL, WIDTH / 2, HEIGHT / 2, 0.0]
    camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=WIDTH, height=HEIGHT, params=params, camera_id=1)
    camera.has_prior_focal_length = True
    opened.write_camera(camera, use_camera_id=True)
    rig = pycolmap.Rig(rig_id=1)
    rig.add_ref_sensor(camera.sensor_id)
    opened.write_rig(rig, use_rig_id=True)
    for index in range(count):
        image = pycolmap.Image(_name(index), np.empty((0, 2)), 1, index + 1)
        opened.write_image(image, use_image_id=True)
        frame = pycolmap.Frame(frame_id=index + 1, rig_id=1)
        frame.add_data_id(image.data_id)
        opened.write_frame(frame, use_frame_id=True)
    return camera


def _name(index: int) -> str:
    return f"{index:05d}.jpg"
