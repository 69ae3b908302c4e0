"""The search for planes."""

import os

import cv2
import numpy as np
import pytest

from e2e3d_assets.reconstruction.stereo.devices import CpuKernels
from e2e3d_assets.reconstruction.stereo.estimation import Level, Problem, estimate
from e2e3d_assets.reconstruction.stereo.propagation import State

from .scene import Rendering


def problem(renderings: list[Rendering], seed: int = 1) -> Problem:
    photos = [np.asarray(cv2.cvtColor(r.photo, cv2.COLOR_RGB2GRAY), np.uint8) for r in renderings]
    cameras = [r.camera for r in renderings]
    mask = np.ones(photos[2].shape, bool)
    others = [0, 1, 3, 4]
    return Problem(
        cameras[2], [cameras[i] for i in others], photos[2], [photos[i] for i in others], mask, (1.5, 6.0), 0.8, 3, seed
    )


def search(renderings: list[Rendering]) -> State:
    levels = [Level(0.5, 3), Level(1.0, 1, 1)]
    return estimate(
        problem(renderings), levels, CpuKernels(), neighbour_depths=[r.depth.astype(np.float32) for r in renderings[:4]]
    )


def test_result_does_not_depend_on_threads(renderings: list[Rendering], monkeypatch: pytest.MonkeyPatch):
    """A product that changes with the machine's core count could not be compared, cached or reproduced."""
    results = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(search(renderings))
    for other in results[1:]:
        for mine, its in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(mine, its)
    assert os.environ["OMP_NUM_THREADS"] == "4"


def test_planes_face_the_camera_and_stay_in_range(renderings: list[Rendering]):
    """A plane behind the camera or seen from its back would come out as a NaN or a mirrored surface."""
    state = search(renderings)
    normals, depths = state.planes[..., :3], state.planes[..., 3]
    assert np.isfinite(state.planes).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-4)
    x, y = np.meshgrid(np.arange(depths.shape[1]), np.arange(depths.shape[0]))
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(renderings[2].camera.K).T
    assert ((normals * rays).sum(-1) < 0).all()
    assert depths.min() >= 0.5 * 0.999
    assert depths.max() <= 18.0 * 1.001
