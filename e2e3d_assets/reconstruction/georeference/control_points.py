"""Ground control points: surveyed points that were marked in photos, as in OpenDroneMap's ``gcp_list.txt``.

What belongs here: the file, and the model's frame from its points. The first line names the coordinate system (EPSG
code, ``WGS84 UTM 32N``, or a PROJ string); then a line ``x y z pixel_x pixel_y photo [name]`` for each mark.
"""

import codecs
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath

import numpy as np
import pycolmap
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from ..errors import BadInput
from ..photo_set import PhotoRecord
from ..sparse.sparse_document import ControlPointResult, Georeference
from .triangulation import Views

FILE_NAME = "gcp_list.txt"
MIN_POINTS = 3
_MIN_RELATIVE_WIDTH = 0.02  # of the points' field: narrower ones are a line
_REDUNDANT = 5
_MAX_TRIPLES = 500
_INLIER_SIGMAS = 2.5
_PHOTO_NAME = re.compile(
    r".*?\.(jpe?g|jpe|jfif|png|webp|tiff?|heic|heif|hif|avif|bmp|dng|nef|cr[23]|arw|raf|orf|rw2)(?=\s|$)", re.IGNORECASE
)
_WGS84_UTM = re.compile(r"WGS84\s+UTM\s+(\d{1,2})\s*([NS])", re.IGNORECASE)
_REMEDY = "Mend gcp_list.txt (coordinate system, then lines: x y z pixel_x pixel_y photo [name]), or leave it out"


@dataclass(frozen=True)
class ControlPoint:
    """A surveyed point: WGS 84 degrees and metres above the ellipsoid, and (photo, x, y) of its marks in pixels."""

    name: str
    place: tuple[float, float, float]
    marks: tuple[tuple[str, float, float], ...]


def load_control_points(file: Path) -> list[ControlPoint]:
    """The points of a file, with the photos' names as they stand there; none if there is no file.

    Raises:
        BadInput: naming the line that makes no sense.
    """
    if not file.is_file():
        return []
    lines = [line.strip() for line in _text(file).splitlines()]
    rows = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not rows:
        raise BadInput("The list of control points is empty", _REMEDY, [FILE_NAME])
    to_wgs84 = _transformer(rows[0][1])
    marks: defaultdict[tuple[str, tuple[float, float, float]], list[tuple[str, float, float]]] = defaultdict(list)
    for number, line in rows[1:]:
        name, place, mark = _parse(number, line)
        marks[name, place].append(mark)
    points: list[ControlPoint] = []
    for position, ((name, place), seen) in enumerate(marks.items(), 1):
        longitude, latitude, height = to_wgs84.transform(*place)
        if not all(map(math.isfinite, (longitude, latitude, height))) or abs(latitude) > 90:
            raise BadInput(f"{place} is no place in the coordinate system {rows[0][1][:60]}", _REMEDY, [FILE_NAME])
        points.append(ControlPoint(name or f"point {position}", (latitude, longitude, height), tuple(seen)))
    return points


def _text(file: Path) -> str:
    """Of a file by any editor: spreadsheets save "Unicode text" as UTF-16."""
    written = file.read_bytes()
    encoding = "utf-16" if written.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return written.decode(encoding, "replace")


def _transformer(system: str) -> Transformer:
    utm = _WGS84_UTM.fullmatch(system)
    try:
        crs = CRS.from_epsg((32600 if utm[2].upper() == "N" else 32700) + int(utm[1])) if utm else CRS(system)
        return Transformer.from_crs(crs, "EPSG:4979", always_xy=True)
    except ProjError as error:
        raise BadInput(f"Unknown coordinate system of control points: {system[:60]}", _REMEDY, [FILE_NAME]) from error


def _parse(number: int, line: str) -> tuple[str, tuple[float, float, float], tuple[str, float, float]]:
    parts = line.split(maxsplit=5)
    try:
        x, y, z, across, down = map(float, parts[:5])
        photo, name = _photo_and_name(parts[5])
    except (ValueError, IndexError) as error:
        problem = f"Line {number} of the control points cannot be read: {line[:60]!r}"
        raise BadInput(problem, _REMEDY, [FILE_NAME]) from error
    if not all(map(math.isfinite, (x, y, z, across, down))):
        raise BadInput(f"Line {number} of the control points lacks a number (heights are needed)", _REMEDY, [FILE_NAME])
    return name, (x, y, z), (photo, across, down)


def _photo_and_name(words: str) -> tuple[str, str]:
    """The photo, whose name may hold spaces if it has a suffix, and the point's name."""
    with_suffix = _PHOTO_NAME.match(words)
    photo = with_suffix[0] if with_suffix else words.split()[0]
    return photo, " ".join(words[len(photo) :].split())


def in_photos(points: Sequence[ControlPoint], records: Sequence[PhotoRecord]) -> list[ControlPoint]:
    """The points under the names of the stored photos; marks in other photos are left out.

    Folders, case and suffixes need not be as the photos have them, where only one photo can be meant.
    """
    by_alias: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        given = PurePosixPath(record.given_name)
        for alias in {str(record.name), record.given_name, given.name, given.stem}:
            by_alias[alias.lower()].add(str(record.name))

    def stored(marked: str) -> str | None:
        path = PurePosixPath(marked.lower().replace("\\", "/"))
        for alias in (str(path), path.name, path.stem):
            if len(found := by_alias.get(alias, set())) == 1:
                return next(iter(found))
        return None

    return [
        ControlPoint(
            point.name, point.place, tuple((name, x, y) for photo, x, y in point.marks if (name := stored(photo)))
        )
        for point in points
    ]


def align_to_control_points(
    model: pycolmap.Reconstruction, points: Sequence[ControlPoint]
) -> tuple[tuple[pycolmap.Sim3d, Georeference] | None, str]:
    """The similarity to east, north, up in metres around the points, or why they cannot give one."""
    if not any(point.marks for point in points):
        return None, "none of the photos that gcp_list.txt names is in the set"
    views = Views(model)
    located = {point.name: found for point in points if (found := views.triangulate(point.marks)) is not None}
    used_points = [point for point in points if point.name in located]
    if len(used_points) < MIN_POINTS:
        return None, f"{len(used_points)} control points are marked in two photos of the model, {MIN_POINTS} are needed"
    places = np.array([point.place for point in used_points])
    origin = np.median(places, axis=0)
    surveyed = pycolmap.GPSTransform().ellipsoid_to_enu(places, *origin)
    modelled = np.array([located[point.name].xyz for point in used_points])
    width = np.linalg.svd(surveyed - surveyed.mean(axis=0), compute_uv=False)
    if width[1] < _MIN_RELATIVE_WIDTH * width[0]:
        return None, "the control points lie on a line"
    similarity, used = robust_similarity(modelled, surveyed)
    if similarity is None:
        return None, "the control points contradict the model"
    offsets = np.array([similarity * xyz for xyz in modelled]) - surveyed
    results = [
        ControlPointResult(
            name=point.name,
            photos=located[point.name].photos,
            used=bool(is_used),
            residual_m=round(float(np.linalg.norm(offset)), 4),
            offset_m=(round(float(offset[0]), 4), round(float(offset[1]), 4), round(float(offset[2]), 4)),
        )
        for point, is_used, offset in zip(used_points, used, offsets, strict=True)
    ]
    residuals = [result.residual_m for result in results]
    return (
        similarity,
        Georeference(
            source="control points",
            latitude=float(origin[0]),
            longitude=float(origin[1]),
            altitude=float(origin[2]),
            median_residual_m=float(np.median(residuals)),
            max_residual_m=max(residuals),
            control_points=results,
        ),
    ), ""


def robust_similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[pycolmap.Sim3d | None, NDArray[np.bool_]]:
    """The similarity with the least median of squares (Rousseeuw, 1984), and the pairs that it was refined on.

    Args:
        source: (N, 3), N at least 3.
        target: (N, 3).
    """
    used = np.ones(len(source), bool)
    if len(source) >= _REDUNDANT:
        triples = _triples(len(source))
        medians, errors = [], []
        for triple in triples:
            errors.append(_errors(pycolmap.estimate_sim3d(source[triple], target[triple]), source, target))
            medians.append(np.median(errors[-1]))
        best = int(np.argmin(medians))
        sigma = 1.4826 * (1 + 5 / (len(source) - 3)) * medians[best]
        used = errors[best] <= max(_INLIER_SIGMAS * sigma, 1e-9)
    return pycolmap.estimate_sim3d(source[used], target[used]), used


def _triples(count: int) -> NDArray[np.int64]:
    """All triples of few points, or as many random ones of many as find a good one for certain."""
    if math.comb(count, 3) <= _MAX_TRIPLES:
        return np.array(list(combinations(range(count), 3)))
    random = np.random.default_rng(0)
    return np.array([random.choice(count, 3, replace=False) for _ in range(_MAX_TRIPLES)])


def _errors(
    similarity: pycolmap.Sim3d | None, source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    if similarity is None:
        return np.full(len(source), np.inf)
    moved = similarity.scale * source @ similarity.rotation.matrix().T + similarity.translation
    return np.linalg.norm(moved - target, axis=1)
