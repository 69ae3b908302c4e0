"""The models of a photo set: mapped anew or grown from an earlier one, adjusted and asked for contradictions.

What belongs here: the choice between growing and mapping anew. How a model is mapped, grown, adjusted and questioned is
in the modules beside this one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pycolmap

from ..monitor import Monitor
from ..options import SparseModelOptions
from .adjustment import adjust_finally, keep_untold_focals
from .attempts import MIN_PHOTOS, Attempts, ranked
from .contradictions import contradictions
from .folding import folded_photos
from .growing import EarlierModel, fault_of_grown, growth, posed_photos
from .principal_point import Decision
from .sparse_document import Contradiction
from .zooms import NOT_TOLD_APART, Zooms, tell_apart

_ZOOM_ROUNDS = 3
_MIN_OBSERVATIONS = 12
"""A pose has six unknowns and each point gives two equations: fewer than this leave no check against chance."""


@dataclass(frozen=True)
class Built:
    """Models in the mapper's frame, the largest first, and what is known of the largest.

    Attributes:
        decisions: on the principal points of its cameras, by camera id.
        kept_focals: cameras whose focal lengths are EXIF's.
        attempts: what was tried, in plain words.
        contradictions: pairs of photos that do not fit it.
        origin: how it came to be, in plain words.
        kept_photos: those of an earlier model that it has grown from.
        zoom_of: of the cameras told apart by zoom, the camera in which they were one.
    """

    models: list[pycolmap.Reconstruction]
    decisions: dict[int, Decision]
    kept_focals: set[int]
    attempts: list[str]
    contradictions: list[Contradiction]
    origin: str = ""
    kept_photos: int = 0
    zoom_of: Mapping[int, int] = field(default_factory=dict)


def build_models(
    mapping: Attempts,
    connected: Collection[str],
    earlier: EarlierModel | None,
    options: SparseModelOptions,
    monitor: Monitor,
) -> Built:
    """Grow the earlier model; where there is none, or what comes of it is poorer than it should be, map anew.

    Args:
        mapping: of the photo set.
        connected: photos that hang together by matches: what a model can hold at best.
        earlier: the model to start from.
        options: principal point.
        monitor: progress and cancellation.
    """
    origin = "mapped anew"
    if earlier is not None:
        monitor.progress(len(earlier.same), len(connected), "photos placed by the previous model")
        start = posed_photos(earlier, mapping.database)
        models, attempts = mapping.grow(start, len(connected))
        fault: str | None = "photos of one camera differ in zoom"
        if _zooms(models, mapping, monitor) == NOT_TOLD_APART:
            grown = _finish(models, attempts, mapping, options, monitor)
            fault = fault_of_grown(earlier, connected, grown.models, grown.contradictions)
            if fault is None:
                kept, origin = growth(earlier, grown.models[0])
                return replace(grown, origin=origin, kept_photos=kept)
        origin = f"mapped anew: growing the previous model was given up, {fault}"
    models, attempts, mapping = _mapped(mapping, len(connected), monitor)
    return replace(_finish(models, attempts, mapping, options, monitor), origin=origin)


def _mapped(
    mapping: Attempts, matched: int, monitor: Monitor
) -> tuple[list[pycolmap.Reconstruction], list[str], Attempts]:
    """Map, and map again while photos that shared a camera turn out to be at different zooms."""
    models, attempts = mapping.run(matched)
    for _ in range(_ZOOM_ROUNDS):
        zooms = _zooms(models, mapping, monitor)
        if zooms == mapping.zooms:
            break
        again = mapping.with_zooms(zooms)
        found, tried = again.run(matched)
        if not found or found[0].num_reg_images() < models[0].num_reg_images():
            break
        mapping, models = again, found
        attempts = [*attempts, f"photos of one camera told apart by zoom: {len(zooms)} zooms", *tried]
    return models, attempts, mapping


def _zooms(models: Sequence[pycolmap.Reconstruction], mapping: Attempts, monitor: Monitor) -> Zooms:
    return tell_apart(models, mapping.shared_cameras, mapping.zooms, mapping.given_cameras, mapping.threads, monitor)


def _finish(
    models: Sequence[pycolmap.Reconstruction],
    attempts: list[str],
    mapping: Attempts,
    options: SparseModelOptions,
    monitor: Monitor,
) -> Built:
    decisions: dict[pycolmap.Reconstruction, dict[int, Decision]] = {}
    kept_focals: dict[pycolmap.Reconstruction, set[int]] = {}
    for found in models:
        choice, threads, given = options.refine_principal_point, mapping.threads, mapping.given_cameras
        model, kept = keep_untold_focals(found, mapping.focal_priors, threads, monitor, given)
        kept_focals[model] = kept
        decisions[model] = adjust_finally(model, choice, threads, monitor, given, bool(kept))
        leave_out_unsure_photos(model)
    left = ranked([model for model in decisions if model.num_reg_images() >= MIN_PHOTOS])
    if not left:
        return Built([], {}, set(), attempts, [])
    doubtful = [*contradictions(left[0], mapping.database, monitor), *folded_photos(left[0], monitor)]
    zoom_of = {
        left[0].image(image_id).camera_id: mapping.shared_cameras[image_id]
        for zoom in mapping.zooms
        for image_id in zoom
        if left[0].exists_image(image_id)
    }
    return Built(left, decisions[left[0]], kept_focals[left[0]], attempts, doubtful, zoom_of=zoom_of)


def leave_out_unsure_photos(model: pycolmap.Reconstruction) -> None:
    """Take photos out of a model in place whose poses rest on hardly any points that fit."""
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        if image.num_points3D < _MIN_OBSERVATIONS:
            model.deregister_frame(image.frame_id)
