"""Working directories: private, removed, and swept only when their owner is dead."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e3d_assets.storage.errors import NoSpace, StoreUnavailable
from e2e3d_assets.storage.scratch import Scratch

HOLD = """
import sys, time
from pathlib import Path
from e2e3d_assets.storage.scratch import Scratch
with Scratch(Path(sys.argv[1])).directory("held") as path:
    (path / "file").write_text("work")
    print(path, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def scratch(tmp_path) -> Scratch:
    return Scratch(tmp_path / "scratch")


@pytest.fixture
def owner(scratch):
    """Another process that works in a directory of its own."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, scratch.root], stdout=subprocess.PIPE, text=True)
    process.path = process.stdout.readline().strip()
    yield process
    process.kill()
    process.wait()


def test_a_directory_is_empty_private_and_removed(scratch):
    """Prevents one stage's leavings from becoming another one's product."""
    with scratch.directory("temple-photos") as one, scratch.directory("temple-photos") as two:
        assert one != two
        assert list(one.iterdir()) == []
        (one / "a").mkdir()
        (one / "a" / "b").write_text("1")
    assert list(scratch.root.iterdir()) == []


def test_it_is_removed_after_an_error(scratch):
    """Prevents a failing set that is retried from filling the disk."""

    def fail() -> None:
        with scratch.directory("x") as path:
            (path / "a").write_text("1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(scratch.root.iterdir()) == []


def test_a_name_cannot_lead_elsewhere(scratch):
    """Prevents a strange name from creating, and later removing, a folder outside scratch."""
    with scratch.directory("../../etc/Ünïcödé" * 20) as path:
        assert path.parent == scratch.root


def test_sweeping_leaves_the_living(scratch, owner):
    """Prevents the janitor from removing the work of a run in progress, in this process or another."""
    with scratch.directory("mine") as mine:
        assert scratch.sweep() == []
        assert mine.is_dir()
    assert os.path.isdir(owner.path)


def test_sweeping_removes_what_the_dead_left(scratch, owner):
    """Prevents killed runs from filling the disk for good."""
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert os.path.isdir(owner.path)
    assert [str(path) for path in scratch.sweep()] == [owner.path]
    assert list(scratch.root.iterdir()) == []


def test_new_work_sweeps_first(scratch, owner):
    """Prevents what killed runs left from failing the next one for want of space until the nightly janitor comes."""
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with scratch.directory("next"):
        assert not os.path.exists(owner.path)


def test_sweeping_at_once_with_new_work(scratch):
    """Prevents a janitor that comes between the two steps of taking a directory from removing it."""

    def work(_: int) -> None:
        with scratch.directory("x") as path:
            (path / "a").write_text("1")
            assert (path / "a").read_text() == "1"

    with ThreadPoolExecutor(8) as pool:
        sweeps = [pool.submit(lambda: [scratch.sweep() for _ in range(100)]) for _ in range(2)]
        list(pool.map(work, range(300)))
        assert not any(removed for sweep in sweeps for removed in sweep.result() if any(p.exists() for p in removed))
    assert list(scratch.root.iterdir()) == []


def test_a_janitor_between_the_lock_file_and_its_lock(scratch):
    """Prevents a directory whose lock file a janitor took for a dead one's: nobody would ever remove it."""
    pending = [scratch.sweep]

    def sweep_before_the_first_lock(event: str, _: tuple) -> None:
        if event == "fcntl.flock" and pending:
            pending.pop()()

    sys.addaudithook(sweep_before_the_first_lock)
    with scratch.directory("x") as path:
        assert not pending, "the janitor came"
        assert path.with_name(f"{path.name}.lock").exists()
    assert list(scratch.root.iterdir()) == []


def test_nothing_to_sweep(scratch):
    """Prevents the first start on a new machine from failing."""
    assert scratch.sweep() == []


def test_too_little_space_is_told_before_the_work(scratch):
    """Prevents an hour of work that ends in a full disk."""
    with pytest.raises(NoSpace, match=rf"{scratch.root} has [\d,]+ bytes free, but 1,000,000,000,000,000 are needed"):
        scratch.directory("x", needed_bytes=10**15).__enter__()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    """Prevents a stack trace for a wrong setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="Cannot create a working directory in"):
        Scratch(tmp_path / "file" / "scratch").directory("x").__enter__()
