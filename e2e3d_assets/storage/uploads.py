"""Uploads: the photos that people put into a folder or bucket, one image set a top-level folder.

What belongs here: what lies there, which version of it that is, and getting it onto this machine. What does not:
what the files mean, when a set counts as complete, what an image set may be called.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import Refused, StoreUnavailable, plain_disk_errors
from .names import check_component, check_path
from .objects import BucketOptions, Download, ObjectInfo, Objects, open_objects
from .parallel import ByteListener, Tally
from .scratch import require_space

COMPLETE = "_COMPLETE"
"""Name of the marker that an uploader writes last."""
OPTIONS = "e2e3d.json"
"""Name of the optional file that says how the set shall be reconstructed."""

_LARGEST_OPTIONS_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of an upload, by its path below the image set's folder."""

    path: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Upload:
    """What lies under one image set at the moment of listing: without files if nothing does.

    ``files`` leaves out the marker and the options file, which are told apart.
    """

    image_set: str
    files: tuple[UploadedFile, ...]
    marker: UploadedFile | None
    options: UploadedFile | None
    _store: "UploadStore" = field(repr=False, compare=False)

    @property
    def digest(self) -> str:
        """Names the files and their contents: SHA-256 over sorted names, sizes and etags.

        The etag of a file on disk is its size and modification time, which a copy that keeps times keeps.
        """
        return _digest(self.files)

    @property
    def fingerprint(self) -> str:
        """Like :attr:`digest`, over the options file too: the same fingerprint asks for the same work."""
        return _digest([*self.files, *([self.options] if self.options else [])])

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def modified(self) -> datetime | None:
        """When something under the set was changed last; none if nothing is there."""
        return max((file.modified for file in (*self.files, self.marker, self.options) if file), default=None)

    def path(self) -> Path:
        """A local directory with the files, fetched now if they are elsewhere; empty if there are none.

        For reading only. On a local store the marker and the options file are in it too.

        Raises:
            Refused: a file has a name that leads elsewhere.
            StoreUnavailable: the store does not answer, or an object was changed since it was listed.
        """
        return self._store.fetch(self)


class UploadStore:
    """Uploads by image set.

    Args:
        url: a folder, ``file://…``, ``s3://bucket/prefix``, ``gs://…`` or ``az://…``.
        scratch: folder on this machine for copies of what is uploaded elsewhere.
        options: fields of :class:`~e2e3d_assets.storage.objects.BucketOptions`.
    """

    def __init__(self, url: str, scratch: Path | None = None, **options: Any) -> None:
        self.objects: Objects = open_objects(url, BucketOptions(**options))
        self.url = self.objects.url
        self._cache = (scratch or Path(tempfile.gettempdir()) / "e2e3d").absolute() / "cache" / "uploads"

    def prepare(self) -> None:
        """Create the folder or bucket if it does not exist."""
        self.objects.prepare()

    def image_sets(self) -> list[str]:
        """Names of all top-level folders, sorted."""
        return self.objects.folders("")

    def upload(self, image_set: str) -> Upload:
        """What lies under one image set."""
        prefix = check_component(image_set)
        return self._upload(image_set, ((_below(prefix, info.key), info) for info in self.objects.walk(prefix)))

    def survey(self) -> dict[str, Upload]:
        """What lies under every image set, by one listing of everything: for many sets of which each may have changed.

        Raises:
            Refused: some object has a name that the store does not take; list the sets one by one then.
        """
        found: dict[str, list[tuple[str, ObjectInfo]]] = {}
        for info in self.objects.walk(""):
            image_set, slash, path = info.key.partition("/")
            if slash:
                found.setdefault(image_set, []).append((path, info))
        return {image_set: self._upload(image_set, items) for image_set, items in sorted(found.items())}

    def read_options(self, upload: Upload) -> bytes | None:
        """The options file's bytes; none without one.

        Raises:
            Refused: it is too large to be one.
        """
        if upload.options is None:
            return None
        if upload.options.size > _LARGEST_OPTIONS_BYTES:
            raise Refused(f"{OPTIONS} of {upload.image_set} has {upload.options.size:,} bytes; it is no options file.")
        return self.objects.get_bytes(f"{upload.image_set}/{OPTIONS}")

    def fetch(self, upload: Upload) -> Path:
        """See :meth:`Upload.path`."""
        folders = {parent for file in upload.files for parent in _parents(file.path)}
        for file in upload.files:
            if check_path(file.path) in folders:
                raise Refused(f"{file.path} of {upload.image_set} is a file and a folder at once. Rename one of them.")
        in_place = self.objects.local_path(upload.image_set)
        return in_place if in_place and upload.files else self._copy(upload)

    def replace(self, image_set: str, source: Path, on_bytes: ByteListener | None = None) -> Upload:
        """Make an image set hold exactly a local folder's files, or one file; the marker is written last.

        Modification times are kept on disk, so that the same folder put twice is the same upload.

        Args:
            image_set: where to.
            source: a folder, taken with all below it but hidden files, or a file.
            on_bytes: told how much is stored.

        Raises:
            Refused: a link to a folder, or a name that a store cannot keep.
        """
        check_component(image_set)
        files = [(path, f"{image_set}/{name}") for path, name in _local_files(source)]
        self.objects.delete([f"{image_set}/{COMPLETE}"])
        tally = Tally(sum(path.stat().st_size for path, _ in files), on_bytes)
        self.objects.put_files(files, on_bytes=tally.add)
        kept = {key for _, key in files}
        self.objects.delete([info.key for info in self.objects.walk(image_set) if info.key not in kept])
        self.objects.put_bytes(f"{image_set}/{COMPLETE}", b"")
        return self.upload(image_set)

    def delete(self, image_set: str) -> None:
        """Remove everything under an image set."""
        self.objects.delete([info.key for info in self.objects.walk(check_component(image_set))])

    def _upload(self, image_set: str, items: Iterable[tuple[str, ObjectInfo]]) -> Upload:
        files = [UploadedFile(path, info.size, info.etag, info.modified) for path, info in items if path]
        folders = {parent for file in files for parent in _parents(file.path)}
        told_apart = {file.path: file for file in files if file.path in (COMPLETE, OPTIONS)}
        return Upload(
            image_set,
            tuple(
                sorted(
                    # Consoles make an empty object for each folder.
                    (f for f in files if f.path not in told_apart and not (f.size == 0 and f.path in folders)),
                    key=lambda file: file.path,
                )
            ),
            told_apart.get(COMPLETE),
            told_apart.get(OPTIONS),
            self,
        )

    def _copy(self, upload: Upload) -> Path:
        """A folder with exactly these versions of the files, made once for all processes of this machine."""
        copy = self._cache / upload.digest
        part = self._cache / f"{secrets.token_hex(12)}.part"
        with plain_disk_errors("write", copy):
            try:
                if not copy.is_dir():
                    self._download(upload, part)
                    part.rename(copy)
            except OSError:
                if not copy.is_dir():  # another process was not faster either
                    raise
            finally:
                shutil.rmtree(part, ignore_errors=True)
            os.utime(copy)
        return copy

    def _download(self, upload: Upload, folder: Path) -> None:
        folder.mkdir(parents=True)
        require_space(folder, upload.size)
        wanted = [Download(f"{upload.image_set}/{file.path}", file.size, folder / file.path) for file in upload.files]
        for parent in {item.destination.parent for item in wanted}:
            parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.objects.download(wanted)
        if upload.files and self.upload(upload.image_set).digest != upload.digest:
            raise StoreUnavailable(f"The upload {upload.image_set} changed while it was being fetched. Try again.")


def _digest(files: Iterable[UploadedFile]) -> str:
    lines = sorted(f"{file.path}\0{file.size}\0{file.etag}\n" for file in files)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _below(prefix: str, key: str) -> str:
    return key[len(prefix) + 1 :]


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _local_files(source: Path) -> list[tuple[Path, str]]:
    """Local path and name in the upload of each file, sorted."""
    if not source.is_dir():
        return [(source, check_path(source.name))]
    found = []
    with plain_disk_errors("read", source):
        for folder, folders, names in os.walk(source, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in folders:
                if Path(folder, name).is_symlink():
                    raise Refused(f"{Path(folder, name)} is a link to a folder. Give the folder itself.")
            for name in names:
                if not name.startswith("."):
                    path = Path(folder, name)
                    found.append((path, check_path(path.relative_to(source).as_posix())))
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error
