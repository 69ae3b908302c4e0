"""What the store raises. Every message is plain: what happened, where, and what to do. Nothing else belongs here."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


class StoreError(Exception):
    """Base of all that the store raises on purpose.

    ``permanent`` says whether repeating the same operation must fail again, so that nobody retries it.
    """

    permanent = False


class StoreUnavailable(StoreError):
    """The disk or the server did not do its part; the same operation may succeed later."""


class NoSpace(StoreUnavailable):
    """There is not enough room on a disk."""


class Refused(StoreError):
    """The request itself is wrong: a name, a product or an option that the store does not take."""

    permanent = True


class CorruptArtifact(StoreError):
    """A committed object is missing or does not hold the bytes that its manifest promises."""

    permanent = True

    def __init__(self, image_set: str, asset: str, revision: str, file: str, expected: str, found: str) -> None:
        self.image_set = image_set
        self.asset = asset
        self.revision = revision
        self.file = file
        super().__init__(
            f"{file} of {asset}, image set {image_set}, revision {revision}, is damaged: "
            f"expected {expected}, found {found}. Materialize {asset} again for {image_set}, "
            f"or restore the file from a backup."
        )


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def plain_disk_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn what the operating system says into one sentence; a missing file stays :class:`FileNotFoundError`.

    Args:
        doing: what is being done, as in "write".
        path: where, for messages that the system gives without a path.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        where = error.filename or path
        if error.errno in _FULL:
            raise NoSpace(f"Cannot {doing} {where}: the disk is full. Free some space and try again.") from error
        if error.errno in _FORBIDDEN:
            raise StoreUnavailable(
                f"Cannot {doing} {where}: {error.strerror}. Make the folder writable for this user and try again."
            ) from error
        raise StoreUnavailable(f"Cannot {doing} {where}: {error.strerror or error}.") from error
