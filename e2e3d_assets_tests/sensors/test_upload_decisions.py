"""Which uploads get a run, by the pure rules."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from e2e3d_assets.runs import UploadVersion, next_version
from e2e3d_assets.sensors.upload_decisions import Decision, Known, decide, state_of
from e2e3d_assets.storage.uploads import COMPLETE, OPTIONS, Upload, UploadedFile

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
QUIET = timedelta(seconds=60)


def upload(folder: str, *files: str, marker: bool = True, options: str = "", age: float = 600) -> Upload:
    """An upload whose files have their names as contents."""

    def file(path: str, etag: str) -> UploadedFile:
        return UploadedFile(path, 10, etag, NOW - timedelta(seconds=age))

    return Upload(
        folder,
        tuple(file(name, name) for name in files),
        file(COMPLETE, "") if marker else None,
        file(OPTIONS, options) if options else None,
        cast(Any, None),
    )


class World:
    """Uploads and what runs were started for them, tick by tick."""

    def __init__(self, *uploads: Upload) -> None:
        self.uploads = {each.image_set: each for each in uploads}
        self.versions: dict[str, UploadVersion] = {}
        self.image_sets: set[str] = set()
        self.deleted: set[str] = set()

    def put(self, changed: Upload) -> None:
        self.uploads[changed.image_set] = changed

    def tick(self, at: datetime = NOW) -> Decision:
        decision = decide(self.uploads, Known(self.versions, self.image_sets, self.deleted), QUIET, at)
        for wanted in decision.ready:
            self.versions[wanted.image_set] = wanted.version
            self.image_sets.add(wanted.image_set)
        return decision


def started(decision: Decision) -> list[str]:
    return [wanted.version.tag.rsplit(":", 1)[0] for wanted in decision.ready]


def test_complete_upload_gets_one_run():
    """Prevents work that nobody starts, and work that is started at each tick."""
    world = World(upload("banana", "a.jpg"))
    assert started(world.tick()) == ["banana:1"]
    again = world.tick()
    assert started(again) == []
    assert again.settled


def test_upload_without_marker_waits_for_quiet_and_says_so():
    """Prevents a model of half the photos."""
    world = World(upload("banana", "a.jpg", "b.jpg", marker=False, age=20))
    waiting = world.tick()
    assert started(waiting) == []
    assert not waiting.settled
    assert waiting.remarks == [
        "banana: 2 files so far, starts 40 s from now unless something changes. Write _COMPLETE to start at once."
    ]
    assert started(world.tick(NOW + timedelta(seconds=40))) == ["banana:1"]


def test_changed_upload_gets_a_new_run_of_the_same_image_set():
    """Prevents added photos from being ignored."""
    world = World(upload("banana", "a.jpg"))
    world.tick()
    world.put(upload("banana", "a.jpg", "b.jpg"))
    assert started(world.tick()) == ["banana:2"]


def test_upload_changed_back_gets_a_run_again():
    """Prevents a model of photos that were taken back, since the first fingerprint was seen before."""
    first = upload("banana", "a.jpg")
    world = World(first)
    tags = {world.tick().ready[0].version.tag}
    world.put(upload("banana", "b.jpg"))
    tags.add(world.tick().ready[0].version.tag)
    world.put(first)
    tags.add(world.tick().ready[0].version.tag)
    assert len(tags) == 3, "the third run needs a run key of its own"
    assert started(world.tick()) == []


def test_other_options_ask_for_other_work():
    """Prevents a new quality in e2e3d.json from being ignored."""
    world = World(upload("banana", "a.jpg", options="low"))
    world.tick()
    world.put(upload("banana", "a.jpg", options="high"))
    assert started(world.tick()) == ["banana:2"]


def test_a_marker_that_comes_late_starts_nothing_twice():
    """Prevents the marker from counting as a change of the photos."""
    world = World(upload("banana", "a.jpg", marker=False))
    assert started(world.tick()) == ["banana:1"]
    world.put(upload("banana", "a.jpg", marker=True))
    assert started(world.tick()) == []


def test_deleted_upload_keeps_its_image_set():
    """Prevents a tidied bucket from taking models with it."""
    world = World(upload("banana", "a.jpg"))
    world.tick()
    world.uploads.clear()
    gone = world.tick()
    assert started(gone) == []
    assert gone.remarks == ["1 image sets have no upload any more; their products stay: banana."]
    world.put(upload("banana", "a.jpg"))
    assert started(world.tick()) == [], "the same photos put back are the same work"


def test_deleted_image_set_is_never_started_again():
    """Prevents a new set from wearing the history of a deleted one."""
    world = World(upload("banana", "a.jpg"))
    world.deleted.add("banana")
    decision = world.tick()
    assert started(decision) == []
    assert "was deleted" in decision.remarks[0]


def test_names_become_keys_and_collisions_are_told():
    """Prevents two folders from taking turns in one image set."""
    world = World(upload("My Photos", "a.jpg"), upload("my-photos", "b.jpg"), upload("写真", "c.jpg"))
    decision = world.tick()
    assert [(wanted.upload.image_set, wanted.image_set) for wanted in decision.ready] == [("my-photos", "my-photos")]
    assert any(remark.startswith("My Photos: not used") for remark in decision.remarks)
    assert any(remark.startswith("写真: no letter") for remark in decision.remarks)
    assert started(World(upload("My Photos", "a.jpg")).tick()) == ["my-photos:1"]


def test_marker_without_photos_is_told():
    """Prevents an empty upload from ending in a failed run."""
    decision = World(upload("banana")).tick()
    assert started(decision) == []
    assert decision.remarks == ["banana: no photos in it."]


def test_the_longest_waiting_comes_first():
    """Prevents a stream of new uploads from starving an old one when runs are capped."""
    world = World(upload("a", "x", age=100), upload("b", "x", age=300), upload("c", "x", age=200))
    assert started(world.tick()) == ["b:1", "c:1", "a:1"]


def test_state_of_uploads_knows_markers_and_options():
    """Prevents a tick from being skipped although something has changed."""
    states = {
        state_of({"a": each})
        for each in (
            upload("a", "x"),
            upload("a", "x", marker=False),
            upload("a", "y"),
            upload("a", "x", options="low"),
        )
    }
    assert len(states) == 4


CONTENTS = st.lists(st.sampled_from(["p", "q", "r"]), min_size=1, max_size=3, unique=True)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), CONTENTS, st.booleans()), max_size=15))
def test_whatever_happens_each_state_gets_exactly_one_run(changes):
    """Prevents any order of uploads from losing work or doing it twice."""
    world = World()
    tags: list[str] = []
    expected = 0
    last: dict[str, str] = {}
    for folder, files, _ in changes:
        changed = upload(folder, *files)
        world.put(changed)
        expected += last.get(folder) != changed.fingerprint
        last[folder] = changed.fingerprint
        tags += [wanted.version.tag for wanted in world.tick().ready]
    assert len(tags) == len(set(tags)) == expected
    assert world.tick().settled


@given(
    st.text("abcdef0123456789", min_size=40, max_size=64),
    st.integers(1, 99),
    st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True),
)
def test_version_survives_its_tag(fingerprint, number, image_set):
    """Prevents the instance from forgetting what was started."""
    version = UploadVersion(image_set, number, next_version(image_set, fingerprint, None).fingerprint)
    assert UploadVersion.of_tag(version.tag) == version
    assert next_version(image_set, fingerprint, version) is version
    assert UploadVersion.of_tag(fingerprint) is None
