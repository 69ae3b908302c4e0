"""Which photos are compared, at what depths."""

from dataclasses import replace

import numpy as np
import pytest

from e2e3d_assets.reconstruction.stereo.views import SparseScene, neighbour_scores, plan_references

from .scene import ring_camera


def scene_of(angles: list[float], distances: list[float] | None = None, points: int = 200) -> SparseScene:
    """Cameras around a cloud that all of them see."""
    distances = distances or [3.0] * len(angles)
    cameras = tuple(ring_camera(angle, distance=d) for angle, d in zip(angles, distances, strict=True))
    cloud = np.random.default_rng(0).uniform(-0.4, 0.4, (points, 3))
    observers = np.tile(np.arange(len(angles)), points)
    begins = np.arange(points + 1) * len(angles)
    return SparseScene(tuple(f"{i}.jpg" for i in range(len(angles))), cameras, cloud, observers, begins)


def test_resized_camera_keeps_rays_through_pixel_corners():
    """A half-pixel slip between sizes would shift every depth map against its photo."""
    camera = ring_camera(0, 160, 120)
    half = camera.resized(80, 60)
    corner = np.array([-0.5, -0.5, 1])
    np.testing.assert_allclose(np.linalg.inv(half.K) @ corner, np.linalg.inv(camera.K) @ corner, atol=1e-12)
    np.testing.assert_allclose(half.K @ np.linalg.inv(camera.K) @ [159.5, 119.5, 1], [79.5, 59.5, 1], atol=1e-9)


def test_prefers_views_at_a_useful_angle_and_scale():
    """The same place says nothing of depth, the other side or a far view looks different."""
    scene = scene_of([0, 0.1, 6, 90, 6], [3, 3, 3, 3, 9])
    scores = neighbour_scores(scene, 0, np.arange(200))
    same_place, right, other_side, far = scores[1:]
    assert right > 5 * max(same_place, other_side, far)
    assert scores[0] == 0


def test_depth_range_ignores_outliers():
    """One wrong sparse point must not stretch the search to infinity."""
    scene = scene_of([0, 8, 16])
    honest = plan_references(scene, 8, 8)[0].depth_range
    points = scene.points.copy()
    points[0] = scene.cameras[0].centre * 0.999
    points[1] = -1e6 * scene.cameras[0].centre
    near, far = plan_references(replace(scene, points=points), 8, 8)[0].depth_range
    assert (near, far) == pytest.approx(honest, rel=0.05)
    assert near < 2.6
    assert far > 3.4


def test_skips_photos_without_neighbours_and_says_why():
    """A photo that shares nothing must be listed, not estimated from noise."""
    scene = scene_of([0, 8, 16])
    alone = SparseScene(
        (*scene.names, "alone.jpg", "blind.jpg"),
        (*scene.cameras, ring_camera(0), ring_camera(0)),
        np.concatenate([scene.points, np.random.default_rng(1).uniform(-0.4, 0.4, (50, 3))]),
        np.concatenate([scene.observers, np.full(50, 3)]),
        np.concatenate([scene.begins, scene.begins[-1] + np.arange(1, 51)]),
    )
    plans = plan_references(alone, 8, 8)
    assert [bool(plan.skipped_because) for plan in plans] == [False, False, False, True, True]
    assert "no other photo" in plans[3].skipped_because
    assert "0 sparse points" in plans[4].skipped_because


def test_no_baseline_means_no_sources():
    """Photos turned on the spot have no parallax: nothing may be estimated from them."""
    scene = scene_of([0, 0, 0])
    assert all(plan.skipped_because for plan in plan_references(scene, 8, 8))
