"""Which uploads shall be reconstructed now: pure decisions, without Dagster, store or clock.

What belongs here: the rules. What carries them out is :mod:`~e2e3d_assets.sensors.uploads`.
"""

import hashlib
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ..partitions import key_of
from ..runs import UploadVersion, next_version
from ..storage.uploads import COMPLETE, Upload

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Known:
    """What the instance knows."""

    versions: Mapping[str, UploadVersion]
    """Per image set, the last version of its upload that a run was started for."""
    image_sets: Set[str]
    deleted: Set[str]


@dataclass(frozen=True)
class Wanted:
    """A run that shall be started."""

    upload: Upload
    version: UploadVersion

    @property
    def image_set(self) -> str:
        """The partition's key."""
        return self.version.image_set


@dataclass
class Decision:
    """What shall be done, and in words why nothing is done with the rest."""

    ready: list[Wanted] = field(default_factory=list)
    """The longest waiting first."""
    remarks: list[str] = field(default_factory=list)
    """About uploads that wait or cannot be used; at most one for each."""
    settled: bool = False
    """Whether nothing is to be done before some upload changes: neither started now, nor waiting."""


def decide(uploads: Mapping[str, Upload], known: Known, quiet: timedelta, now: datetime) -> Decision:
    """Decide from one complete listing of all uploads.

    Args:
        uploads: by folder. A listing that failed is no listing: do not call this with what there was of it.
        known: of the instance, read after the listing.
        quiet: an upload without a marker is complete after this long without a change.
        now: the present time.
    """
    decision = Decision()
    waiting = False
    for key, folders in sorted(_by_key(uploads, decision).items()):
        folder, *others = folders
        decision.remarks += [
            f"{other}: not used, its key {key!r} is that of {folder!r}. Rename it." for other in others
        ]
        upload = uploads[folder]
        if key in known.deleted:
            decision.remarks.append(f"{folder}: the image set {key!r} was deleted. Upload it under another name.")
        elif not upload.files:
            decision.remarks.append(f"{folder}: no photos in it.")
        elif not _is_handled(upload, known.versions.get(key)):
            if pause := _still_to_wait(upload, quiet, now):
                waiting = True
                decision.remarks.append(pause)
            else:
                decision.ready.append(Wanted(upload, next_version(key, upload.fingerprint, known.versions.get(key))))
    decision.ready.sort(key=lambda wanted: wanted.upload.modified or _EARLIEST)
    decision.remarks += _vanished(uploads, known)
    decision.settled = not decision.ready and not waiting
    return decision


def state_of(uploads: Mapping[str, Upload]) -> str:
    """Names the state of all uploads together, markers included: equal states ask for the same."""
    told = hashlib.sha256()
    for folder, upload in sorted(uploads.items()):
        told.update(f"{folder}\0{upload.fingerprint}\0{bool(upload.marker)}\n".encode())
    return told.hexdigest()


def _by_key(uploads: Mapping[str, Upload], decision: Decision) -> dict[str, list[str]]:
    """Folders by the key of their image set; the one that is called like the key comes first."""
    found: dict[str, list[str]] = {}
    for folder in uploads:
        key = key_of(folder)
        if key is None:
            decision.remarks.append(f"{folder}: no letter a-z or digit to make an image set name of. Rename it.")
        else:
            found.setdefault(key, []).append(folder)
    return {key: sorted(folders, key=lambda folder: (folder != key, folder)) for key, folders in found.items()}


def _vanished(uploads: Mapping[str, Upload], known: Known) -> list[str]:
    gone = sorted(known.image_sets - {key_of(folder) for folder in uploads} - known.deleted)
    if not gone:
        return []
    shown = ", ".join(gone[:5]) + (" …" if len(gone) > 5 else "")
    return [f"{len(gone)} image sets have no upload any more; their products stay: {shown}."]


def _is_handled(upload: Upload, latest: UploadVersion | None) -> bool:
    return latest is not None and latest.is_of(upload.fingerprint)


def _still_to_wait(upload: Upload, quiet: timedelta, now: datetime) -> str:
    if upload.marker is not None or upload.modified is None:
        return ""
    left = (upload.modified + quiet - now).total_seconds()
    if left <= 0:
        return ""
    return (
        f"{upload.image_set}: {len(upload.files)} files so far, starts {left:.0f} s from now unless something changes. "
        f"Write {COMPLETE} to start at once."
    )
