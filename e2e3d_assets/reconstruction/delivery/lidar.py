"""Writing the dense cloud as LAZ, the compressed format of surveyors.

What belongs here: the file and its coordinates. Where photos carry GPS the file is georeferenced, in UTM metres; that
is the one delivered file that leaves the world frame, because programs for maps want a map's coordinates. Heights are
those of the GPS tags.
"""

from pathlib import Path

import laspy
import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from ..monitor import Monitor
from ..sparse.sparse_document import Georeference
from ..stereo.ply import read_points

_CHUNK = 1_000_000
_STEPS_ACROSS = 1e6  # at least; positions are whole steps, and finer ones would only store noise


def write_laz(dense_cloud: Path, path: Path, georeference: Georeference | None, monitor: Monitor) -> None:
    """Write LAS 1.4 points with colours; intensity is the confidence, user data the number of photos.

    Args:
        dense_cloud: file ``dense_cloud.ply``.
        path: the .laz file.
        georeference: where the world frame lies, if that is known.
        monitor: asked for cancellation.
    """
    points = read_points(dense_cloud)
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.generating_software = "E2E3D"
    header.creation_date = None  # equal clouds give equal files
    corners = np.array([[points[axis].min() for axis in "xyz"], [points[axis].max() for axis in "xyz"]], np.float64)
    extent = max(float(np.ptp(corners, axis=0).max()), 1e-9)
    header.scales = np.full(3, 10.0 ** np.floor(np.log10(extent / _STEPS_ACROSS)))
    header.offsets = np.floor(corners[0])
    if georeference is not None:
        header.offsets = np.floor(to_utm(corners[:1], georeference)[0])
        header.add_crs(utm(georeference))
    with laspy.open(path, "w", header=header, laz_backend=laspy.LazBackend.LazrsParallel) as file:
        for start in range(0, len(points), _CHUNK):
            monitor.check()
            file.write_points(_records(points[start : start + _CHUNK], header, georeference))


def _records(
    points: NDArray, header: laspy.LasHeader, georeference: Georeference | None
) -> laspy.ScaleAwarePointRecord:
    records = laspy.ScaleAwarePointRecord.zeros(len(points), header=header)
    positions = np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float64)
    if georeference is not None:
        positions = to_utm(positions, georeference)
    records.x, records.y, records.z = positions.T
    for channel in ("red", "green", "blue"):
        records[channel] = points[channel].astype(np.uint16) * 257  # LAS colours have 16 bits
    records.intensity = np.round(np.clip(points["confidence"], 0, 1) * 65535).astype(np.uint16)
    records.user_data = points["views"]
    records.return_number = np.ones(len(points), np.uint8)
    records.number_of_returns = np.ones(len(points), np.uint8)
    return records


def utm(georeference: Georeference) -> CRS:
    """The UTM zone of a place, WGS 84."""
    return CRS.from_epsg(georeference.epsg)


def to_utm(positions: NDArray[np.float64], georeference: Georeference) -> NDArray[np.float64]:
    """World positions (N, 3) in east, north, up metres as UTM easting, northing and height."""
    origin = f"+lon_0={georeference.longitude} +lat_0={georeference.latitude} +h_0={georeference.altitude}"
    to_geodetic = Transformer.from_pipeline(
        f"+proj=pipeline +step +inv +proj=topocentric +ellps=WGS84 {origin} "
        "+step +inv +proj=cart +ellps=WGS84 +step +proj=unitconvert +xy_in=rad +xy_out=deg"
    )
    longitude, latitude, height = to_geodetic.transform(*positions.T)
    to_map = Transformer.from_crs("EPSG:4326", utm(georeference), always_xy=True)
    east, north = to_map.transform(longitude, latitude)
    return np.stack([east, north, height], axis=1)
