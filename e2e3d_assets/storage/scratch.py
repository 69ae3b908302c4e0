"""Private working directories on this machine, and the janitor that removes what dead processes left.

Each directory has a lock file beside it, which its owner holds locked as long as it lives: the system itself releases
the lock of a killed process, in another container too, so that a process number that was used again fools nobody.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from .errors import NoSpace, plain_disk_errors

_LOCK_SUFFIX = ".lock"


class Scratch:
    """Working directories below one folder, which may be shared with other processes."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @contextlib.contextmanager
    def directory(self, name: str, needed_bytes: int = 0) -> Iterator[Path]:
        """An empty directory of one's own, removed afterwards, also after errors; what the dead left goes first.

        Args:
            name: shown in the directory's name, for people.
            needed_bytes: what the work will write, as far as known.

        Raises:
            NoSpace: less than that is free.
            StoreUnavailable: the folder cannot be written.
        """
        with plain_disk_errors("create a working directory in", self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self.sweep()
            require_space(self.root, needed_bytes)
            path, lock = self._take(name)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            _lock_file(path).unlink(missing_ok=True)
            os.close(lock)

    def sweep(self) -> list[Path]:
        """Remove the directories whose owner is dead; give their paths."""
        removed = []
        with plain_disk_errors("sweep", self.root):
            for lock_file in sorted(self.root.glob(f"*{_LOCK_SUFFIX}")):
                path = lock_file.with_name(lock_file.name.removesuffix(_LOCK_SUFFIX))
                with contextlib.suppress(FileNotFoundError), _opened(lock_file) as descriptor:
                    if _try_lock(descriptor) and _is_still(lock_file, descriptor):
                        shutil.rmtree(path, ignore_errors=True)
                        lock_file.unlink(missing_ok=True)
                        removed.append(path)
        return removed

    def _take(self, name: str) -> tuple[Path, int]:
        """A new directory and the descriptor that holds its lock."""
        readable = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]
        while True:
            path = self.root / f"{readable}-{secrets.token_hex(6)}"
            lock_file = _lock_file(path)
            descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                # A janitor may have taken and removed the file between its creation and the lock.
                if _try_lock(descriptor) and _is_still(lock_file, descriptor):
                    os.write(descriptor, _owner())
                    path.mkdir()
                    return path, descriptor
            except BaseException:
                lock_file.unlink(missing_ok=True)
                os.close(descriptor)
                raise
            os.close(descriptor)


def require_space(folder: Path, needed_bytes: int) -> None:
    """Make sure that a disk has room.

    Raises:
        NoSpace: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise NoSpace(
            f"{folder} has {free:,} bytes free, but {needed_bytes:,} are needed. Free some space and try again."
        )


def _owner() -> bytes:
    """For people who look into the folder; the lock is what counts."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "started": started}).encode()


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + _LOCK_SUFFIX)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
