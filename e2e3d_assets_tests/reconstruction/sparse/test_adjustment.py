"""The last adjustment is not pulled away by wrong matches."""

import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.sparse.adjustment import adjust_finally, keep_untold_focals, median_error

from ..camera_networks import FOCAL, build_model, ring, strip


def test_wrong_matches_are_removed_and_do_not_pull():
    """Three percent of matches off by some pixels move cameras more than all the noise of the good ones."""
    poses = ring(8)
    model = build_model(poses, noise_px=0.2)
    random = np.random.default_rng(1)
    spoilt = 0
    for image_id in model.reg_image_ids():
        for point in model.image(image_id).points2D:
            if random.random() < 0.03:
                point.xy = point.xy + random.uniform(2.0, 4.0, 2)
                spoilt += 1
    model.update_point_3d_errors()
    observations = model.compute_num_observations()
    adjust_finally(model, "no", 1, Monitor())
    removed = observations - model.compute_num_observations()
    assert 0.8 * spoilt <= removed <= 1.3 * spoilt
    assert median_error(model) < 0.4
    centres = np.array([model.image(i + 1).projection_center() for i in range(len(poses))])
    truth = np.array([centre for _, centre in poses])
    a, b = centres - centres.mean(0), truth - truth.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    residual = (s.sum() / (a**2).sum()) * a @ rotation - b
    assert np.linalg.norm(residual, axis=1).max() < 0.004


def test_parallel_views_keep_the_focal_length_of_exif():
    """A flight looking down fits as well with everything a quarter higher: seen on a real one, 37 % too long."""
    model = build_model(strip(10))
    model.camera(1).focal_length = 1.25 * FOCAL
    for image_id in model.reg_image_ids():
        x, y, z = model.image(image_id).projection_center()
        rotation = model.image(image_id).cam_from_world().rotation
        pose = pycolmap.Rigid3d(rotation, -rotation.matrix() @ (x, y, 1.25 * z))
        model.frame(model.image(image_id).frame_id).rig_from_world = pose
    for point in model.points3D.values():
        point.xyz = point.xyz * (1, 1, 1.25)
    model.update_point_3d_errors()
    kept, cameras = keep_untold_focals(model, {1: FOCAL}, 1, Monitor(), ())
    adjust_finally(kept, "auto", 1, Monitor(), keep_focals=bool(cameras))
    assert cameras == {1}
    assert kept.camera(1).focal_length == FOCAL
    heights = [kept.image(i).projection_center()[2] for i in kept.reg_image_ids()]
    ground = np.mean([point.xyz[2] for point in kept.points3D.values()])
    span = np.linalg.norm(kept.image(10).projection_center() - kept.image(1).projection_center())
    assert (np.mean(heights) - ground) / span == pytest.approx(5.0 / 5.4, rel=0.02)
    assert median_error(kept) < 0.4


def test_converging_views_know_better_than_exif():
    """EXIF says whole millimetres, and nothing of crops: where the photos can tell, they are asked."""
    model = build_model(ring(6))
    assert keep_untold_focals(model, {1: 1.2 * FOCAL}, 1, Monitor(), ()) == (model, set())


def test_equal_input_gives_equal_output():
    """A model that changes with every run makes every later product stale."""
    results = []
    for _ in range(2):
        model = build_model(ring(6))
        adjust_finally(model, "auto", 1, Monitor())
        results.append(np.concatenate([model.camera(1).params, *[p.xyz for p in model.points3D.values()]]))
    assert np.array_equal(*results)
