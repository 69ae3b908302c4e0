"""Which store a URL means."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from e2e3d_assets.storage.bucket import BucketObjects
from e2e3d_assets.storage.disk import DiskObjects
from e2e3d_assets.storage.errors import Refused
from e2e3d_assets.storage.objects import BucketOptions, open_objects


@pytest.mark.parametrize("url", ["/data/my store", "file:///data/my%20store", "relative"])
def test_folders(url, monkeypatch):
    """Prevents a path with spaces, or a relative one, from meaning another folder."""
    monkeypatch.chdir("/")
    objects = open_objects(url)
    assert isinstance(objects, DiskObjects)
    expected = Path("/relative") if url == "relative" else Path("/data/my store")
    assert objects.local_path("a/b") == expected / "a" / "b"
    assert objects.url == expected.as_uri()


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://bucket/some/folder/", "gs://bucket"])
def test_buckets(url):
    """Prevents a bucket from being taken for a folder of that name; nothing is asked of a server yet."""
    objects = open_objects(url)
    assert isinstance(objects, BucketObjects)
    assert objects.local_path("a") is None
    assert not objects.url.endswith("/")


@pytest.mark.parametrize("url", ["http://host/x", "ftp://host", "s3:/bucket-with-one-slash", "file://host/share"])
def test_what_is_no_store_is_refused(url):
    """Prevents a misspelt URL from creating a folder called `http:`."""
    with pytest.raises(Refused, match=r"is no store|cannot be opened"):
        open_objects(url)


def test_a_misspelt_option_is_refused():
    """Prevents encryption from being off because its name was misspelt."""
    with pytest.raises(ValidationError, match="server_side_encription"):
        BucketOptions.model_validate({"server_side_encription": "AES256"})


def test_secrets_are_not_shown():
    """Prevents credentials in logs and reports."""
    assert "s3cret" not in repr(
        BucketOptions.model_validate({"secret_access_key": "s3cret", "session_token": "s3cret"})
    )
