"""Objects: bytes under slash-separated keys, on a disk or in a bucket.

What belongs here: the few operations that the stores need, and which implementation a URL means. The two are
:mod:`~e2e3d_assets.storage.disk` (plain files: linked into place, flushed, read where they lie) and
:mod:`~e2e3d_assets.storage.bucket` (obstore: S3, Google Cloud Storage, Azure).
What does not: revisions, manifests, image sets.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from .errors import Refused


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing says of an object: ``etag`` changes when the contents do, ``modified`` is when it came here."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Download:
    """One object that shall become a file."""

    key: str
    size: int
    destination: Path


class BucketOptions(BaseModel):
    """How to reach a bucket. What is left out comes from the usual ``AWS_…`` variables or the instance's role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = Field(default=None, description="URL of the S3 server; none means Amazon's own")
    public_endpoint: str | None = Field(
        default=None, description="URL of the same server as others reach it, for signed links; none means endpoint"
    )
    region: str | None = Field(default=None, description="region that requests are signed for")
    path_style: bool = Field(default=True, description="bucket in the path, not in the host name")
    allow_http: bool = Field(default=False, description="accept an endpoint without TLS")
    ca_certificate: str | None = Field(
        default=None, description="PEM text of the authority that signed the server's certificate"
    )
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    server_side_encryption: str | None = Field(default=None, description="AES256 or aws:kms")
    sse_kms_key_id: str | None = Field(default=None, description="key for aws:kms")
    request_timeout_seconds: float = Field(default=60, gt=0, description="for one request, which moves 8 MiB at most")
    retry_seconds: float = Field(
        default=60, ge=0, description="how long a request is repeated before the store is unavailable"
    )


def nothing(amount: int) -> None:
    """Listens to progress and does nothing."""


class Objects(Protocol):
    """Bytes under keys. All methods are safe to call from several threads and raise ``StoreUnavailable``."""

    url: str

    def prepare(self) -> None:
        """Create the folder or bucket if it does not exist."""
        ...

    def put_files(
        self, files: Sequence[tuple[Path, str]], *, may_share: bool = False, on_bytes: Callable[[int], object] = nothing
    ) -> None:
        """Store local files, each under its key; on return they survive a power cut. Not atomic as a whole.

        Args:
            files: (file, key) pairs.
            may_share: nobody will change the files from now on, so that a store on the same disk need not copy them.
            on_bytes: called with the number of bytes that were taken since the last call, from whichever thread works.
        """
        ...

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store or replace a small object; others see the old or the new bytes, never a mixture."""
        ...

    def get_bytes(self, key: str) -> bytes:
        """A small object's bytes.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def stream(self, key: str) -> Iterator[bytes]:
        """An object's bytes, some MiB at a time.

        Raises:
            FileNotFoundError: there is none; raised at once, not when the bytes are asked for.
        """
        ...

    def sign(self, key: str, life: timedelta) -> str | None:
        """An address at which anybody may read the object for so long; none if the store has no addresses."""
        ...

    def download(self, wanted: Sequence[Download]) -> None:
        """Copy objects to local files, in parallel and streamed. An object that is too short gives a short file.

        Raises:
            FileNotFoundError: one does not exist; the message is its key.
        """
        ...

    def local_path(self, key: str) -> Path | None:
        """Where the object can be read in place, if that is possible at all; it need not exist."""
        ...

    def walk(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object below the folder, in no order."""
        ...

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below the folder, sorted."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; missing ones are no error."""
        ...


def open_objects(url: str, options: BucketOptions | None = None) -> Objects:
    """The objects that a URL means: a path, ``file://…``, ``s3://bucket/prefix``, ``gs://…`` or ``az://…``.

    Nothing is read or written yet.

    Raises:
        Refused: the URL is of no known kind.
    """
    parts = urlsplit(url)
    if parts.scheme in ("", "file") and not parts.netloc:
        from .disk import DiskObjects

        return DiskObjects(Path(unquote(parts.path) if parts.scheme else url))
    if parts.scheme in ("s3", "gs", "az") and parts.netloc:
        from .bucket import BucketObjects

        return BucketObjects(url, options or BucketOptions())
    raise Refused(f"{url!r} is no store. Give a folder, file://…, s3://bucket/prefix, gs://… or az://….")
