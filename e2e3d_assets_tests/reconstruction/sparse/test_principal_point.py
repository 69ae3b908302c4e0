"""The principal point is refined where the photos can tell it, and left alone where they cannot."""

import numpy as np
import pytest

from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.sparse import principal_point
from e2e3d_assets.reconstruction.sparse.adjustment import adjust_finally
from e2e3d_assets.reconstruction.sparse.principal_point import (
    CROPPED_WHY,
    convergence_deg,
    decide,
    principal_point_sigma,
)

from ..camera_networks import build_model, centre_principal_point, ring, strip

OFFSET = (6.0, -5.0)


def rotation_errors_deg(model, poses) -> np.ndarray:
    """Median angle by which the cameras' rotations are off, after the best common rotation."""
    found = [model.image(i + 1).cam_from_world().rotation.matrix() for i in range(len(poses))]
    common = sum(found[i].T @ poses[i][0] for i in range(len(poses)))
    u, _, vt = np.linalg.svd(common)
    aligned = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    traces = [np.trace(found[i] @ aligned @ poses[i][0].T) for i in range(len(poses))]
    return np.degrees(np.arccos(np.clip((np.array(traces) - 1) / 2, -1, 1)))


def test_off_centre_sensor_is_found_by_converging_views():
    """Left at the centre, an offset of 8 px turns every camera by tenths of a degree: the largest error of all."""
    poses = ring(10)
    model = centre_principal_point(build_model(poses, OFFSET, noise_px=0.1))
    before = np.median(rotation_errors_deg(model, poses))
    decisions = adjust_finally(model, "auto", 1, Monitor())
    camera = model.camera(1)
    assert decisions[1].refine, decisions[1].why
    assert camera.principal_point_x - 600 == pytest.approx(OFFSET[0], abs=0.5)
    assert camera.principal_point_y - 450 == pytest.approx(OFFSET[1], abs=0.5)
    assert np.median(rotation_errors_deg(model, poses)) < 0.2 * before


def test_sensor_at_the_centre_stays_there():
    """Rendered photos have no offset: the noise in an estimate of it would turn every camera for nothing."""
    decision = decide(centre_principal_point(build_model(ring(10))), 1)
    assert not decision.refine
    assert "at the centre" in decision.why


def test_strip_of_parallel_views_keeps_it():
    """One flight line looking down cannot tell the offset from a shift: refined, it takes up every other error."""
    model = centre_principal_point(build_model(strip(10)))
    decisions = adjust_finally(model, "auto", 1, Monitor())
    assert not decisions[1].refine
    assert "parallel" in decisions[1].why
    assert tuple(model.camera(1).params[1:3]) == (600.0, 450.0)


def test_ring_at_one_height_keeps_it():
    """On a turntable all cameras nod alike: how far the axis is off downwards cannot be told from their nod."""
    decision = decide(centre_principal_point(build_model(ring(10, heights=(2.0,)))), 1)
    assert not decision.refine
    assert "cannot tell" in decision.why


def test_few_noisy_photos_keep_it():
    """Converging views of few points with large noise: the covariance must say no, not the count of photos."""
    narrow = ring(60, radius=9.0)[:8]
    model = centre_principal_point(build_model(narrow, noise_px=2.0, points=60))
    decision = decide(model, 1)
    assert not decision.refine
    assert "cannot tell" in decision.why


def test_cameras_of_two_photos_each_are_told_by_one_another():
    """Five photos of a camera were asked for: those of another zoom stayed at the centre, and held all others there."""
    model = centre_principal_point(build_model(ring(10), OFFSET, noise_px=0.1, cameras=5))
    decisions = adjust_finally(model, "auto", 1, Monitor())
    assert [decision.refine for decision in decisions.values()] == [True] * 5
    for camera in model.cameras.values():
        assert camera.principal_point_x - 600 == pytest.approx(OFFSET[0], abs=1.0)
        assert camera.principal_point_y - 450 == pytest.approx(OFFSET[1], abs=1.0)


def test_cropped_photos_have_their_principal_points_anywhere():
    """Cut out of larger photos, each elsewhere, they were centred all the same: a tenth off seemed incredible."""
    poses = ring(12)
    model = build_model(poses, noise_px=0.3, cameras=6)
    offsets = {camera_id: (40.0 * camera_id - 130.0, 90.0 - 25.0 * camera_id) for camera_id in model.cameras}
    for image in model.images.values():
        for point in image.points2D:
            point.xy = point.xy + np.array(offsets[image.camera_id])
    decisions = adjust_finally(centre_principal_point(model), "auto", 1, Monitor())
    assert {decision.why for decision in decisions.values()} == {CROPPED_WHY}
    assert np.median(rotation_errors_deg(model, poses)) < 0.2
    for camera_id, (x, y) in offsets.items():
        assert model.camera(camera_id).principal_point_x - 600 == pytest.approx(x, abs=3.0)
        assert model.camera(camera_id).principal_point_y - 450 == pytest.approx(y, abs=3.0)


def test_close_ups_cut_from_two_photos_are_told_among_whole_ones():
    """Ten whole photos hid that two were cropped: held at the centre, those two bent the others' places."""
    poses = ring(12)
    model = build_model(poses, noise_px=1.0, cameras=6)
    for image in model.images.values():
        for point in image.points2D if image.camera_id == 6 else ():
            point.xy = point.xy + np.array((150.0, -60.0))
    decisions = adjust_finally(centre_principal_point(model), "auto", 1, Monitor())
    assert [camera_id for camera_id, decision in decisions.items() if decision.refine] == [6]
    assert decisions[6].why.startswith(CROPPED_WHY)
    assert np.median(rotation_errors_deg(model, poses)) < 0.2
    assert model.camera(6).principal_point_x - 600 == pytest.approx(150.0, abs=15.0)
    assert model.camera(6).principal_point_y - 450 == pytest.approx(-60.0, abs=15.0)


def test_sigma_is_what_repetition_shows():
    """The decision stands on this figure: it must be the real scatter of the estimates, not off by a factor."""
    found = []
    for seed in range(8):
        model = build_model(ring(8), seed=seed, points=150)
        adjust_finally(model, "yes", 1, Monitor())
        found.append(model.camera(1).params[1:3])
    scatter = np.std(np.array(found), axis=0, ddof=1).max()
    sigma = principal_point_sigma(model, 1)
    assert sigma is not None
    assert 0.4 < scatter / sigma < 2.5


def test_sigma_counts_no_point_as_known(monkeypatch: pytest.MonkeyPatch):
    """Points that others' photos see too were taken for known: of two cameras, or many photos, it was a fortieth."""
    whole = principal_point_sigma(build_model(ring(16)), 1)
    of_two = principal_point_sigma(build_model(ring(16), cameras=2), 1)
    monkeypatch.setattr(principal_point, "_COVARIANCE_PHOTOS", 10)
    of_part = principal_point_sigma(build_model(ring(16)), 1)
    assert whole is not None
    assert of_two is not None
    assert of_part is not None
    assert whole < of_two < 3 * whole
    assert whole < of_part < 5 * whole


def test_the_user_decides():
    """yes and no must win over the photos' own evidence."""
    model = centre_principal_point(build_model(ring(10), OFFSET))
    assert not adjust_finally(model, "no", 1, Monitor())[1].refine
    assert tuple(model.camera(1).params[1:3]) == (600.0, 450.0)


def test_convergence():
    """A ring converges, a strip does not, whatever their number of photos."""
    assert convergence_deg(np.array([rotation[2] for rotation, _ in ring(10)])) > 60
    assert convergence_deg(np.array([rotation[2] for rotation, _ in strip(10)])) < 1e-3
    assert convergence_deg(np.array([[0.0, 0.0, 1.0]])) == 0.0
