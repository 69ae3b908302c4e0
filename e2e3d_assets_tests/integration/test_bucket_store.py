"""Artifacts and uploads in a bucket of a real S3 server: the contracts of the stores, and what only a bucket can do."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from urllib.parse import urlsplit

import boto3
import pytest
import requests

from e2e3d_assets.storage.errors import Refused, StoreUnavailable
from e2e3d_assets.storage.objects import BucketOptions
from e2e3d_assets.storage.provision import create_bucket
from e2e3d_assets.storage.store import ArtifactStore
from e2e3d_assets.storage.uploads import UploadStore

from ..storage.store_contract import PRODUCT, StoreContract, contents, make, with_any_name
from ..storage.upload_contract import UploadContract
from . import ceph, proxy

pytestmark = pytest.mark.integration


class TestArtifacts(StoreContract):
    @pytest.fixture
    def open_store(self, s3_server, new_bucket, tmp_path_factory):
        url = f"{new_bucket()}/artifacts"
        return lambda: ArtifactStore(url, tmp_path_factory.mktemp("scratch"), **s3_server.options())

    @with_any_name
    def test_any_name_is_kept_or_refused(self, open_store, name):
        """Prevents names that leave the store's folder, get lost, or come back as others."""
        self.check_name(open_store, name)


class TestUploads(UploadContract):
    @pytest.fixture
    def open_uploads(self, s3_server, new_bucket, tmp_path_factory):
        url = f"{new_bucket()}/uploads"
        return lambda: UploadStore(url, tmp_path_factory.mktemp("scratch"), **s3_server.options())


@pytest.fixture
def url(new_bucket) -> str:
    return new_bucket()


@pytest.fixture
def client(s3_server):
    """A client of another make, to do what our stores would not."""
    return boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=s3_server.access_key_id,
        aws_secret_access_key=s3_server.secret_access_key,
    )


def test_big_files_go_in_parts(s3_server, url, client, tmp_path):
    """Prevents depth maps from being held in memory whole, and parts from being put together wrongly."""
    files = {"big.bin": random.Random(3).randbytes(20_000_003), "exact.bin": bytes(8 * 2**20), "small.bin": b"1"}
    committed = ArtifactStore(url, tmp_path / "one", **s3_server.options()).write(
        make(tmp_path / "own", files), "temple", "depth_maps", "run"
    )
    key = f"temple/depth_maps/{committed.revision}/big.bin"
    assert client.head_object(Bucket=urlsplit(url).netloc, Key=key)["ETag"].endswith('-3"'), "three parts"
    read = ArtifactStore(url, tmp_path / "two", **s3_server.options()).latest("temple", "depth_maps")
    assert contents(read.path()) == files


def test_a_signed_link_opens_one_file_for_a_while(s3_server, url, tmp_path):
    """Prevents links that show nothing, or that show more than was given, or for longer."""
    store = ArtifactStore(url, tmp_path / "scratch", **s3_server.options())
    product = store.write(make(tmp_path / "product", {"a b#1.txt": b"text", "other": b""}), "temple", "photos", "run")
    link = store.sign(product, "a b#1.txt", timedelta(minutes=1))
    assert requests.get(link, timeout=30).content == b"text"
    assert requests.get(link.replace("a%20b%231.txt", "other"), timeout=30).status_code == 403
    short = store.sign(product, "a b#1.txt", timedelta(seconds=1))
    time.sleep(2.5)
    assert requests.get(short, timeout=30).status_code == 403
    public = ArtifactStore(url, tmp_path / "scratch", **s3_server.options(public_endpoint="https://photos.example"))
    assert public.sign(product, "other", timedelta(hours=1)).startswith("https://photos.example/")


def test_what_was_just_written_is_not_fetched(s3_server, url, tmp_path):
    """Prevents every stage of a run from fetching from the bucket what the one before it made on this machine."""
    store = ArtifactStore(url, tmp_path / "scratch", **s3_server.options())
    committed = store.write(make(tmp_path / "own", PRODUCT), "temple", "photos", "run")
    store.objects.delete([info.key for info in store.objects.walk("temple")])
    assert contents(committed.path()) == PRODUCT


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"secret_access_key": "wrong"}, "refuses these credentials. Check key, secret and policy"),
        ({"access_key_id": "nobody"}, "refuses these credentials. Check key, secret and policy"),
        ({"endpoint": "http://127.0.0.1:9", "retry_seconds": 0.5}, "does not answer"),
    ],
)
def test_a_server_that_does_not_serve_is_told(s3_server, url, tmp_path, changes, told):
    """Prevents a wrong setting from looking like a product, or a set, that does not exist."""
    store = ArtifactStore(url, tmp_path / "scratch", **s3_server.options(**changes))
    for operation in (
        lambda: store.latest("temple", "photos"),
        lambda: store.image_sets(),
        lambda: store.usage("temple"),
        lambda: store.write(make(tmp_path / "own", {"a": b"1"}), "temple", "photos", "run"),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            operation()
        assert told in str(caught.value)
        assert not caught.value.permanent
        assert "\n" not in str(caught.value), "one line"


def test_a_missing_bucket_is_told_and_can_be_prepared(s3_server, tmp_path):
    """Prevents a misspelt bucket from looking like a store without products."""
    store = ArtifactStore("s3://not-there-yet/artifacts", tmp_path / "scratch", **s3_server.options())
    for operation in (
        lambda: store.latest("temple", "photos"),
        store.image_sets,
        lambda: store.write(make(tmp_path / "own", {"a": b"1"}), "temple", "photos", "run"),
    ):
        with pytest.raises(StoreUnavailable, match="no such bucket"):
            operation()
    store.prepare()
    store.prepare()
    assert store.latest("temple", "photos") is None


def test_a_new_bucket_keeps_what_is_replaced_for_a_while(s3_server, client):
    """Prevents a mistaken removal from being final, and versions and broken uploads from piling up."""
    options = BucketOptions.model_validate(s3_server.options())
    done = create_bucket("s3://new-and-safe", options)
    assert done == ["bucket new-and-safe created", "versioning enabled", "lifecycle rule set"]
    assert client.get_bucket_versioning(Bucket="new-and-safe")["Status"] == "Enabled"
    (rule,) = client.get_bucket_lifecycle_configuration(Bucket="new-and-safe")["Rules"]
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 7
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    client.put_bucket_versioning(Bucket="new-and-safe", VersioningConfiguration={"Status": "Suspended"})
    assert create_bucket("s3://new-and-safe", options) == []
    assert client.get_bucket_versioning(Bucket="new-and-safe")["Status"] == "Suspended"


def test_credentials_come_from_the_environment(s3_server, url, tmp_path, monkeypatch):
    """Prevents secrets from having to be written into configuration files."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    options = s3_server.options(access_key_id=None, secret_access_key=None)
    assert ArtifactStore(url, tmp_path / "scratch", **options).image_sets() == []


def test_objects_are_encrypted_by_the_server(s3_server, url, client, tmp_path):
    """Prevents photos from lying on the server's disks in clear although the operator asked for encryption."""
    options = s3_server.options(server_side_encryption="aws:kms", sse_kms_key_id=ceph.KMS_KEY)
    files = {"a": b"secret", "big": bytes(9 * 2**20)}
    store = ArtifactStore(url, tmp_path / "one", **options)
    store.write(make(tmp_path / "own", files), "temple", "photos", "run")
    bucket = urlsplit(url).netloc
    for info in store.objects.walk("temple"):
        assert client.head_object(Bucket=bucket, Key=info.key)["ServerSideEncryption"] == "aws:kms", info.key
    assert contents(ArtifactStore(url, tmp_path / "two", **options).latest("temple", "photos").path()) == files


def test_connections_that_break_are_tried_again(s3_server, url, tmp_path):
    """Prevents a short failure of the network from ending a stage."""
    files = {f"{n}.bin": random.Random(n).randbytes(3_000_000) for n in range(8)}
    cut_at = [1_000_000 * n for n in range(1, 12)]

    def cut_now_and_then(sent: int) -> None:
        if cut_at and sent > cut_at[0]:
            cut_at.pop(0)
            shaky.cut()

    with proxy.running(urlsplit(s3_server.endpoint).port, cut_now_and_then) as shaky:
        options = s3_server.options(endpoint=f"http://127.0.0.1:{shaky.port}", retry_seconds=30)
        store = ArtifactStore(url, tmp_path / "one", **options)
        store.write(make(tmp_path / "own", files), "temple", "photos", "run")
        assert cut_at == []
        shaky.on_bytes = lambda sent: None
        assert contents(ArtifactStore(url, tmp_path / "two", **options).latest("temple", "photos").path()) == files


@pytest.mark.parametrize("part", ceph.PARTS)
def test_a_server_that_is_killed_and_comes_back(s3_server, url, tmp_path, part):
    """Prevents a restart of the object store from failing the runs that are writing, and from damaging a product."""
    files = {f"{n}.bin": random.Random(n).randbytes(10_000_000) for n in range(6)}
    restarts = []

    def kill_once(done: int, total: int) -> None:
        if done > total / 2 and not restarts:
            s3_server.kill(part)
            # Later than ten refused connections take.
            restarts.append(threading.Timer(4, s3_server.start, args=(part,)))
            restarts[0].start()

    options = s3_server.options(retry_seconds=60)
    ArtifactStore(url, tmp_path / "one", **options).write(
        make(tmp_path / "own", files), "temple", "photos", "run", kill_once
    )
    restarts[0].join()
    assert contents(ArtifactStore(url, tmp_path / "two", **options).latest("temple", "photos").path()) == files


def test_an_interrupted_upload_ends_and_leaves_nothing(s3_server, url, tmp_path):
    """Prevents a cancelled run from storing its last gigabytes first, and from replacing the product that is there."""
    store = ArtifactStore(url, tmp_path / "scratch", **s3_server.options())
    good = store.write(make(tmp_path / "good", {"a": b"1"}), "temple", "photos", "run-1")
    big = make(tmp_path / "big", {"big": bytes(200_000_000)})

    def interrupt_once(done: int, total: int) -> None:
        if not told:
            os.kill(os.getpid(), signal.SIGINT)
        told.append(done)

    told: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        store.write(big, "temple", "photos", "run-2", interrupt_once)
    assert max(told) < 200_000_000
    assert store.latest("temple", "photos").revision == good.revision
    assert store.revisions("temple", "photos") == [good.revision]


WRITE = """
import json, sys
from pathlib import Path
from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.store import ArtifactStore
url, source, scratch, options = sys.argv[1:]
store = ArtifactStore(url, Path(scratch), **json.loads(options))
store.write(Artifact.from_directory(Path(source)), "temple", "photos", "run-2")
"""


def test_killed_at_any_byte_the_previous_revision_stays(s3_server, url, tmp_path):
    """Prevents a killed worker from costing a finished product, wherever in its upload it was."""
    old = {f"{n}": b"old" * 20_000 for n in range(4)} | {"big": b"old" * 4_000_000}
    new = {name: data.replace(b"old", b"new") for name, data in old.items()}
    make(tmp_path / "new", new)
    total = sum(map(len, new.values()))
    generator = random.Random(5)
    outcomes = []
    for at_byte in [total * 2, *(generator.randrange(total + 5000) for _ in range(6)), total + 2000, total + 4000]:
        store = ArtifactStore(url, tmp_path / f"scratch-{at_byte}", **s3_server.options())
        store.write(make(tmp_path / "old", old), "temple", "photos", "run-1")
        with proxy.running(urlsplit(s3_server.endpoint).port) as between:
            options = s3_server.options(endpoint=f"http://127.0.0.1:{between.port}")
            command = [sys.executable, "-c", WRITE, url, tmp_path / "new", tmp_path / "writer", json.dumps(options)]
            writer = subprocess.Popen(command)
            between.on_bytes = lambda sent, at=at_byte, pid=writer.pid: sent > at and os.kill(pid, signal.SIGKILL)
            outcomes.append(writer.wait(60))
        found = contents(
            ArtifactStore(url, tmp_path / f"reader-{at_byte}", **s3_server.options()).latest("temple", "photos").path()
        )
        assert found in (old, new)
        assert outcomes[-1] or found == new
    assert outcomes[0] == 0
    assert outcomes.count(-signal.SIGKILL) >= 6


def test_keys_that_lead_elsewhere_are_refused_by_name(s3_server, url, client, tmp_path):
    """Prevents an uploader from writing outside the folder that a run fetches into, or from blocking other sets."""
    bucket = urlsplit(url).netloc
    client.put_object(Bucket=bucket, Key="good/a.jpg", Body=b"1")
    for number, key in enumerate(["/../../etc/cron.d/x", "//etc/x", "/a\\..\\b", "/a\nb"]):
        client.put_object(Bucket=bucket, Key=f"bad-{number}{key}", Body=b"1")
    uploads = UploadStore(url, tmp_path / "scratch", **s3_server.options())
    assert uploads.image_sets() == ["bad-0", "bad-1", "bad-2", "bad-3", "good"]
    assert contents(uploads.upload("good").path()) == {"a.jpg": b"1"}
    for number in range(4):
        with pytest.raises(Refused, match=rf"bad-{number}|backslash"):
            uploads.upload(f"bad-{number}").path()
    with pytest.raises(Refused, match="no store takes"):
        uploads.survey()


def test_a_file_that_is_a_folder_too_is_refused_by_name(s3_server, url, client, tmp_path):
    """Prevents what a bucket can hold and a disk cannot from being retried for ever."""
    for key in ("temple/a", "temple/a/b.jpg"):
        client.put_object(Bucket=urlsplit(url).netloc, Key=key, Body=b"1")
    with pytest.raises(Refused, match="a of temple is a file and a folder at once"):
        UploadStore(url, tmp_path / "scratch", **s3_server.options()).upload("temple").path()


def test_folders_that_consoles_make_are_no_photos(s3_server, url, client, tmp_path):
    """Prevents the empty objects by which some tools show folders from being listed as broken photos."""
    bucket = urlsplit(url).netloc
    for key in ("temple/", "temple/day 1/", "temple/day 1/a.jpg"):
        client.put_object(Bucket=bucket, Key=key, Body=b"1" if key.endswith("jpg") else b"")
    upload = UploadStore(url, tmp_path / "scratch", **s3_server.options()).upload("temple")
    assert [file.path for file in upload.files] == ["day 1/a.jpg"]
    assert contents(upload.path()) == {"day 1/a.jpg": b"1"}


def test_an_upload_that_changes_while_it_is_fetched_is_told(s3_server, url, client, tmp_path):
    """Prevents a run over a mixture of two versions of an upload."""
    bucket = urlsplit(url).netloc
    client.put_object(Bucket=bucket, Key="temple/a.jpg", Body=b"one")
    uploads = UploadStore(url, tmp_path / "scratch", **s3_server.options())
    upload = uploads.upload("temple")
    client.put_object(Bucket=bucket, Key="temple/a.jpg", Body=b"two")
    with pytest.raises(StoreUnavailable, match="changed while it was being fetched"):
        upload.path()
    assert contents(uploads.upload("temple").path()) == {"a.jpg": b"two"}
