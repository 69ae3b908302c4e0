"""The cache of what is stored elsewhere; a folder plays the bucket, buckets have their turn in integration."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.cache import Cache
from e2e3d_assets.storage.errors import CorruptArtifact, NoSpace
from e2e3d_assets.storage.manifest import FileEntry
from e2e3d_assets.storage.sources import Cached
from e2e3d_assets.storage.store import ArtifactStore

from .store_contract import PRODUCT, contents, make


class Elsewhere:
    """A product in a store, read through caches."""

    def __init__(self, root: Path, files: dict[str, bytes]) -> None:
        self.store = ArtifactStore(str(root / "store"), root / "unused")
        committed = self.store.write(make(root / "own", files), "temple", "photos", "run")
        self.manifest = committed.manifest
        self.prefix = f"temple/photos/{committed.revision}"

    def source(self, cache: Path) -> Cached:
        return Cached(self.manifest, self.prefix, self.store.objects, Cache(cache))

    def read(self, cache: Path) -> Artifact:
        return Artifact(self.manifest.files, {}, self.source(cache), self.manifest, "elsewhere")

    def lose(self) -> None:
        self.store.objects.delete([f"{self.prefix}/{file.path}" for file in self.manifest.files])


@pytest.fixture
def elsewhere(tmp_path) -> Elsewhere:
    return Elsewhere(tmp_path, PRODUCT)


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def test_only_what_is_asked_for_is_fetched(elsewhere, cache):
    """Prevents a report that needs one picture from fetching ten gigabytes."""
    root = elsewhere.read(cache).path("images/Über den Bergen 1.jpg").parents[1]
    assert set(contents(root)) == {"images/Über den Bergen 1.jpg"}


def test_what_was_fetched_is_not_fetched_again(elsewhere, cache):
    """Prevents every stage of a run from fetching the same photos, also from other products that hold them."""
    elsewhere.read(cache).path()
    elsewhere.lose()
    assert contents(elsewhere.read(cache).path()) == PRODUCT


def test_equal_files_are_fetched_and_kept_once(tmp_path, cache):
    """Prevents a delivery that repeats the mesh from taking its room twice."""
    elsewhere = Elsewhere(tmp_path, {"a": b"same", "b": b"same", "c/d": b"same"})
    assert contents(elsewhere.read(cache).path()) == {"a": b"same", "b": b"same", "c/d": b"same"}
    assert len([path for path in (cache / "content").rglob("*") if path.is_file()]) == 1


def test_a_damaged_copy_is_fetched_again(elsewhere, cache):
    """Prevents a stage that wrote into its input from spoiling it for all later ones."""
    path = elsewhere.read(cache).path("notes.txt")
    path.write_bytes(b"PLAIN")
    assert elsewhere.read(cache).path("notes.txt").read_bytes() == b"plain"


def test_damaged_bytes_never_reach_the_cache(elsewhere, cache):
    """Prevents one bad transfer from being served to everybody afterwards."""
    elsewhere.store.objects.put_bytes(f"{elsewhere.prefix}/notes.txt", b"other")
    for _ in range(2):
        with pytest.raises(CorruptArtifact, match=r"notes\.txt of photos"):
            elsewhere.read(cache).path("notes.txt")
    assert not any(path.is_file() for path in cache.rglob("*"))


def test_many_readers_share_a_cache(elsewhere, cache):
    """Prevents two runs on one machine from disturbing each other's copies."""
    with ThreadPoolExecutor(8) as pool:
        roots = list(pool.map(lambda _: elsewhere.read(cache).path(), range(16)))
    assert contents(roots[0]) == PRODUCT
    assert not any((cache / "parts").iterdir())


def test_too_little_space_is_told_before_fetching(elsewhere, cache):
    """Prevents a full disk in the middle of a transfer of which the size is known."""
    huge = FileEntry(path="huge", size=10**15, sha256="0" * 64)
    with pytest.raises(NoSpace, match="bytes free, but 1,000,000,000,000,000 are needed"):
        elsewhere.source(cache).provide([huge])
