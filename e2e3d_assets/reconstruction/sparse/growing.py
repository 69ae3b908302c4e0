"""Growing sets: the model of an earlier product as the start of a new one.

What belongs here: whether an earlier model is worth starting from, its photos in terms of the new database, and what a
grown model must hold. Registering and triangulating are in :mod:`~e2e3d_assets.reconstruction.sparse.attempts`.

Only poses and intrinsics are taken over. Points are triangulated anew from the matches: so nothing is left of photos
that were removed, and two photos that were kept profit from a new one between them as in a model mapped anew.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from .attempts import MIN_PHOTOS
from .sparse_document import Contradiction, SparseDocument

LARGEST_MODEL = Path("sparse") / "0"
_MIN_KEPT_SHARE = 0.5
_MAX_ERROR_GROWTH = 1.5
"""Points that more photos see have larger errors: 1.15 times when 4 photos were added to 12, 1.4 when 1 to 4."""


@dataclass(frozen=True)
class EarlierModel:
    """An earlier model, and what has become of its photos. Photos are the same by what comparing them depends on.

    Attributes:
        directory: of the earlier product.
        same: name of a photo here, and its name there, where the model holds it.
        without_place: photos here that were there too, and had no place in the model.
        removed: how many of the model's photos are not here.
        error_px: its mean reprojection error.
        contradictions: how many pairs of photos contradicted it.
    """

    directory: Path
    same: Mapping[str, str]
    without_place: Collection[str]
    removed: int
    error_px: float
    contradictions: int


def find_earlier_model(
    previous: Path | None, digests: Mapping[str, str], connected: Collection[str]
) -> EarlierModel | None:
    """The model to start from, if there is any.

    A set that fell into several models is mapped anew: photos are mostly added to it to link them. So is one whose
    photos were told apart by zoom: at what zoom a new photo is, is not known before.

    Args:
        previous: product of stage ``sparse_model``.
        digests: of each photo here.
        connected: photos here that hang together by matches.
    """
    document = None if previous is None else SparseDocument.load(previous)
    if previous is None or document is None or len(document.models) != 1:
        return None
    if any(camera.zoom_of is not None for camera in document.cameras):
        return None
    there = {digest: name for name, digest in document.digests.items()}
    placed = {photo.name for photo in document.photos if photo.registered}
    known = {name: there[digest] for name, digest in digests.items() if digest in there}
    same = {name: other for name, other in known.items() if other in placed and name in connected}
    if not is_worth_growing(len(same), document.models[0].photos, len(connected)):
        return None
    return EarlierModel(
        directory=previous,
        same=same,
        without_place={name for name, other in known.items() if other not in placed},
        removed=document.models[0].photos - len(same),
        error_px=document.models[0].mean_reprojection_error_px,
        contradictions=len(document.contradictions),
    )


def is_worth_growing(kept: int, before: int, connected: int) -> bool:
    """Whether what is kept is most of what there was and of what there will be."""
    return kept >= MIN_PHOTOS and kept >= _MIN_KEPT_SHARE * max(before, connected)


def posed_photos(earlier: EarlierModel, database: Path) -> pycolmap.Reconstruction:
    """The new database's cameras and photos, those that are kept with their earlier poses and intrinsics; no points."""
    known = pycolmap.Reconstruction(earlier.directory / LARGEST_MODEL)
    by_name = {known.image(image_id).name: known.image(image_id) for image_id in known.reg_image_ids()}
    posed = pycolmap.Reconstruction()
    with pycolmap.Database.open(database) as opened:
        for camera in opened.read_all_cameras():
            posed.add_camera(camera)
        for rig in opened.read_all_rigs():
            posed.add_rig(rig)
        for frame in opened.read_all_frames():
            posed.add_frame(frame)
        images = opened.read_all_images()
    for image in images:
        posed.add_image(image)
        if image.name not in earlier.same:
            continue
        there = by_name[earlier.same[image.name]]
        posed.camera(image.camera_id).params = list(known.camera(there.camera_id).params)
        posed.frame(image.frame_id).set_cam_from_world(image.camera_id, there.cam_from_world())
        posed.register_frame(image.frame_id)
    return posed


def fault_of_grown(
    earlier: EarlierModel,
    connected: Collection[str],
    grown: Sequence[pycolmap.Reconstruction],
    doubtful: Collection[Contradiction],
) -> str | None:
    """Why a grown model is poorer than is to be expected, in plain words; None if it is not.

    Args:
        earlier: what it has grown from.
        connected: photos that hang together by matches.
        grown: after the final adjustment, the largest first.
        doubtful: pairs of photos that contradict the largest.
    """
    if not grown:
        return "nothing of it was left"
    placed = placed_photos(grown[0])
    missing = sorted(set(connected) - placed - set(earlier.without_place))
    if missing:
        return f"{len(missing)} photos found no place, such as {missing[0]}"
    error = grown[0].compute_mean_reprojection_error()
    if error > _MAX_ERROR_GROWTH * earlier.error_px:
        return f"its error grew from {earlier.error_px:.2f} to {error:.2f} px"
    if len(doubtful) > earlier.contradictions:
        return f"{len(doubtful)} pairs of photos contradict it, {earlier.contradictions} did before"
    return None


def growth(earlier: EarlierModel, grown: pycolmap.Reconstruction) -> tuple[int, str]:
    """How many photos were kept, and in words how many kept, added and removed."""
    placed = placed_photos(grown)
    kept, added = len(placed & earlier.same.keys()), len(placed - earlier.same.keys())
    return kept, f"grown from the previous model: {kept} photos kept, {added} added, {earlier.removed} removed"


def placed_photos(model: pycolmap.Reconstruction) -> set[str]:
    """Names of the photos that have a pose."""
    return {model.image(image_id).name for image_id in model.reg_image_ids()}
