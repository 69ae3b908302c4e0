"""Warnings in plain words: what a person should know before trusting the model, and what to do about it.

What belongs here: pure judgement of figures; every limit that makes a warning stands in this file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..report_schema import (
    CoverageSummary,
    LikenessSummary,
    MeshSummary,
    PhotoRecord,
    PhotosSummary,
    QualityWarning,
    SparseSummary,
    TextureSummary,
)

_NAMES_SHOWN, _PLACES_SHOWN = 6, 3
_WEAK_PHOTO_POINTS = 80  # a pose from fewer points is easily wrong
_BLURRED_SHARE = 0.5  # of the set's median sharpness
_HIGH_ERROR_PX, _VERY_HIGH_ERROR_PX = 1.0, 2.0
_SHORT_TRACKS = 2.7  # mean photos per point; chains of pairs drift
_MOST_LOST = 0.34  # share of photos without a place above which the model is doubtful
_RING_DEG = 200  # photos that stand around more than this are meant to go all around
_FROM_ABOVE_DEG = 60  # photos that look down more steeply see all sides wherever they stand
_GAP_DEG = 55  # between neighbours in a ring: matching and texture fail beyond
_LOW_DEPTH_PERCENT = 35
_LOW_TEXTURE_COVERAGE = 0.9
_LEAST_SEEN_BY_THREE = 0.6
_LOW_PSNR_DB = 17.0  # photo and rendering of the same thing, but with different light or blurred beyond use
_LOW_PHOTO_COVERAGE = 0.5
_MEASURED = {
    "control points": "control points of gcp_list.txt",
    "gps": "GPS of the photos",
    "markers": "markers in the scene",
}
_OUTLIER_DB = 6.0  # twice the deviation of the middle photo


@dataclass(frozen=True)
class Ring:
    """Where photos stand around what they show.

    Attributes:
        names: of the registered photos.
        azimuths_deg: of each, around the vertical.
        downward_deg: how far the middle one looks down.
    """

    names: Sequence[str]
    azimuths_deg: Sequence[float]
    downward_deg: float

    def widest_gap(self) -> tuple[float, str, str]:
        """(degrees, name of the photo before it, name of the photo after it)."""
        around = sorted((azimuth % 360, name) for azimuth, name in zip(self.azimuths_deg, self.names, strict=True))
        following = [*around[1:], (around[0][0] + 360, around[0][1])]
        return max(
            (after - before, first, second) for (before, first), (after, second) in zip(around, following, strict=True)
        )


def judge(
    photos: PhotosSummary,
    sparse: SparseSummary,
    mesh: MeshSummary,
    texture: TextureSummary,
    coverage: CoverageSummary,
    likeness: LikenessSummary,
    ring: Ring,
    depth_coverage_percent: float | None,
) -> list[QualityWarning]:
    """All warnings, the serious ones first."""
    found = [
        *_about_registration(photos, sparse),
        *_about_accuracy(photos, sparse),
        *_about_photos(photos),
        *_about_ring(ring),
        *_about_surface(mesh, texture, depth_coverage_percent),
        *_about_coverage(coverage),
        *_about_likeness(likeness),
        *_about_measurements(photos, sparse),
    ]
    return sorted(found, key=lambda warning: ("serious", "warning", "note").index(warning.severity))


def _about_registration(photos: PhotosSummary, sparse: SparseSummary) -> Iterator[QualityWarning]:
    lost = [photo for photo in photos.items if photo.fate == "not_registered"]
    if lost:
        alone = [photo for photo in lost if not photo.model]
        yield QualityWarning(
            code="photos_not_registered",
            severity="serious" if len(lost) > _MOST_LOST * photos.accepted else "warning",
            message=f"{len(lost)} of {photos.accepted} photos could not be placed: {_names(lost)}.",
            advice=f"Take more photos {_beside(photos.items, alone[0])}, each overlapping the next by two thirds."
            if alone
            else "They make a model of their own: if it is of another place or thing, give them as another set.",
        )
    rejected = [photo for photo in photos.items if photo.fate == "rejected"]
    if rejected:
        reasons = "; ".join(f"{photo.name}: {photo.reason}" for photo in rejected[:_NAMES_SHOWN])
        more = f"; and {len(rejected) - _NAMES_SHOWN} more" if len(rejected) > _NAMES_SHOWN else ""
        yield QualityWarning(
            code="photos_rejected",
            severity="note",
            message=f"{len(rejected)} of {photos.given} files given were not used ({reasons}{more}).",
        )
    if sparse.models > 1:
        yield QualityWarning(
            code="several_models",
            severity="warning",
            message=f"The photos fall apart into {sparse.models} models; only the largest went on to the surface.",
            advice="Take photos that show parts of both, so that the groups join.",
        )
    if sparse.look_alikes:
        one, other = _given_names(sparse.look_alikes[0], photos.items)
        yield QualityWarning(
            code="look_alike_parts",
            severity="warning",
            message=f"{len(sparse.look_alikes)} pairs of photos look alike, but the model has them at different places "
            f"({one} and {other}, for example): a repeated façade, or two like sides. A part may stand twice in it, "
            "or two parts in one.",
            advice="Compare it with the place there; if it is wrong, add photos all the way from one to the other.",
        )
    if sparse.folded:
        one, other = _given_names(sparse.folded[0], photos.items)
        yield QualityWarning(
            code="folded_sides",
            severity="warning",
            message=f"{len(sparse.folded)} pairs of photos share a thing, but not what is around it, though by the "
            f"model they were taken from nearly one place ({one} and {other}, for example). Two like sides may lie one "
            "over the other, or the surroundings have changed.",
            advice="If the thing has two like sides, add photos all the way around from one to the other.",
        )


def _given_names(names: Sequence[str], photos: Sequence[PhotoRecord]) -> list[str]:
    """What people called the photos that the model knows by these names."""
    given = {photo.image: photo.name for photo in photos}
    return [given.get(name, name) for name in names]


def _beside(photos: Sequence[PhotoRecord], lost: PhotoRecord) -> str:
    """Where photos are missing: towards what a lost one shares points with, else as the order of the photos tells."""
    return f"between {lost.name} and {lost.nearest}" if lost.nearest else _around(photos, lost)


def _around(photos: Sequence[PhotoRecord], photo: PhotoRecord) -> str:
    """Between which placed photos a photo was taken, as far as the order of the photos tells."""
    here = photos.index(photo)
    placed = [i for i, other in enumerate(photos) if other.fate == "registered"]
    before = [i for i in placed if i < here]
    after = [i for i in placed if i > here]
    if before and after:
        return f"between {photos[before[-1]].name} and {photos[after[0]].name}"
    if before or after:
        return f"near {photos[before[-1] if before else after[0]].name}"
    return "of the same place"


def _about_accuracy(photos: PhotosSummary, sparse: SparseSummary) -> Iterator[QualityWarning]:
    error = sparse.mean_reprojection_error_px
    if error > _HIGH_ERROR_PX:
        yield QualityWarning(
            code="high_reprojection_error",
            severity="serious" if error > _VERY_HIGH_ERROR_PX else "warning",
            message=f"Points miss their place in the photos by {error:.2f} pixels on average; below 1 is usual.",
            advice="Hold zoom and focus fixed, keep the scene still, and avoid blurred or edited photos.",
        )
    if sparse.mean_track_length < _SHORT_TRACKS:
        yield QualityWarning(
            code="weak_overlap",
            severity="warning",
            message=f"Each point is seen by only {sparse.mean_track_length:.1f} photos on average: shape may drift.",
            advice="Take photos closer to one another, so that every part is in four or more of them.",
        )
    if sparse.parallel_views:
        yield QualityWarning(
            code="parallel_views",
            severity="warning",
            message="All photos look the same way. They cannot tell the focal length from the distance: lengths along "
            "the view (heights, seen from above) are as right as what EXIF says of the lens, and may be off by some "
            "percent, or by tens of percent where it says nothing.",
            advice="Add photos taken at a slant of 20° or more, or give the camera's calibration (cameras.json).",
        )
    weak = _weakly_placed(photos)
    if weak:
        places = ", and ".join(_around(photos.items, photo) for photo in weak[:_PLACES_SHOWN])
        yield QualityWarning(
            code="weakly_placed_photos",
            severity="note",
            message=f"{_count(weak)} placed by few points only, and may be wrong: {_names(weak)}.",
            advice=f"Take photos {places}, so that each step shows mostly the same things.",
        )


def doubtful(photos: PhotosSummary) -> list[PhotoRecord]:
    """The photos to take again, as far as a single photo can be blamed."""
    return [*_weakly_placed(photos), *_blurred(photos)]


def _weakly_placed(photos: PhotosSummary) -> list[PhotoRecord]:
    return [p for p in photos.items if p.fate == "registered" and (p.points or 0) < _WEAK_PHOTO_POINTS]


def _blurred(photos: PhotosSummary) -> list[PhotoRecord]:
    used = [photo for photo in photos.items if photo.fate != "rejected" and photo.sharpness is not None]
    limit = _BLURRED_SHARE * float(np.median([photo.sharpness or 0.0 for photo in used])) if used else 0.0
    return [photo for photo in used if (photo.sharpness or 0.0) < limit]


def _about_photos(photos: PhotosSummary) -> Iterator[QualityWarning]:
    blurred = _blurred(photos)
    if blurred:
        yield QualityWarning(
            code="blurred_photos",
            severity="note",
            message=f"{_count(blurred)} much less sharp than the others: {_names(blurred)}.",
            advice="Take them again with a shorter exposure or a steadier hand.",
        )


def _about_ring(ring: Ring) -> Iterator[QualityWarning]:
    if len(ring.names) < 3 or ring.downward_deg > _FROM_ABOVE_DEG:
        return
    gap, before, after = ring.widest_gap()
    if _GAP_DEG < gap < 360 - _RING_DEG:
        yield QualityWarning(
            code="gap_in_ring",
            severity="warning",
            message=f"The photos go around, but leave a gap of {gap:.0f}° between {before} and {after}.",
            advice="Take photos in this gap, one every 15° or so.",
        )


def _about_surface(
    mesh: MeshSummary, texture: TextureSummary, depth_coverage_percent: float | None
) -> Iterator[QualityWarning]:
    if depth_coverage_percent is not None and depth_coverage_percent < _LOW_DEPTH_PERCENT:
        yield QualityWarning(
            code="little_depth",
            severity="warning",
            message=f"Depth could be measured for {depth_coverage_percent:.0f} % of a photo only, in the middle case.",
            advice="Plain, shiny and see-through surfaces cannot be measured; come closer or add photos.",
        )
    if mesh.non_manifold_edges:
        yield QualityWarning(
            code="non_manifold_edges",
            severity="warning",
            message=f"The surface has {mesh.non_manifold_edges:,} edges with more than two faces.",
        )
    if mesh.components > 1:
        yield QualityWarning(
            code="several_components",
            severity="note",
            message=f"The surface consists of {mesh.components:,} separate parts.",
        )
    if mesh.boundary_edges:
        yield QualityWarning(
            code="open_surface",
            severity="note",
            message="The surface is open where no photos looked: volumes cannot be measured without closing it.",
        )
    if texture.coverage is not None and texture.coverage < _LOW_TEXTURE_COVERAGE:
        yield QualityWarning(
            code="colour_guessed",
            severity="note",
            message=f"{1 - texture.coverage:.0%} of the surface is in no photo; its colour is taken from around it.",
            advice="Take photos of these sides as well.",
        )


def _about_coverage(coverage: CoverageSummary) -> Iterator[QualityWarning]:
    if coverage.seen_by_three < _LEAST_SEEN_BY_THREE:
        yield QualityWarning(
            code="thin_coverage",
            severity="warning",
            message=f"Only {coverage.seen_by_three:.0%} of the surface is in three or more photos.",
            advice="The map of coverage shows in red and orange where more photos are needed.",
        )


def _about_likeness(likeness: LikenessSummary) -> Iterator[QualityWarning]:
    if likeness.median_coverage is not None and likeness.median_coverage < _LOW_PHOTO_COVERAGE:
        yield QualityWarning(
            code="much_left_out",
            severity="note",
            message=f"The model shows {likeness.median_coverage:.0%} of what a photo shows, in the middle case.",
            advice="Sky and far background are left out on purpose; if it is more, the depth maps below tell why.",
        )
    if likeness.median_psnr_db is None or likeness.worst_psnr_db is None:
        return
    if likeness.median_psnr_db < _LOW_PSNR_DB:
        yield QualityWarning(
            code="unlike_the_photos",
            severity="warning",
            message=f"The model looks unlike the photos ({likeness.median_psnr_db:.1f} dB in the middle case).",
            advice="Compare photo and rendering below: a moving scene, reflections or changing light are usual causes.",
        )
    elif likeness.worst_psnr_db < likeness.median_psnr_db - _OUTLIER_DB:
        yield QualityWarning(
            code="one_photo_disagrees",
            severity="note",
            message=f"{likeness.worst_photo} agrees with the model much less than the other photos do.",
            advice="Compare photo and rendering below: something may have moved, or the photo may be badly placed.",
        )


def _about_measurements(photos: PhotosSummary, sparse: SparseSummary) -> Iterator[QualityWarning]:
    for source, reason in sparse.unused.items():
        small_scene = source == "gps" and sparse.georeference is None
        yield QualityWarning(
            code=f"{source.replace(' ', '_')}_not_used",
            severity="note" if small_scene else "warning",
            message=f"The {_MEASURED[source]} could not be used: {reason}.",
        )
    if sparse.georeference is not None and sparse.georeference.contradicting:
        wrong = _given_names(sparse.georeference.contradicting, photos.items)
        yield QualityWarning(
            code="gps_contradicts",
            severity="note",
            message=f"The GPS of {_shown(wrong)} contradicts that of the other photos, and was not used.",
        )
    if sparse.georeference is not None:
        wrong_points = [point for point in sparse.georeference.control_points if not point.used]
        if wrong_points:
            each = ", ".join(f"{point.name} by {point.residual_m:.3g} m" for point in wrong_points[:_NAMES_SHOWN])
            yield QualityWarning(
                code="control_points_contradict",
                severity="warning",
                message=f"{len(wrong_points)} of {len(sparse.georeference.control_points)} control points contradict "
                f"the others and were not used: {each}.",
                advice="Compare their coordinates, and their marks in the photos, with gcp_list.txt.",
            )
    if sparse.scale == "arbitrary":
        yield QualityWarning(
            code="scale_unknown",
            severity="note",
            message="The scale is unknown: lengths have no unit.",
            advice="A printed marker of known size in the scene gives it, or photos with GPS that are well apart; or "
            "measure one known length in the viewer and type it in.",
        )


def _names(photos: Sequence[PhotoRecord]) -> str:
    return _shown([photo.name for photo in photos])


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(photos: Sequence[PhotoRecord]) -> str:
    return "1 photo is" if len(photos) == 1 else f"{len(photos)} photos are"
