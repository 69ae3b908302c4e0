"""Calibrations that the user gives: ``cameras.json`` as OpenDroneMap writes it.

What belongs here: reading it, and which camera of it took a photo. Lengths are in shares of the longer side, and the
principal point is measured from the centre. A given calibration is not refined. Panoramas (``spherical``) need none:
the views they are split into have no distortion. ``dual``, a blend of a straight and a fisheye projection, is refused:
COLMAP has no such camera.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import BadInput
from ..photo_set import PhotoRecord
from .fisheye62 import nearest_camera

FILE_NAME = "cameras.json"
COLMAP_MODELS = ("OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE")
"""Cameras of these models in a COLMAP database are given ones: estimated ones have fewer parameters."""
_PANORAMAS = ("spherical", "equirectangular")
_SAME_ASPECT = 0.01


class Calibration(BaseModel):
    """One camera's parameters.

    Straight lenses bend by Brown ("Close-range camera calibration", 1971), fisheyes by Kannala and Brandt ("A generic
    camera model and calibration method", 2006). Each type is a case of the next: what it lacks is zero.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    projection_type: Literal[
        "perspective", "simple_radial", "radial", "brown", "fisheye", "fisheye_opencv", "fisheye62", "fisheye624"
    ]
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    focal_x: float = Field(gt=0.1, lt=20.0, validation_alias=AliasChoices("focal_x", "focal"))
    focal_y: float = Field(gt=0.1, lt=20.0, validation_alias=AliasChoices("focal_y", "focal"))
    c_x: float = Field(default=0.0, gt=-0.3, lt=0.3)
    c_y: float = Field(default=0.0, gt=-0.3, lt=0.3)
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    s0: float = 0.0
    s1: float = 0.0
    s2: float = 0.0
    s3: float = 0.0

    @model_validator(mode="after")
    def _has_a_camera(self) -> Self:
        self.for_size(self.width, self.height)
        return self

    def for_size(self, width: int, height: int) -> tuple[str, list[float]]:
        """COLMAP's camera model and parameters for photos of this size."""
        size = max(width, height)
        focal_and_centre = [
            self.focal_x * size,
            self.focal_y * size,
            width / 2 + self.c_x * size,
            height / 2 + self.c_y * size,
        ]
        if self.projection_type.startswith("fisheye62"):
            return self._fisheye62(focal_and_centre, height / width)
        if self.projection_type.startswith("fisheye"):
            return "OPENCV_FISHEYE", [*focal_and_centre, self.k1, self.k2, self.k3, self.k4]
        params = [*focal_and_centre, self.k1, self.k2, self.p1, self.p2]
        return ("FULL_OPENCV", [*params, self.k3, 0.0, 0.0, 0.0]) if self.k3 else ("OPENCV", params)

    def _fisheye62(self, focal_and_centre: list[float], height: float) -> tuple[str, list[float]]:
        name, params = nearest_camera(
            np.array([self.focal_x, self.focal_y, self.c_x, self.c_y]),
            np.array([self.k1, self.k2, self.k3, self.k4, self.k5, self.k6]),
            np.array([self.p1, self.p2]),
            np.array([self.s0, self.s1, self.s2, self.s3]),
            height,
        )
        return name, [*focal_and_centre, *map(float, params[4:])]


def load_calibrations(file: Path) -> dict[str, Calibration]:
    """Calibrations by the camera's name; none if there is no file.

    Raises:
        BadInput: the file is not what OpenDroneMap writes.
    """
    if not file.is_file():
        return {}
    try:
        entries = json.loads(file.read_bytes())
        if not isinstance(entries, dict):
            raise TypeError("it must hold one object by camera name")
        return {
            str(name): Calibration.model_validate(entry)
            for name, entry in entries.items()
            if not (isinstance(entry, dict) and entry.get("projection_type") in _PANORAMAS)
        }
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc'])) or 'camera'}: {first['msg']}"
    except (ValueError, TypeError, RecursionError) as error:
        what = str(error)
    raise BadInput(
        f"The camera calibrations cannot be used ({what})", "Mend cameras.json, or leave it out", [FILE_NAME]
    )


def find_calibration(calibrations: Mapping[str, Calibration], photo: PhotoRecord) -> Calibration | None:
    """The camera that took a photo: the one whose name holds the photo's camera model, or the only one given.

    Photos of another aspect ratio (cropped, or held upright) are not covered.
    """
    if not photo.width or not photo.height:
        return None
    aspect = photo.width / photo.height
    fitting = {
        name.lower(): calibration
        for name, calibration in calibrations.items()
        if abs(calibration.width / calibration.height / aspect - 1.0) < _SAME_ASPECT
    }
    model = (photo.camera.model or "").lower()
    named = [calibration for name, calibration in fitting.items() if model and model in name]
    if named:
        return named[0]
    return next(iter(fitting.values())) if len(calibrations) == 1 and fitting else None


def require_use(calibrations: Mapping[str, Calibration], photos: Sequence[PhotoRecord]) -> None:
    """See to it that what somebody has measured is of the cameras that took the photos.

    Raises:
        BadInput: no photo is by any of the cameras.
    """
    if not calibrations or any(find_calibration(calibrations, photo) for photo in photos):
        return
    given = ", ".join(f"{name} ({each.width} x {each.height})" for name, each in list(calibrations.items())[:3])
    seen = ", ".join(
        sorted({f"{photo.camera.model or 'unknown'} ({photo.width} x {photo.height})" for photo in photos})[:3]
    )
    raise BadInput(
        f"The camera calibrations are of none of the photos: they are of {given}, the photos of {seen}",
        "Give calibrations of the same camera and shape of picture, or leave cameras.json out",
        [FILE_NAME],
    )
