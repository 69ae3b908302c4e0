"""The shape of ``report.json``, versioned, and of what the orchestrator knows about a run. No heavy import.

What belongs here: pydantic models and their JSON schema. What does not: gathering the values (:mod:`.report`).

``python -m e2e3d_assets.reconstruction.report_schema`` prints the JSON schema. A reader of ``report.json`` looks at
``schema_version`` first: the major number changes when a field is removed or means something else, the minor one when
a field is added.
"""

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

SCHEMA_VERSION = "1.2"

PhotoFate = Literal["registered", "not_registered", "rejected"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StageRecord(_Record):
    """What one stage cost, with which options it ran and what it said of its product."""

    stage: str = Field(description="Name of the asset, for example `depth_maps`.")
    wall_seconds: NonNegativeFloat = Field(description="Time from start to end, seconds.")
    cpu_seconds: NonNegativeFloat = Field(description="Processor time of all threads and child processes, seconds.")
    peak_memory_bytes: NonNegativeInt = Field(
        description="Largest resident memory of the process and its children, bytes."
    )
    figures: dict[str, int | float | str | bool] = Field(
        default_factory=dict, description="The stage's own figures; the unit is in the name."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Every option of the stage, by name.")


class RunRecord(_Record):
    """What the orchestrator knows about a run when the report is made; the report stage itself is not in ``stages``."""

    image_set: str = Field(description="Name of the image set.")
    quality: str = Field(description="Preset: low, medium or high.")
    started: datetime = Field(description="When the run began.")
    run_id: str = Field(description="The orchestrator's name of the run.")
    overrides: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Preset values that this run replaced, by stage and option."
    )
    stages: list[StageRecord] = Field(default_factory=list, description="In the order of the pipeline.")


class PhotoRecord(_Record):
    """One given photo and what became of it."""

    name: str = Field(description="File name as the user gave it.")
    image: str | None = Field(description="Name in `photos/images` and in the COLMAP model; null if rejected.")
    fate: PhotoFate = Field(description="registered: has a place in the model; rejected: was not used at all.")
    reason: str = Field(default="", description="Why it was rejected or could not be placed; empty if registered.")
    width: NonNegativeInt | None = Field(default=None, description="Pixels, upright.")
    height: NonNegativeInt | None = Field(default=None, description="Pixels, upright.")
    camera: str | None = Field(default=None, description="Make and model by EXIF.")
    sharpness: float | None = Field(default=None, description="Larger is sharper; compare within one set only.")
    model: NonNegativeInt | None = Field(
        default=None, description="Number of the sparse model that holds it; the surface is made from 0."
    )
    nearest: str | None = Field(
        default=None,
        description="Of a photo without a place: the placed photo that shares most points with it, if any.",
    )
    matched_photos: NonNegativeInt | None = Field(default=None, description="Photos that verified matches join it to.")
    points: NonNegativeInt | None = Field(default=None, description="Sparse points that it sees.")
    mean_reprojection_error_px: NonNegativeFloat | None = Field(default=None, description="Of those points, pixels.")
    position: tuple[float, float, float] | None = Field(default=None, description="Camera centre, world frame.")


class PhotosSummary(_Record):
    """Counts of photos, and each photo."""

    given: NonNegativeInt
    accepted: NonNegativeInt = Field(description="Decoded, large enough and no duplicate.")
    registered: NonNegativeInt = Field(description="Placed in the largest model.")
    items: list[PhotoRecord]


class ControlPoint(_Record):
    """A surveyed point, and how far the model is from it."""

    name: str = Field(description="As in gcp_list.txt.")
    photos: NonNegativeInt = Field(description="Photos in which its mark agrees.")
    used: bool = Field(description="False where it contradicts the others; it has no say in the frame then.")
    residual_m: NonNegativeFloat = Field(description="Between the model and the survey, metres.")
    offset_m: tuple[float, float, float] = Field(description="Model less survey: east, north, up.")


class Marker(_Record):
    """A printed marker of known size, and what the model makes of it."""

    number: NonNegativeInt = Field(description="Within its family.")
    photos: NonNegativeInt = Field(description="Photos that show it whole.")
    used: bool = Field(description="False where it contradicts the others.")
    side_m: NonNegativeFloat = Field(description="Its side measured in the model, metres.")


class Georeference(_Record):
    """Where on Earth the model stands."""

    source: Literal["control points", "gps"] = Field(description="What was measured.")

    latitude: float = Field(description="Of the world frame's origin, WGS 84, degrees.")
    longitude: float = Field(description="Of the world frame's origin, WGS 84, degrees.")
    altitude: float = Field(description="Of the world frame's origin, metres, as the measurements count them.")
    epsg: int = Field(description="Code of the map projection of `dense_cloud.laz`.")
    median_residual_m: NonNegativeFloat = Field(description="Between the model and the measured places, metres.")
    max_residual_m: NonNegativeFloat
    contradicting: list[str] = Field(
        default=[], description="Images whose GPS contradicts the others', and has no say in the frame."
    )
    control_points: list[ControlPoint] = Field(default=[], description="Each surveyed point.")


class SparseSummary(_Record):
    """Cameras and sparse points of the largest model."""

    models: NonNegativeInt = Field(description="Separate models found; more than one means the photos fall apart.")
    registered_photos: NonNegativeInt
    points: NonNegativeInt
    observations: NonNegativeInt
    mean_reprojection_error_px: NonNegativeFloat
    mean_track_length: NonNegativeFloat = Field(description="Photos that see a point, on average.")
    scale: Literal["metres", "arbitrary"] = Field(description="Whether lengths in the files are metres.")
    frame: str = Field(default="", description="How the world frame was found, in plain words.")
    georeference: Georeference | None = Field(default=None, description="Null where the place is not known.")
    unused: dict[Literal["control points", "gps", "markers"], str] = Field(
        default={}, description="What was measured and has no say in the frame, and why."
    )
    markers: list[Marker] = Field(default=[], description="The markers that the scale is from, if it is.")
    look_alikes: list[tuple[str, str]] = Field(
        default=[], description="Pairs of photos that fit one another, but not as the model has them."
    )
    folded: list[tuple[str, str]] = Field(
        default=[], description="Pairs of photos from nearly one place that share a thing and nothing around it."
    )
    parallel_views: bool = Field(
        default=False,
        description="Nearly so, and by uncalibrated cameras: lengths along the view are as EXIF has them.",
    )
    point_uncertainty: NonNegativeFloat | None = Field(
        default=None,
        description="Median standard deviation of a point's position by the adjustment's covariance, world units.",
    )


class DenseSummary(_Record):
    """The dense cloud."""

    points: NonNegativeInt


class MeshSummary(_Record):
    """The delivered triangle mesh, equal corners counted once."""

    vertices: NonNegativeInt
    faces: NonNegativeInt
    components: NonNegativeInt
    watertight: bool = Field(description="Every edge has exactly two faces.")
    boundary_edges: NonNegativeInt = Field(description="Edges with one face only: the rims of holes.")
    non_manifold_edges: NonNegativeInt = Field(description="Edges with more than two faces.")
    extent: tuple[float, float, float] = Field(description="Size along the world's axes, in the model's unit.")


class TextureSummary(_Record):
    """The texture atlas."""

    pages: NonNegativeInt
    width: NonNegativeInt = Field(description="Of the largest page, pixels.")
    height: NonNegativeInt = Field(description="Of the largest page, pixels.")
    coverage: float | None = Field(
        description="Share of the surface, by area, that takes its colour from a photo; null if not known.", ge=0, le=1
    )


class CoverageSummary(_Record):
    """How the photos cover the delivered surface; shares are of its area."""

    seen_by_one: float = Field(description="Share that at least one photo sees.", ge=0, le=1)
    seen_by_two: float = Field(description="Share that at least two photos see.", ge=0, le=1)
    seen_by_three: float = Field(description="Share that at least three photos see.", ge=0, le=1)
    ground_sampling_distance: NonNegativeFloat | None = Field(
        description="World units that a pixel of the nearest photo spans, for the middle of the seen surface."
    )


class LikenessSummary(_Record):
    """How well renderings of the model reproduce the photos, after taking out each photo's exposure."""

    photos: NonNegativeInt = Field(description="Photos compared, spread evenly over all.")
    median_psnr_db: float | None = Field(description="Peak signal-to-noise ratio where the model covers the photo.")
    median_coverage: float | None = Field(description="Share of a photo that the model covers.")
    worst_photo: str | None = Field(description="The photo that the model reproduces worst.")
    worst_psnr_db: float | None


class DeliveredFile(_Record):
    """One file among the delivered ones."""

    path: str
    bytes: NonNegativeInt


class QualityWarning(_Record):
    """One thing that a person should know before trusting the model."""

    code: str = Field(description="Stable name for programs.")
    severity: Literal["note", "warning", "serious"]
    message: str = Field(description="What is the matter, in plain words.")
    advice: str = Field(default="", description="What to do about it.")


class Report(_Record):
    """``report.json``: everything that an engineer needs to trust or to reject a model."""

    schema_version: str = Field(default=SCHEMA_VERSION, pattern=r"^\d+\.\d+$")
    image_set: str
    quality: str
    run_id: str
    started: datetime
    finished: datetime
    overrides: dict[str, dict[str, Any]]
    warnings: list[QualityWarning]
    photos: PhotosSummary
    sparse: SparseSummary
    dense: DenseSummary
    mesh: MeshSummary
    texture: TextureSummary
    coverage: CoverageSummary
    likeness: LikenessSummary
    files: list[DeliveredFile]
    stages: list[StageRecord]
    versions: dict[str, str]


def json_schema() -> str:
    """The JSON schema of ``report.json``, as indented text."""
    return json.dumps(Report.model_json_schema(), indent=2)


if __name__ == "__main__":
    print(json_schema())
