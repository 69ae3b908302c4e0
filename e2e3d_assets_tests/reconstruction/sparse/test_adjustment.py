"""The last adjustment is not pulled away by wrong matches."""

import numpy as np

from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.sparse.adjustment import adjust_finally, median_error

from ..camera_networks import build_model, ring


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


def test_equal_input_gives_equal_output():
    """A model that changes with every run makes every later product stale."""
    results = []
    for _ in range(2):
        model = build_model(ring(6))
        adjust_finally(model, "auto", 1, Monitor())
        results.append(np.concatenate([model.camera(1).params, *[p.xyz for p in model.points3D.values()]]))
    assert np.array_equal(*results)
