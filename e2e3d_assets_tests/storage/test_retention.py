"""The rule of what may be removed. That it is carried out is part of every store's contract."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e3d_assets.storage.objects import ObjectInfo
from e2e3d_assets.storage.retention import AssetUsage, StoredRevision, removable

START = datetime(2026, 1, 1, tzinfo=UTC)


def _revision(hours: int, complete: bool = True) -> StoredRevision:
    started, completed = START + timedelta(hours=hours), START + timedelta(hours=hours, minutes=30)
    name = f"{started:%Y%m%dT%H%M%S%fZ}-00000000"
    return StoredRevision(name, (f"s/a/{name}/f",), 10, completed if complete else None, completed)


def _names(removals):
    return [removal.revision for removal in removals]


@st.composite
def _usages(draw) -> AssetUsage:
    hours = draw(st.lists(st.integers(0, 200), unique=True, max_size=12))
    revisions = [_revision(hour, draw(st.booleans())) for hour in sorted(hours)]
    names = [revision.name for revision in revisions if revision.completed]
    return AssetUsage("a", draw(st.sampled_from([*names, None])), tuple(revisions), ())


@given(_usages(), st.integers(1, 4), st.integers(0, 220))
def test_what_may_be_needed_stays(usage, keep, hours):
    """Prevents the loss of the product in use, of the newest ones, and of what a run may still be reading."""
    before = START + timedelta(hours=hours)
    removed = set(_names(removable(usage, keep, before)))
    complete = [revision for revision in usage.revisions if revision.completed]
    assert usage.latest not in removed
    assert not removed & {revision.name for revision in complete[-keep:]}
    for old, new in itertools.pairwise(complete):
        if new.completed >= before:
            assert old.name not in removed, "it was the latest until shortly ago"
    assert not removed & {revision.name for revision in usage.revisions if revision.changed >= before}


@given(_usages(), st.integers(1, 4))
def test_all_else_goes_in_the_end(usage, keep):
    """Prevents a store that only grows."""
    removed = set(_names(removable(usage, keep, START + timedelta(days=1000))))
    complete = [revision.name for revision in usage.revisions if revision.completed]
    unfinished = {revision.name for revision in usage.revisions if not revision.completed}
    assert removed == unfinished | (set(complete[:-keep]) - {usage.latest})


def test_a_damaged_pointer_stops_retention():
    """Prevents the removal of the very revision that a damaged pointer meant."""
    usage = AssetUsage("a", None, tuple(_revision(hour) for hour in range(5)), (), problem="latest.json is damaged")
    assert removable(usage, 1, START + timedelta(days=1000)) == []


def test_an_unfinished_revision_with_old_files_may_be_in_the_making():
    """Prevents removing a write in progress because of what a server or a restored backup says of its files' age."""
    fresh = _revision(100, complete=False)
    aged = StoredRevision(fresh.name, fresh.keys, 10, None, START - timedelta(days=3000))
    assert removable(AssetUsage("a", None, (aged,), ()), 1, START + timedelta(hours=50)) == []


def test_strange_folders_are_left_alone():
    """Prevents the removal of what an operator put beside the revisions by hand."""
    strange = StoredRevision("backup of monday", ("s/a/backup of monday/f",), 10, None, START)
    assert removable(AssetUsage("a", None, (strange,), ()), 1, START + timedelta(days=1000)) == []


def test_what_killed_processes_left_beside_the_revisions_goes():
    """Prevents half-written pointers from staying for ever."""
    part = ObjectInfo("s/a/.e2e3d-part-1", 5, "", START)
    usage = AssetUsage("a", None, (), (part,))
    assert [removal.keys for removal in removable(usage, 1, START + timedelta(days=1))] == [(part.key,)]
    assert removable(usage, 1, START) == []


def test_one_revision_at_least_is_kept():
    """Prevents a configuration that removes every product."""
    with pytest.raises(ValueError, match="One revision at least"):
        removable(AssetUsage("a", None, (), ()), 0, START)
