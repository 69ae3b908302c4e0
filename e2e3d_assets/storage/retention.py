"""What image sets take in the store, and removing the revisions that nobody can need.

What belongs here: the rule, which is pure, and carrying it out. What does not: when it is done (``schedules``).
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .errors import CorruptArtifact
from .names import MANIFEST, POINTER, check_component
from .objects import ObjectInfo
from .store import ArtifactStore, started_at


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """What a listing says of a revision.

    ``completed`` is when its manifest was written, none if it was not; ``changed`` is when its last object was.
    """

    name: str
    keys: tuple[str, ...]
    size: int
    completed: datetime | None
    changed: datetime


@dataclass(frozen=True, slots=True)
class AssetUsage:
    """What one asset of an image set takes, in bytes."""

    asset: str
    latest: str | None
    revisions: tuple[StoredRevision, ...]
    leftovers: tuple[ObjectInfo, ...]
    problem: str = ""
    """Why it cannot be said which revision is the latest, if so; nothing is removed then."""

    @property
    def total_bytes(self) -> int:
        """Everything."""
        return sum(r.size for r in self.revisions) + sum(info.size for info in self.leftovers)

    @property
    def latest_bytes(self) -> int:
        """The revision that readers get."""
        return sum(r.size for r in self.revisions if r.name == self.latest)


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that retention removes, or would remove."""

    asset: str
    revision: str
    size: int
    reason: str
    keys: tuple[str, ...]


def usage_by_asset(store: ArtifactStore, image_set: str) -> list[AssetUsage]:
    """What each asset of an image set takes, by one listing."""
    prefix = check_component(image_set)
    by_asset: dict[str, list[ObjectInfo]] = {}
    for info in store.objects.walk(prefix):
        by_asset.setdefault(info.key.split("/")[1], []).append(info)
    return [_usage(store, image_set, asset, infos) for asset, infos in sorted(by_asset.items())]


def prune(
    store: ArtifactStore, image_set: str, *, keep: int, min_age: timedelta, dry_run: bool = True
) -> list[Removal]:
    """Remove old revisions of every asset of an image set, see :func:`removable`.

    Args:
        store: where.
        image_set: of which set.
        keep: how many complete revisions of each asset stay, one at least.
        min_age: longer than any run takes, since runs may still read what was the latest when they began.
        dry_run: only tell.

    Returns:
        What was removed or would be.
    """
    removals = []
    for usage in usage_by_asset(store, image_set):
        for removal in removable(usage, keep, datetime.now(UTC) - min_age):
            removals.append(removal)
            if not dry_run and store.latest_revision(image_set, usage.asset) == usage.latest:
                _remove(store, removal)
    return removals


def removable(usage: AssetUsage, keep: int, before: datetime) -> list[Removal]:
    """What of an asset nobody can need any more.

    A complete revision goes if the pointer does not name it, ``keep`` newer or equal ones stay, and the next newer one
    was already complete ``before``: until then runs may have begun to read it. What is not complete, and files that
    belong to no revision, go if nothing about them has changed since ``before``.
    """
    if keep < 1:
        raise ValueError("One revision at least must be kept.")
    if usage.problem:
        return []
    complete = sorted((r for r in usage.revisions if r.completed), key=lambda r: r.name)
    replaced = {old.name: new.completed for old, new in itertools.pairwise(complete)}
    candidates = [r for r in complete[:-keep] if r.name != usage.latest]
    return [
        *(
            _removal(usage, revision, "replaced")
            for revision in candidates
            if (since := replaced.get(revision.name)) and since < before
        ),
        *(_removal(usage, r, "never finished") for r in usage.revisions if _is_abandoned(r, before)),
        *(
            Removal(usage.asset, "", info.size, "left by a killed process", (info.key,))
            for info in usage.leftovers
            if info.modified < before
        ),
    ]


def _is_abandoned(revision: StoredRevision, before: datetime) -> bool:
    """By the time in its name too: a big file shows in no listing of a bucket until all of it has come."""
    started = started_at(revision.name)
    return revision.completed is None and started is not None and max(started, revision.changed) < before


def _usage(store: ArtifactStore, image_set: str, asset: str, infos: Sequence[ObjectInfo]) -> AssetUsage:
    revisions: dict[str, list[ObjectInfo]] = {}
    leftovers = []
    for info in infos:
        revision, slash, _ = info.key.removeprefix(f"{image_set}/{asset}").lstrip("/").partition("/")
        if slash:
            revisions.setdefault(revision, []).append(info)
        elif revision != POINTER:
            leftovers.append(info)
    latest, problem = None, ""
    try:
        latest = store.latest_revision(image_set, asset)
    except CorruptArtifact as error:
        problem = str(error)
    return AssetUsage(
        asset,
        latest,
        tuple(_revision(name, found) for name, found in sorted(revisions.items())),
        tuple(leftovers),
        problem,
    )


def _revision(name: str, infos: Iterable[ObjectInfo]) -> StoredRevision:
    found = sorted(infos, key=lambda info: (_is_manifest(info, name), info.key))
    manifest = found[-1] if _is_manifest(found[-1], name) else None
    return StoredRevision(
        name,
        tuple(info.key for info in found),
        sum(info.size for info in found),
        manifest.modified if manifest else None,
        max(info.modified for info in found),
    )


def _is_manifest(info: ObjectInfo, revision: str) -> bool:
    return info.key.endswith(f"/{revision}/{MANIFEST}")


def _removal(usage: AssetUsage, revision: StoredRevision, reason: str) -> Removal:
    return Removal(usage.asset, revision.name, revision.size, reason, revision.keys)


def _remove(store: ArtifactStore, removal: Removal) -> None:
    """The manifest first: a removal that is cut off leaves an unfinished revision, never a damaged one."""
    store.objects.delete(removal.keys[-1:])
    store.objects.delete(removal.keys[:-1])
