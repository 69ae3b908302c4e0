"""Printed markers, rendered into photos of cameras with exact truth."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.georeference.evidence import WorldEvidence
from e2e3d_assets.reconstruction.georeference.markers import FAMILIES, find_markers
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.photo_set import Gps
from e2e3d_assets.reconstruction.sparse.alignment import align_model

from ..camera_networks import HEIGHT, WIDTH, build_model, ring

SIDE = 0.5
UNITS_PER_METRE = 0.37
CORNERS = np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]]) * SIDE / 2
PIXELS = 400
MARGIN = 80
FINER = 4


def photograph(
    folder: Path, model: pycolmap.Reconstruction, family: str, places: dict[int, tuple[float, float, float]]
) -> list[Path]:
    """Photos of markers that lie on the ground: number -> (x, y, side)."""
    files = []
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        picture = np.full((HEIGHT * FINER, WIDTH * FINER), 150, np.uint8)
        for number, (x, y, side) in places.items():
            marker = np.full((PIXELS + 2 * MARGIN,) * 2, 255, np.uint8)
            dictionary = cv2.aruco.getPredefinedDictionary(FAMILIES[family])
            marker[MARGIN:-MARGIN, MARGIN:-MARGIN] = cv2.aruco.generateImageMarker(dictionary, number, PIXELS)
            ground = CORNERS * side / SIDE + (x, y)
            seen = np.array([image.project_point(np.append(corner, 0.0)) for corner in ground])
            inner = np.array([[0, 0], [PIXELS, 0], [PIXELS, PIXELS], [0, PIXELS]]) + MARGIN
            warp = cv2.getPerspectiveTransform(
                (inner - 0.5).astype(np.float32), (seen * FINER - 0.5).astype(np.float32)
            )
            size = WIDTH * FINER, HEIGHT * FINER
            cv2.warpPerspective(marker, warp, size, picture, borderMode=cv2.BORDER_TRANSPARENT)
        files.append(folder / image.name)
        cv2.imwrite(str(files[-1]), cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    return files


def scene(
    folder: Path, family: str, places: dict[int, tuple[float, float, float]]
) -> tuple[pycolmap.Reconstruction, WorldEvidence]:
    """A model whose unit is not the metre, and what its photos tell of markers."""
    model = build_model(ring(8, radius=4.0, heights=(3.0, 4.0)))
    sightings = find_markers(photograph(folder, model, family, places), family, Monitor())
    model.transform(pycolmap.Sim3d(UNITS_PER_METRE, pycolmap.Rotation3d(np.array([0.2, -0.1, 0.5])), np.ones(3)))
    return model, WorldEvidence(markers=sightings, marker_side_m=SIDE)


@pytest.mark.parametrize("family", ["apriltag_36h11", "aruco_4x4_50"])
def test_scale_from_markers(tmp_path: Path, family: str):
    """A statue indoors has no GPS: a sheet of paper beside it must make the model measurable."""
    model, evidence = scene(tmp_path, family, {3: (-0.6, 0.1, SIDE), 7: (0.7, -0.2, SIDE)})
    alignment = align_model(model, evidence, 0)
    assert alignment.world_from_model.scale == pytest.approx(1 / UNITS_PER_METRE, rel=0.001)
    assert alignment.marker_scale is not None
    assert [marker.number for marker in alignment.marker_scale.markers] == [3, 7]
    assert alignment.marker_scale.max_residual_m < 0.002
    assert all(marker.photos >= 3 for marker in alignment.marker_scale.markers)
    assert alignment.georeference is None


def test_a_marker_of_another_size_is_left_out(tmp_path: Path):
    """One sheet printed at 90 % must not shrink the model."""
    model, evidence = scene(
        tmp_path, "apriltag_36h11", {1: (-0.7, 0, SIDE), 2: (0.7, 0, SIDE), 3: (0, 0.7, 0.9 * SIDE)}
    )
    alignment = align_model(model, evidence, 0)
    assert alignment.marker_scale is not None
    assert [marker.used for marker in alignment.marker_scale.markers] == [True, True, False]
    assert alignment.world_from_model.scale == pytest.approx(1 / UNITS_PER_METRE, rel=0.001)


def test_missing_markers_are_told(tmp_path: Path):
    """A size was given but no marker is in the photos: the model must not claim to be in metres."""
    model, evidence = scene(tmp_path, "apriltag_36h11", {})
    alignment = align_model(model, evidence, 0)
    assert alignment.marker_scale is None
    assert "marker_family" in alignment.frame
    assert "marker_family" in alignment.unused["markers"]


def test_two_markers_of_different_sizes_are_told_with_their_ratio(tmp_path: Path):
    """Nobody knows which of the two has the size given; "contradict each other" left people to guess."""
    model, evidence = scene(tmp_path, "apriltag_36h11", {1: (-0.7, 0, SIDE), 2: (0.7, 0, 1.5 * SIDE)})
    alignment = align_model(model, evidence, 0)
    assert alignment.marker_scale is None
    assert "marker 2 is 1.50 times as wide as marker 1" in alignment.unused["markers"]


def test_markers_beside_gps(tmp_path: Path):
    """A telephone's GPS is off by metres: a model ten metres wide got its size from it, and the marker was ignored."""
    model, evidence = scene(tmp_path, "apriltag_36h11", {3: (-0.6, 0.1, SIDE), 7: (0.7, -0.2, SIDE)})
    random = np.random.default_rng(2)
    gps: dict[str, Gps] = {}
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        enu = 8.0 * image.projection_center() + random.normal(0, 1.0, 3)
        latitude, longitude, altitude = pycolmap.GPSTransform().enu_to_ellipsoid(enu[None], 46.8, 8.0, 400.0)[0]
        gps[image.name] = Gps(latitude=latitude, longitude=longitude, altitude=altitude)
    alignment = align_model(model, replace(evidence, gps=gps), 0)
    assert alignment.georeference is not None
    assert alignment.marker_scale is not None
    assert alignment.world_from_model.scale == pytest.approx(1 / UNITS_PER_METRE, rel=0.001)
    assert "metres from markers" in alignment.frame
    centres = [alignment.world_from_model * model.image(i).projection_center() for i in model.reg_image_ids()]
    places = np.array([(place.latitude, place.longitude, place.altitude) for place in gps.values()])
    origin = alignment.georeference.latitude, alignment.georeference.longitude, alignment.georeference.altitude
    measured = pycolmap.GPSTransform().ellipsoid_to_enu(places, *origin)
    assert np.linalg.norm(np.mean(centres, axis=0) - measured.mean(axis=0)) < 1.0
