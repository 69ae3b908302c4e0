"""Stage ``matches``: which photos show the same points, verified by two-view geometry.

What belongs here: choosing pairs, linking groups, looking twice where photos hang loose, and the diagnosis when nothing
fits. The comparing itself is in :mod:`~e2e3d_assets.reconstruction.sparse.comparison`.

Cost, for N photos with k neighbours: at most N (k by appearance + k by GPS + k / 2 + 2 by sequence) pairs; neighbours
are mutual and the choices overlap, so that N = 300 and k = 20 gave 12 pairs a photo by appearance alone, 17 with GPS.
A pair of 8,000 key points takes 0.13 CPU seconds. On paper for N = 10,000: 120,000 to 520,000 pairs, 4 to 19 CPU hours,
where all 50 million pairs would take 1,800. Memory: 600 MB for N = 1,000 (``make bench-sparse ARGS="--memory 1000"``),
most of it descriptors of one block of pairs, whatever N is; what grows is 32 kB of signature a photo (330 MB) and about
1 kB of record a pair (0.1 to 0.5 GB). Disk: 1.3 MB of key points and descriptors a photo, 13 GB.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image, ImageDraw

from .errors import BadInput
from .monitor import Figures, Monitor
from .options import MatchesOptions
from .photo_set import PhotoRecord, PhotoSet
from .preview import save_preview
from .sparse.appearance import signatures
from .sparse.colmap_database import DATABASE, drop_descriptors
from .sparse.comparison import FIRST_LOOK, SECOND_LOOK, Comparison
from .sparse.match_document import MIN_INLIERS, MatchedPair, MatchesDocument, connected_groups, inliers_by_partner
from .sparse.pairing import (
    Pair,
    Why,
    alike_pairs,
    every_pair,
    linking_pairs,
    merge_reasons,
    nearby_pairs,
    not_far_apart,
    pauses,
    sequence_pairs,
)
from .sparse.parallax import parallax_of_size
from .sparse.reuse import EarlierComparisons, comparison_digests

_FIRM_INLIERS = 50
"""A photo hangs firmly on the others if two partners share this many points with it: a pose needs two views' points."""
_LINKS_A_NEIGHBOUR = 3
_FEATURELESS = 100
"""Key points of the middle photo, of which a mere wall has more."""
_LEAST_PARALLAX_PERCENT = 0.3
"""A turning camera leaves 0.06 on a made-up set, which is the key points' noise; ordinary sets have 4 to 9."""


def match_features(
    photos: Path,
    features: Path,
    out: Path,
    options: MatchesOptions,
    monitor: Monitor,
    previous: Path | None = None,
) -> Figures:
    """Compare pairs of photos and verify what they have in common.

    Args:
        photos: output of stage photos.
        features: output of stage features.
        out: gets ``database.db`` (COLMAP; key points and verified geometries, the descriptors stay with features),
            ``matches.json`` (:class:`MatchesDocument`) and ``preview.jpg``.
        options: which pairs.
        monitor: progress per pair.
        previous: an earlier product of this stage with equal options, whose pairs of equal photos are taken over.

    Raises:
        BadInput: no three photos hang together, or all were taken from one spot.
    """
    photo_set = PhotoSet.load(photos)
    database = out / DATABASE
    shutil.copyfile(features / DATABASE, database)
    names = [str(record.name) for record in photo_set.accepted]
    digests = comparison_digests(database, monitor)
    comparison = Comparison(database, names, options.seed, monitor, _earlier(previous, digests))
    alike = _Appearance(database, comparison.image_ids, options.seed, monitor)
    chosen = _choose_pairs(photo_set, alike, options)
    reasons = merge_reasons(chosen)
    comparison.compare(list(reasons), FIRST_LOOK)
    if "appearance" in chosen:
        groups = connected_groups(names, comparison.results(reasons))
        chosen["link"] = alike.linking_pairs(names, groups, set(reasons), _LINKS_A_NEIGHBOUR * options.neighbours)
        comparison.compare(chosen["link"], FIRST_LOOK)
        reasons = merge_reasons(chosen)
    loose = weakly_linked(names, comparison.results(reasons))
    again = second_look_pairs(loose, list(reasons))
    comparison.forget(again)
    comparison.compare(again, SECOND_LOOK)
    reasons = merge_reasons({**chosen, "second look": again})
    pairs = comparison.results(reasons)
    groups = connected_groups(names, pairs)
    document = MatchesDocument(pairing=options.pairing, pairs=pairs, groups=groups, digests=digests)
    drop_descriptors(database)
    _require_overlap(document, photo_set.accepted, database)
    parallax = _parallax_percent(database, document)
    _require_parallax(parallax, photo_set.accepted)
    document.save(out)
    _draw_preview(document, names, out)
    figures = _figures(document, loose)
    return {**figures, "parallax_percent": parallax, "pairs_known_from_before": comparison.taken_over}


def _earlier(previous: Path | None, digests: Mapping[str, str]) -> EarlierComparisons | None:
    """What an earlier product compared at first look, between photos that are in this set too."""
    if previous is None:
        return None
    document = MatchesDocument.load(previous)
    there = {digest: name for name, digest in document.digests.items()}
    same = {name: there[digest] for name, digest in digests.items() if digest in there}
    pairs = {frozenset(pair.photos) for pair in document.pairs if "second look" not in pair.why}
    return EarlierComparisons(previous / DATABASE, same, pairs)


def weakly_linked(names: Sequence[str], pairs: Sequence[MatchedPair]) -> list[int]:
    """Indices of the photos that fewer than two partners hold firmly."""
    partners = inliers_by_partner(names, pairs)
    return [
        index for index, name in enumerate(names) if sum(inliers >= _FIRM_INLIERS for inliers, _ in partners[name]) < 2
    ]


def second_look_pairs(loose: Sequence[int], pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs compared that are worth a looser look: those of weakly linked photos."""
    wanted = set(loose)
    return [pair for pair in pairs if wanted & set(pair)]


def _choose_pairs(photo_set: PhotoSet, alike: "_Appearance", options: MatchesOptions) -> dict[Why, list[Pair]]:
    """Every pair of a small set; else what order, place and appearance suggest."""
    records = photo_set.accepted
    pairing = options.pairing
    if pairing == "exhaustive" or (pairing == "auto" and len(records) <= options.exhaustive_up_to):
        return {"exhaustive": every_pair(len(records))}
    chosen: dict[Why, list[Pair]] = {}
    places = {index: record.gps for index, record in enumerate(records) if record.gps is not None}
    if pairing in ("auto", "sequential"):
        breaks = [] if photo_set.source == "video" else pauses([record.taken for record in records])
        chosen["sequence"] = sequence_pairs(len(records), options.neighbours, breaks if pairing == "auto" else [])
    if pairing in ("auto", "spatial"):
        chosen["gps"] = nearby_pairs(places, options.neighbours)
    if pairing in ("auto", "retrieval"):
        alike_ones = alike_pairs(alike.signatures, options.neighbours)
        chosen["appearance"] = (
            not_far_apart(alike_ones, places, options.neighbours) if pairing == "auto" else alike_ones
        )
    return chosen


class _Appearance:
    """The photos' signatures, computed when they are first asked for."""

    def __init__(self, database: Path, image_ids: Sequence[int], seed: int, monitor: Monitor) -> None:
        self._database, self._image_ids, self._seed, self._monitor = database, image_ids, seed, monitor

    @cached_property
    def signatures(self) -> np.ndarray:
        with pycolmap.Database.open(self._database) as opened:
            return signatures(
                lambda image_id: np.asarray(opened.read_descriptors(image_id).data),
                self._image_ids,
                self._seed,
                self._monitor.check,
            )

    def linking_pairs(
        self, names: Sequence[str], groups: Sequence[Sequence[str]], compared: Collection[Pair], pairs_a_group: int
    ) -> list[Pair]:
        index = {name: position for position, name in enumerate(names)}
        indices = [[index[name] for name in group] for group in groups]
        return linking_pairs(self.signatures, indices, compared, pairs_a_group)


def _require_overlap(document: MatchesDocument, records: Sequence[PhotoRecord], database: Path) -> None:
    if len(document.groups[0]) >= 3:
        return
    badly_exposed = [record.given_name for record in records if record.badly_exposed]
    if len(badly_exposed) * 2 > len(records):
        problem = "The photos are too dark or too bright to find common points"
        raise BadInput(problem, "Take them again in more even light, or with another exposure", badly_exposed)
    blurred = [record.given_name for record in records if record.blurred]
    if len(blurred) * 2 > len(records):
        raise BadInput(
            "The photos are too blurred, or show too little detail, to find common points",
            "Take sharp photos, and with plain or shiny things show what is around them",
            blurred,
        )
    points = _key_points_of_middle_photo(database)
    if points < _FEATURELESS:
        raise BadInput(
            f"The photos show too little detail to find common points: only {points} distinct ones in the middle photo",
            "Plain and shiny things cannot be told from place to place: show more of what is around them, or lay "
            "something with a pattern there",
            [record.given_name for record in records],
        )
    given = {record.name: record.given_name for record in records}
    raise BadInput(
        "The photos show different places, or overlap too little: no three of them share points. "
        + _nearest(document, given),
        "Give photos of one place or thing, each overlapping the next by two thirds",
        [record.given_name for record in records],
    )


def _key_points_of_middle_photo(database: Path) -> int:
    with pycolmap.Database.open(database) as opened:
        return int(np.median([opened.num_keypoints_for_image(image.image_id) for image in opened.read_all_images()]))


def _nearest(document: MatchesDocument, given: Mapping[str | None, str]) -> str:
    """How far the photos are from hanging together."""
    if not document.pairs:
        return f"By the pairing '{document.pairing}' there was no pair to compare; 'auto' would find some"
    best = max(document.pairs, key=lambda pair: pair.inliers)
    one, other = (given[name] for name in best.photos)
    if best.verified:
        return f"{one} and {other} share {best.inliers}, but no third photo shares any with either"
    if best.inliers == 0:
        return f"No two photos share a single point, where {MIN_INLIERS} are needed"
    return f"The most alike two, {one} and {other}, share {best.inliers} where {MIN_INLIERS} are needed"


def _parallax_percent(database: Path, document: MatchesDocument) -> float:
    """Within the largest group, in percent of the photos' size."""
    group = set(document.groups[0])
    pairs = [pair.photos for pair in document.pairs if pair.verified and pair.photos[0] in group]
    return round(100.0 * parallax_of_size(database, pairs), 3)


def _require_parallax(percent: float, records: Sequence[PhotoRecord]) -> None:
    if percent < _LEAST_PARALLAX_PERCENT:
        raise BadInput(
            "All photos were taken from one spot: the camera may have turned, but it did not move, and so they show "
            "no depth",
            "Take each photo a step further along (about a tenth of the way to what you photograph), not by turning",
            [record.given_name for record in records],
        )


def _draw_preview(document: MatchesDocument, names: Sequence[str], out: Path) -> None:
    """The match graph: photos on a circle, a line for each verified pair, brighter with more inliers."""
    size = 560
    angles = np.linspace(0.0, 2.0 * np.pi, len(names), endpoint=False) - np.pi / 2.0
    spots = size / 2 + 0.42 * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    place = {name: (float(x), float(y)) for name, (x, y) in zip(names, spots, strict=True)}
    picture = Image.new("RGB", (size, size), (24, 24, 27))
    draw = ImageDraw.Draw(picture)
    most = max((pair.inliers for pair in document.pairs), default=1) or 1
    for pair in sorted(document.pairs, key=lambda pair: pair.inliers):
        if pair.verified:
            strength = (pair.inliers / most) ** 0.5
            colour = tuple(int(40 + strength * (peak - 40)) for peak in (80, 230, 120))
            draw.line([place[pair.photos[0]], place[pair.photos[1]]], fill=colour, width=2)
    matched = {name for group in document.groups if len(group) > 1 for name in group}
    for name, (x, y) in place.items():
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(240, 240, 240) if name in matched else (230, 80, 60))
    save_preview(picture, out)


def _figures(document: MatchesDocument, loose: Sequence[int]) -> Figures:
    verified = [pair for pair in document.pairs if pair.verified]
    photos = sum(len(group) for group in document.groups)
    return {
        "pairs_compared": len(document.pairs),
        "pairs_verified": len(verified),
        "median_inliers": int(np.median([pair.inliers for pair in verified])),
        "groups": sum(len(group) > 1 for group in document.groups),
        "photos_in_largest_group": len(document.groups[0]),
        "photos_without_partner": sum(len(group) == 1 for group in document.groups),
        "photos_looked_at_twice": len(loose),
        "pairs_compared_of_all_percent": round(200.0 * len(document.pairs) / (photos * (photos - 1)), 1),
    }
