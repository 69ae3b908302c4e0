"""low / medium / high: every number that quality means, in one table.

What belongs here: the three columns, and the merge with a run's own overrides. What an option means is said beside
the option in :mod:`e2e3d_assets.reconstruction.options`, whose defaults are the medium column.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from .reconstruction.options import (
    DenseCloudOptions,
    DepthMapsOptions,
    FeaturesOptions,
    MatchesOptions,
    MeshOptions,
    ModelFilesOptions,
    PhotosOptions,
    ReportOptions,
    SparseModelOptions,
    TexturedMeshOptions,
    UndistortedPhotosOptions,
    ViewerOptions,
)

Quality: TypeAlias = Literal["low", "medium", "high"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)


class Options(BaseModel):
    """All stages' options of one run; a field is named like the asset that it belongs to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    photos: PhotosOptions = PhotosOptions()
    features: FeaturesOptions = FeaturesOptions()
    matches: MatchesOptions = MatchesOptions()
    sparse_model: SparseModelOptions = SparseModelOptions()
    undistorted_photos: UndistortedPhotosOptions = UndistortedPhotosOptions()
    depth_maps: DepthMapsOptions = DepthMapsOptions()
    dense_cloud: DenseCloudOptions = DenseCloudOptions()
    mesh: MeshOptions = MeshOptions()
    textured_mesh: TexturedMeshOptions = TexturedMeshOptions()
    model_files: ModelFilesOptions = ModelFilesOptions()
    viewer: ViewerOptions = ViewerOptions()
    report: ReportOptions = ReportOptions()


TABLE: dict[tuple[str, str], tuple[Any, Any, Any]] = {
    # stage, option:                           low,     medium,  high
    ("photos", "max_video_frames"): (80, 150, 300),
    ("features", "max_photo_size"): (1600, 3200, 4800),
    ("features", "max_features"): (4096, 8192, 16384),
    ("undistorted_photos", "max_photo_size"): (1600, 3200, 4800),
    ("depth_maps", "max_photo_size"): (1000, 1600, 2400),
    ("depth_maps", "views_per_pixel"): (2, 3, 3),
    ("depth_maps", "eighth_sweeps"): (5, 6, 6),
    ("depth_maps", "half_sweeps"): (2, 2, 3),
    ("depth_maps", "full_sweeps"): (1, 1, 2),
    ("depth_maps", "geometric_sweeps"): (0, 1, 2),
    ("depth_maps", "keep_views"): (True, False, False),
    ("mesh", "max_faces"): (100_000, 300_000, 1_000_000),
    ("textured_mesh", "max_texture_size"): (4096, 8192, 8192),
    ("textured_mesh", "max_pages"): (4, 4, 8),
    ("model_files", "levels"): ((25_000,), (100_000, 25_000), (100_000, 25_000)),
    ("viewer", "max_points"): (150_000, 300_000, 600_000),
    ("report", "compared_photos"): (12, 24, 48),
    ("report", "film_frames"): (24, 36, 72),
}


def options_for(quality: Quality, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Options:
    """The options of a run: a preset's column, with single values replaced.

    Args:
        quality: the preset.
        overrides: ``{stage: {option: value}}``, for example ``{"mesh": {"max_faces": 50_000}}``.

    Raises:
        ValueError: naming each unknown stage, unknown option or impossible value.
    """
    column = QUALITIES.index(quality)
    merged: dict[str, dict[str, Any]] = {}
    for (stage, option), values in TABLE.items():
        merged.setdefault(stage, {})[option] = values[column]
    for stage, values in (overrides or {}).items():
        merged.setdefault(stage, {}).update(values)
    try:
        return Options.model_validate(merged)
    except ValidationError as error:
        raise ValueError("; ".join(_in_words(detail) for detail in error.errors())) from error


def _in_words(detail: ErrorDetails) -> str:
    stage, *option = map(str, detail["loc"])
    name = ".".join([stage, *option])
    if detail["type"] != "extra_forbidden":
        return f"{name} = {detail['input']!r}: {detail['msg'].lower()}"
    known = type(getattr(Options(), stage)).model_fields if option else Options.model_fields
    return f"{name} does not exist; there are {', '.join(known)}"
