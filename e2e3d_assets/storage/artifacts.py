"""`Artifact`: a directory of files that one stage made and the next ones read.

What belongs here: the value that asset functions give and get. What does not: where revisions are kept (``store``).
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import JsonValue

from .errors import Refused, plain_disk_errors
from .hashing import HASHING_THREADS, checked_files
from .manifest import FileEntry, Manifest, digest_of, plain_meta
from .names import MANIFEST, check_path, is_below
from .parallel import in_parallel


class FileSource(Protocol):
    """Where the files of an artifact come from."""

    def provide(self, files: Sequence[FileEntry]) -> Path:
        """Make sure that these files are there and whole; give the directory below which they lie."""
        ...


class Artifact:
    """A product: files with their digests, and meta data. Its contents never change.

    Made by :meth:`from_directory`, or given by an :class:`~e2e3d_assets.storage.store.ArtifactStore`. Once committed it
    knows its manifest and URI and reads from the store, so that it outlives the directory it was made from.
    """

    def __init__(
        self,
        files: Sequence[FileEntry],
        meta: Mapping[str, JsonValue],
        source: FileSource,
        manifest: Manifest | None = None,
        uri: str | None = None,
    ) -> None:
        self.files = tuple(files)
        self.meta = dict(meta)
        self.manifest = manifest
        self.uri = uri
        self.digest = digest_of(self.files)
        self._source = source

    @classmethod
    def from_directory(cls, root: Path, meta: Mapping[str, Any] | None = None) -> "Artifact":
        """Take everything below a directory as a product. Empty directories are not kept.

        The directory must stay as it is until the artifact is written to a store.

        Args:
            root: the product's directory.
            meta: plain JSON; numbers of numpy are taken too.

        Raises:
            Refused: the directory holds no file, or something that is no product: a dangling link, a device, a name
                that a store cannot keep.
        """
        paths = _files_below(root)
        if not paths:
            raise Refused(f"{root} holds no file. A product must have one at least.")
        if MANIFEST in paths:
            raise Refused(f"{root / MANIFEST}: the store keeps this name for itself. Name the file otherwise.")

        directory = _OwnDirectory(root)
        entries = in_parallel(directory.entry, paths, HASHING_THREADS)
        return cls(entries, plain_meta(meta or {}), directory)

    @property
    def revision(self) -> str | None:
        """Identifier of the committed revision, none before."""
        return self.manifest.revision if self.manifest else None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def file(self, path: str) -> FileEntry | None:
        """What is known of one file without fetching it; none if the product has no such file."""
        return next((file for file in self.files if file.path == path), None)

    def path(self, relative: str = "") -> Path:
        """Local path of a file, or of a directory with all files below it, fetched and verified on first use.

        The files are for reading only: copy what shall be changed. On a local store a directory may also show files
        that are not the product's (the manifest).

        Args:
            relative: path below the product's directory; empty for all of it.

        Raises:
            FileNotFoundError: the product has no such file or directory.
            CorruptArtifact: a file is missing in the store or is not what was written.
            StoreUnavailable: the store does not answer.
        """
        if relative:
            check_path(relative)
        wanted = [file for file in self.files if file.path == relative or is_below(file.path, relative)]
        if not wanted:
            names = ", ".join(file.path for file in self.files[:10])
            raise FileNotFoundError(f"{self} has no {relative!r}; it has {names}{' …' if len(self.files) > 10 else ''}")
        return self._source.provide(wanted) / relative

    def only(self, wanted: Callable[[str], bool]) -> "Artifact":
        """Some files of the product, by their paths: they alone are fetched, and name the content."""
        files = [file for file in self.files if wanted(file.path)]
        return Artifact(files, self.meta, self._source, self.manifest, self.uri)

    def become_committed(self, manifest: Manifest, uri: str, source: FileSource) -> None:
        """For stores: from now on the files come from there."""
        self.manifest, self.uri, self._source = manifest, uri, source

    def read_through(self, wrap: Callable[[FileSource], FileSource]) -> "Artifact":
        """The same product, whose files are asked for by way of another source."""
        return Artifact(self.files, self.meta, wrap(self._source), self.manifest, self.uri)

    def __repr__(self) -> str:
        what = f"{self.manifest.image_set}/{self.manifest.asset}/{self.revision}" if self.manifest else "not committed"
        return f"<Artifact {what}: {len(self.files)} files, {self.size} bytes>"


class _OwnDirectory:
    """The directory that a stage has just filled."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def entry(self, path: str) -> FileEntry:
        local = self._root / path
        with plain_disk_errors("read", local):
            return FileEntry(path=path, sha256=checked_files.digest(local), size=local.stat().st_size)

    def provide(self, files: Sequence[FileEntry]) -> Path:
        for file in files:
            with plain_disk_errors("read", self._root / file.path):
                if checked_files.digest(self._root / file.path) != file.sha256:
                    raise Refused(f"{self._root / file.path} was changed after the product was finished.")
        return self._root


def _files_below(root: Path) -> list[str]:
    """Relative POSIX paths of all files, sorted."""
    found = []
    with plain_disk_errors("read", root):
        for folder, folders, names in os.walk(root, onerror=_raise):
            for name in [*folders, *names]:
                path = Path(folder, name)
                is_folder = name in folders
                if is_folder and path.is_symlink():
                    raise Refused(f"{path} is a link to a directory; a product holds files only.")
                if not is_folder and not path.is_file():
                    raise Refused(f"{path} is a dangling link or no regular file; a product holds files only.")
                if not is_folder:
                    found.append(check_path(path.relative_to(root).as_posix()))
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error
