"""Whether photos were taken from different places: a camera that only turns sees no depth.

What belongs here: the measure. Photos of a turning camera fit one another perfectly, and a mapper that does not know
the focal length explains them by a bent or tilted plane with fine errors; nothing after it would notice.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap

_PAIRS = 60
_POINTS = 400
_UNKNOWN_FOCALS = np.geomspace(0.4, 1.6, 20)
"""Of the photos' longer side. By a longer lens, shots along a flat wall look like a turn."""
_KNOWN_FOCALS = np.geomspace(0.85, 1.18, 7)
"""Of the focal length by EXIF."""
_PERCENTILE = 90


def parallax_of_size(database: Path, pairs: Sequence[tuple[str, str]]) -> float:
    """How far points move between photos beyond what turning the camera explains, as a share of the photos' size.

    For each focal length in question the best rotation of each pair is found (Kabsch, "A solution for the best rotation
    to relate two sets of vectors", 1976); what is left at the best focal length is parallax (Hartley,
    "Self-calibration from multiple views with a rotating camera", 1994). Lens distortion counts as parallax too.

    Args:
        database: key points and verified pairs.
        pairs: names of photos; of many, some are looked at.

    Returns:
        nine in ten pairs have a smaller median.
    """
    with pycolmap.Database.open(database) as opened:
        images = {image.name: image for image in opened.read_all_images()}
        cameras = {camera.camera_id: camera for camera in opened.read_all_cameras()}
        rays = [
            [_centred(opened, images[name], cameras, inliers) for name, inliers in zip(pair, matches, strict=True)]
            for pair in pairs[:: max(1, len(pairs) // _PAIRS)]
            if len((matches := _inliers(opened, images, pair))[0])
        ]
    if not rays:
        return 1.0
    focals = _focals(list(cameras.values()))
    left = [[_unexplained(one, other, focal) for one, other in rays] for focal in focals]
    return float(np.percentile(left, _PERCENTILE, axis=1).min())


def _focals(cameras: Sequence[pycolmap.Camera]) -> np.ndarray:
    """Focal lengths in question, in shares of the longer side."""
    known = [c.mean_focal_length() / max(c.width, c.height) for c in cameras if c.has_prior_focal_length]
    return np.median(known) * _KNOWN_FOCALS if len(known) == len(cameras) else _UNKNOWN_FOCALS


def _inliers(opened: pycolmap.Database, images: dict[str, pycolmap.Image], pair: tuple[str, str]) -> list[np.ndarray]:
    """Indices of key points of either photo that are one."""
    one, other = (images[name].image_id for name in pair)
    matches = opened.read_two_view_geometry(min(one, other), max(one, other)).inlier_matches
    spread = matches[:: max(1, len(matches) // _POINTS)]
    return [spread[:, 0], spread[:, 1]] if one < other else [spread[:, 1], spread[:, 0]]


def _centred(
    opened: pycolmap.Database, image: pycolmap.Image, cameras: dict[int, pycolmap.Camera], inliers: np.ndarray
) -> np.ndarray:
    """(N, 2) key points from the photo's centre, in shares of its longer side."""
    camera = cameras[image.camera_id]
    pixels = opened.read_keypoints(image.image_id)[inliers, :2].astype(np.float64)
    return (pixels - (camera.width / 2, camera.height / 2)) / max(camera.width, camera.height)


def _unexplained(points: np.ndarray, counterparts: np.ndarray, focal: float) -> float:
    """Median distance that the best rotation leaves, in the unit of the points and of the focal length."""
    one, other = (np.column_stack([each, np.full(len(each), focal)]) for each in (points, counterparts))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(other.T @ one)
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return focal * float(np.median(np.linalg.norm(one @ rotation.T - other, axis=1)))
