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
from pathlib import Path, PurePosixPath
from typing import IO

from ..errors import BadInput
from ..monitor import Monitor

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_ENTRIES = 20_000
MAX_TOTAL_BYTES = 200 * 2**30
MAX_RATIO = 200  # photos and videos are compressed already: a higher ratio over the whole archive is a bomb
_RATIO_FREE_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**20
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error,
    EOFError, OSError, RuntimeError, ValueError, OverflowError,
)  # fmt: skip


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive that :func:`unpack` reads."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, out: Path, given_name: str, monitor: Monitor) -> list[tuple[Path, str]]:
    """Unpack the regular files of an archive into ``out``, under numbers in place of their own names.

    Args:
        archive: zip or tar file.
        out: an existing directory.
        given_name: the archive's name as the user knows it.

    Returns:
        (file in ``out``, its path in the archive) of each regular file. Links and devices are left out.

    Raises:
        BadInput: the archive is broken, locked, too large, or leads outside of itself.
    """
    try:
        opened = _zip_members(archive) if archive.name.lower().endswith(".zip") else _tar_members(archive)
        return _write_members(opened, out, archive.stat().st_size, given_name, monitor)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's trouble, not the archive's, which may have us look before its beginning
        remedy = "Pack the photos again without a password, or upload the folder"
        raise BadInput(f"The archive cannot be read: {error}", remedy, [given_name]) from error


def _write_members(
    members: Iterator[tuple[str, IO[bytes]]], out: Path, packed_bytes: int, given_name: str, monitor: Monitor
) -> list[tuple[Path, str]]:
    allowed = min(MAX_TOTAL_BYTES, max(_RATIO_FREE_BYTES, packed_bytes * MAX_RATIO))
    written = 0
    files: list[tuple[Path, str]] = []
    for name, source in members:
        if len(files) >= MAX_ENTRIES:
            raise BadInput(f"The archive holds more than {MAX_ENTRIES} files", "Upload fewer photos", [given_name])
        if not is_safe_member(name):
            raise BadInput(f"The archive holds a path that leads outside: {name[:100]}", "Pack it again", [given_name])
        target = out / f"{len(files):06d}{PurePosixPath(name).suffix.lower()[:12]}"
        with source, target.open("wb") as sink:
            while chunk := source.read(_CHUNK_BYTES):
                monitor.check()
                written += len(chunk)
                if written > allowed:
                    raise BadInput("The archive unpacks to far more than it holds", "Upload the photos", [given_name])
                sink.write(chunk)
        files.append((target, name))
        monitor.progress(len(files), 0, "unpacking")
    return files


def is_safe_member(name: str) -> bool:
    """Whether a member's path stays inside the archive's own folder on every system."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not (path.is_absolute() or ".." in path.parts or ":" in name[1:2] or "\0" in name)


def _zip_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
                continue
            yield info.filename, archive.open(info)


def _tar_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path, mode="r:*") as archive:
        for info in archive:
            source = archive.extractfile(info) if info.isreg() else None
            if source is not None:
                yield info.name, source
