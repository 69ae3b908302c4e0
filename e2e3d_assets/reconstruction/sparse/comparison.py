"""Comparing pairs of photos by their descriptors, and verifying what fits by two-view geometry.

What belongs here: the native call, its thresholds, and reading its results. Which pairs are compared and what is made
of the results is in :mod:`~e2e3d_assets.reconstruction.matching`.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pycolmap

from ..monitor import Monitor
from ..native import run_cancellable, thread_count
from .colmap_database import polled_progress
from .match_document import MIN_INLIERS, MatchedPair
from .pairing import Pair, Why
from .reuse import EarlierComparisons

_BLOCK = 64


@dataclass(frozen=True)
class Look:
    """How strictly descriptors must fit (Lowe's ratio), and how many must then agree on one geometry."""

    what: str
    max_ratio: float
    min_inliers: int
    max_trials: int


FIRST_LOOK = Look("pairs", 0.8, MIN_INLIERS, 10_000)
SECOND_LOOK = Look("pairs of weakly linked photos", 0.9, 25, 2_000)
"""Looser descriptors give chance agreements of up to 18 points on the sample photos, so more must agree."""


class Comparison:
    """Compares photos in a database; a pair is two indices into the photos.

    Args:
        database: COLMAP database with descriptors; written to.
        names: the photos.
        seed: of the robust estimations.
        monitor: progress per pair.
        earlier: comparisons that need not be made again.

    Attributes:
        taken_over: how many pairs were not compared but known.
    """

    def __init__(
        self,
        database: Path,
        names: Sequence[str],
        seed: int,
        monitor: Monitor,
        earlier: EarlierComparisons | None = None,
    ) -> None:
        self._database, self._names, self._seed, self._monitor = database, names, seed, monitor
        self._earlier = earlier
        self.taken_over = 0
        with pycolmap.Database.open(database) as opened:
            ids = {image.name: image.image_id for image in opened.read_all_images()}
        self.image_ids = [ids[name] for name in names]

    def compare(self, pairs: Sequence[Pair], look: Look) -> None:
        """Compare pairs that were not compared yet; what is found goes into the database."""
        if look is FIRST_LOOK and self._earlier is not None:
            pairs = self._without_known(pairs, self._earlier)
        if not pairs:
            return
        matching = pycolmap.FeatureMatchingOptions()
        matching.num_threads = thread_count()
        matching.sift.max_ratio = look.max_ratio
        verification = pycolmap.TwoViewGeometryOptions()
        verification.min_num_inliers = look.min_inliers
        verification.ransac.random_seed = self._seed
        verification.ransac.max_num_trials = look.max_trials
        rows = [partial(_is_compared, pair=(self.image_ids[i], self.image_ids[j])) for i, j in pairs]
        with tempfile.TemporaryDirectory(prefix=".pairs-", dir=self._database.parent) as folder:
            pairing = pycolmap.ImportedPairingOptions()
            pairing.match_list_path = Path(folder) / "pairs.txt"
            pairing.block_size = _BLOCK
            lines = [f"{self._names[i]} {self._names[j]}\n" for i, j in pairs]
            Path(pairing.match_list_path).write_text("".join(lines), encoding="utf-8")
            with polled_progress(self._database, rows, look.what, self._monitor):
                run_cancellable(
                    lambda token: pycolmap.match_image_pairs(
                        self._database, matching, pairing, verification, pycolmap.Device.cpu, cancellation_token=token
                    ),
                    self._monitor,
                )

    def _without_known(self, pairs: Sequence[Pair], earlier: EarlierComparisons) -> list[Pair]:
        """Take over what is known already; the pairs that are left to compare."""
        by_names = {(self._names[i], self._names[j]): (i, j) for i, j in pairs}
        known = earlier.take_over(self._database, list(by_names), self._monitor)
        self.taken_over += len(known)
        return [pair for names, pair in by_names.items() if names not in known]

    def forget(self, pairs: Sequence[Pair]) -> None:
        """Make pairs uncompared again."""
        with pycolmap.Database.open(self._database) as opened:
            for i, j in pairs:
                opened.delete_matches(self.image_ids[i], self.image_ids[j])
                opened.delete_two_view_geometry(self.image_ids[i], self.image_ids[j])

    def results(self, reasons: Mapping[Pair, list[Why]]) -> list[MatchedPair]:
        """What came of the pairs."""
        with pycolmap.Database.open(self._database) as opened:
            inliers = dict(zip(*opened.read_two_view_geometry_num_inliers(), strict=True))
            matches = dict(zip(*opened.read_num_matches(), strict=True))
        results: list[MatchedPair] = []
        for (i, j), why in reasons.items():
            pair_id = pycolmap.image_pair_to_pair_id(self.image_ids[i], self.image_ids[j])
            results.append(
                MatchedPair(
                    photos=(self._names[i], self._names[j]),
                    matches=int(matches.get(pair_id, 0)),
                    inliers=int(inliers.get(pair_id, 0)),
                    why=why,
                )
            )
        return results


def _is_compared(database: pycolmap.Database, pair: tuple[int, int]) -> bool:
    return database.exists_two_view_geometry(*pair)
