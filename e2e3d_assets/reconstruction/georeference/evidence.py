"""All that a photo set knows of its place and size, gathered before the models are aligned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..monitor import Monitor
from ..options import SparseModelOptions
from ..photo_set import Gps, PhotoSet
from .control_points import FILE_NAME, ControlPoint, in_photos, load_control_points
from .markers import Sightings, find_markers


@dataclass(frozen=True)
class WorldEvidence:
    """GPS by photo name, control points, and markers with the length of their sides."""

    gps: Mapping[str, Gps] = field(default_factory=dict)
    control_points: Sequence[ControlPoint] = ()
    markers: Sightings = field(default_factory=dict)
    marker_side_m: float | None = None


def gather_evidence(photos: Path, images: Path, options: SparseModelOptions, monitor: Monitor) -> WorldEvidence:
    """Read it from the output of stage photos.

    Args:
        photos: output of stage photos.
        images: its folder of photos.
        options: the markers' family and size.
        monitor: progress of the search for markers.
    """
    accepted = PhotoSet.load(photos).accepted
    sightings: Sightings = {}
    if options.marker_side_m is not None:
        files = [images / str(record.name) for record in accepted]
        sightings = find_markers(files, options.marker_family, monitor)
    return WorldEvidence(
        gps={str(record.name): record.gps for record in accepted if record.gps is not None},
        control_points=in_photos(load_control_points(photos / FILE_NAME), accepted),
        markers=sightings,
        marker_side_m=options.marker_side_m,
    )
