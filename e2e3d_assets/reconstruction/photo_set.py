"""``photos.json``: every photo that was given, and what became of it.

What belongs here: the document's schema, and reading and writing it. How the values are found out is in
:mod:`~e2e3d_assets.reconstruction.photos`.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FILE_NAME = "photos.json"
BLURRED = 0.2
"""Sharpness below which a photo is called blurred: crisp ones have .6 to .8, and .25 and .1 when blurred by a Gaussian
of 2 and 3 pixels where the longer side has 1024."""
DARK, BURNT_OUT = 0.06, 0.7
"""Brightness below, and burnt-out share above which a photo shows next to nothing."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhotoCamera(_Record):
    """What a photo says about the camera that took it; None where it says nothing."""

    make: str | None = None
    model: str | None = None
    serial: str | None = Field(default=None, description="Of the body: two of one model have different sensors.")
    lens: str | None = None
    focal_mm: float | None = None
    focal_35mm: float | None = Field(
        default=None, description="Focal length of equal diagonal view on 36 x 24 mm film."
    )
    focal_px: float | None = Field(
        default=None, description="Focal length in pixels of the stored photo, from its EXIF."
    )
    digital_zoom: float | None = Field(default=None, description="Times that the camera has enlarged the middle.")
    fisheye: bool = Field(default=False, description="Whether its lens bends straight lines on purpose.")


class Gps(_Record):
    """WGS 84 position: degrees, and metres above the ellipsoid or the sea, as the camera wrote it."""

    latitude: float
    longitude: float
    altitude: float | None = None


class PhotoRecord(_Record):
    """One photo given and its fate.

    ``name`` is the file name under ``images/`` of an accepted photo; ``given_name`` is the path in the upload.
    ``width`` and ``height`` are those of the upright photo.
    """

    given_name: str
    name: str | None = None
    status: Literal["accepted", "rejected"]
    reason: str | None = None
    width: int | None = None
    height: int | None = None
    camera: PhotoCamera = PhotoCamera()
    gps: Gps | None = None
    taken: str | None = Field(default=None, description="Local time of the camera, ISO 8601.")
    sharpness: float | None = Field(
        default=None, description="0 (flat or blurred) to 1 (crisp), at one common photo size."
    )
    brightness: float | None = Field(default=None, description="Mean luma, 0 to 1.")
    overexposed: float | None = Field(default=None, description="Share of pixels that are burnt out.")
    duplicate_of: str | None = Field(
        default=None, description="Given name of an equal or nearly equal photo before it."
    )

    @property
    def blurred(self) -> bool:
        """Whether it is so unsharp that few points, or none, can be found in it again."""
        return self.sharpness is not None and self.sharpness < BLURRED

    @property
    def badly_exposed(self) -> bool:
        """Whether it is nearly black or nearly white."""
        dark = self.brightness is not None and self.brightness < DARK
        return dark or (self.overexposed is not None and self.overexposed > BURNT_OUT)


class PhotoSet(_Record):
    """All photos of one upload, in the order in which they were taken where names or times tell."""

    schema_version: Literal[1] = 1
    source: Literal["photos", "video", "archive"]
    photos: list[PhotoRecord]

    @property
    def accepted(self) -> list[PhotoRecord]:
        """The photos that the model is made of."""
        return [photo for photo in self.photos if photo.status == "accepted"]

    @property
    def rejected(self) -> list[PhotoRecord]:
        """The photos that are left out, each with its reason."""
        return [photo for photo in self.photos if photo.status == "rejected"]

    def by_name(self) -> dict[str, PhotoRecord]:
        """Accepted photos by their file name under ``images/``."""
        return {photo.name: photo for photo in self.photos if photo.name is not None}

    def save(self, directory: Path) -> None:
        """Write ``photos.json`` into a directory."""
        (directory / FILE_NAME).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "PhotoSet":
        """Read ``photos.json`` of a directory."""
        return cls.model_validate_json((directory / FILE_NAME).read_text(encoding="utf-8"))
