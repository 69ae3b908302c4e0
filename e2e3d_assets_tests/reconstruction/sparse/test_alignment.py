"""The world frame: z up, and metres where the photos carry GPS."""

import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.georeference.evidence import WorldEvidence
from e2e3d_assets.reconstruction.photo_set import Gps
from e2e3d_assets.reconstruction.sparse.alignment import align_model, up_direction

from ..camera_networks import build_model, look_at, ring

ORIGIN = (46.8, -92.0, 200.0)
TILT = pycolmap.Rotation3d(np.array([0.7, -0.4, 1.1]))


def arbitrary_frame(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    model.transform(pycolmap.Sim3d(0.3, TILT, np.array([5.0, -3.0, 8.0])))
    return model


def gps_of(model: pycolmap.Reconstruction, noise_m: float, scale: float = 1.0) -> dict[str, Gps]:
    random = np.random.default_rng(0)
    names = {model.image(i).name: model.image(i).projection_center() for i in model.reg_image_ids()}
    enu = np.array(list(names.values())) * scale
    enu = enu + random.normal(0, noise_m, enu.shape)
    places = pycolmap.GPSTransform().enu_to_ellipsoid(enu, *ORIGIN)
    return {name: Gps(latitude=p[0], longitude=p[1], altitude=p[2]) for name, p in zip(names, places, strict=True)}


def world_up(model: pycolmap.Reconstruction, poses) -> np.ndarray:
    """Where the true +z points in the model's frame now."""
    image = model.image(1)
    return image.cam_from_world().rotation.matrix().T @ poses[0][0] @ np.array([0.0, 0.0, 1.0])


def test_upright_without_gps():
    """A model that lies on its side cannot be looked at in any viewer, nor be measured in height."""
    poses = ring(8)
    model = arbitrary_frame(build_model(poses))
    alignment = align_model(model, WorldEvidence(), 0)
    model.transform(alignment.world_from_model)
    assert alignment.georeference is None
    assert world_up(model, poses)[2] > np.cos(np.radians(1))
    points = np.array([p.xyz for p in model.points3D.values()])
    assert np.allclose(np.median(points, axis=0), 0, atol=1e-6)
    assert np.ptp(points[:, 2]) == pytest.approx(0.3, rel=0.1)  # the points are 1 high; the mapper's scale is kept


@pytest.mark.parametrize("tilt_deg", [-10, 0, 15])
def test_up_of_a_facade(tilt_deg: float):
    """Photos of one wall all look the same way: what is level must come from the cameras' own up."""
    rotations = []
    for x in np.linspace(-5, 5, 8):
        height = 10 * np.tan(np.radians(tilt_deg))
        rotations.append(look_at(np.array([x, -10.0, 0.0]), np.array([x / 2, 0.0, height]), np.array([0.0, 0, 1])).T)
    up = up_direction(np.array(rotations))
    assert np.degrees(np.arccos(up[2])) < 4.0


def test_up_survives_photos_without_orientation():
    """Some photos held upright whose EXIF says nothing lie on their side: they must not turn the world."""
    rotations = [rotation for rotation, _ in ring(10)]
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for index in (1, 4, 7):
        rotations[index] = quarter @ rotations[index]
    up = up_direction(np.array([rotation.T for rotation in rotations]))
    assert np.degrees(np.arccos(up[2])) < 3.0


def test_georeferenced_in_metres():
    """GPS gives scale, heading and place; one photo with a wrong fix must not bend it."""
    poses = ring(12, radius=50.0, heights=(30.0,))
    model = build_model(poses, points=100)
    places = gps_of(model, noise_m=0.5)
    places["003.jpg"] = Gps(latitude=46.81, longitude=-92.0, altitude=200.0)
    alignment = align_model(arbitrary_frame(model), WorldEvidence(places), 0)
    model.transform(alignment.world_from_model)
    georeference = alignment.georeference
    assert georeference is not None
    assert georeference.photos_used == 11
    assert georeference.epsg == 32615
    assert georeference.median_residual_m < 1.5
    centres = np.array([model.image(i + 1).projection_center() for i in range(12)])
    truth = np.array([centre for _, centre in poses])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    assert distances.max() == pytest.approx(np.linalg.norm(truth[:, None] - truth[None], axis=2).max(), rel=0.02)
    assert world_up(model, poses)[2] > np.cos(np.radians(2))
    enu = pycolmap.GPSTransform().ellipsoid_to_enu(
        np.array([[places["001.jpg"].latitude, places["001.jpg"].longitude, places["001.jpg"].altitude]]),
        georeference.latitude, georeference.longitude, georeference.altitude,
    )  # fmt: skip
    assert np.linalg.norm(enu[0] - centres[0]) < 3.0


@pytest.mark.parametrize(("noise_m", "scale", "words"), [(4.0, 0.5, "line|inaccurate|contradict"), (0.1, 0.02, "line")])
def test_gps_worse_than_the_scene_is_not_used(noise_m: float, scale: float, words: str):
    """Photos around a statue with a phone's GPS: its noise would become the model's size and tilt."""
    poses = ring(12, radius=20.0, heights=(5.0,))
    model = build_model(poses, points=100)
    places = gps_of(model, noise_m, scale)
    alignment = align_model(model, WorldEvidence(places), 0)
    assert alignment.georeference is None
    assert any(word in alignment.frame for word in words.split("|"))


def test_another_continent_does_not_excuse_another_street():
    """A wrong hemisphere widened what counts as agreeing to a hundred kilometres: a photo 300 m off bent the scale."""
    model = build_model(ring(12, radius=50.0, heights=(30.0,)), points=100)
    places = gps_of(model, noise_m=0.5)
    places["003.jpg"] = places["003.jpg"].model_copy(update={"longitude": 92.0})
    places["007.jpg"] = places["007.jpg"].model_copy(update={"latitude": 46.803})
    alignment = align_model(arbitrary_frame(model), WorldEvidence(places), 0)
    assert alignment.georeference is not None
    assert alignment.georeference.contradicting == ["003.jpg", "007.jpg"]
    assert alignment.world_from_model.scale == pytest.approx(1 / 0.3, rel=0.02)


def test_gps_without_heights():
    """Some telephones and programs write no altitude: place, heading and scale of a level flight are known all the
    same."""
    model = build_model(ring(12, radius=50.0, heights=(30.0,)), points=100)
    places = {name: place.model_copy(update={"altitude": None}) for name, place in gps_of(model, noise_m=0.5).items()}
    alignment = align_model(arbitrary_frame(model), WorldEvidence(places), 0)
    assert alignment.georeference is not None
    assert alignment.world_from_model.scale == pytest.approx(1 / 0.3, rel=0.02)
    assert "lacks heights" in alignment.frame


def test_mirrored_gps_is_refused():
    """West written as east for all photos of a level flight fits to the centimetre, with the world upside down."""
    model = build_model(ring(12, radius=50.0, heights=(30.0,)), points=100)
    places = {name: gps.model_copy(update={"longitude": -gps.longitude}) for name, gps in gps_of(model, 0.5).items()}
    alignment = align_model(arbitrary_frame(model), WorldEvidence(places), 0)
    assert alignment.georeference is None
    assert "mirrored" in alignment.unused["gps"]
