"""Votes of depth maps on points."""

import numpy as np
import trimesh

from e2e3d_assets.reconstruction.carving import Ballot, exposed
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
    np.testing.assert_array_equal(ballot.votes.refuted, [True, False, False, False, False])


def test_exposed_means_framed_and_free():
    """Fails if the far side of a wall counts as seen."""
    wall = trimesh.creation.box([0.01, 2, 2]).subdivide_to_size(0.1)
    before, behind, outside = [0.5, 0, 0], [-0.5, 0, 0], [0, 99, 0]
    vertices = np.vstack([wall.vertices, [before, behind, outside]])
    chosen = np.arange(3) + len(wall.vertices)
    seen = exposed(vertices, np.asarray(wall.faces, np.int32), chosen, [CAMERA])
    np.testing.assert_array_equal(seen[chosen], [True, False, False])
    assert seen.sum() == 1
