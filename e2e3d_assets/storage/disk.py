"""Objects as plain files below a folder.

Own code rather than obstore's local store, for three things it does not do: files are linked into place instead of
copied, what was written survives a power cut, and nothing that a killed process leaves behind is hidden from clean-up.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from .errors import Refused, plain_disk_errors
from .names import check_path
from .objects import Download, ObjectInfo, nothing
from .parallel import in_parallel

PART_PREFIX = ".e2e3d-part-"
_THREADS = 8
_CHUNK_BYTES = 2**20


class DiskObjects:
    """The :class:`~e2e3d_assets.storage.objects.Objects` of one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = self._root.as_uri()

    def prepare(self) -> None:
        """Create the folder."""
        with plain_disk_errors("create", self._root):
            self._root.mkdir(parents=True, exist_ok=True)

    def put_files(
        self, files: Sequence[tuple[Path, str]], *, may_share: bool = False, on_bytes: Callable[[int], object] = nothing
    ) -> None:
        """Link each file into place if it may be shared and the file system allows, else copy it; flush all.

        A file that somebody else holds is copied all the same: what another link changes later must not change here.
        """

        def put(file: tuple[Path, str]) -> None:
            source, target = file[0], self._path(file[1])
            with plain_disk_errors("write", target):
                if not (may_share and _link(source, target)):
                    _copy(source, target)
                _flush(target)
            on_bytes(target.stat().st_size)

        for folder in sorted({self._path(key).parent for _, key in files}):
            with plain_disk_errors("create", folder):
                folder.mkdir(parents=True, exist_ok=True)
        in_parallel(put, files, _THREADS)
        folders = {folder for _, key in files for folder in self._folders_above(key)}
        in_parallel(_flush, sorted(folders), _THREADS)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write beside the destination, flush, rename."""
        target = self._path(key)
        with plain_disk_errors("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}")
            try:
                part.write_bytes(data)
                _flush(part)
                part.replace(target)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            for folder in self._folders_above(key):
                _flush(folder)

    def get_bytes(self, key: str) -> bytes:
        """Read the file."""
        path = self._path(key)
        with plain_disk_errors("read", path):
            try:
                return path.read_bytes()
            except (IsADirectoryError, NotADirectoryError) as error:
                raise FileNotFoundError(key) from error

    def stream(self, key: str) -> Iterator[bytes]:
        """Read the file."""
        path = self._path(key)
        with plain_disk_errors("read", path):
            if not path.is_file():
                raise FileNotFoundError(key)
            return _chunks(path.open("rb"))

    def sign(self, key: str, life: timedelta) -> str | None:
        """None: a disk has no addresses."""
        return None

    def download(self, wanted: Sequence[Download]) -> None:
        """Copy the files."""

        def copy(item: Download) -> None:
            source = self._path(item.key)
            with plain_disk_errors("write", item.destination):
                if not source.is_file():
                    raise FileNotFoundError(item.key)
                shutil.copyfile(source, item.destination)

        in_parallel(copy, wanted, _THREADS)

    def local_path(self, key: str) -> Path | None:
        """The file itself."""
        return self._path(key)

    def walk(self, prefix: str) -> Iterator[ObjectInfo]:
        """Walk the folder. Links that lead out of it are refused, links to folders too."""
        top = self._path(prefix) if prefix else self._root
        if not top.is_dir():
            return
        inside = top.resolve()
        with plain_disk_errors("list", top):
            for folder, folders, files in os.walk(top, onerror=_raise_unless_gone):
                for name in folders:
                    if (link := Path(folder, name)).is_symlink():
                        raise Refused(f"{link} is a link to a folder. Put the files themselves there.")
                for name in files:
                    info = self._info(Path(folder, name), inside)
                    if info is not None:
                        yield info

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below."""
        top = self._path(prefix) if prefix else self._root
        with plain_disk_errors("list", top):
            try:
                return sorted(entry.name for entry in os.scandir(top) if entry.is_dir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    def delete(self, keys: Sequence[str]) -> None:
        """Remove files, and the folders that this leaves empty; also files whose names this store would not take."""

        def remove(key: str) -> None:
            with plain_disk_errors("remove", self._root / key):
                (self._root / key).unlink(missing_ok=True)

        if outside := [key for key in keys if ".." in Path(key).parts or Path(key).is_absolute()]:
            raise Refused(f"{outside[0]} is not in {self._root}.")
        in_parallel(remove, keys, _THREADS)
        folders = {folder for key in keys for folder in self._folders_above(key)} - {self._root}
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _path(self, key: str) -> Path:
        return self._root / check_path(key)

    def _folders_above(self, key: str) -> list[Path]:
        """The folders that hold the key, from the nearest up to the root."""
        path = self._root / key
        return [parent for parent in path.parents if parent == self._root or self._root in parent.parents]

    def _info(self, path: Path, inside: Path) -> ObjectInfo | None:
        """What a listing says of one file; none if it vanished meanwhile."""
        try:
            if path.is_symlink() and inside not in path.resolve().parents:
                raise Refused(f"{path} is a link that leads out of its folder. Put the file itself there.")
            status = path.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{path} is no regular file. Remove it.")
        return ObjectInfo(
            key=path.relative_to(self._root).as_posix(),
            size=status.st_size,
            etag=f"{status.st_size:x}-{status.st_mtime_ns:x}",
            # A copy that keeps the file's time shows in ctime when it came.
            modified=datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC),
        )


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while data := file.read(_CHUNK_BYTES):
            yield data


def _link(source: Path, target: Path) -> bool:
    """Give a file that nobody else holds a second name; false if it must be copied instead."""
    status = source.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        return False
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            return False
        raise
    return True


def _copy(source: Path, target: Path) -> None:
    """Contents and times, so that the copy of an unchanged file looks unchanged."""
    part = target.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}")
    try:
        shutil.copyfile(source, part)
        status = source.stat()
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Have the system write a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
