"""Every stage's options, with the defaults of medium quality. No heavy import: the orchestrator reads these classes.

What low and high change is in :mod:`e2e3d_assets.presets`. An unknown or impossible value is refused by its name.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class StageOptions(BaseModel):
    """Options of one stage: immutable, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PhotosOptions(StageOptions):
    """Which files count as usable photos."""

    min_photos: int = Field(default=3, ge=2, description="Fewer usable photos than this cannot give a model.")
    min_size: int = Field(default=200, ge=16, description="Shortest allowed shorter side, pixels.")
    max_pixels: int = Field(default=250_000_000, ge=1_000_000, description="Largest photo that is decoded, pixels.")
    max_video_frames: int = Field(default=150, ge=3, description="Most frames taken from a video.")
    video_step: float = Field(
        default=0.12,
        gt=0.0,
        le=0.5,
        description="How far the view moves between two frames taken, in widths of the picture.",
    )


class FeaturesOptions(StageOptions):
    """SIFT key points (Lowe 2004)."""

    max_photo_size: int = Field(
        default=3200, ge=256, description="Longer side at which key points are looked for, pixels."
    )
    max_features: int = Field(
        default=8192, ge=256, description="Most places with key points kept per photo; some give two."
    )
    poor_below: int = Field(
        default=500, ge=0, description="A photo with fewer key points than this is reported as poor."
    )


class MatchesOptions(StageOptions):
    """Which pairs of photos are compared."""

    pairing: Literal["auto", "exhaustive", "sequential", "spatial", "retrieval"] = Field(
        default="auto", description="auto: every pair of a small set, else by sequence, GPS or appearance."
    )
    exhaustive_up_to: int = Field(default=80, ge=2, description="auto compares every pair up to this many photos.")
    neighbours: int = Field(default=20, ge=2, description="Neighbours of each photo where not every pair is compared.")
    seed: int = Field(
        default=0, ge=0, description="Of the robust estimations: equal seeds and features give equal matches."
    )


class SparseModelOptions(StageOptions):
    """Camera poses and 3D points."""

    mapper: Literal["incremental", "global"] = Field(
        default="incremental", description="COLMAP's or GLOMAP's way to build."
    )
    refine_principal_point: Literal["auto", "yes", "no"] = Field(
        default="auto", description="auto: where the network of views is strong enough."
    )
    marker_side_m: float | None = Field(
        default=None, gt=0, description="Side of printed markers in the scene, metres: they give the scale."
    )
    marker_family: Literal[
        "apriltag_36h11", "apriltag_25h9", "apriltag_16h5",
        "aruco_4x4_50", "aruco_5x5_100", "aruco_6x6_250", "aruco_original",
    ] = Field(default="apriltag_36h11", description="Which markers they are.")  # fmt: skip
    seed: int = Field(
        default=0, ge=0, description="Equal seeds and photos give equal models: to the last bit up to 300 photos."
    )


class UndistortedPhotosOptions(StageOptions):
    """Pinhole photos for all that follows."""

    max_photo_size: int = Field(default=3200, ge=256, description="Longer side of the undistorted photos, pixels.")


class DepthMapsOptions(StageOptions):
    """PatchMatch multi-view stereo."""

    max_photo_size: int = Field(default=1600, ge=128, le=4000, description="Longer side of the depth maps, pixels.")
    sources: int = Field(default=8, ge=1, le=24, description="Photos that a depth map is estimated from.")
    views_per_pixel: int = Field(default=3, ge=1, le=8, description="Photos that one pixel is judged by, at most.")
    eighth_sweeps: int = Field(default=6, ge=2, le=20, description="Sweeps at an eighth of the size.")
    quarter_sweeps: int = Field(default=2, ge=1, le=20, description="Sweeps at a quarter of the size.")
    half_sweeps: int = Field(default=2, ge=1, le=10, description="Sweeps at half size.")
    full_sweeps: int = Field(default=1, ge=1, le=10, description="Sweeps at full size.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Processor of the search; auto: a GPU where torch finds one, else the CPU."
    )
    keep_views: bool = Field(default=False, description="Choose each pixel's photos at half size only: faster.")
    geometric_sweeps: int = Field(
        default=1, ge=0, le=5, description="Sweeps at half size that also ask the neighbours."
    )


class DenseCloudOptions(StageOptions):
    """Fusion of depth maps into one oriented, coloured cloud."""

    max_reprojection_error: float = Field(default=1.0, gt=0, le=10, description="Between agreeing depth maps, pixels.")
    max_relative_depth_error: float = Field(default=0.005, gt=0, le=0.1, description="Between agreeing depths.")
    max_normal_angle: float = Field(default=30.0, gt=0, le=90, description="Between agreeing normals, degrees.")
    min_views_few: int = Field(default=2, ge=2, le=10, description="Photos that must agree where few see the place.")
    min_views_many: int = Field(default=3, ge=2, le=10, description="Photos that must agree where many see the place.")
    many_views: int = Field(default=4, ge=2, le=30, description="So many photos that see a place are many.")


class MeshOptions(StageOptions):
    """Surface from the dense cloud."""

    max_faces: int = Field(default=300_000, ge=1000, description="Triangles after simplification, at most.")
    crop: Literal["none", "object"] = Field(
        default="none", description="object: only what stands out of the ground where the photos look."
    )


class TexturedMeshOptions(StageOptions):
    """UV atlas and colour from the photos."""

    max_texture_size: int = Field(default=8192, ge=256, description="Side of an atlas page at most, pixels.")
    max_pages: int = Field(default=4, ge=1, description="Atlas pages at most; beyond, the photos are painted smaller.")


class ModelFilesOptions(StageOptions):
    """Delivered formats, beside GLB, OBJ, PLY and COLMAP."""

    laz: bool = Field(default=True, description="The dense cloud as LAZ, in UTM coordinates where GPS is known.")
    usdz: bool = Field(default=True, description="The model as USDZ, which Apple's devices show by themselves.")
    levels: tuple[Annotated[int, Field(ge=1000)], ...] = Field(
        default=(100_000, 25_000), description="Triangles of simplified models for phones and web pages; () for none."
    )
    tiles_from: int = Field(
        default=200_000,
        ge=0,
        description="Triangles from which on the model is also cut into 3D Tiles, which maps load piece by piece.",
    )
    archive: bool = Field(default=False, description="All files in one zip as well.")


class ViewerOptions(StageOptions):
    """The self-contained web page."""

    max_points: int = Field(default=300_000, ge=1000, description="Points of the dense cloud shown, at most.")
    max_texture_pixels: int = Field(
        default=32_000_000, ge=65_536, description="Pixels of all texture pages together; larger pages are shrunk."
    )
    thumbnail_size: int = Field(
        default=400, ge=16, description="Longer side of the photos shown at the cameras, pixels."
    )


class ReportOptions(StageOptions):
    """The quality report."""

    compared_photos: int = Field(
        default=24, ge=1, description="Photos that renderings of the model are compared with, at most."
    )
    film_frames: int = Field(default=36, ge=0, le=360, description="Pictures of the turntable's film; 0 for no film.")
