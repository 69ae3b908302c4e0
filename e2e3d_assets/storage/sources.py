"""Where the files of a committed revision come from: read in place, or copied into a cache; verified either way."""

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import CorruptArtifact, StoreError, plain_disk_errors
from .hashing import HASHING_THREADS, checked_files
from .manifest import FileEntry, Manifest
from .objects import Download, Objects
from .parallel import in_parallel
from .scratch import require_space


@dataclass(frozen=True, slots=True)
class InPlace:
    """Files of a store on this machine."""

    manifest: Manifest
    root: Path

    def provide(self, files: Sequence[FileEntry]) -> Path:
        """Verify the files where they lie."""

        def verify(file: FileEntry) -> None:
            path = self.root / file.path
            with plain_disk_errors("read", path):
                damage = _damage(path, file)
            if damage:
                raise _corrupt(self.manifest, file.path, *damage)

        in_parallel(verify, files, HASHING_THREADS)
        return self.root


class Cache:
    """Copies of objects on this machine's disk, by content; shared by all processes that use the same folder.

    ``content/<aa>/<sha256>`` holds the bytes; ``views/<digest>/<path>`` is a second link to them under the name that
    the product gives them. Each appears by one rename or link: a killed process leaves nothing half-written.
    """

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

    def holds(self, path: Path, file: FileEntry) -> bool:
        """Whether the path has the file's bytes; a damaged copy is thrown away."""
        damage = _damage(path, file)
        if damage:
            path.unlink(missing_ok=True)
        return not damage

    def accept(self, part: Path, file: FileEntry) -> None:
        """Move verified bytes to their place."""
        content = self.content(file)
        content.parent.mkdir(parents=True, exist_ok=True)
        os.utime(part)  # trimming goes by when it came
        part.replace(content)
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
        """Remove the longest unused products until the rest fits; give the bytes that were freed.

        Args:
            keep_bytes: how much may stay.
            unused_seconds: what was used more recently stays whatever its size; longer than any run.
        """
        with plain_disk_errors("trim", self.root):
            before = self._used()
            old = time.time() - unused_seconds
            for part in (self.root / "parts").glob("*"):
                if part.stat().st_mtime < old:
                    part.unlink(missing_ok=True)
            views = sorted((self.root / "views").glob("*"), key=lambda view: view.stat().st_mtime)
            for view in views:
                if self._used() <= keep_bytes or view.stat().st_mtime >= old:
                    break
                shutil.rmtree(view)
                self._drop_unseen(old)
            return before - self._used()

    def _drop_unseen(self, old: float) -> None:
        for content in (self.root / "content").glob("*/*"):
            status = content.stat()
            if status.st_nlink == 1 and status.st_mtime < old:
                content.unlink(missing_ok=True)

    def _used(self) -> int:
        return sum(path.stat().st_size for path in (self.root / "content").glob("*/*"))


@dataclass(frozen=True, slots=True)
class Cached:
    """Files of a store that is elsewhere."""

    manifest: Manifest
    prefix: str
    objects: Objects
    cache: Cache

    def provide(self, files: Sequence[FileEntry]) -> Path:
        """Fetch what is not here yet, verify, and show it under its names."""
        view = self.cache.view(self.manifest.digest)
        with plain_disk_errors("write", view):
            view.mkdir(parents=True, exist_ok=True)
            os.utime(view)
            unseen = [file for file in files if not self.cache.holds(view / file.path, file)]
            absent = {f.sha256: f for f in unseen if not self.cache.holds(self.cache.content(f), f)}
            require_space(view, sum(file.size for file in absent.values()))
            self._fetch(list(absent.values()))
            for file in unseen:
                self.cache.show(file, view)
        return view

    def _fetch(self, files: Sequence[FileEntry]) -> None:
        parts = {file.path: self.cache.part() for file in files}
        try:
            self._download(files, parts)
            in_parallel(lambda file: self._accept(parts[file.path], file), files, HASHING_THREADS)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)

    def _download(self, files: Sequence[FileEntry], parts: dict[str, Path]) -> None:
        wanted = [Download(f"{self.prefix}/{file.path}", file.size, parts[file.path]) for file in files]
        try:
            self.objects.download(wanted)
        except FileNotFoundError as error:
            file = str(error).removeprefix(self.prefix + "/")
            raise _corrupt(self.manifest, file, "a file", "none") from error

    def _accept(self, part: Path, file: FileEntry) -> None:
        damage = _damage(part, file)
        if damage:
            raise _corrupt(self.manifest, file.path, *damage)
        self.cache.accept(part, file)


def _damage(path: Path, file: FileEntry) -> tuple[str, str] | None:
    """What was expected and what was found, if the path does not have the file's bytes."""
    try:
        size = path.stat().st_size
        if size != file.size:
            return f"{file.size:,} bytes", f"{size:,}"
        found = checked_files.digest(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "a file", "none"
    return None if found == file.sha256 else (f"sha256 {file.sha256}", f"sha256 {found}")


def _corrupt(manifest: Manifest, file: str, expected: str, found: str) -> StoreError:
    return CorruptArtifact(manifest.image_set, manifest.asset, manifest.revision, file, expected, found)
