"""The cache itself: what comes into it without being fetched, and what leaves it."""

import os
import time

from e2e3d_assets.storage.cache import Cache

from .store_contract import contents, make
from .test_sources import Elsewhere


def test_what_was_just_written_need_not_be_fetched(tmp_path):
    """Prevents a stage from fetching from the bucket what the one before it made on this machine."""
    cache = tmp_path / "cache"
    product = make(tmp_path / "own", {"a": b"1", "b/c": b"2"})
    held = tmp_path / "held"
    os.link(tmp_path / "own" / "a", held)
    Cache(cache).adopt(tmp_path / "own", product.files)
    kept = {path.read_bytes() for path in (cache / "content").rglob("*") if path.is_file()}
    assert kept == {b"2"}, "a file that somebody else holds may change, and is not kept"


def test_trimming_removes_the_longest_unused(tmp_path):
    """Prevents a cache that fills the disk, and one that removes what a run is reading."""
    cache = tmp_path / "cache"
    products = [Elsewhere(tmp_path / str(n), {"own": bytes([n]) * 1000, "shared": b"s" * 1000}) for n in range(3)]
    roots = [product.read(cache).path() for product in products]
    for age, root in enumerate(reversed(roots)):
        os.utime(root, (time.time() - 1000 * age,) * 2)
    for content in (cache / "content").rglob("*"):
        os.utime(content, (time.time() - 5000,) * 2)
    assert Cache(cache).trim(keep_bytes=0, unused_seconds=1500) == 1000
    assert [root.exists() for root in roots] == [False, True, True]
    assert contents(roots[1]) == {"own": b"\x01" * 1000, "shared": b"s" * 1000}
    assert Cache(cache).trim(keep_bytes=2500, unused_seconds=0) == 1000
    assert [root.exists() for root in roots] == [False, False, True]


def test_trimming_removes_uploads_too(tmp_path):
    """Prevents the photos of finished runs from filling the disk of every worker."""
    cache = tmp_path / "cache"
    for name, age in {"old": 2000, "new": 0}.items():
        (cache / "uploads" / name).mkdir(parents=True)
        (cache / "uploads" / name / "a.jpg").write_bytes(b"1" * 500)
        os.utime(cache / "uploads" / name, (time.time() - age,) * 2)
    assert Cache(cache).trim(keep_bytes=0, unused_seconds=1000) == 500
    assert [path.name for path in (cache / "uploads").iterdir()] == ["new"]


def test_trimming_nothing(tmp_path):
    """Prevents the first nightly clean-up of a new machine from failing."""
    assert Cache(tmp_path / "cache").trim(keep_bytes=0, unused_seconds=0) == 0
