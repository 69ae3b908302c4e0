"""What every artifact store must do, wherever it keeps its objects: run for a disk here, for servers in integration."""

import itertools
import random
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.errors import CorruptArtifact, Refused, StoreError
from e2e3d_assets.storage.names import MANIFEST, POINTER, check_path
from e2e3d_assets.storage.retention import prune, usage_by_asset
from e2e3d_assets.storage.store import ArtifactStore

PRODUCT = {
    "sparse/0/points3D.bin": b"\x00\x01" * 5000,
    "images/Über den Bergen 1.jpg": b"jpeg",
    "images/a#1 (50%) [x]?.jpg": b"odd",
    "empty.txt": b"",
    "notes.txt": b"plain",
    "sparse/manifest.json": b"a name like the store's own",
}
OpenStore = Callable[[], ArtifactStore]

any_name = st.text(
    st.one_of(st.sampled_from("ab./\\ ~%#?*:&+é😀\n"), st.characters(codec="utf-8")), min_size=1, max_size=40
) | st.sampled_from(
    ["..", "../x", "a/../b", "/etc/passwd", "./a", "a//b", "a/", ".hidden", "x" * 255, "x" * 256, "a/" * 450]
)


def with_any_name(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with many values of its argument ``name``."""
    checks = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    return checks(given(name=any_name.filter(lambda name: name != MANIFEST))(test))


def make(root: Path, files: dict[str, bytes], **meta) -> Artifact:
    """A product that is not committed yet."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return Artifact.from_directory(root, meta)


def contents(root: Path) -> dict[str, bytes]:
    """What lies below a directory, the manifest aside."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path != root / MANIFEST
    }


class StoreContract:
    """Subclasses give the fixture ``open_store``: each call opens the same store as a process without memory would."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> ArtifactStore:
        return open_store()

    @pytest.fixture
    def new(self, tmp_path: Path) -> Callable[..., Artifact]:
        count = itertools.count()
        return lambda files=PRODUCT, **meta: make(tmp_path / f"product-{next(count)}", files, **meta)

    def test_what_is_written_is_read(self, open_store, new):
        """Prevents lost files, changed bytes and lost meta data between stages."""
        written = open_store().write(new(accepted=7, note="ü"), "temple", "photos", "run-1")
        read = open_store().latest("temple", "photos")
        assert contents(read.path()) == PRODUCT
        assert read.meta == {"accepted": 7, "note": "ü"}
        assert (read.revision, read.digest, read.uri) == (written.revision, written.digest, written.uri)
        assert (read.manifest.image_set, read.manifest.asset, read.manifest.run_id) == ("temple", "photos", "run-1")
        assert read.size == sum(map(len, PRODUCT.values()))

    def test_progress_is_told(self, store, new):
        """Prevents an operator from taking the upload of a big product for a stage that hangs."""
        told = []
        store.write(new(), "temple", "photos", "run", lambda done, total: told.append((done, total)))
        size = sum(map(len, PRODUCT.values()))
        assert told == sorted(told)
        assert told[-1] == (size, size)

    def test_part_of_a_product_is_read_alone(self, open_store, new):
        """Prevents a report that needs one picture from fetching ten gigabytes: the rest is not even looked at."""
        written = open_store().write(new(), "temple", "photos", "run-1")
        store = open_store()
        store.objects.delete([f"temple/photos/{written.revision}/notes.txt"])
        read = store.latest("temple", "photos")
        assert read.path("empty.txt").read_bytes() == b""
        assert set(contents(read.path("images"))) == {"Über den Bergen 1.jpg", "a#1 (50%) [x]?.jpg"}
        with pytest.raises(FileNotFoundError, match="no 'image'"):
            read.path("image")

    def test_a_file_is_streamed(self, open_store, new):
        """Prevents a server of files from copying or holding whole products, or from sending other bytes."""
        written = open_store().write(new({"a/big.bin": bytes(range(256)) * 20_000}), "temple", "photos", "run")
        store = open_store()
        pieces = list(store.stream(store.latest("temple", "photos"), "a/big.bin"))
        assert b"".join(pieces) == bytes(range(256)) * 20_000
        assert len(pieces) > 1
        with pytest.raises(FileNotFoundError):
            store.stream(written, "a")

    def test_nothing_was_written(self, store):
        """Prevents an absent product from being taken for an empty one."""
        assert store.latest("temple", "photos") is None
        assert store.get("temple", "photos", "20260101T000000000000Z-00000000") is None

    def test_equal_bytes_are_the_same_version(self, store, new):
        """Prevents a re-run with equal results from making everything downstream stale."""
        first = store.write(new(seconds=1), "temple", "photos", "run-1")
        second = store.write(new(seconds=2), "temple", "photos", "run-2")
        assert first.digest == second.digest
        assert first.revision < second.revision

    def test_a_committed_product_is_not_written_again(self, store, new):
        """Prevents a stage that re-uses its latest product from filling the store with copies."""
        store.write(new(), "temple", "photos", "run-1")
        again = store.write(store.latest("temple", "photos"), "temple", "photos", "run-2")
        assert store.revisions("temple", "photos") == [again.revision]

    def test_a_committed_product_is_written_elsewhere(self, open_store, new):
        """Prevents a product that another asset passes on from pointing into a place where it may be removed."""
        photos = open_store().write(new(), "temple", "photos", "run-1")
        store = open_store()
        copy = store.write(store.latest("temple", "photos"), "temple", "delivery", "run-1")
        store.objects.delete([info.key for info in store.objects.walk("temple/photos")])
        assert copy.digest == photos.digest
        assert contents(open_store().latest("temple", "delivery").path()) == PRODUCT

    def test_an_older_revision_becomes_the_latest_again(self, store, new):
        """Prevents a step back to a good earlier product from being ignored because its bytes are already there."""
        first = store.write(new({"a": b"good"}), "temple", "photos", "run-1").revision
        store.write(new({"a": b"bad"}), "temple", "photos", "run-2")
        store.write(store.get("temple", "photos", first), "temple", "photos", "run-3")
        assert store.latest("temple", "photos").revision == first

    def test_a_product_outlives_the_directory_it_was_made_in(self, store, tmp_path):
        """Prevents a handle that still points into scratch after the stage has removed it."""
        product = make(tmp_path / "own", {"a": b"1"})
        store.write(product, "temple", "photos", "run-1")
        (tmp_path / "own" / "a").unlink()
        assert product.path("a").read_bytes() == b"1"

    @pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
    @pytest.mark.parametrize("name", [name for name in PRODUCT if PRODUCT[name]])
    def test_a_damaged_file_is_named(self, open_store, new, name, damage):
        """Prevents bit rot and lost objects from ending as a strange model: the message names file and remedy."""
        revision = open_store().write(new(), "temple", "photos", "run-1").revision
        store = open_store()
        _damage(store, f"temple/photos/{revision}/{name}", damage)
        with pytest.raises(CorruptArtifact) as caught:
            store.latest("temple", "photos").path()
        assert caught.value.file == name
        assert caught.value.permanent
        for told in ("photos", "temple", revision, "expected", "found", "Materialize photos again"):
            assert told in str(caught.value)

    @pytest.mark.parametrize("last_part", [MANIFEST, POINTER])
    def test_a_damaged_manifest_or_pointer_is_named(self, open_store, new, last_part):
        """Prevents a product of wrong files: no byte of what says which files there are can change unnoticed."""
        revision = open_store().write(new(), "temple", "photos", "run-1").revision
        key = f"temple/photos/{revision}/{MANIFEST}" if last_part == MANIFEST else f"temple/photos/{POINTER}"
        store = open_store()
        whole = store.objects.get_bytes(key)
        for position in random.Random(7).sample(range(len(whole)), 25):
            store.objects.put_bytes(key, _flipped(whole, position))
            with pytest.raises(CorruptArtifact) as caught:
                store.latest("temple", "photos")
            assert caught.value.file == last_part
        store.objects.put_bytes(key, whole)
        assert store.latest("temple", "photos").revision == revision

    def test_a_lost_manifest_is_named(self, store, new):
        """Prevents a half-restored backup from looking like a product that was never made."""
        revision = store.write(new(), "temple", "photos", "run-1").revision
        store.objects.delete([f"temple/photos/{revision}/{MANIFEST}"])
        with pytest.raises(CorruptArtifact, match="expected a manifest, found none"):
            store.latest("temple", "photos")

    def test_the_manifest_of_another_product_is_named(self, store, new):
        """Prevents files that were copied to a wrong place by hand from being read as that image set's product."""
        revision = store.write(new(), "temple", "photos", "run-1").revision
        for info in list(store.objects.walk("temple")):
            store.objects.put_bytes(info.key.replace("temple", "herzjesu", 1), store.objects.get_bytes(info.key))
        with pytest.raises(CorruptArtifact, match=f"found temple/photos/{revision}"):
            store.latest("herzjesu", "photos")

    def test_a_revision_that_is_removed_while_it_is_looked_up(self, open_store, new):
        """Prevents a reader that was slow between pointer and manifest from reporting damage."""
        store, other = open_store(), open_store()
        store.write(new({"a": b"old"}), "temple", "photos", "run-1")
        read = store.objects.get_bytes

        def slowly(key: str) -> bytes:
            if key.endswith(MANIFEST) and len(other.revisions("temple", "photos")) == 1:
                other.write(new({"a": b"new"}), "temple", "photos", "run-2")
                prune(other, "temple", keep=1, min_age=timedelta(0), dry_run=False)
                other.write(new({"a": b"new"}), "temple", "photos", "run-3")
            return read(key)

        store.objects.get_bytes = slowly
        assert store.latest("temple", "photos").path("a").read_bytes() == b"new"

    def test_writing_again_heals(self, open_store, new):
        """Prevents the remedy that every message names from failing itself."""
        revision = open_store().write(new(), "temple", "photos", "run-1").revision
        store = open_store()
        for key in (f"temple/photos/{revision}/notes.txt", f"temple/photos/{POINTER}"):
            _damage(store, key, "flip")
        store.write(new(), "temple", "photos", "run-2")
        assert contents(open_store().latest("temple", "photos").path()) == PRODUCT

    def test_readers_see_one_whole_revision(self, open_store, new):
        """Prevents a mixture of two revisions, or an error, for whoever reads while an asset is materialized again."""

        def product(number: int) -> dict[str, bytes]:
            return {f"part-{part}": b"%d" % number * 100 for part in range(6)}

        writer = open_store()
        writer.write(new(product(0)), "temple", "photos", "run")
        done, seen = threading.Event(), set()

        def read() -> None:
            store = open_store()
            while not done.is_set():
                artifact = store.latest("temple", "photos")
                values = set(contents(artifact.path()).values())
                assert len(values) == 1, "files of several revisions"
                seen.add(artifact.revision)

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read) for _ in range(4)]
            try:
                for number in range(1, 30):
                    writer.write(new(product(number)), "temple", "photos", "run")
            finally:
                done.set()
            for reader in readers:
                reader.result()
        assert len(seen) > 2, "the readers did read meanwhile"

    def test_writers_do_not_disturb_each_other(self, open_store, new):
        """Prevents a zombie run and its successor from mixing their files."""
        products = [new({"a": b"%d" % number, "b": b"%d" % number}) for number in range(8)]
        stores = [open_store() for _ in products]
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda pair: pair[0].write(pair[1], "temple", "photos", "run"), zip(stores, products, strict=True)
                )
            )
        store = open_store()
        assert len(store.revisions("temple", "photos")) == 8
        assert len(set(contents(store.latest("temple", "photos").path()).values())) == 1

    def test_a_failed_write_leaves_nothing(self, store, new, tmp_path):
        """Prevents half-written products that fill the store, and the loss of the product that was good."""
        good = store.write(new(), "temple", "photos", "run-1")
        gone = make(tmp_path / "gone", {"a": b"1", "b": b"2", "c": b"3"})
        (tmp_path / "gone" / "b").unlink()
        with pytest.raises((StoreError, FileNotFoundError)):
            store.write(gone, "temple", "photos", "run-2")
        changed = make(tmp_path / "changed", {"a": b"1", "b": b"2"})
        (tmp_path / "changed" / "b").write_bytes(b"other")
        with pytest.raises(Refused, match="was changed"):
            store.write(changed, "temple", "photos", "run-2")
        assert store.revisions("temple", "photos") == [good.revision]

    def check_name(self, open_store: OpenStore, name: str) -> None:
        """For a test of each store: hypothesis takes no test that several classes inherit."""
        store = open_store()
        try:
            check_path(name)
        except Refused:
            for operation in (store.objects.get_bytes, lambda key: store.objects.put_bytes(key, b"")):
                with pytest.raises(Refused):
                    operation(name)
            return
        with tempfile.TemporaryDirectory() as folder:
            store.write(make(Path(folder), {name: b"1"}), "temple", "names", "run")
        assert contents(open_store().latest("temple", "names").path()) == {name: b"1"}

    @pytest.mark.parametrize("name", ["", "..", "a/b", "/a", "a\\b", "a\nb", "x" * 300])
    def test_image_set_and_asset_names_cannot_lead_elsewhere(self, store, new, name):
        """Prevents a partition key from reading or writing outside its folder."""
        for operation in (
            lambda: store.write(new({"a": b"1"}), name, "photos", "run"),
            lambda: store.write(new({"a": b"1"}), "temple", name, "run"),
            lambda: store.latest(name, "photos"),
            lambda: store.get("temple", "photos", name),
            lambda: store.delete(name),
        ):
            with pytest.raises(Refused):
                operation()

    def test_listing_and_usage(self, store, new):
        """Prevents storage reports that leave out sets, assets or revisions."""
        assert store.image_sets() == []
        for image_set, asset in [("b", "photos"), ("a", "photos"), ("a", "mesh")]:
            store.write(new(), image_set, asset, "run")
        store.write(new(), "a", "mesh", "run")
        assert store.image_sets() == ["a", "b"]
        assert store.assets("a") == ["mesh", "photos"]
        mesh, photos = usage_by_asset(store, "a")
        assert (mesh.asset, len(mesh.revisions), photos.asset, len(photos.revisions)) == ("mesh", 2, "photos", 1)
        assert mesh.latest_bytes < mesh.total_bytes
        assert store.usage("a") > mesh.total_bytes + photos.total_bytes > 3 * 10_000

    def test_pruning_keeps_what_is_needed(self, store, new):
        """Prevents retention from removing the product in use; a dry run from removing anything."""
        revisions = [store.write(new({"a": b"%d" % n}), "temple", "photos", "run").revision for n in range(5)]
        store.write(store.get("temple", "photos", revisions[0]), "temple", "photos", "run")
        assert prune(store, "temple", keep=2, min_age=timedelta(hours=1)) == []
        removals = prune(store, "temple", keep=2, min_age=timedelta(0))
        assert [removal.revision for removal in removals] == revisions[1:3]
        assert store.revisions("temple", "photos") == revisions
        prune(store, "temple", keep=2, min_age=timedelta(0), dry_run=False)
        assert store.revisions("temple", "photos") == [revisions[0], *revisions[3:]]
        assert store.latest("temple", "photos").path("a").read_bytes() == b"0"

    def test_deleting_removes_one_image_set(self, store, new):
        """Prevents leftovers of a deleted set, and the loss of the set whose name begins alike."""
        for image_set in ("temple", "temple-2"):
            store.write(new(), image_set, "photos", "run")
        store.delete("temple")
        store.delete("temple")
        assert store.image_sets() == ["temple-2"]
        assert store.latest("temple", "photos") is None
        assert store.latest("temple-2", "photos") is not None


def _flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def _damage(store: ArtifactStore, key: str, damage: str) -> None:
    data = store.objects.get_bytes(key)
    if damage == "remove":
        store.objects.delete([key])
    else:
        store.objects.put_bytes(key, _flipped(data, len(data) // 2) if damage == "flip" else data[:-1])
