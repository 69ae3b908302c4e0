"""What is read from EXIF, and that nonsense in it is no harm."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from e2e3d_assets.reconstruction.intake.exif import read_camera, read_gps, read_time


def exif_with(details: dict | None = None, gps: dict | None = None, **base) -> Image.Exif:
    exif = Image.Exif()
    for tag, value in base.items():
        exif[int(tag[1:], 16)] = value
    exif.get_ifd(0x8769).update(details or {})
    exif.get_ifd(0x8825).update(gps or {})
    return exif


def test_focal_length_from_its_35_mm_equivalent():
    """A wrong prior by a few percent is refined; one by a factor of two fails to register."""
    camera = read_camera(exif_with({0xA405: 24, 0x920A: 4.25}, t010F="Maker", t0110="Phone 1"), 4000, 3000)
    assert (camera.make, camera.model, camera.focal_mm) == ("Maker", "Phone 1", 4.25)
    assert camera.focal_px == pytest.approx(24 / math.hypot(36, 24) * 5000)


def test_wide_pictures_are_cut_from_the_whole_sensor():
    """A drone's 16:9 photos are 4:3 less their upper and lower edge: by their own diagonal the prior is 8 % short."""
    exif = exif_with({0xA405: 20})
    whole = read_camera(exif, 4000, 3000).focal_px
    assert read_camera(exif, 4000, 2250).focal_px == read_camera(exif, 2250, 4000).focal_px == whole


def test_focal_length_from_the_pixel_pitch():
    """Older reflex cameras write no 35 mm equivalent but the pixels per inch of the sensor."""
    pitch = {0x920A: 50.0, 0xA20E: 3000 / 36 * 25.4, 0xA210: 2, 0xA002: 3000, 0xA003: 2000}
    camera = read_camera(exif_with(pitch), 1500, 1000)
    assert camera.focal_px == pytest.approx(1500 * 50 / 36, rel=1e-6)


def test_portrait_and_landscape_agree():
    """The focal length in pixels does not depend on how the camera was held."""
    exif = exif_with({0xA405: 35})
    assert read_camera(exif, 4000, 3000).focal_px == read_camera(exif, 3000, 4000).focal_px


@pytest.mark.parametrize("nonsense", [0, -5, float("nan"), float("inf"), "long", 1e9, None])
def test_senseless_focal_length_is_none(nonsense):
    """Zero and infinity are written by cameras with manual lenses: as a prior they would ruin the calibration."""
    exif = exif_with()
    exif.get_ifd(0x8769)[0xA405] = nonsense
    assert read_camera(exif, 4000, 3000).focal_px is None


def test_gps_signs():
    """South and west are negative; a lost sign moves the model to another continent."""
    gps = {1: "S", 2: (33.0, 51.0, 24.0), 3: "W", 4: (70.0, 30.0, 0.0), 5: b"\x01", 6: 12.0}
    place = read_gps(exif_with(gps=gps))
    assert place is not None
    assert (place.latitude, place.longitude) == pytest.approx((-33.856667, -70.5), abs=1e-6)
    assert place.altitude == -12.0


@pytest.mark.parametrize(
    "gps",
    [
        {},
        {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)},
        {2: (91.0, 0.0, 0.0), 4: (1.0, 0.0, 0.0)},
        {2: (float("nan"), 0.0, 0.0), 4: (1.0, 0.0, 0.0)},
        {2: "north", 4: 7},
    ],
)
def test_missing_or_senseless_gps_is_none(gps: dict):
    """A receiver without a fix writes zeros: georeferencing with them would be wrong in silence."""
    assert read_gps(exif_with(gps=gps)) is None


def test_time_with_fraction():
    """Bursts are told apart by fractions of a second."""
    assert read_time(exif_with({0x9003: "2019:07:11 15:07:32", 0x9291: "50"})) == "2019-07-11T15:07:32.500000"
    assert read_time(exif_with({0x9003: "0000:00:00 00:00:00"})) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.dictionaries(st.sampled_from([0xA405, 0x920A, 0xA20E, 0xA210, 0xA002, 0xA434, 0x9003]), st.one_of(
    st.text(), st.floats(), st.integers(), st.binary(), st.tuples(st.floats(), st.integers()), st.none()
)))  # fmt: skip
def test_any_tag_value_is_survived(details: dict):
    """EXIF is written by a thousand programs: no value may stop the intake of a photo."""
    exif = exif_with()
    exif.get_ifd(0x8769).update(details)
    camera = read_camera(exif, 100, 100)
    assert camera.focal_px is None or camera.focal_px > 0
    read_time(exif)
