"""What is said, and when, as disk and memory run out."""

import errno

import pytest

from e2e3d_assets import headroom
from e2e3d_assets.headroom import Exhausted, exhaustion, require_headroom


def test_a_machine_with_room_is_no_problem(tmp_path):
    """Prevents runs that stop for nothing."""
    require_headroom(tmp_path)


def test_a_disk_that_fills_is_told_with_its_figures(tmp_path, monkeypatch):
    """Prevents COLMAP's abort of the whole worker, which says nothing of the disk."""
    monkeypatch.setattr(headroom, "LEAST_DISK_BYTES", 10**18)
    with pytest.raises(
        Exhausted, match=rf"The disk of {tmp_path} is full: [\d,]+ MB of [\d,]+ MB are free.*SCRATCH_DIR"
    ):
        require_headroom(tmp_path)


def test_memory_that_runs_out_is_told(tmp_path, monkeypatch):
    """Prevents the system's killer from taking the worker without a word."""
    monkeypatch.setattr(headroom, "LEAST_MEMORY_BYTES", 10**18)
    with pytest.raises(Exhausted, match=r"The memory is used up: [\d,]+ MB are free.*lower quality"):
        require_headroom(tmp_path)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "The memory is used up"),
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (OSError(errno.EFBIG, "File too large"), "is full"),
        (FileNotFoundError(errno.ENOENT, "No such file"), ""),
        (ValueError(), ""),
    ],
)
def test_errors_of_libraries_are_told_by_what_ran_out(tmp_path, error, told):
    """Prevents a number of the operating system from being all that is told, and other errors from hiding."""
    assert told in exhaustion(error, tmp_path)
    assert bool(told) == bool(exhaustion(error, tmp_path))
