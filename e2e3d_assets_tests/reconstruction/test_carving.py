"""Votes of depth maps on points."""

import numpy as np

from e2e3d_assets.reconstruction.carving import Ballot
from e2e3d_assets.reconstruction.raycasting import orbit_camera

CAMERA = orbit_camera(np.zeros(3), 1.0, np.array([1.0, 0.2, 0.1]), 60, 60)
RAY = -CAMERA.centre / np.linalg.norm(CAMERA.centre)


def test_points_before_on_and_behind_a_surface():
    """Fails if a photo votes on what it cannot know (behind the surface, outside the frame, unknown depth)."""
    distance = float(np.linalg.norm(CAMERA.centre))
    points = np.array([-0.5 * RAY, 0 * RAY, 0.5 * RAY, CAMERA.centre - RAY, np.array([0, 50.0, 0])])
    ballot = Ballot(points, 0.01)
    known, unknown = np.full((60, 60), distance, np.float32), np.zeros((60, 60), np.float32)
    for depth in (known, known, unknown):
        ballot.add(CAMERA, depth)
    np.testing.assert_array_equal(ballot.votes.through, [2, 0, 0, 0, 0])
    np.testing.assert_array_equal(ballot.votes.upon, [0, 2, 0, 0, 0])
    np.testing.assert_array_equal(ballot.votes.behind, [0, 0, 2, 0, 0])
    np.testing.assert_array_equal(ballot.votes.blank, [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(ballot.votes.refuted, [True, False, False, False, False])


def test_a_plane_at_a_grazing_angle_is_as_sure_as_it_is_across():
    """Fails if stairs are torn since rays along a tread pass it within its error, or if a wall across the ray stays."""
    distance = float(np.linalg.norm(CAMERA.centre))
    across = np.cross(RAY, [0.0, 0.0, 1.0])
    normals = np.array([RAY, across / np.linalg.norm(across)])
    ballot = Ballot(np.repeat(-0.4 * RAY[None], 2, axis=0), 0.05, normals)
    for _ in range(2):
        ballot.add(CAMERA, np.full((60, 60), distance, np.float32))
    np.testing.assert_array_equal(ballot.votes.refuted, [True, False])
