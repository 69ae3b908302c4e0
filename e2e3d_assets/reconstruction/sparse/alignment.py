"""The world frame of a sparse model: by control points, else GPS, else upright and centred; markers give its metre.

What belongs here: which measurement is believed, and the similarity from the mapper's arbitrary frame by GPS or by the
horizon. What does not: control points and markers themselves (:mod:`..georeference`), building or adjusting the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from ..georeference.control_points import align_to_control_points
from ..georeference.evidence import WorldEvidence
from ..georeference.markers import scale_by_markers
from ..photo_set import Gps
from .sparse_document import Georeference, MarkerScale, Measurement

MIN_GPS_PHOTOS = 4
_GPS_NOISE_M = 5.0  # what consumer receivers are off by; also the inlier threshold's floor
_MIN_SPREAD_PER_RESIDUAL = 4.0
_FAR_OUT = 10.0  # times the median distance from the middle: a wrong hemisphere, not the end of a flight
_FAR_FROM_SURVEY_M = 5000.0
_UPSIDE_DOWN = -0.3  # the vertical part of up by the horizon, which cameras that look straight down tell badly
_UP_PRIOR = 0.003  # variance of the roll (sine) of cameras held level by hand
_VIEW_DOWN_WEIGHT = 0.1
_ROBUST_ROLL_SINE = 0.2
_ROUNDS = 20


@dataclass(frozen=True)
class Alignment:
    """Similarity to the world frame, and how it was found."""

    world_from_model: pycolmap.Sim3d
    frame: str
    georeference: Georeference | None
    marker_scale: MarkerScale | None = None
    unused: Mapping[Measurement, str] = field(default_factory=dict)
    """What was measured and has no say in the frame, and why."""


def align_model(model: pycolmap.Reconstruction, evidence: WorldEvidence, seed: int) -> Alignment:
    """Find the world frame of a model.

    Args:
        model: registered images and points.
        evidence: what the photo set knows of its place and size.
        seed: of the robust estimation.
    """
    unused: dict[Measurement, str] = {}
    if evidence.control_points:
        surveyed, why_not = align_to_control_points(model, evidence.control_points)
        if surveyed is not None and not _is_upside_down(model, surveyed[0]):
            if (apart_m := _metres_apart(surveyed[1], evidence.gps)) > _FAR_FROM_SURVEY_M:
                unused["gps"] = (
                    f"the photos' GPS positions are {apart_m / 1000:.0f} km from the control points: "
                    "is the coordinate system of gcp_list.txt right?"
                )
            frame = "east, north, up in metres, from ground control points"
            return Alignment(surveyed[0], frame, surveyed[1], unused=unused)
        unused["control points"] = why_not or "the control points are mirrored: are x (east) and y (north) exchanged?"
    located, why_not = _align_to_gps(model, evidence.gps, seed)
    if located is None and evidence.gps:
        unused["gps"] = why_not
    found = located or Alignment(_upright(model), "z up from the photos' horizon", None)
    if evidence.marker_side_m is not None:
        measured, why_not = scale_by_markers(model, evidence.markers, evidence.marker_side_m)
        if measured is not None:
            found = _with_scale(found, model, *measured)
        else:
            unused["markers"] = why_not
    if found.georeference is None and found.marker_scale is None:
        reasons = [*unused.values()] or [why_not]
        found = replace(found, frame=f"{found.frame}, arbitrary scale ({'; '.join(reasons)})")
    return replace(found, unused=unused)


def _is_upside_down(model: pycolmap.Reconstruction, world_from_model: pycolmap.Sim3d) -> bool:
    """Whether the photos would stand on their heads: what mirrored places in one plane come to."""
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    up = up_direction(np.stack([image.cam_from_world().rotation.matrix().T for image in images]))
    return bool((world_from_model.rotation.matrix() @ up)[2] < _UPSIDE_DOWN)


def _metres_apart(surveyed: Georeference, gps: Mapping[str, Gps]) -> float:
    """Between control points and photos, by their GPS; 0 without."""
    if not gps:
        return 0.0
    place = *np.median([(photo.latitude, photo.longitude) for photo in gps.values()], axis=0), surveyed.altitude
    origin = surveyed.latitude, surveyed.longitude, surveyed.altitude
    return float(np.linalg.norm(pycolmap.GPSTransform().ellipsoid_to_enu(np.array([place]), *origin)))


def _with_scale(found: Alignment, model: pycolmap.Reconstruction, scale: float, markers: MarkerScale) -> Alignment:
    """The frame with the markers' metre, which is good to millimetres, where GPS is to metres.

    The photos stay where GPS has them on the whole; without it the origin stays in the middle of the points.
    """
    before = found.world_from_model
    fixed = np.zeros(3)
    if found.georeference is not None:
        images = [model.image(image_id) for image_id in model.reg_image_ids()]
        fixed = before * np.mean([image.projection_center() for image in images], axis=0)
    grown = scale / before.scale
    shift = grown * (before.translation - fixed) + fixed
    return replace(
        found,
        world_from_model=pycolmap.Sim3d(scale, before.rotation, shift),
        frame=f"{found.frame}, metres from markers",
        marker_scale=markers,
    )


def up_direction(world_from_cams: NDArray[np.float64]) -> NDArray[np.float64]:
    """The direction against gravity, from cameras that were mostly held level (no roll).

    A level camera's x axis is horizontal, so up is at right angles to all of them; where they are all alike (one
    facade, one flight line) that leaves a plane, in which the mean of the cameras' own up decides.

    Args:
        world_from_cams: (N, 3, 3) rotations.

    Returns:
        (3,) unit vector.
    """
    rights, ups, views = world_from_cams[:, :, 0], -world_from_cams[:, :, 1], world_from_cams[:, :, 2]
    up = _unit(np.median(ups, axis=0) - _VIEW_DOWN_WEIGHT * views.mean(axis=0))
    for _ in range(_ROUNDS):
        weights = 1.0 / (1.0 + ((rights @ up) / _ROBUST_ROLL_SINE) ** 2) * (1.0 + ups @ up + 1e-3)
        weights /= weights.sum()
        level = np.einsum("n,ni,nj->ij", weights, rights, rights)
        prior = weights @ ups - _VIEW_DOWN_WEIGHT * (weights @ views)
        up = _unit(np.linalg.solve(level + _UP_PRIOR * np.eye(3), prior))
    return up


def _upright(model: pycolmap.Reconstruction) -> pycolmap.Sim3d:
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    rotations = np.stack([image.cam_from_world().rotation.matrix().T for image in images])
    rotation = _rotation_to_z(up_direction(rotations))
    points = np.array([point.xyz for point in model.points3D.values()]).reshape(-1, 3)
    positions = points if len(points) else np.array([image.projection_center() for image in images])
    return pycolmap.Sim3d(1.0, pycolmap.Rotation3d(rotation), -np.median(positions @ rotation.T, axis=0))


def _rotation_to_z(up: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest rotation that brings ``up`` to +z."""
    axis = np.cross(up, (0.0, 0.0, 1.0))
    if np.linalg.norm(axis) < 1e-9:
        return np.eye(3) if up[2] > 0 else np.diag([1.0, -1.0, -1.0])
    angle = np.arctan2(np.linalg.norm(axis), up[2])
    return pycolmap.Rotation3d(_unit(axis) * angle).matrix()


def _align_to_gps(model: pycolmap.Reconstruction, places: Mapping[str, Gps], seed: int) -> tuple[Alignment | None, str]:
    """The alignment, or why GPS cannot give one."""
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    located = [image for image in images if image.name in places]
    high = [image for image in located if places[image.name].altitude is not None]
    if len(located) < MIN_GPS_PHOTOS:
        return None, f"{len(located)} of {len(images)} photos carry GPS, {MIN_GPS_PHOTOS} are needed"
    frame = "east, north, up in metres, from the photos' GPS"
    if len(high) < MIN_GPS_PHOTOS:
        frame += ", which lacks heights: they are taken to be equal"
    else:
        located = high
    given = np.array([(p.latitude, p.longitude, p.altitude or 0.0) for p in (places[image.name] for image in located)])
    if len(high) < MIN_GPS_PHOTOS:
        given[:, 2] = 0.0
    origin = np.median(given, axis=0)
    enu = pycolmap.GPSTransform().ellipsoid_to_enu(given, *origin)
    centres = np.array([image.projection_center() for image in located])
    spread = _spread(enu)
    if spread[1] < _GPS_NOISE_M:
        return None, f"the photos' GPS positions lie within {_GPS_NOISE_M:g} m of a line, too little to fix a frame"
    found, used, residuals = _robust_similarity(centres, enu, spread[0], seed)
    if found is None or used.sum() < MIN_GPS_PHOTOS or used.sum() * 2 < len(located):
        return None, "the photos' GPS positions contradict the model"
    if spread[0] < _MIN_SPREAD_PER_RESIDUAL * float(np.median(residuals[used])):
        return None, "the photos' GPS positions are too inaccurate for the size of the scene"
    if _is_upside_down(model, found):
        return None, "the photos' GPS positions are mirrored (east and west, or north and south, exchanged)"
    georeference = Georeference(
        latitude=float(origin[0]),
        longitude=float(origin[1]),
        altitude=float(origin[2]),
        photos_used=int(used.sum()),
        photos_with_gps=len(places),
        contradicting=[image.name for image, agrees in zip(located, used, strict=True) if not agrees],
        median_residual_m=round(float(np.median(residuals)), 4),
        max_residual_m=round(float(residuals.max()), 4),
    )
    return Alignment(found, frame, georeference), ""


def _spread(enu: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations along the main axes, metres, without places on another continent."""
    away = np.linalg.norm(enu - np.median(enu, axis=0), axis=1)
    near = enu[away <= _FAR_OUT * np.median(away)]
    return np.linalg.svd(near - near.mean(axis=0), compute_uv=False) / np.sqrt(len(near))


def _robust_similarity(
    centres: NDArray[np.float64], enu: NDArray[np.float64], spread: float, seed: int
) -> tuple[pycolmap.Sim3d | None, NDArray[np.bool_], NDArray[np.float64]]:
    """The similarity, which places it agrees with, and by how much it misses each."""
    ransac = pycolmap.RANSACOptions()
    ransac.max_error = max(_GPS_NOISE_M, 0.05 * spread)
    ransac.random_seed = seed
    answer = pycolmap.estimate_sim3d_robust(centres, enu, ransac)
    if answer is None:
        return None, np.zeros(len(enu), bool), np.full(len(enu), np.inf)
    similarity = answer["tgt_from_src"] if isinstance(answer, dict) else answer
    residuals = np.linalg.norm([similarity * centre for centre in centres] - enu, axis=1)
    return similarity, residuals <= ransac.max_error, residuals


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
