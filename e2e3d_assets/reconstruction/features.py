"""Stage ``features``: SIFT key points of every photo, and one camera for all photos that one camera took.

What belongs here: camera groups and their focal priors, and the extraction. Comparing photos is in
:mod:`~e2e3d_assets.reconstruction.matching`.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field

from .intake.calibrations import COLMAP_MODELS, Calibration, find_calibration, load_calibrations
from .intake.calibrations import FILE_NAME as CALIBRATIONS_FILE
from .intake.masks import FOLDER as MASKS
from .intake.masks import mask_path
from .monitor import Figures, Monitor
from .native import run_cancellable, threads_within_memory
from .options import FeaturesOptions
from .photo_set import PhotoRecord, PhotoSet
from .photos import IMAGES
from .preview import contact_sheet, save_preview
from .sparse.colmap_database import DATABASE, close_journal, polled_progress
from .sparse.reuse import file_digest, take_features

FEATURES_FILE = "features.json"
_BYTES_PER_PIXEL = 300.0
"""Peak memory of one SIFT thread: its scale space starts at twice the photo's size (measured: 299 to 307)."""
FISHEYE_MODEL = "RADIAL_FISHEYE"
_FISHEYE_FOCAL = 0.45  # of the longer side: about 127 degrees across it
_PREVIEW_PHOTOS = 6
_PREVIEW_POINTS = 400
_PREVIEW_DIMMED = 0.6


class CameraGroup(BaseModel):
    """Photos that share one camera's parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera: str
    photos: list[str]
    width: int
    height: int
    focal_prior_px: float | None
    calibrated: bool
    camera_id: int


class FeaturesDocument(BaseModel):
    """``features.json``: camera groups, and how many key points each photo has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cameras: list[CameraGroup]
    key_points: dict[str, int]
    poor_photos: list[str]
    digests: dict[str, str] = Field(default={}, description="Of each photo's file and its mask's.")

    @classmethod
    def load(cls, directory: Path) -> "FeaturesDocument":
        """Read ``features.json`` of a directory."""
        return cls.model_validate(json.loads((directory / FEATURES_FILE).read_text(encoding="utf-8")))


def extract_features(
    photos: Path, out: Path, options: FeaturesOptions, monitor: Monitor, previous: Path | None = None
) -> Figures:
    """Find key points (Lowe, "Distinctive image features from scale-invariant keypoints", 2004).

    Args:
        photos: output of stage photos; masked pixels get no key points.
        out: gets ``database.db`` (COLMAP: cameras, images, key points, descriptors, GPS pose priors), ``features.json``
            and ``preview.jpg``.
        options: how many key points, at which photo size.
        monitor: progress per photo.
        previous: an earlier product of this stage with equal options, whose key points of equal photos are taken over.
    """
    records = PhotoSet.load(photos).accepted
    database = out / DATABASE
    groups = group_by_camera(records)
    given = load_calibrations(photos / CALIBRATIONS_FILE)
    pycolmap.Database.open(database).close()
    for group in groups:
        monitor.check()
        _import_group(photos / IMAGES, database, group, find_calibration(given, group[0]))
    digests = {str(record.name): _digest(photos, str(record.name)) for record in records}
    known = _take_over(database, digests, previous, monitor)
    missing = [record for record in records if record.name not in known]
    if missing:
        with pycolmap.Database.open(database) as opened:
            ids = [opened.read_image_with_name(str(record.name)).image_id for record in missing]
        with polled_progress(database, [partial(_has_features, image_id=i) for i in ids], "photos", monitor):
            _extract(photos, database, missing, options, monitor)
    close_journal(database)
    document = _document(database, groups, options, digests)
    (out / FEATURES_FILE).write_text(document.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _draw_preview(photos / IMAGES, database, records, out)
    counts = list(document.key_points.values())
    return {
        "photos": len(records),
        "photos_known_from_before": len(known),
        "camera_groups": len(groups),
        "camera_groups_with_focal_prior": sum(group.focal_prior_px is not None for group in document.cameras),
        "cameras_given": sum(group.calibrated for group in document.cameras),
        "median_key_points": int(np.median(counts)),
        "fewest_key_points": min(counts),
        "photos_poor_in_key_points": len(document.poor_photos),
        "photos_with_gps": sum(record.gps is not None for record in records),
    }


def group_by_camera(records: Sequence[PhotoRecord]) -> list[list[PhotoRecord]]:
    """Photos that may share intrinsics: same body, lens, focal length, zoom by software, and photo size."""
    groups: dict[Hashable, list[PhotoRecord]] = {}
    for record in records:
        camera = record.camera
        body = camera.make, camera.model, camera.serial
        focal = round(camera.focal_mm, 2) if camera.focal_mm is not None else None
        zoom = focal, camera.focal_35mm, camera.digital_zoom
        key = body, camera.lens, zoom, record.width, record.height
        groups.setdefault(key, []).append(record)
    return list(groups.values())


def _import_group(images: Path, database: Path, group: Sequence[PhotoRecord], calibration: Calibration | None) -> None:
    """Give the photos their ids in order, before extraction would in the order in which threads finish."""
    reader = pycolmap.ImageReaderOptions()
    width, height = group[0].width or 0, group[0].height or 0
    if calibration is not None:
        reader.camera_model, params = calibration.for_size(width, height)
        reader.camera_params = ",".join(map(str, params))
    elif group[0].camera.fisheye:
        reader.camera_model = FISHEYE_MODEL
        focal = _focal_prior(group) or _FISHEYE_FOCAL * max(width, height)
        reader.camera_params = f"{focal},{width / 2},{height / 2},0,0"
    elif (focal := _focal_prior(group)) is not None:
        reader.camera_params = f"{focal},{width / 2},{height / 2},0"
    names = [str(record.name) for record in group]
    pycolmap.import_images(database, images, pycolmap.CameraMode.SINGLE, names, reader)


def _digest(photos: Path, name: str) -> str:
    return file_digest([photos / IMAGES / name, mask_path(photos, name)])


def _take_over(database: Path, digests: Mapping[str, str], previous: Path | None, monitor: Monitor) -> set[str]:
    """Copy the key points of equal photos of an earlier product; their names here."""
    if previous is None:
        return set()
    known = {digest: name for name, digest in FeaturesDocument.load(previous).digests.items()}
    same = {name: known[digest] for name, digest in digests.items() if digest in known}
    take_features(database, previous / DATABASE, same, monitor)
    return set(same)


def _has_features(database: pycolmap.Database, image_id: int) -> bool:
    return database.exists_descriptors(image_id)


def _extract(
    photos: Path, database: Path, records: Sequence[PhotoRecord], options: FeaturesOptions, monitor: Monitor
) -> None:
    largest = max(_pixels_looked_at(record, options.max_photo_size) for record in records)
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = options.max_photo_size
    extraction.num_threads = threads_within_memory(_BYTES_PER_PIXEL * largest)
    extraction.sift.max_num_features = options.max_features
    names = [str(record.name) for record in records]
    masked = [name for name in names if mask_path(photos, name).exists()]
    plain = pycolmap.ImageReaderOptions()
    with_masks = pycolmap.ImageReaderOptions()
    with_masks.mask_path = photos / MASKS  # COLMAP wants a mask of every photo then
    for group, reader in ((sorted({*names} - {*masked}), plain), (masked, with_masks)):
        if group:
            run_cancellable(
                lambda token, group=group, reader=reader: pycolmap.extract_features(
                    database, photos / IMAGES, group, reader_options=reader, extraction_options=extraction,
                    device=pycolmap.Device.cpu, cancellation_token=token,
                ),
                monitor,
            )  # fmt: skip


def _pixels_looked_at(record: PhotoRecord, max_size: int) -> float:
    width, height = record.width or 0, record.height or 0
    return width * height * min(1.0, max_size / max(width, height, 1)) ** 2


def _focal_prior(group: Sequence[PhotoRecord]) -> float | None:
    """None leaves it to COLMAP, which knows the sensor widths of many cameras, and else assumes an ordinary lens."""
    known = [record.camera.focal_px for record in group if record.camera.focal_px is not None]
    return float(np.median(known)) if known else None


def _document(
    database: Path, groups: Sequence[Sequence[PhotoRecord]], options: FeaturesOptions, digests: dict[str, str]
) -> FeaturesDocument:
    with pycolmap.Database.open(database) as opened:
        images = {image.name: image for image in opened.read_all_images()}
        counts = {name: int(opened.num_keypoints_for_image(image.image_id)) for name, image in images.items()}
        cameras: list[CameraGroup] = []
        for group in groups:
            names = [str(record.name) for record in group if str(record.name) in images]
            camera = opened.read_camera(images[names[0]].camera_id)
            prior = float(camera.mean_focal_length()) if camera.has_prior_focal_length else None
            cameras.append(
                CameraGroup(
                    camera=_camera_label(group[0]),
                    photos=names,
                    width=camera.width,
                    height=camera.height,
                    focal_prior_px=prior,
                    calibrated=camera.model_name in COLMAP_MODELS,
                    camera_id=camera.camera_id,
                )
            )
    poor = [name for name, count in counts.items() if count < options.poor_below]
    return FeaturesDocument(cameras=cameras, key_points=counts, poor_photos=sorted(poor), digests=digests)


def _camera_label(record: PhotoRecord) -> str:
    camera = record.camera
    focal = f"{camera.focal_mm:g} mm" if camera.focal_mm is not None else None
    return " ".join(part for part in (camera.make, camera.model, camera.lens, focal) if part) or "unknown camera"


def _draw_preview(images: Path, database: Path, records: Sequence[PhotoRecord], out: Path) -> None:
    shown = records[:: max(1, -(-len(records) // _PREVIEW_PHOTOS))]
    pictures: list[Image.Image] = []
    with pycolmap.Database.open(database) as opened:
        for record in shown:
            image = opened.read_image_with_name(str(record.name))
            points = opened.read_keypoints(image.image_id)[:, :2]
            pictures.append(_with_points(images / str(record.name), points))
    save_preview(contact_sheet(pictures), out)


def _with_points(photo: Path, points: np.ndarray) -> Image.Image:
    with Image.open(photo) as opened:
        width = opened.width
        opened.draft("RGB", (400, 400))
        opened.thumbnail((400, 400))
        picture = opened.convert("RGB").point(lambda value: value * _PREVIEW_DIMMED)
    draw = ImageDraw.Draw(picture)
    for x, y in points[:: max(1, len(points) // _PREVIEW_POINTS)] * (picture.width / width):
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(90, 255, 130))
    return picture
