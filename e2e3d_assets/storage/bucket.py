"""Objects in a bucket, through obstore: S3 and what speaks like it, Google Cloud Storage, Azure.

What belongs here: parallel streamed transfers of bounded memory, and errors in plain words. ``obstore`` is loaded when
the first bucket is opened.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlsplit

import obstore
from obstore import exceptions as obstore_errors
from obstore.store import AzureStore, GCSStore, S3Store, from_url

from .errors import Refused, StoreUnavailable, plain_disk_errors
from .names import check_path
from .objects import BucketOptions, Download, ObjectInfo, nothing
from .parallel import in_parallel

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

PART_BYTES = 8 * 2**20
_THREADS = 8
_PARTS_SENT_AT_ONCE = 8  # of all big files; twice this times PART_BYTES is the memory that an upload needs
_LISTING_PAGE = 1000
_RETRIES = 10_000  # the time is what ends them: refused connections are repeated many times a second
_FULL = ("QuotaExceeded", "StorageFull", "507 Insufficient Storage")  # Ceph, MinIO
_STREAM_BYTES = 2**20


class BucketObjects:
    """The :class:`~e2e3d_assets.storage.objects.Objects` of one bucket, or of one folder in it."""

    def __init__(self, url: str, options: BucketOptions) -> None:
        self.url = url.rstrip("/")
        self._options = options
        self._store = _open(self.url, options)

    def prepare(self) -> None:
        """Create the bucket if the server allows it."""
        from .provision import create_bucket

        create_bucket(self.url, self._options)

    def put_files(
        self, files: Sequence[tuple[Path, str]], *, may_share: bool = False, on_bytes: Callable[[int], object] = nothing
    ) -> None:
        """Upload, big files in parts, the biggest first."""
        big = sum(source.stat().st_size > PART_BYTES for source, _ in files)
        parts = _PARTS_SENT_AT_ONCE // max(1, min(big, _THREADS))

        stopping = threading.Event()

        def put(file: tuple[Path, str]) -> None:
            source, key = file
            with self._plain_errors("write", key), source.open("rb") as opened:
                told = _ToldFile(opened, on_bytes, stopping)
                obstore.put(
                    self._store, check_path(key), cast("IO[bytes]", told), chunk_size=PART_BYTES, max_concurrency=parts
                )

        in_parallel(put, sorted(files, key=lambda file: -file[0].stat().st_size), _THREADS, stopping)

    def put_bytes(self, key: str, data: bytes) -> None:
        """One put, which is atomic on every object store."""
        with self._plain_errors("write", key):
            obstore.put(self._store, check_path(key), data, use_multipart=False)

    def get_bytes(self, key: str) -> bytes:
        """One get."""
        with self._plain_errors("read", key):
            return obstore.get(self._store, check_path(key)).bytes().to_bytes()

    def stream(self, key: str) -> Iterator[bytes]:
        """One get, whose answer is read as it is wanted."""
        with self._plain_errors("read", key):
            answer = obstore.get(self._store, check_path(key))
        return (bytes(chunk) for chunk in answer.stream(min_chunk_size=_STREAM_BYTES))

    def sign(self, key: str, life: timedelta) -> str | None:
        """Signed by our credentials, for the public endpoint: no request is made."""
        options = self._options
        if options.public_endpoint:
            options = options.model_copy(update={"endpoint": options.public_endpoint})
        store = _open(self.url, options)
        if not isinstance(store, S3Store | GCSStore | AzureStore):
            return None
        with self._plain_errors("sign a link to", key):
            return obstore.sign(store, "GET", check_path(key), life)

    def download(self, wanted: Sequence[Download]) -> None:
        """Fetch parts of all objects in parallel, some at once, and write each where it belongs."""
        parts = [(item, start) for item in wanted for start in range(0, max(item.size, 1), PART_BYTES)]
        for item in wanted:
            with plain_disk_errors("write", item.destination):
                item.destination.touch()
        in_parallel(self._get_part, parts, _THREADS)

    def local_path(self, key: str) -> Path | None:
        """None: a bucket is elsewhere."""
        return None

    def walk(self, prefix: str) -> Iterator[ObjectInfo]:
        """Page by page."""
        with self._plain_errors("list", prefix):
            for page in obstore.list(self._store, prefix or None, chunk_size=_LISTING_PAGE):
                for item in page:
                    yield ObjectInfo(
                        item["path"], item["size"], (item["e_tag"] or "").strip('"'), item["last_modified"]
                    )

    def folders(self, prefix: str) -> list[str]:
        """Names of the common prefixes directly below."""
        with self._plain_errors("list", prefix):
            found = obstore.list_with_delimiter(self._store, prefix or None)["common_prefixes"]
        return sorted(name for path in found if (name := path.rsplit("/", 1)[-1]))

    def delete(self, keys: Sequence[str]) -> None:
        """In batches, where the server knows batches."""
        if keys:
            with self._plain_errors("remove", keys[0]):
                obstore.delete(self._store, list(keys))

    def _get_part(self, part: tuple[Download, int]) -> None:
        item, start = part
        with self._plain_errors("read", item.key):
            data = self._range(item.key, start, min(PART_BYTES, item.size - start))
        with plain_disk_errors("write", item.destination), item.destination.open("r+b") as file:
            file.seek(start)
            file.write(data)

    def _range(self, key: str, start: int, length: int) -> memoryview:
        """Bytes of an object; fewer, or none, if it ends before."""
        if length == 0:
            obstore.head(self._store, check_path(key))
            return memoryview(b"")
        try:
            return memoryview(obstore.get_range(self._store, check_path(key), start=start, length=length))
        except obstore_errors.GenericError:
            if obstore.head(self._store, key)["size"] > start:
                raise
            return memoryview(b"")

    @contextlib.contextmanager
    def _plain_errors(self, doing: str, key: str) -> Iterator[None]:
        where = f"{self.url}/{key}"
        try:
            yield
        except obstore_errors.InvalidPathError as error:
            raise Refused(
                f"{where} holds a name that no store takes: {_first_line(error)}. Remove that object."
            ) from error
        except (FileNotFoundError, obstore_errors.BaseError) as error:
            if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                raise FileNotFoundError(key) from error
            raise StoreUnavailable(f"Cannot {doing} {where}: {_reason(error)}.") from error


class _ToldFile:
    """A file that tells how much of it was read, and ends its upload when asked to.

    obstore reads it a part at a time and wants nothing else of it.
    """

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], object], stopping: threading.Event) -> None:
        self._file, self._on_bytes, self._stopping = file, on_bytes, stopping
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        if self._stopping.is_set():
            raise InterruptedError("The upload was stopped.")
        data = self._file.read(size)
        self._on_bytes(len(data))
        return data


def _reason(error: Exception) -> str:
    told = _first_line(error)
    if "NoSuchBucket" in told:
        return "there is no such bucket. Create it, or correct the URL"
    if any(code in told for code in _FULL):
        return "the store is full. Free some space in it, or raise its quota"
    if "403 Forbidden" in told or "401 Unauthorized" in told:
        return "the server refuses these credentials. Check key, secret and policy"
    if "/latest/api/token" in told:
        return "no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
    if "error sending request" in told:
        return "the server does not answer. Is it running, in reach, and not full?"
    return told


def _first_line(error: Exception) -> str:
    """What went wrong, without the details for programmers that follow."""
    return str(error).split("\n", 1)[0].strip()


def _open(url: str, options: BucketOptions) -> "ObjectStore":
    parts = urlsplit(url)
    client: ClientConfig = {
        "allow_http": options.allow_http,
        "timeout": timedelta(seconds=options.request_timeout_seconds),
    }
    if options.ca_certificate:
        client["root_certificate"] = options.ca_certificate
    retry: RetryConfig = {
        "max_retries": _RETRIES,
        "retry_timeout": timedelta(seconds=options.retry_seconds),
        "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
    }
    try:
        if parts.scheme != "s3":
            return from_url(url, client_options=client, retry_config=retry)
        prefix = parts.path.strip("/")
        return S3Store(
            parts.netloc, prefix=prefix or None, config=_s3(options), client_options=client, retry_config=retry
        )
    except (obstore_errors.BaseError, ValueError) as error:
        raise Refused(f"The store {url} cannot be opened: {_first_line(error)}.") from error


def _s3(options: BucketOptions) -> "S3Config":
    """Only what was given: the rest is for the environment to say."""
    given = {
        "endpoint": options.endpoint,
        "region": options.region,
        "access_key_id": options.access_key_id,
        "secret_access_key": options.secret_access_key and options.secret_access_key.get_secret_value(),
        "session_token": options.session_token and options.session_token.get_secret_value(),
        "server_side_encryption": options.server_side_encryption,
        "sse_kms_key_id": options.sse_kms_key_id,
    }
    config: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return cast("S3Config", config | {"virtual_hosted_style_request": not options.path_style})
