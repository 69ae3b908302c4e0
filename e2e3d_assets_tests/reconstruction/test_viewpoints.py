"""First views and turntables that show the back of a house front, or the table instead of what stands on it."""

import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.viewpoints import film_azimuths, focus_of, turntable_azimuths

from .delivery_scene import OFFSET, DeliveryScene, look_at, make_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DeliveryScene:
    return make_scene(tmp_path_factory.mktemp("scene"))


def test_focus_of_a_ring_is_what_all_cameras_look_at(scene: DeliveryScene):
    """The middle of the points would be the carpet, not the thing on it."""
    focus = focus_of(pycolmap.Reconstruction(scene["sparse_model"] / "sparse" / "0"))
    assert np.allclose(focus.center, OFFSET, atol=0.02)
    assert 0.5 < focus.radius < 1.5
    assert np.allclose(np.linalg.norm(focus.directions, axis=1), 1)
    assert np.degrees(focus.elevation) == pytest.approx(np.degrees(np.arctan2(1.2, 2.5)), abs=1)


def test_focus_of_parallel_views_is_the_middle_of_the_points():
    """Axes of photos along a wall never meet: their "nearest point" lies anywhere."""
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(0, 10, 200), np.zeros(200), rng.uniform(0, 3, 200)])
    eyes = [np.array([2.0 * i, -5.0, 1.5]) for i in range(6)]
    focus = focus_of(model_of([look_at(eye, eye + np.array([0, 1, 0])) for eye in eyes], points))
    assert not focus.inside
    assert np.allclose(focus.center, np.median(points, axis=0))


def test_photos_taken_within_a_room_are_shown_from_within():
    """From outside a room one sees the backs of its walls."""
    angles = np.arange(12) * np.pi / 6
    outward = np.stack([np.cos(angles), np.sin(angles), np.zeros(12)], axis=1)
    middle = np.array([3.0, 4.0, 1.6])
    poses = [look_at(middle + 0.2 * way, middle + way) for way in outward]
    walls = middle + 4 * np.repeat(outward, 20, axis=0)
    focus = focus_of(model_of(poses, walls))
    assert focus.inside
    assert np.linalg.norm(focus.center - middle) < 0.3
    camera = focus.camera(0.0, 80, 60)
    assert np.allclose(camera.centre, focus.center)
    assert np.allclose(camera.R[2], [-1, 0, 0])  # the axis looks away from the side that the azimuth names
    assert len(turntable_azimuths(focus.azimuths, 0.0, 4)) == 4


def model_of(poses: list[pycolmap.Rigid3d], points: np.ndarray) -> pycolmap.Reconstruction:
    """The first three cameras see all points."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 300.0, 320, 240))
    for i, pose in enumerate(poses):
        keypoints = np.zeros((len(points), 2))
        image = pycolmap.Image(name=f"{i}.jpg", keypoints=keypoints, camera_id=1, image_id=i + 1)
        model.add_image_with_trivial_frame(image, pose)
    for index, xyz in enumerate(points):
        track = pycolmap.Track()
        for i in range(3):
            track.add_element(i + 1, index)
        model.add_point3D(xyz, track, np.zeros(3, np.uint8))
    return model


def test_turntable_goes_around_what_was_photographed_all_around():
    """Equal steps over the full turn, beginning with the best side."""
    azimuths = turntable_azimuths(np.radians([0, 60, 120, 200, 270, 330]), np.radians(60), 4)
    assert np.allclose(np.degrees(azimuths), [60, 150, 240, 330])


def test_turntable_stays_on_the_photographed_side():
    """The back of a house front is empty."""
    cameras = np.radians([-40, -10, 20, 55])
    azimuths = np.degrees(turntable_azimuths(cameras, 0.0, 4))
    wrapped = (azimuths + 180) % 360 - 180
    assert np.allclose(wrapped, np.linspace(-40, 55, 4))


@pytest.mark.parametrize("cameras", [[-40, -10, 20, 55], [0, 60, 120, 200, 270, 330]])
def test_film_has_no_jump(cameras):
    """A film that jumps from its end to its beginning hurts the eye."""
    azimuths = np.degrees(film_azimuths(np.radians(cameras), 0.0, 36))
    steps = (np.diff(azimuths, append=azimuths[0]) + 180) % 360 - 180
    assert np.abs(steps).max() < 12
    if cameras[0] < 0:
        wrapped = (azimuths + 180) % 360 - 180
        assert wrapped.min() == pytest.approx(-40)
        assert wrapped.max() == pytest.approx(55)


def test_focus_within_a_small_mesh_is_no_larger_than_it(scene: DeliveryScene):
    """A small thing must fill the picture."""
    focus = focus_of(pycolmap.Reconstruction(scene["sparse_model"] / "sparse" / "0"))
    corners = focus.center + np.array([[0.1, 0, 0], [0, -0.2, 0]])
    assert focus.within(corners).radius == pytest.approx(0.2)
