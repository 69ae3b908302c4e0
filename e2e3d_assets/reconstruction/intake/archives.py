"""Zip and tar archives, unpacked without trusting them.

What belongs here: limits on entries, bytes and compression ratio, and the refusal of paths that lead outside. What does
not: which of the unpacked files are photos.
"""

import errno
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import IO

from ..errors import BadInput
from ..monitor import Monitor

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_ENTRIES = 20_000
MAX_TOTAL_BYTES = 200 * 2**30
MAX_RATIO = 200  # photos and videos are compressed already: a higher ratio over the whole archive is a bomb
_RATIO_FREE_BYTES = 64 * 2**20
_MAX_DEPTH = 3  # of archives in archives
_CHUNK_BYTES = 2**20
_HIDDEN_FOLDERS = frozenset(("__MACOSX",))
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error,
    EOFError, OSError, RuntimeError, ValueError, OverflowError,
)  # fmt: skip


def is_archive(path: PurePath) -> bool:
    """Whether the name is that of an archive that :func:`unpack` reads."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, out: Path, given_name: str, monitor: Monitor) -> list[tuple[Path, str]]:
    """Unpack the regular files of an archive, and of archives in it, into ``out``: under numbers, not their own names.

    Args:
        archive: zip or tar file.
        out: an existing directory.
        given_name: the archive's name as the user knows it.

    Returns:
        (file in ``out``, its path in the archive, with forward slashes) of each regular file. Links and devices are
        left out.

    Raises:
        BadInput: the archive is broken, locked, too large, or leads outside of itself.
    """
    allowed = min(MAX_TOTAL_BYTES, max(_RATIO_FREE_BYTES, archive.stat().st_size * MAX_RATIO))
    return _Unpacking(out, given_name, allowed, monitor).unpack(archive, given_name)


class _Unpacking:
    """What one uploaded archive, with all archives in it, has given so far: the limits are for them together."""

    def __init__(self, out: Path, uploaded: str, allowed_bytes: int, monitor: Monitor) -> None:
        self._out, self._uploaded, self._monitor = out, uploaded, monitor
        self._allowed_bytes = allowed_bytes
        self._entries = self._bytes = 0

    def unpack(self, archive: Path, name: str, folder: str = "", depth: int = 0) -> list[tuple[Path, str]]:
        """The files of an archive called ``name``, under paths that begin with ``folder``."""
        try:
            opened = _zip_members(archive) if name.lower().endswith(".zip") else _tar_members(archive)
            members = [(self._write(member, source), member) for member, source in opened]
        except _BROKEN as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # the disk's trouble, not the archive's, which may have us look before its beginning
            remedy = "Pack the photos again without a password, or upload the folder"
            raise BadInput(f"The archive cannot be read: {error}", remedy, [name]) from error
        files: list[tuple[Path, str]] = []
        for file, member in members:
            path = f"{folder}{member}"
            if not is_archive(PurePosixPath(member)) or is_hidden(PurePosixPath(member)):
                files.append((file, path))
                continue
            if depth == _MAX_DEPTH:
                raise BadInput("The archive holds archives in archives", "Unpack the inner ones", [self._uploaded])
            files += self.unpack(file, path, f"{path}/", depth + 1)
            file.unlink()
        return files

    def _write(self, name: str, source: IO[bytes]) -> Path:
        if self._entries >= MAX_ENTRIES:
            raise BadInput(f"The archive holds more than {MAX_ENTRIES} files", "Upload fewer photos", [self._uploaded])
        if not is_safe_member(name):
            problem = f"The archive holds a path that leads outside: {name[:100]}"
            raise BadInput(problem, "Pack it again", [self._uploaded])
        target = self._out / f"{self._entries:06d}{PurePosixPath(name).suffix.lower()[:12]}"
        with source, target.open("wb") as sink:
            while chunk := source.read(_CHUNK_BYTES):
                self._monitor.check()
                self._bytes += len(chunk)
                if self._bytes > self._allowed_bytes:
                    problem = "The archive unpacks to far more than it holds"
                    raise BadInput(problem, "Upload the photos", [self._uploaded])
                sink.write(chunk)
        self._entries += 1
        self._monitor.progress(self._entries, 0, "unpacking")
        return target


def is_hidden(path: PurePosixPath) -> bool:
    """Whether a file is what systems leave beside the files of people."""
    return any(part.startswith(".") or part in _HIDDEN_FOLDERS for part in path.parts)


def is_safe_member(name: str) -> bool:
    """Whether a member's path stays inside the archive's own folder on every system."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not (path.is_absolute() or ".." in path.parts or ":" in name[1:2] or "\0" in name)


def _zip_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
                continue
            yield info.filename.replace("\\", "/"), archive.open(info)


def _tar_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path, mode="r:*", errors="replace") as archive:
        for info in archive:
            source = archive.extractfile(info) if info.isreg() else None
            if source is not None:
                yield info.name.replace("\\", "/"), source
