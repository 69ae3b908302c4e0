"""The store on a disk: the contract of every store, and what only a disk can do to it."""

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.errors import CorruptArtifact, NoSpace, StoreUnavailable
from e2e3d_assets.storage.retention import prune
from e2e3d_assets.storage.store import ArtifactStore

from .store_contract import OpenStore, StoreContract, contents, make, with_any_name


class TestOnDisk(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return lambda: ArtifactStore(str(tmp_path / "store"), tmp_path / "scratch")

    @with_any_name
    def test_any_name_is_kept_or_refused(self, open_store, name):
        """Prevents names that leave the store's folder, get lost, or come back as others."""
        self.check_name(open_store, name)


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore((tmp_path / "store with space").as_uri(), tmp_path / "scratch")


def test_a_product_on_the_same_disk_is_moved_not_copied(store, tmp_path):
    """Prevents ten gigabytes of depth maps from being written twice."""
    product = make(tmp_path / "own", {"big": b"1" * 1000})
    inode = (tmp_path / "own" / "big").stat().st_ino
    assert store.write(product, "temple", "photos", "run").path("big").stat().st_ino == inode


def test_a_file_that_somebody_else_holds_is_copied(store, tmp_path):
    """Prevents an uploader who edits a photo in place from changing a committed product."""
    upload = tmp_path / "upload.jpg"
    upload.write_bytes(b"as it was")
    (tmp_path / "own").mkdir()
    os.link(upload, tmp_path / "own" / "linked.jpg")
    (tmp_path / "own" / "symlink.jpg").symlink_to(upload)
    committed = store.write(Artifact.from_directory(tmp_path / "own"), "temple", "photos", "run")
    upload.write_bytes(b"edited")
    assert set(contents(committed.path()).values()) == {b"as it was"}


def test_files_are_read_in_place(store, tmp_path):
    """Prevents a second copy of every product on a laptop's disk."""
    committed = store.write(make(tmp_path / "own", {"a/b": b"1"}), "temple", "photos", "run")
    assert committed.path("a/b") == tmp_path / "store with space" / "temple" / "photos" / committed.revision / "a" / "b"
    assert not (tmp_path / "scratch").exists()


def test_bytes_changed_in_place_are_found(store, tmp_path):
    """Prevents a stage that writes into its input from going unnoticed by the stages after it, in the same process."""
    committed = store.write(make(tmp_path / "own", {"database.db": b"committed"}), "temple", "features", "run")
    with committed.path("database.db").open("r+b") as file:
        file.write(b"C")
    with pytest.raises(CorruptArtifact, match=r"database\.db"):
        committed.path()


def test_a_damaged_file_is_found_by_a_new_process(store, tmp_path):
    """Prevents bit rot, which leaves size and times as they were, from being trusted by the next run."""
    path = store.write(make(tmp_path / "own", {"a": b"1234"}), "temple", "photos", "run").path("a")
    times = path.stat()
    path.write_bytes(b"1235")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    program = (
        "import sys; from pathlib import Path; from e2e3d_assets.storage.store import ArtifactStore\n"
        "ArtifactStore(sys.argv[1], Path(sys.argv[2])).latest('temple', 'photos').path()"
    )
    found = subprocess.run([sys.executable, "-c", program, store.url, tmp_path], capture_output=True, text=True)
    assert "CorruptArtifact: a of photos, image set temple" in found.stderr


@contextmanager
def _small_disk(path: Path, size: str):
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    """Prevents a full disk from ending in a stack trace, a half-written product or the loss of the good one."""
    with _small_disk(tmp_path / "disk", "300k"):
        store = ArtifactStore(str(tmp_path / "disk" / "store"), tmp_path / "scratch")
        good = store.write(make(tmp_path / "good", {"a": b"1" * 50_000}), "temple", "photos", "run-1")
        large = make(tmp_path / "large", {f"{n}": bytes([n]) * 30_000 for n in range(20)})
        with pytest.raises(NoSpace, match=r"the disk is full\. Free some space"):
            store.write(large, "temple", "photos", "run-2")
        assert store.revisions("temple", "photos") == [good.revision]
        assert contents(store.latest("temple", "photos").path()) == {"a": b"1" * 50_000}
        store.write(make(tmp_path / "next", {"a": b"2" * 50_000}), "temple", "photos", "run-3")


def test_a_read_only_folder_is_told(tmp_path):
    """Prevents a wrong mount from ending in a stack trace; a root user, too, cannot write to a read-only disk."""
    with _small_disk(tmp_path / "disk", "300k"):
        store = ArtifactStore(str(tmp_path / "disk" / "store"), tmp_path / "scratch")
        good = store.write(make(tmp_path / "good", {"a": b"1"}), "temple", "photos", "run-1")
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "disk"], check=True)
        with pytest.raises(StoreUnavailable, match=r"Read-only file system\. Make the folder writable"):
            store.write(make(tmp_path / "next", {"a": b"2"}), "temple", "photos", "run-2")
        assert store.latest("temple", "photos").revision == good.revision


FILES = {"images/a.jpg": b"a" * 3000, "images/b.jpg": b"b" * 70_000, "points.bin": b"c" * 20_000, "empty": b""}


def _write_and_die(store: Path, scratch: Path, at_operation: int, at_byte: int | None) -> None:
    """Write a product in this process, which kills itself at the given file operation or at a byte of any file."""
    product = make(scratch / "own", {name: data + b"new" for name, data in FILES.items()})
    operations = 0

    def count(event: str, args: tuple) -> None:
        nonlocal operations
        if event.startswith(("open", "os.", "shutil.")) and any(str(store) in str(arg) for arg in args):
            operations += 1
            if operations == at_operation:
                os.kill(os.getpid(), signal.SIGKILL)

    if at_byte is None:
        sys.addaudithook(count)
    else:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (at_byte, at_byte))
    ArtifactStore(str(store), scratch).write(product, "temple", "photos", "run-2")


def _dies(store: Path, scratch: Path, at_operation: int = 0, at_byte: int | None = None) -> bool:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_write_and_die, args=(store, scratch, at_operation, at_byte))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL, -signal.SIGXFSZ)
    return process.exitcode != 0


def _prove_that_the_store_is_whole(store: ArtifactStore, scratch: Path, finished: bool) -> None:
    found = contents(store.latest("temple", "photos").path())
    assert set(found) == set(FILES)
    assert len({data.endswith(b"new") for data in found.values()}) == 1, "files of two revisions"
    if finished:
        assert found["empty"] == b"new"
    store.write(make(scratch / "again", FILES), "temple", "photos", "run-3")
    assert contents(store.latest("temple", "photos").path()) == FILES


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_operation_the_previous_revision_stays(store, tmp_path, stride):
    """Prevents the power button, the OOM killer and `kill -9` from costing a finished product."""
    root = Path(tmp_path / "store with space")
    kills = 0
    for operation in range(1, 200, stride):
        scratch = tmp_path / f"scratch-{operation}"
        store.write(make(scratch / "first", FILES), "temple", "photos", "run-1")
        died = _dies(root, scratch, at_operation=operation)
        kills += died
        _prove_that_the_store_is_whole(store, scratch, finished=not died)
        if not died:
            break
    assert 6 < kills < 200 / stride, "the write was cut while it worked, and was whole in the end"
    prune(store, "temple", keep=1, min_age=timedelta(0), dry_run=False)
    assert sum(path.is_file() for path in root.rglob("*")) == len(FILES) + 2, (
        "retention finds all that killed writes left"
    )


def test_killed_at_any_byte_the_previous_revision_stays(tmp_path):
    """Prevents a half-copied file from being read, where scratch is on another disk than the store."""
    other_disk = Path("/dev/shm")
    if not os.access(other_disk, os.W_OK) or other_disk.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk to copy from")
    store = ArtifactStore(str(tmp_path / "store"), tmp_path / "scratch")
    store.write(make(tmp_path / "first", FILES), "temple", "photos", "run-1")
    largest = max(map(len, FILES.values())) + 3
    died = []
    for at_byte in sorted(random.Random(11).sample(range(largest + 10), 14)):
        with tempfile.TemporaryDirectory(dir=other_disk) as scratch:
            died.append(_dies(tmp_path / "store", Path(scratch), at_byte=at_byte))
            _prove_that_the_store_is_whole(store, tmp_path / f"scratch-{at_byte}", finished=not died[-1])
    assert any(died)
