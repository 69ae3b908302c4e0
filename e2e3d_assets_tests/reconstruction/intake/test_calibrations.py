"""Calibrations that the user gives are read, found for their photos, and kept."""

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.features import FeaturesDocument, extract_features
from e2e3d_assets.reconstruction.intake.calibrations import (
    COLMAP_MODELS,
    Calibration,
    find_calibration,
    load_calibrations,
)
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import FeaturesOptions, PhotosOptions
from e2e3d_assets.reconstruction.photo_set import PhotoCamera, PhotoRecord
from e2e3d_assets.reconstruction.photos import prepare_photos
from e2e3d_assets.reconstruction.sparse.adjustment import adjust_finally

from ..camera_networks import build_model, centre_principal_point, ring
from ..photo_files import save_photos

BROWN = {
    "projection_type": "brown", "width": 4000, "height": 3000, "focal_x": 0.8, "focal_y": 0.81,
    "c_x": 0.01, "c_y": -0.02, "k1": -0.1, "k2": 0.02, "p1": 0.001, "p2": -0.002, "k3": 0.0,
}  # fmt: skip
PERSPECTIVE = {"projection_type": "perspective", "width": 1600, "height": 900, "focal": 0.7, "k1": -0.1, "k2": 0.03}
CENTRED = {"focal_x": 0.42, "focal_y": 0.43, "c_x": 0.01, "c_y": -0.02}
EVERY_TYPE = {
    "perspective": PERSPECTIVE,
    "simple_radial": CENTRED | {"k1": -0.1},
    "radial": CENTRED | {"k1": -0.1, "k2": 0.03},
    "brown": BROWN | {"k3": -0.01},
    "fisheye": {"focal": 0.4, "k1": -0.02, "k2": 0.004},
    "fisheye_opencv": CENTRED | {"k1": -0.02, "k2": 0.004, "k3": -0.003, "k4": 0.0007},
    "fisheye62": CENTRED | {"k1": -0.02, "k2": 0.004, "k3": -0.003, "k4": 0.0007, "p1": 0.002, "p2": -0.001},
    "fisheye624": CENTRED
    | {"k1": 0.19, "k2": -0.2, "k3": -0.01, "k4": 0.2, "k5": -0.12, "k6": 0.02, "p1": 0.0005, "p2": -0.0006}
    | {"s0": -0.0007, "s1": -0.0001, "s2": 0.0008, "s3": 0.00004},
}
NO_SAME_MODEL = {"fisheye624"}
"""COLMAP's nearest lens is fitted, over what the photo shows."""


def photo(width: int, height: int, model: str | None = None) -> PhotoRecord:
    camera = PhotoCamera(model=model)
    return PhotoRecord(given_name="a", name="a.jpg", status="accepted", width=width, height=height, camera=camera)


def test_parameters_scale_with_the_photo(tmp_path: Path):
    """Calibrated at full size, used on smaller photos: parameters in pixels would be wrong by that factor."""
    (tmp_path / "cameras.json").write_text(json.dumps({"v2 dji fc300s 4000 3000 brown 0.8": BROWN}))
    calibration = find_calibration(load_calibrations(tmp_path / "cameras.json"), photo(2000, 1500))
    assert calibration is not None
    model, params = calibration.for_size(2000, 1500)
    assert model == "OPENCV"
    assert params == pytest.approx([1600, 1620, 1020, 710, -0.1, 0.02, 0.001, -0.002])


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_points_fall_where_opendronemap_puts_them(kind: str):
    """A coefficient in another model's place, or a polynomial of the wrong variable, bends the whole model."""
    given = EVERY_TYPE[kind] | {"projection_type": kind, "width": 2000, "height": 1500}
    points = np.random.default_rng(0).uniform((-1, -1, 0.8), (1, 1, 2.8), (50, 3))
    model, params = Calibration.model_validate(given).for_size(2000, 1500)
    camera = pycolmap.Camera(model=model, width=2000, height=1500, params=params)
    assert camera.model_name in COLMAP_MODELS
    expected = np.array([opensfm_projection(given, *point) for point in points]) * 2000 + (1000, 750)
    shown = ((expected > 0) & (expected < (2000, 1500))).all(axis=1)
    assert shown.sum() > 20
    tolerance = 0.2 if kind in NO_SAME_MODEL else 1e-6
    np.testing.assert_allclose(np.asarray(camera.img_from_cam(points))[shown], expected[shown], rtol=0, atol=tolerance)


def opensfm_projection(camera: dict, x: float, y: float, z: float) -> np.ndarray:
    """(2,) shares of the longer side from the centre, by the formulas in OpenSfM's documentation of its cameras."""
    k1, k2, k3, k4 = (camera.get(name, 0.0) for name in ("k1", "k2", "k3", "k4"))
    p1, p2 = camera.get("p1", 0.0), camera.get("p2", 0.0)
    focal = np.array([camera.get("focal_x", camera.get("focal")), camera.get("focal_y", camera.get("focal"))])
    centre = np.array([camera.get("c_x", 0.0), camera.get("c_y", 0.0)])
    if camera["projection_type"].startswith("fisheye62"):
        u, v = np.arctan2(np.hypot(x, y), z) * np.array([x, y]) / np.hypot(x, y)
        r2 = u * u + v * v
        s0, s1, s2, s3 = (camera.get(name, 0.0) for name in ("s0", "s1", "s2", "s3"))
        bent = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
        bent += camera.get("k5", 0.0) * r2**5 + camera.get("k6", 0.0) * r2**6
        across = 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + s0 * r2 + s1 * r2**2
        down = 2 * p2 * u * v + p1 * (r2 + 2 * v * v) + s2 * r2 + s3 * r2**2
        return focal * (bent * u + across, bent * v + down) + centre
    if camera["projection_type"].startswith("fisheye"):
        angle = np.arctan2(np.hypot(x, y), z)
        bent = angle * (1 + k1 * angle**2 + k2 * angle**4 + k3 * angle**6 + k4 * angle**8)
        return focal * bent * np.array([x, y]) / np.hypot(x, y) + centre
    u, v = x / z, y / z
    r2 = u * u + v * v
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    tangential = np.array([2 * p1 * u * v + p2 * (r2 + 2 * u * u), 2 * p2 * u * v + p1 * (r2 + 2 * v * v)])
    return focal * (radial * np.array([u, v]) + tangential) + centre


def test_the_right_camera_is_found(tmp_path: Path):
    """Two cameras in one set: the other's calibration is worse than none."""
    given = {"v2 dji fc300s": BROWN, "v2 apple iphone": PERSPECTIVE | {"width": 4000, "height": 3000}}
    (tmp_path / "cameras.json").write_text(json.dumps(given))
    calibrations = load_calibrations(tmp_path / "cameras.json")
    found = find_calibration(calibrations, photo(4000, 3000, "iPhone"))
    assert found is not None
    assert found.focal_x == 0.7
    assert find_calibration(calibrations, photo(4000, 3000, "EOS")) is None
    assert find_calibration(calibrations, photo(3000, 4000, "iPhone")) is None


@pytest.mark.parametrize("wrong", [{"p1": 0.3}, {"k1": 1e200}, {"k1": -900.0}], ids=str)
def test_lens_that_colmap_cannot_bend_is_refused(tmp_path: Path, wrong: dict):
    """Taken for the nearest one it would bend the whole model, in silence."""
    given = EVERY_TYPE["fisheye624"] | {"projection_type": "fisheye624", "width": 2000, "height": 1500} | wrong
    (tmp_path / "cameras.json").write_text(json.dumps({"any": given}))
    with pytest.raises(BadInput, match="lens"):
        load_calibrations(tmp_path / "cameras.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": {}}', json.dumps({"a": BROWN | {"focal_x": float("nan")}})])
def test_broken_file_is_named(tmp_path: Path, text: str):
    """A calibration that is silently left out gives a model that is wrong in silence."""
    save_photos(tmp_path / "upload", ["a.jpg", "b.jpg", "c.jpg"])
    (tmp_path / "upload" / "cameras.json").write_text(text)
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match="calibrations cannot be used") as caught:
        prepare_photos(tmp_path / "upload", tmp_path / "out", PhotosOptions(), Monitor())
    assert caught.value.files == ("cameras.json",)


def test_calibrations_of_another_camera_are_refused(tmp_path: Path):
    """Two lenses of the laboratory, none of these photos: the model came out uncalibrated without a word. The file may
    come from any editor and any system that writes names in capitals."""
    save_photos(tmp_path / "upload", ["a.jpg", "b.jpg", "c.jpg"])
    wide = BROWN | {"width": 1600, "height": 900}
    (tmp_path / "upload/Cameras.json").write_bytes(json.dumps({"v2 dji fc300s": wide}).encode("utf-8-sig"))
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match=r"none of the photos: .*1600 x 900.*320 x 240"):
        prepare_photos(tmp_path / "upload", tmp_path / "out", PhotosOptions(), Monitor())


def test_panorama_needs_no_calibration(tmp_path: Path):
    """OpenDroneMap writes an entry without a focal length for panoramas, which were refused for it."""
    spherical = {"projection_type": "spherical", "width": 5376, "height": 2688}
    (tmp_path / "cameras.json").write_text(json.dumps({"v2 ricoh theta": spherical, "v2 dji fc300s": BROWN}))
    assert list(load_calibrations(tmp_path / "cameras.json")) == ["v2 dji fc300s"]


def test_given_with_the_upload_it_is_in_the_database(tmp_path: Path):
    """From the upload to COLMAP's camera, through two stages."""
    save_photos(tmp_path / "upload", ["a.jpg", "b.jpg", "c.jpg"])
    (tmp_path / "upload" / "cameras.json").write_text(json.dumps({"any": BROWN}))
    for stage in ("photos", "features"):
        (tmp_path / stage).mkdir()
    prepare_photos(tmp_path / "upload", tmp_path / "photos", PhotosOptions(), Monitor())
    options = FeaturesOptions(max_features=300)
    figures = extract_features(tmp_path / "photos", tmp_path / "features", options, Monitor())
    assert figures["cameras_given"] == 1
    assert FeaturesDocument.load(tmp_path / "features").cameras[0].calibrated
    with pycolmap.Database.open(tmp_path / "features" / "database.db") as database:
        camera = database.read_camera(1)
    assert camera.model_name == "OPENCV"
    assert camera.params[0] == pytest.approx(0.8 * 320)


def test_given_calibration_is_not_refined():
    """A laboratory's calibration is better than what these photos tell."""
    model = centre_principal_point(build_model(ring(10), (6.0, -5.0)))
    before = list(model.camera(1).params)
    decisions = adjust_finally(model, "auto", 1, Monitor(), given={1})
    assert list(model.camera(1).params) == before
    assert decisions[1].why == "the calibration was given"
