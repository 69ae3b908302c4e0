"""Stage ``sparse_model``: poses of the photos and 3D points, in the world frame.

What belongs here: the order of the steps, and the record of the result. The attempts at building, the principal point
and the world frame have their own modules.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image, ImageDraw

from .errors import BadInput
from .georeference.evidence import gather_evidence
from .monitor import Figures, Monitor
from .options import SparseModelOptions
from .photo_set import PhotoRecord, PhotoSet
from .photos import IMAGES
from .preview import save_preview
from .sparse.alignment import Alignment, align_model
from .sparse.attempts import Attempts
from .sparse.building import Built, build_models
from .sparse.colmap_database import DATABASE
from .sparse.focal_length import KEPT_WHY as FOCAL_KEPT_WHY
from .sparse.growing import find_earlier_model
from .sparse.match_document import MatchesDocument, inliers_by_partner
from .sparse.sparse_document import CameraResult, ModelSummary, PhotoPose, SparseDocument

SPARSE = "sparse"


def build_sparse_model(
    photos: Path,
    matches: Path,
    out: Path,
    options: SparseModelOptions,
    monitor: Monitor,
    previous: Path | None = None,
) -> Figures:
    """Find the cameras' poses and the points they see (Schönberger and Frahm, "Structure-from-Motion Revisited", 2016).

    Args:
        photos: output of stage photos.
        matches: output of stage matches.
        out: gets ``sparse/0`` (the model with most photos), ``sparse/1`` ..., ``sparse_model.json``
            (:class:`SparseDocument`) and ``preview.jpg``.
        options: mapper, principal point, seed.
        monitor: progress per photo registered.
        previous: an earlier product of this stage with equal options; where most of its photos are still there, new
            ones are registered into its model, which is judged before it is taken.

    Raises:
        BadInput: fewer than three photos hang together.
    """
    photo_set = PhotoSet.load(photos)
    compared = MatchesDocument.load(matches)
    connected = compared.groups[0]
    earlier = find_earlier_model(previous, compared.digests, connected) if options.mapper == "incremental" else None
    with tempfile.TemporaryDirectory(prefix=".mapping-", dir=out) as scratch:
        mapping = Attempts(photos / IMAGES, matches / DATABASE, Path(scratch), options, monitor)
        built = build_models(mapping, connected, earlier, options, monitor)
    models = built.models
    if not models:
        raise _no_model(photo_set.accepted)
    evidence = gather_evidence(photos, photos / IMAGES, options, monitor)
    alignments: list[Alignment] = []
    for number, model in enumerate(models):
        alignments.append(align_model(model, evidence, options.seed))
        model.transform(alignments[-1].world_from_model)
        (out / SPARSE / str(number)).mkdir(parents=True)
        model.write_binary(out / SPARSE / str(number))
    document = SparseDocument(
        mapper=options.mapper,
        attempts=built.attempts,
        origin=built.origin,
        photos=_photo_poses(models, photo_set.accepted, compared),
        digests=compared.digests,
        cameras=_camera_results(models[0], built),
        models=[_summary(model) for model in models],
        contradictions=built.contradictions,
        georeference=alignments[0].georeference,
        marker_scale=alignments[0].marker_scale,
        unused=dict(alignments[0].unused),
        frame=alignments[0].frame,
    )
    document.save(out)
    _draw_preview(models[0], out)
    return _figures(document, models[0], built.kept_photos)


def _no_model(records: Sequence[PhotoRecord]) -> BadInput:
    blurred = [record.given_name for record in records if record.blurred]
    if 2 * len(blurred) > len(records):
        return BadInput("The photos are too blurred for a model", "Take sharp photos", blurred)
    return BadInput(
        "No three photos could be brought into one model: hardly a point is in three of them, or all are from one spot",
        "Take more photos while walking around the thing, in steps so small that each overlaps the next by two thirds",
        [record.given_name for record in records],
    )


def _photo_poses(
    models: Sequence[pycolmap.Reconstruction], records: Sequence[PhotoRecord], compared: MatchesDocument
) -> list[PhotoPose]:
    partners = inliers_by_partner([str(record.name) for record in records], compared.pairs)
    holders: dict[str, tuple[int, pycolmap.Image]] = {}
    for number, model in enumerate(models):
        for image_id in model.reg_image_ids():
            holders.setdefault(model.image(image_id).name, (number, model.image(image_id)))
    return [
        _photo_pose(record, holders.get(str(record.name)), models, partners[str(record.name)]) for record in records
    ]


def _photo_pose(
    record: PhotoRecord,
    holder: tuple[int, pycolmap.Image] | None,
    models: Sequence[pycolmap.Reconstruction],
    partners: Sequence[tuple[int, str]],
) -> PhotoPose:
    name = str(record.name)
    if holder is None:
        return PhotoPose(name=name, registered=False, reason=why_not_registered(partners, record.blurred))
    number, image = holder
    model = models[number]
    errors = [float(model.point3D(point.point3D_id).error) for point in image.get_observation_points2D()]
    x, y, z = (float(value) for value in image.projection_center())
    return PhotoPose(
        name=name,
        registered=number == 0,
        reason=None if number == 0 else f"it belongs to a separate model, sparse/{number}",
        model=number,
        observations=len(errors),
        mean_reprojection_error_px=round(float(np.mean(errors)), 4) if errors else None,
        position=(x, y, z),
    )


def why_not_registered(partners: Sequence[tuple[int, str]], blurred: bool) -> str:
    """In plain words, from a photo's verified partners as (points in common, name), the best first."""
    if blurred:
        return "it is blurred, and shows hardly a point that other photos show"
    if not partners:
        return "no other photo shows the same points: nothing overlaps it, or it shows another place"
    common, partner = partners[0]
    if len(partners) == 1:
        return f"only one photo, {partner}, shows the same points ({common}); two that overlap it are needed"
    return f"it shares too few points with the others that fit the model (at most {common}, with {partner})"


def _camera_results(model: pycolmap.Reconstruction, built: Built) -> list[CameraResult]:
    results: list[CameraResult] = []
    for camera_id, decision in built.decisions.items():
        camera = model.camera(camera_id)
        offset = camera.principal_point_x - camera.width / 2, camera.principal_point_y - camera.height / 2
        results.append(
            CameraResult(
                camera_id=camera_id,
                model=camera.model_name,
                width=camera.width,
                height=camera.height,
                params=[float(value) for value in camera.params],
                photos=sum(model.image(i).camera_id == camera_id for i in model.reg_image_ids()),
                principal_point_refined=decision.refine,
                principal_point_why=decision.why,
                principal_point_sigma_px=decision.sigma_px,
                principal_point_offset_px=offset,
                focal_length_why=FOCAL_KEPT_WHY if camera_id in built.kept_focals else None,
                zoom_of=built.zoom_of.get(camera_id),
            )
        )
    return results


def _summary(model: pycolmap.Reconstruction) -> ModelSummary:
    return ModelSummary(
        photos=model.num_reg_images(),
        points=model.num_points3D(),
        mean_reprojection_error_px=round(model.compute_mean_reprojection_error(), 4),
        mean_track_length=round(model.compute_mean_track_length(), 3),
    )


def _draw_preview(model: pycolmap.Reconstruction, out: Path) -> None:
    """Points and cameras seen from above."""
    size = 560
    points = np.array([point.xyz for point in model.points3D.values()])
    colours = np.array([point.color for point in model.points3D.values()], dtype=np.uint8)
    centres = np.array([model.image(i).projection_center() for i in model.reg_image_ids()])
    shown = np.concatenate([centres, np.percentile(points, (2, 98), axis=0)])[:, :2]
    middle, extent = (shown.min(axis=0) + shown.max(axis=0)) / 2, np.ptp(shown, axis=0).max()
    scale = 0.9 * size / max(float(extent), 1e-9)

    def place(xyz: np.ndarray) -> np.ndarray:
        return np.stack([size / 2 + (xyz[:, 0] - middle[0]) * scale, size / 2 - (xyz[:, 1] - middle[1]) * scale], 1)

    canvas = np.full((size, size, 3), 24, dtype=np.uint8)
    order = np.argsort(points[:, 2])
    pixels = place(points[order]).astype(int)
    inside = ((pixels >= 0) & (pixels < size - 1)).all(axis=1)
    for across, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        canvas[pixels[inside, 1] + down, pixels[inside, 0] + across] = np.maximum(colours[order][inside], 60)
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    views = np.array([model.image(i).viewing_direction() for i in model.reg_image_ids()])
    for (x, y), (dx, dy) in zip(place(centres), views[:, :2], strict=True):
        draw.line((x, y, x + 14 * dx, y - 14 * dy), fill=(255, 190, 60), width=2)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(255, 90, 60))
    save_preview(picture, out)


def _figures(document: SparseDocument, model: pycolmap.Reconstruction, kept_photos: int) -> Figures:
    registered = model.num_reg_images()
    figures: Figures = {
        "photos_registered": registered,
        "photos_not_registered": len(document.photos) - registered,
        "photos_placed_before": kept_photos,
        "registered_percent": round(100.0 * registered / len(document.photos), 1),
        "points": model.num_points3D(),
        "mean_reprojection_error_px": document.models[0].mean_reprojection_error_px,
        "mean_track_length": document.models[0].mean_track_length,
        "mean_observations_per_photo": round(model.compute_mean_observations_per_reg_image(), 1),
        "models": len(document.models),
        "origin": document.origin,
        "pairs_contradicting_model": len(document.contradictions),
        "principal_points_refined": sum(camera.principal_point_refined for camera in document.cameras),
        "zooms_told_apart": sum(camera.zoom_of is not None for camera in document.cameras),
        "focal_lengths_kept": sum(camera.focal_length_why is not None for camera in document.cameras),
        "georeferenced": document.georeference is not None,
    }
    if document.georeference is not None:
        figures["georeferenced_by"] = document.georeference.source
        figures["georeference_median_residual_m"] = document.georeference.median_residual_m
    if document.marker_scale is not None:
        figures["markers_used"] = sum(marker.used for marker in document.marker_scale.markers)
        figures["marker_max_residual_m"] = round(document.marker_scale.max_residual_m, 6)
    return figures
