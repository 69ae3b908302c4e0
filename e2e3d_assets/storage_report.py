"""What each image set takes in the stores: figures for operators, as rows, as a table and as numbers that are plotted.

What belongs here: adding up and wording. Counting is the store's, see :mod:`e2e3d_assets.storage.retention`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from .storage.errors import Refused
from .storage.retention import AssetUsage, usage_by_asset
from .storage.store import ArtifactStore
from .storage.uploads import Upload

_ROWS_SHOWN = 200
_NO_COLUMNS = dg.TableSchema([])


@dataclass(frozen=True)
class SetUsage:
    """One row: bytes of an image set."""

    image_set: str
    upload_bytes: int
    assets: tuple[AssetUsage, ...]

    @property
    def latest_bytes(self) -> int:
        """What readers get."""
        return sum(asset.latest_bytes for asset in self.assets)

    @property
    def old_bytes(self) -> int:
        """Replaced and unfinished revisions."""
        return sum(asset.total_bytes for asset in self.assets) - self.latest_bytes

    @property
    def largest(self) -> str:
        """The asset that takes most."""
        return max(self.assets, key=lambda asset: asset.total_bytes).asset if self.assets else ""


def survey_storage(store: ArtifactStore, uploads: dict[str, Upload]) -> list[SetUsage]:
    """Usage of every image set that has products or an upload, the largest first."""
    rows = [
        SetUsage(name, uploads[name].size if name in uploads else 0, _products(store, name))
        for name in {*store.image_sets(), *uploads}
    ]
    return sorted(rows, key=lambda row: -(row.upload_bytes + row.latest_bytes + row.old_bytes))


def _products(store: ArtifactStore, name: str) -> tuple[AssetUsage, ...]:
    try:
        return tuple(usage_by_asset(store, name))
    except Refused:  # the folder is somebody else's: its name cannot be an image set's
        return ()


def totals(rows: Iterable[SetUsage]) -> dict[str, int]:
    """Figures that are plotted over time."""
    rows = list(rows)
    return {
        "image_sets": len(rows),
        "upload_bytes": sum(row.upload_bytes for row in rows),
        "latest_bytes": sum(row.latest_bytes for row in rows),
        "old_bytes": sum(row.old_bytes for row in rows),
    }


def table(rows: Sequence[SetUsage]) -> dg.TableMetadataValue:
    """The largest image sets, in MB."""
    shown = [
        dg.TableRecord(
            {
                "image set": row.image_set,
                "upload MB": round(row.upload_bytes / 1e6, 1),
                "products MB": round(row.latest_bytes / 1e6, 1),
                "older revisions MB": round(row.old_bytes / 1e6, 1),
                "most in": row.largest,
            }
        )
        for row in rows[:_ROWS_SHOWN]
    ]
    return dg.MetadataValue.table(shown, None if shown else _NO_COLUMNS)
