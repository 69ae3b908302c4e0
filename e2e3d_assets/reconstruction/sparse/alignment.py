"""The world frame of a sparse model: by control points, else GPS, else upright, centred and to the size of markers.

What belongs here: which measurement is believed, and the similarity from the mapper's arbitrary frame by GPS or by the
horizon. What does not: control points and markers themselves (:mod:`..georeference`), building or adjusting the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from ..georeference.control_points import align_to_control_points
from ..georeference.evidence import WorldEvidence
from ..georeference.markers import scale_by_markers
from ..photo_set import Gps
from .sparse_document import Georeference, MarkerScale

MIN_GPS_PHOTOS = 4
_GPS_NOISE_M = 5.0  # what consumer receivers are off by; also the inlier threshold's floor
_MIN_SPREAD_PER_RESIDUAL = 4.0
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


def align_model(model: pycolmap.Reconstruction, evidence: WorldEvidence, seed: int) -> Alignment:
    """Find the world frame of a model.

    Args:
        model: registered images and points.
        evidence: what the photo set knows of its place and size.
        seed: of the robust estimation.
    """
    reasons: list[str] = []
    if evidence.control_points:
        surveyed, why_not = align_to_control_points(model, evidence.control_points)
        if surveyed is not None:
            return Alignment(surveyed[0], "east, north, up in metres, from ground control points", surveyed[1])
        reasons.append(why_not)
    located, why_not = _align_to_gps(model, evidence.gps, seed)
    if located is not None:
        return located
    reasons.append(why_not)
    upright = _upright(model)
    if evidence.marker_side_m is not None:
        measured, why_not = scale_by_markers(model, evidence.markers, evidence.marker_side_m)
        if measured is not None:
            scale, found = measured
            metric = pycolmap.Sim3d(scale, upright.rotation, scale * upright.translation)
            return Alignment(metric, "z up from the photos' horizon, metres from markers", None, found)
        reasons.append(why_not)
    return Alignment(upright, f"z up from the photos' horizon, arbitrary scale ({'; '.join(reasons)})", None)


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
    located = [image for image in images if image.name in places and places[image.name].altitude is not None]
    if len(located) < MIN_GPS_PHOTOS:
        return None, f"{len(located)} of {len(images)} photos carry GPS with altitude, {MIN_GPS_PHOTOS} are needed"
    given = np.array([(p.latitude, p.longitude, p.altitude) for p in (places[image.name] for image in located)])
    origin = np.median(given, axis=0)
    enu = pycolmap.GPSTransform().ellipsoid_to_enu(given, *origin)
    centres = np.array([image.projection_center() for image in located])
    spread = np.linalg.svd(enu - enu.mean(axis=0), compute_uv=False) / np.sqrt(len(enu))
    if spread[1] < _GPS_NOISE_M:
        return None, f"the photos' GPS positions lie within {_GPS_NOISE_M:g} m of a line, too little to fix a frame"
    return _robust_alignment(located, centres, enu, origin, spread[0], len(places), seed)


def _robust_alignment(
    located: Sequence[pycolmap.Image],
    centres: NDArray[np.float64],
    enu: NDArray[np.float64],
    origin: NDArray[np.float64],
    spread: float,
    photos_with_gps: int,
    seed: int,
) -> tuple[Alignment | None, str]:
    ransac = pycolmap.RANSACOptions()
    ransac.max_error = max(_GPS_NOISE_M, 0.05 * spread)
    ransac.random_seed = seed
    found = pycolmap.estimate_sim3d_robust(centres, enu, ransac)
    if found is None:
        return None, "the photos' GPS positions contradict the model"
    world_from_model = found["tgt_from_src"] if isinstance(found, dict) else found
    moved = np.array([world_from_model * centre for centre in centres])
    residuals = np.linalg.norm(moved - enu, axis=1)
    used = residuals <= ransac.max_error
    if used.sum() < MIN_GPS_PHOTOS or used.sum() * 2 < len(located):
        return None, "the photos' GPS positions contradict the model"
    if spread < _MIN_SPREAD_PER_RESIDUAL * float(np.median(residuals[used])):
        return None, "the photos' GPS positions are too inaccurate for the size of the scene"
    georeference = Georeference(
        latitude=float(origin[0]),
        longitude=float(origin[1]),
        altitude=float(origin[2]),
        photos_used=int(used.sum()),
        photos_with_gps=photos_with_gps,
        median_residual_m=round(float(np.median(residuals)), 4),
        max_residual_m=round(float(residuals.max()), 4),
    )
    return Alignment(world_from_model, "east, north, up in metres, from the photos' GPS", georeference), ""


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
