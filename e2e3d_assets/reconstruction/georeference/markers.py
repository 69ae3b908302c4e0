"""Printed markers of known size: the metre for models without a survey.

What belongs here: finding ArUco and AprilTag markers in photos (Garrido-Jurado et al., 2014; Olson, 2011), and the
scale that they give a model.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import pycolmap
from cv2.typing import MatLike
from numpy.typing import NDArray

from ..monitor import Monitor
from ..native import thread_count
from ..sparse.sparse_document import MarkerResult, MarkerScale
from .triangulation import Views

Sightings: TypeAlias = Mapping[int, Sequence[tuple[str, NDArray[np.float64]]]]
"""For each marker's number (photo, (4, 2) corners in order around it, pixels as in COLMAP)."""

FAMILIES = {
    "aruco_4x4_50": cv2.aruco.DICT_4X4_50,
    "aruco_5x5_100": cv2.aruco.DICT_5X5_100,
    "aruco_6x6_250": cv2.aruco.DICT_6X6_250,
    "aruco_original": cv2.aruco.DICT_ARUCO_ORIGINAL,
    "apriltag_16h5": cv2.aruco.DICT_APRILTAG_16H5,
    "apriltag_25h9": cv2.aruco.DICT_APRILTAG_25H9,
    "apriltag_36h11": cv2.aruco.DICT_APRILTAG_36H11,
}
_MAX_SIDE_SPREAD = 0.05  # between a marker's sides: a true one is a square
_EDGE_REACH_PX = 2.5
_EDGE_SAMPLES = 24
_EDGE_SHARES = (0.1, 0.9)
_MIN_CORNER_SINE = 0.1
_MAX_SCALE_SPREAD = 0.05  # between a marker and the median of all


def find_markers(photos: Sequence[Path], family: str, monitor: Monitor) -> Sightings:
    """Every marker of a family in every photo; a number seen twice in one photo is left out there."""
    found: defaultdict[int, list[tuple[str, NDArray[np.float64]]]] = defaultdict(list)
    with ThreadPoolExecutor(thread_count()) as pool:
        try:
            for done, (photo, seen) in enumerate(
                zip(photos, pool.map(lambda path: _find(path, family), photos), strict=True)
            ):
                monitor.progress(done + 1, len(photos), "looking for markers")
                for number, corners in seen.items():
                    found[number].append((photo.name, corners))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return found


def _find(photo: Path, family: str) -> dict[int, NDArray[np.float64]]:
    grey = cv2.imread(str(photo), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        return {}
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(FAMILIES[family]))
    corners, numbers, _ = detector.detectMarkers(grey)
    seen = [int(number) for number in np.ravel(numbers)] if numbers is not None else []
    return {
        number: refine_corners(grey, quad.reshape(4, 2)) + 0.5
        for number, quad in zip(seen, corners, strict=True)
        if seen.count(number) == 1
    }


def refine_corners(grey: MatLike, corners: MatLike) -> NDArray[np.float64]:
    """Where straight lines along a marker's sides meet.

    Refinement at the corners alone draws them inwards, by 0.2 % of a marker of 100 pixels.

    Args:
        grey: (H, W) uint8.
        corners: (4, 2), the centre of the top-left pixel is (0, 0).

    Returns:
        (4, 2); as given where the photo shows no edge.
    """
    quad = corners.astype(np.float64)
    steps = np.arange(-_EDGE_REACH_PX, _EDGE_REACH_PX + 0.1, 0.5)
    lines = []
    for start, end in zip(quad, np.roll(quad, -1, axis=0), strict=True):
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        across = np.array([-along[1], along[0]])
        shares = np.linspace(*_EDGE_SHARES, _EDGE_SAMPLES)[:, None]
        on_edge = start + shares * (end - start)
        grid = (on_edge[:, None] + steps[None, :, None] * across).astype(np.float32)
        profile = cv2.remap(grey, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        slope = np.abs(np.diff(profile.astype(np.float64), axis=1))
        offsets = (slope @ (steps[:-1] + 0.25)) / np.maximum(slope.sum(axis=1), 1e-9)
        edge = on_edge + offsets[:, None] * across
        middle = edge.mean(axis=0)
        normal = np.linalg.svd(edge - middle)[2][1]
        lines.append((normal, float(normal @ middle)))
    for index in range(4):
        (first, at_first), (second, at_second) = lines[index - 1], lines[index]
        if abs(np.linalg.det(np.stack([first, second]))) > _MIN_CORNER_SINE:
            met = np.linalg.solve(np.stack([first, second]), [at_first, at_second])
            quad[index] = met if np.linalg.norm(met - corners[index]) <= _EDGE_REACH_PX else corners[index]
    return quad


def scale_by_markers(
    model: pycolmap.Reconstruction, sightings: Sightings, side_m: float
) -> tuple[tuple[float, MarkerScale] | None, str]:
    """Metres per unit of the model, or why the markers cannot tell.

    Args:
        model: registered photos.
        sightings: of :func:`find_markers`.
        side_m: length of a marker's black side.
    """
    if not sightings:
        return None, "none of their family (option marker_family) was found in a photo"
    views = Views(model)
    lengths: dict[int, float] = {}
    photos: dict[int, int] = {}
    for number, seen in sorted(sightings.items()):
        corners = [views.triangulate([(name, *quad[corner]) for name, quad in seen]) for corner in range(4)]
        located = [corner for corner in corners if corner is not None]
        if len(located) < 4:
            continue
        square = np.array([corner.xyz for corner in located])
        sides = np.linalg.norm(square - np.roll(square, 1, axis=0), axis=1)
        if np.ptp(sides) <= _MAX_SIDE_SPREAD * sides.mean():
            lengths[number], photos[number] = float(sides.mean()), min(corner.photos for corner in located)
    if not lengths:
        return None, f"no marker is seen whole in two photos of the model ({len(sightings)} were found in photos)"
    scale = side_m / float(np.median(list(lengths.values())))
    results = [
        MarkerResult(
            number=number,
            photos=photos[number],
            used=abs(length * scale / side_m - 1) <= _MAX_SCALE_SPREAD,
            side_m=round(length * scale, 6),
        )
        for number, length in lengths.items()
    ]
    agreeing = [lengths[result.number] for result in results if result.used]
    if len(agreeing) * 2 <= len(results):
        narrow, wide = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        ratio = lengths[wide] / lengths[narrow]
        return None, f"marker {wide} is {ratio:.2f} times as wide as marker {narrow}: are all of the size given?"
    refined = side_m / float(np.mean(agreeing))
    return (refined, MarkerScale(side_m=side_m, markers=[
        result.model_copy(update={"side_m": round(lengths[result.number] * refined, 6)}) for result in results
    ])), ""  # fmt: skip
