"""What the Dagster UI shows of a product: picture, link, figures, cost, tables, in this order.

What belongs here: wording and order. What does not: where the numbers come from, and what the IO manager adds.
"""

import base64
from typing import Any

import dagster as dg

from .measure import Cost
from .reconstruction.monitor import Figures
from .reconstruction.photo_set import FILE_NAME as PHOTOS
from .reconstruction.photo_set import PhotoRecord, PhotoSet
from .storage.artifacts import Artifact
from .storage.io_manager import FILES_PATH

_PREVIEW = "preview.jpg"
_DIGITS = 6
_ROWS = 100


def describe(artifact: Artifact, figures: Figures, cost: Cost, quality: str, *, reused: bool) -> dict[str, Any]:
    """The metadata of a materialization.

    ``open`` keeps the place for the link to this very revision, which only the IO manager knows.
    """
    return {
        **_preview(artifact),
        "open": dg.MetadataValue.url(f"{FILES_PATH}/"),
        **{name: _short(value) for name, value in figures.items()},
        **_photos(artifact),
        "quality": quality,
        "reused": reused,
        "wall_seconds": round(cost.wall_seconds, 2),
        "cpu_seconds": round(cost.cpu_seconds, 2),
        "peak_memory_mb": round(cost.peak_memory_bytes / 1e6),
    }


def _preview(artifact: Artifact) -> dict[str, dg.MetadataValue]:
    if artifact.file(_PREVIEW) is None:
        return {}
    picture = base64.b64encode(artifact.path(_PREVIEW).read_bytes()).decode()
    return {"preview": dg.MetadataValue.md(f"![preview](data:image/jpeg;base64,{picture})")}


def _photos(artifact: Artifact) -> dict[str, dg.MetadataValue]:
    """Every photo and its fate, those that are left out first."""
    if artifact.file(PHOTOS) is None:
        return {}
    photos = PhotoSet.load(artifact.path(PHOTOS).parent)
    rows = [_row(photo) for photo in (*photos.rejected, *photos.accepted)[:_ROWS]]
    return {"photos": dg.MetadataValue.table(rows)} if rows else {}


def _row(photo: PhotoRecord) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "photo": photo.given_name,
            "status": photo.status,
            "why": photo.reason or (f"nearly equals {photo.duplicate_of}" if photo.duplicate_of else ""),
            "size": f"{photo.width} × {photo.height}" if photo.width else "",
            "sharpness": "" if photo.sharpness is None else f"{photo.sharpness:.2f}",
        }
    )


def _short(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
