"""Figures of the report, read from the products of the stages.

What belongs here: from products to the parts of :class:`~e2e3d_assets.reconstruction.report_schema.Report`. What does
not: judging them (:mod:`.advice`) and showing them.
"""

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..intake.calibrations import COLMAP_MODELS as CALIBRATED_MODELS
from ..photo_set import PhotoCamera, PhotoSet
from ..photo_set import PhotoRecord as GivenPhoto
from ..report_schema import (
    CoverageSummary,
    DeliveredFile,
    Georeference,
    LikenessSummary,
    Marker,
    MeshSummary,
    PhotoRecord,
    PhotosSummary,
    SparseSummary,
    TextureSummary,
)
from ..sparse.match_document import MatchedPair, MatchesDocument, inliers_by_partner
from ..sparse.principal_point import MIN_CONVERGENCE_DEG, model_convergence_deg
from ..sparse.sparse_document import Georeference as FoundGeoreference
from ..sparse.sparse_document import MarkerScale, PhotoPose, SparseDocument
from ..textured_mesh import TexturedMesh
from .accuracy import point_uncertainty
from .fidelity import Coverage, Likeness

_UNPLACED = "it shares too few points with the others"
_STORED_NAME = re.compile(r"[A-Za-z0-9._-]+\.jpg")
_NOT_DELIVERED = ("preview.jpg", "manifest.json")
_PACKAGES = (
    "e2e3d-assets",
    "pycolmap",
    "open3d",
    "numba",
    "opencv-python-headless",
    "numpy",
    "scipy",
    "trimesh",
    "pillow",
)


def summarise_photos(photos: PhotoSet, matches: MatchesDocument, sparse: SparseDocument) -> PhotosSummary:
    """Every photo given and its fate, in the order of the photo set."""
    partners = inliers_by_partner([str(photo.name) for photo in photos.accepted], verified_pairs(matches))
    poses = {pose.name: pose for pose in sparse.photos}
    given_names = {str(photo.name): photo.given_name for photo in photos.accepted}
    items = [_photo(photo, partners, poses, given_names) for photo in photos.photos]
    return PhotosSummary(
        given=len(items),
        accepted=len(photos.accepted),
        registered=sum(item.fate == "registered" for item in items),
        items=items,
    )


def verified_pairs(matches: MatchesDocument) -> list[MatchedPair]:
    """The pairs of photos that have something in common."""
    return [pair for pair in matches.pairs if pair.inliers > 0]


def _photo(
    photo: GivenPhoto,
    partners: Mapping[str, Sequence[tuple[int, str]]],
    poses: Mapping[str, PhotoPose],
    given_names: Mapping[str, str],
) -> PhotoRecord:
    if photo.name is None:
        return PhotoRecord(name=photo.given_name, image=None, fate="rejected", reason=photo.reason or "")
    pose = poses.get(photo.name)
    matched = partners[photo.name]
    nearest = (given_names[name] for _, name in matched if name in poses and poses[name].registered)
    placed = pose if pose and pose.registered else None  # a pose in another model says nothing in this world frame
    return PhotoRecord(
        name=photo.given_name,
        image=photo.name,
        fate="registered" if placed else "not_registered",
        reason="" if placed else _in_given_names((pose and pose.reason) or _UNPLACED, given_names),
        model=pose.model if pose else None,
        nearest=None if placed else next(nearest, None),
        width=photo.width,
        height=photo.height,
        camera=_camera_name(photo.camera),
        sharpness=photo.sharpness,
        matched_photos=len(matched),
        points=placed.observations if placed else 0,
        mean_reprojection_error_px=placed.mean_reprojection_error_px if placed else None,
        position=placed.position if placed else None,
    )


def _in_given_names(reason: str, given_names: Mapping[str, str]) -> str:
    """A sentence about photos under the names that people know them by."""
    return _STORED_NAME.sub(lambda name: given_names.get(name[0], name[0]), reason)


def _camera_name(camera: PhotoCamera) -> str | None:
    """Make and model, without the make twice as in "Canon Canon EOS 5D"."""
    make, model = camera.make or "", camera.model or ""
    words = model if make and model.lower().startswith(make.split()[0].lower()) else f"{make} {model}"
    return words.strip() or None


def summarise_sparse(model: pycolmap.Reconstruction, document: SparseDocument) -> SparseSummary:
    """Of the largest model."""
    return SparseSummary(
        models=len(document.models),
        registered_photos=model.num_reg_images(),
        points=model.num_points3D(),
        observations=model.compute_num_observations(),
        mean_reprojection_error_px=model.compute_mean_reprojection_error(),
        mean_track_length=model.compute_mean_track_length(),
        scale="metres" if document.is_metric else "arbitrary",
        frame=document.frame,
        georeference=_georeference(document.georeference) if document.georeference else None,
        unused=document.unused,
        markers=_markers(document.marker_scale) if document.marker_scale else [],
        look_alikes=[pair.photos for pair in document.contradictions if pair.kind == "elsewhere"],
        folded=[pair.photos for pair in document.contradictions if pair.kind == "folded"],
        parallel_views=_parallel_views(model),
        point_uncertainty=point_uncertainty(model),
    )


def _parallel_views(model: pycolmap.Reconstruction) -> bool:
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    calibrated = all(model.camera(image.camera_id).model_name in CALIBRATED_MODELS for image in images)
    return not calibrated and model_convergence_deg(model) < MIN_CONVERGENCE_DEG


def _georeference(found: FoundGeoreference) -> Georeference:
    return Georeference(**found.model_dump(include=set(Georeference.model_fields)))


def _markers(found: MarkerScale) -> list[Marker]:
    return [Marker(**marker.model_dump()) for marker in found.markers]


def summarise_mesh(mesh: TexturedMesh) -> MeshSummary:
    """Topology and size of the delivered mesh."""
    uses = _edge_uses(mesh.faces)
    extent = np.ptp(mesh.vertices, axis=0)
    return MeshSummary(
        vertices=len(mesh.vertices),
        faces=len(mesh.faces),
        components=_components(mesh.faces, len(mesh.vertices)),
        watertight=bool((uses == 2).all()),
        boundary_edges=int((uses == 1).sum()),
        non_manifold_edges=int((uses > 2).sum()),
        extent=(float(extent[0]), float(extent[1]), float(extent[2])),
    )


def _edge_uses(faces: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each edge, the number of faces that have it."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    return np.unique(edges[:, 0] << 32 | edges[:, 1], return_counts=True)[1]


def _components(faces: NDArray[np.int32], vertices: int) -> int:
    """Parts that hang together by shared vertices."""
    rows, columns = faces[:, [0, 1]].reshape(-1), faces[:, [1, 2]].reshape(-1)
    graph = coo_matrix((np.ones(len(rows), np.uint8), (rows, columns)), (vertices, vertices))
    labels = connected_components(graph, directed=False)[1]
    return len(np.unique(labels[faces[:, 0]]))


def summarise_texture(mesh: TexturedMesh, coverage: float | None) -> TextureSummary:
    """Of the atlas; ``coverage`` is the share of the surface that photos gave their colour to."""
    height, width = max((page.shape[:2] for page in mesh.pages), key=lambda size: size[0] * size[1])
    return TextureSummary(pages=len(mesh.pages), width=width, height=height, coverage=coverage)


def summarise_coverage(coverage: Coverage) -> CoverageSummary:
    """Of the delivered surface."""
    return CoverageSummary(
        seen_by_one=coverage.share_seen_by(1),
        seen_by_two=coverage.share_seen_by(2),
        seen_by_three=coverage.share_seen_by(3),
        ground_sampling_distance=coverage.ground_sampling_distance(),
    )


def worst_likeness(likenesses: Sequence[Likeness]) -> Likeness | None:
    """The photo that the model reproduces worst, among those that show enough of it."""
    judged = [each for each in likenesses if each.psnr_db is not None]
    return min(judged, key=lambda each: each.psnr_db or 0.0, default=None)


def summarise_likeness(likenesses: Sequence[Likeness], given_names: Mapping[str, str]) -> LikenessSummary:
    """Of all compared photos; ``given_names`` are those that the user gave them."""
    ratios = [each.psnr_db for each in likenesses if each.psnr_db is not None]
    worst = worst_likeness(likenesses)
    return LikenessSummary(
        photos=len(likenesses),
        median_psnr_db=float(np.median(ratios)) if ratios else None,
        median_coverage=float(np.median([each.coverage for each in likenesses])) if likenesses else None,
        worst_photo=given_names[worst.name] if worst else None,
        worst_psnr_db=worst.psnr_db if worst else None,
    )


def list_files(directories: Iterable[Path]) -> list[DeliveredFile]:
    """Every file that people take away."""
    return [
        DeliveredFile(path=path.relative_to(directory).as_posix(), bytes=path.stat().st_size)
        for directory in directories
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in _NOT_DELIVERED
    ]


def versions() -> dict[str, str]:
    """Of everything that has a say in the result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
