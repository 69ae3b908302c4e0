"""Copies of what is stored elsewhere, on this machine's disk, shared by all processes that use the same folder.

``content/<aa>/<sha256>`` holds the bytes; ``views/<digest>/<path>`` is a second link to them under the name that a
product gives them; ``uploads/<digest>/<path>`` are uploads. Each appears by one rename: a killed process leaves nothing
half-written.
What does not belong here: whether the bytes are the right ones (``sources``).
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import plain_disk_errors
from .hashing import checked_files
from .manifest import FileEntry


class Cache:
    """The copies below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def view(self, digest: str) -> Path:
        """The directory in which a product's files appear."""
        return self.root / "views" / digest

    def content(self, file: FileEntry) -> Path:
        """Where the bytes of a file are kept."""
        return self.root / "content" / file.sha256[:2] / file.sha256

    def part(self) -> Path:
        """A new path for bytes that are on their way."""
        folder = self.root / "parts"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / secrets.token_hex(12)

    def accept(self, part: Path, file: FileEntry) -> None:
        """Move verified bytes to their place, unless another process was faster.

        What is whole is not replaced: a link to it that is being made at this moment would fail.
        """
        content = self.content(file)
        content.parent.mkdir(parents=True, exist_ok=True)
        os.utime(part)  # trimming goes by when it came
        try:
            os.link(part, content)
        except FileExistsError:
            if checked_files.digest(content) != file.sha256:
                part.replace(content)
        part.unlink(missing_ok=True)
        checked_files.remember(content, file.sha256)

    def show(self, file: FileEntry, view: Path) -> None:
        """Give a file that is here its name in a view."""
        target = view / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        link = self.part()
        os.link(self.content(file), link)
        link.replace(target)
        link.unlink(missing_ok=True)  # still there if it was the same file already
        checked_files.remember(target, file.sha256)

    def adopt(self, root: Path, files: Sequence[FileEntry]) -> None:
        """Keep the files of a product that was just written, so that the next stage need not fetch them.

        Files on another disk, or held by somebody else, are left.
        """
        for file in files:
            source = root / file.path
            if source.is_symlink() or source.stat().st_nlink > 1:
                continue
            part = self.part()
            try:
                os.link(source, part)
            except OSError:
                return
            self.accept(part, file)

    def trim(self, keep_bytes: int, unused_seconds: float) -> int:
        """Remove the longest unused products and uploads until the rest fits; give the bytes that were freed.

        Args:
            keep_bytes: how much may stay.
            unused_seconds: what was used more recently stays whatever its size; longer than any run.
        """
        with plain_disk_errors("trim", self.root):
            before = self._used()
            old = time.time() - unused_seconds
            for part in _entries(self.root / "parts"):
                if part.stat().st_mtime < old:
                    part.unlink(missing_ok=True)
            self._drop_unseen(old)
            used = self._used()
            kept = [*_entries(self.root / "views"), *_entries(self.root / "uploads")]
            for folder in sorted(kept, key=lambda path: path.stat().st_mtime):
                if used <= keep_bytes or folder.stat().st_mtime >= old:
                    break
                shutil.rmtree(folder, ignore_errors=True)
                self._drop_unseen(old)
                used = self._used()
            return before - used

    def _drop_unseen(self, old: float) -> None:
        """Remove contents that no product here has any more."""
        for content in _files(self.root / "content"):
            status = content.stat()
            if status.st_nlink == 1 and status.st_mtime < old:
                content.unlink(missing_ok=True)

    def _used(self) -> int:
        return sum(path.stat().st_size for part in ("content", "uploads") for path in _files(self.root / part))


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
