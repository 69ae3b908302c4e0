"""``sparse_model.json``: what became of each photo and camera, and where in the world the model stands.

What belongs here: the document's schema, and reading and writing it. How the values are found out is in
:mod:`~e2e3d_assets.reconstruction.mapping` and the modules beside it.
"""

from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

FILE_NAME = "sparse_model.json"
Measurement: TypeAlias = Literal["control points", "gps", "markers"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhotoPose(_Record):
    """A photo's part in the largest model."""

    name: str
    registered: bool
    reason: str | None = Field(default=None, description="Why it is not registered.")
    model: int | None = Field(default=None, description="Number of the model that holds it: 0 is the largest.")
    observations: int = 0
    mean_reprojection_error_px: float | None = None
    position: tuple[float, float, float] | None = Field(default=None, description="Of the camera in the world frame.")


class CameraResult(_Record):
    """One camera's parameters after adjustment, and the decision on its principal point."""

    camera_id: int
    model: str
    width: int
    height: int
    params: list[float]
    photos: int
    principal_point_refined: bool
    principal_point_why: str
    principal_point_sigma_px: float | None = None
    principal_point_offset_px: tuple[float, float]
    focal_length_why: str | None = Field(default=None, description="Why EXIF's was kept; None where it was refined.")
    zoom_of: int | None = Field(
        default=None, description="Camera of features.json whose photos were at several zooms: this is one of them."
    )


class ModelSummary(_Record):
    """One of the models that the photos fell into."""

    photos: int
    points: int
    mean_reprojection_error_px: float
    mean_track_length: float


class ControlPointResult(_Record):
    """How far a surveyed point is from where the model has it."""

    name: str
    photos: int = Field(description="Photos in which its mark agrees.")
    used: bool = Field(description="False where it contradicts the others; it has no say in the frame then.")
    residual_m: float
    offset_m: tuple[float, float, float] = Field(description="Model less survey: east, north, up.")


class Contradiction(_Record):
    """Two photos that fit one another by themselves, but not as the model has them."""

    kind: Literal["elsewhere", "folded"] = Field(
        default="elsewhere",
        description="The model has their common points at different places, or has them at one place, where they see "
        "different surroundings.",
    )
    photos: tuple[str, str]
    common_points: int
    fitting_points: int = Field(description="Of the common points, those that the model explains.")


def _utm_epsg(place: dict[str, Any]) -> int:
    zone = int((place["longitude"] + 180) // 6) % 60 + 1
    return (32600 if place["latitude"] >= 0 else 32700) + zone


class Georeference(_Record):
    """The world frame is east, north, up in metres with this WGS 84 origin."""

    source: Literal["control points", "gps"] = "gps"
    latitude: float
    longitude: float
    altitude: float
    epsg: int = Field(
        default_factory=_utm_epsg, description="Of the origin's UTM zone, WGS 84: the system of dense_cloud.laz."
    )
    photos_used: int = 0
    photos_with_gps: int = 0
    contradicting: list[str] = Field(
        default=[], description="Photos whose GPS contradicts the others', and is not used."
    )
    median_residual_m: float
    max_residual_m: float
    control_points: list[ControlPointResult] = []


class MarkerResult(_Record):
    """A printed marker as the model has it."""

    number: int
    photos: int
    used: bool
    side_m: float = Field(description="Its side measured in the model.")


class MarkerScale(_Record):
    """The world frame is in metres by markers with sides of this length."""

    side_m: float
    markers: list[MarkerResult]

    @property
    def max_residual_m(self) -> float:
        """The largest difference between a used marker's side and the given one."""
        return max(abs(marker.side_m - self.side_m) for marker in self.markers if marker.used)


class SparseDocument(_Record):
    """All of ``sparse_model.json``."""

    mapper: str
    attempts: list[str]
    origin: str = Field(default="mapped anew", description="Or grown from an earlier model, and by which photos.")
    photos: list[PhotoPose]
    digests: dict[str, str] = Field(default={}, description="Of all that comparing a photo depends on.")
    cameras: list[CameraResult]
    models: list[ModelSummary]
    georeference: Georeference | None = None
    marker_scale: MarkerScale | None = None
    unused: dict[Measurement, str] = Field(
        default={}, description="What was measured and has no say in the frame, and why."
    )
    contradictions: list[Contradiction] = Field(
        default=[], description="Pairs of parts that look alike, the strongest first: the model may have a part twice."
    )
    frame: str = Field(description="How the world frame was found, in plain words.")

    @property
    def is_metric(self) -> bool:
        """Whether lengths in the world frame are metres."""
        return self.georeference is not None or self.marker_scale is not None

    def save(self, directory: Path) -> None:
        """Write ``sparse_model.json`` into a directory."""
        (directory / FILE_NAME).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "SparseDocument":
        """Read ``sparse_model.json`` of a directory."""
        return cls.model_validate_json((directory / FILE_NAME).read_text(encoding="utf-8"))
