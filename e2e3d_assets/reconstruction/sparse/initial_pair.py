"""The pair of photos that mapping begins with, where COLMAP would search for it in vain.

What belongs here: the choice. COLMAP tries pairs until one has a wide enough angle, and all of them again for each
lower threshold. The frames of a slow video are compared with their neighbours only, and no angle is wide: of 150 of
them, 1,613 pairs of at most 6 degrees, each round took 80 CPU seconds, four rounds passed before mapping began, and
looking at 60 of the pairs takes one.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap

_MANY_PAIRS = 500  # fewer are tried within seconds
_LOOKED_AT = 60
_MIN_INLIERS = 100
_MATCHES = 400


def widest_of_narrow(database: Path, wide_enough_deg: float, seed: int) -> tuple[tuple[int, int], float] | None:
    """The ids of two images, and the median angle in degrees at which they see their common points.

    Args:
        database: key points and verified pairs.
        wide_enough_deg: with a pair of this angle COLMAP's search ends by itself.
        seed: of the robust estimation.

    Returns:
        of some pairs the widest; None if it is wide enough, or if there are few pairs.
    """
    with pycolmap.Database.open(database) as opened:
        ids, inliers = opened.read_two_view_geometry_num_inliers()
        pairs = [pair for pair, count in zip(ids, inliers, strict=True) if count >= _MIN_INLIERS]
        if len(pairs) < _MANY_PAIRS:
            return None
        looked_at = [pycolmap.pair_id_to_image_pair(pair) for pair in pairs[:: len(pairs) // _LOOKED_AT]]
        angles = list(_angles_deg(opened, looked_at, seed))
    widest = int(np.argmax(angles))
    return (looked_at[widest], angles[widest]) if 0.0 < angles[widest] < wide_enough_deg else None


def _angles_deg(opened: pycolmap.Database, pairs: Iterable[tuple[int, int]], seed: int) -> Iterable[float]:
    cameras = {camera.camera_id: camera for camera in opened.read_all_cameras()}
    camera_of = {image.image_id: cameras[image.camera_id] for image in opened.read_all_images()}
    options = pycolmap.TwoViewGeometryOptions()
    options.compute_relative_pose = True
    options.ransac.random_seed = seed
    for one, other in pairs:
        matches = opened.read_two_view_geometry(one, other).inlier_matches
        points = [opened.read_keypoints(image_id)[:, :2].astype(np.float64) for image_id in (one, other)]
        geometry = pycolmap.estimate_calibrated_two_view_geometry(
            camera_of[one], points[0], camera_of[other], points[1],
            matches[:: max(1, len(matches) // _MATCHES)], options,
        )  # fmt: skip
        yield float(np.degrees(geometry.tri_angle))
