"""Where the files of a committed revision come from: read in place, or copied into a cache; verified either way."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .cache import Cache
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
            unseen = _damaged(files, lambda file: view / file.path)
            absent = {file.sha256: file for file in _damaged(unseen, self.cache.content)}
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


def _damaged(files: Sequence[FileEntry], place: Callable[[FileEntry], Path]) -> list[FileEntry]:
    """Those of the files that are not whole in their place."""
    found = in_parallel(lambda file: _damage(place(file), file), files, HASHING_THREADS)
    return [file for file, damage in zip(files, found, strict=True) if damage]


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
