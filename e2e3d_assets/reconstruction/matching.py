"""Stage ``matches``: which photos show the same points, verified by two-view geometry.

What belongs here: running the comparison of chosen pairs, the record of what came of it, and the diagnosis when nothing
fits. Which pairs are chosen is in :mod:`~e2e3d_assets.reconstruction.pairing`.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict

from .appearance import signatures
from .colmap_database import DATABASE, drop_descriptors, polled_progress
from .errors import BadInput
from .monitor import Figures, Monitor
from .native import run_cancellable, thread_count
from .options import MatchesOptions
from .pairing import Pair, Why, alike_pairs, every_pair, merge_reasons, nearby_pairs, pauses, sequence_pairs
from .photo_set import PhotoRecord, PhotoSet
from .preview import save_preview

MATCHES_FILE = "matches.json"
_MIN_INLIERS = 15
_BLOCK = 64
_BLURRED = 0.35


class MatchedPair(BaseModel):
    """Two photos that were compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    photos: tuple[str, str]
    matches: int
    inliers: int
    why: list[Why]


class MatchesDocument(BaseModel):
    """``matches.json``: pairs compared, and groups of photos that hang together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairing: str
    pairs: list[MatchedPair]
    groups: list[list[str]]

    @classmethod
    def load(cls, directory: Path) -> "MatchesDocument":
        """Read ``matches.json`` of a directory."""
        return cls.model_validate_json((directory / MATCHES_FILE).read_text(encoding="utf-8"))


def match_features(photos: Path, features: Path, out: Path, options: MatchesOptions, monitor: Monitor) -> Figures:
    """Compare pairs of photos and verify what they have in common.

    Args:
        photos: output of stage photos.
        features: output of stage features.
        out: gets ``database.db`` (COLMAP; key points and verified geometries, the descriptors stay with features),
            ``matches.json`` and ``preview.jpg``.
        options: which pairs.
        monitor: progress per pair.

    Raises:
        BadInput: no two photos have enough points in common.
    """
    photo_set = PhotoSet.load(photos)
    database = out / DATABASE
    shutil.copyfile(features / DATABASE, database)
    image_ids = _image_ids(database, photo_set.accepted)
    reasons = _choose_pairs(photo_set, database, image_ids, options, monitor)
    _compare(database, photo_set.accepted, image_ids, list(reasons), options, monitor)
    document = _document(database, photo_set.accepted, image_ids, reasons, options)
    drop_descriptors(database)
    _require_overlap(document, photo_set.accepted)
    (out / MATCHES_FILE).write_text(document.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _draw_preview(document, photo_set.accepted, out)
    return _figures(document, len(photo_set.accepted))


def _choose_pairs(
    photo_set: PhotoSet, database: Path, image_ids: Sequence[int], options: MatchesOptions, monitor: Monitor
) -> dict[Pair, list[Why]]:
    """Every pair of a small set; else the union of what order, place and appearance suggest."""
    records = photo_set.accepted
    pairing = options.pairing
    if pairing == "exhaustive" or (pairing == "auto" and len(records) <= options.exhaustive_up_to):
        return merge_reasons({"exhaustive": every_pair(len(records))})
    chosen: dict[Why, list[Pair]] = {}
    if pairing in ("auto", "sequential"):
        breaks = [] if photo_set.source == "video" else pauses([record.taken for record in records])
        chosen["sequence"] = sequence_pairs(len(records), options.neighbours, breaks if pairing == "auto" else [])
    if pairing in ("auto", "spatial"):
        places = {index: record.gps for index, record in enumerate(records) if record.gps is not None}
        chosen["gps"] = nearby_pairs(places, options.neighbours)
    if pairing in ("auto", "retrieval"):
        chosen["appearance"] = _pairs_by_appearance(database, image_ids, options, monitor)
    return merge_reasons(chosen)


def _pairs_by_appearance(
    database: Path, image_ids: Sequence[int], options: MatchesOptions, monitor: Monitor
) -> list[Pair]:
    with pycolmap.Database.open(database) as opened:
        vectors = signatures(
            lambda image_id: np.asarray(opened.read_descriptors(image_id).data),
            image_ids, options.seed, monitor.check,
        )  # fmt: skip
    return alike_pairs(vectors, options.neighbours)


def _image_ids(database: Path, records: Sequence[PhotoRecord]) -> list[int]:
    with pycolmap.Database.open(database) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}
    return [ids[str(record.name)] for record in records]


def _compare(
    database: Path,
    records: Sequence[PhotoRecord],
    image_ids: Sequence[int],
    pairs: Sequence[Pair],
    options: MatchesOptions,
    monitor: Monitor,
) -> None:
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = thread_count()
    verification = pycolmap.TwoViewGeometryOptions()
    verification.min_num_inliers = _MIN_INLIERS
    verification.ransac.random_seed = options.seed
    with tempfile.TemporaryDirectory(prefix=".pairs-", dir=database.parent) as folder:
        listed = Path(folder) / "pairs.txt"
        listed.write_text("".join(f"{records[i].name} {records[j].name}\n" for i, j in pairs), encoding="utf-8")
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = listed
        pairing.block_size = _BLOCK
        rows = [partial(_is_compared, pair=(image_ids[i], image_ids[j])) for i, j in pairs]
        with polled_progress(database, rows, "pairs", monitor):
            run_cancellable(
                lambda token: pycolmap.match_image_pairs(
                    database, matching, pairing, verification, pycolmap.Device.cpu, cancellation_token=token
                ),
                monitor,
            )


def _is_compared(database: pycolmap.Database, pair: tuple[int, int]) -> bool:
    return database.exists_two_view_geometry(*pair)


def _document(
    database: Path,
    records: Sequence[PhotoRecord],
    image_ids: Sequence[int],
    reasons: Mapping[Pair, list[Why]],
    options: MatchesOptions,
) -> MatchesDocument:
    names = [str(record.name) for record in records]
    pairs: list[MatchedPair] = []
    with pycolmap.Database.open(database) as opened:
        inliers = dict(zip(*opened.read_two_view_geometry_num_inliers(), strict=True))
        matches = dict(zip(*opened.read_num_matches(), strict=True))
    for (i, j), why in reasons.items():
        pair_id = pycolmap.image_pair_to_pair_id(image_ids[i], image_ids[j])
        pairs.append(
            MatchedPair(
                photos=(names[i], names[j]),
                matches=int(matches.get(pair_id, 0)),
                inliers=int(inliers.get(pair_id, 0)),
                why=why,
            )
        )
    return MatchesDocument(pairing=options.pairing, pairs=pairs, groups=connected_groups(names, pairs))


def connected_groups(names: Sequence[str], pairs: Sequence[MatchedPair]) -> list[list[str]]:
    """Photos that hang together by verified pairs, the largest group first; single photos too."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for pair in pairs:
        if pair.inliers >= _MIN_INLIERS:
            parent[root(pair.photos[1])] = root(pair.photos[0])
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(root(name), []).append(name)
    return sorted(groups.values(), key=len, reverse=True)


def _require_overlap(document: MatchesDocument, records: Sequence[PhotoRecord]) -> None:
    largest = len(document.groups[0])
    if largest >= 3:
        return
    blurred = [record.given_name for record in records if (record.sharpness or 0.0) < _BLURRED]
    if len(blurred) * 2 > len(records):
        raise BadInput("The photos are too blurred to find common points", "Take sharp photos", blurred)
    best = max(document.pairs, key=lambda pair: pair.inliers)
    raise BadInput(
        f"No three photos show the same points: the most alike two, {best.photos[0]} and {best.photos[1]}, have "
        f"{best.inliers} verified points in common, at least {_MIN_INLIERS} are needed",
        "Give photos of one place or thing, each overlapping the next by two thirds",
        [record.given_name for record in records],
    )


def _draw_preview(document: MatchesDocument, records: Sequence[PhotoRecord], out: Path) -> None:
    """The match graph: photos on a circle, a line for each verified pair, brighter with more inliers."""
    size = 560
    angles = np.linspace(0.0, 2.0 * np.pi, len(records), endpoint=False) - np.pi / 2.0
    spots = size / 2 + 0.42 * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    place = {str(record.name): spots[index] for index, record in enumerate(records)}
    picture = Image.new("RGB", (size, size), (24, 24, 27))
    draw = ImageDraw.Draw(picture)
    most = max((pair.inliers for pair in document.pairs), default=1) or 1
    for pair in sorted(document.pairs, key=lambda pair: pair.inliers):
        if pair.inliers >= _MIN_INLIERS:
            strength = (pair.inliers / most) ** 0.5
            colour = tuple(int(40 + strength * (peak - 40)) for peak in (80, 230, 120))
            draw.line([tuple(place[pair.photos[0]]), tuple(place[pair.photos[1]])], fill=colour, width=2)
    matched = {name for group in document.groups if len(group) > 1 for name in group}
    for name, (x, y) in place.items():
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(240, 240, 240) if name in matched else (230, 80, 60))
    save_preview(picture, out)


def _figures(document: MatchesDocument, photo_count: int) -> Figures:
    verified = [pair for pair in document.pairs if pair.inliers >= _MIN_INLIERS]
    return {
        "pairs_compared": len(document.pairs),
        "pairs_verified": len(verified),
        "median_inliers": int(np.median([pair.inliers for pair in verified])),
        "groups": sum(len(group) > 1 for group in document.groups),
        "photos_in_largest_group": len(document.groups[0]),
        "photos_without_partner": sum(len(group) == 1 for group in document.groups),
        "pairs_compared_of_all_percent": round(200.0 * len(document.pairs) / (photo_count * (photo_count - 1)), 1),
    }
