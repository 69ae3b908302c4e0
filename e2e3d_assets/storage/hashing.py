"""SHA-256 of files, streamed, and the memory of which files were already checked."""

import hashlib
import threading
from pathlib import Path

HASHING_THREADS = 4


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in small blocks (the interpreter lock is free meanwhile)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class CheckedFiles:
    """Remembers which files on disk had which digest, so that a process hashes each file once.

    A file counts as unchanged while its inode, size and modification time do. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._lock = threading.Lock()

    def digest(self, path: Path) -> str:
        """SHA-256 of the file, from memory if it is unchanged since it was last computed.

        Raises:
            OSError: it cannot be read.
        """
        signature = self._signature(path)
        with self._lock:
            known = self._known.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        found = sha256_of(path)
        self._store(path, signature, found)
        return found

    def remember(self, path: Path, digest: str) -> None:
        """Take the digest as known for the file as it is now."""
        self._store(path, self._signature(path), digest)

    def _store(self, path: Path, signature: tuple[int, int, int], digest: str) -> None:
        with self._lock:
            self._known[path] = (signature, digest)

    @staticmethod
    def _signature(path: Path) -> tuple[int, int, int]:
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns


checked_files = CheckedFiles()
"""The memory of this process."""
