"""Fixtures that run real servers, each started once a session and stopped at its end."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from e2e3d_assets.storage.objects import BucketOptions
from e2e3d_assets.storage.provision import create_bucket

from . import ceph


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.S3Server]:
    """A Ceph object gateway."""
    if missing := ceph.missing_programs():
        pytest.skip(f"no {', '.join(missing)} here: apt-get install {ceph.PACKAGES}")
    with ceph.serve(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(scope="session")
def new_bucket(s3_server: ceph.S3Server) -> Callable[[], str]:
    """Makes a bucket that nobody else uses and gives its URL."""
    count = itertools.count()

    def make() -> str:
        url = f"s3://tests-{next(count)}"
        create_bucket(url, BucketOptions.model_validate(s3_server.options()))
        return url

    return make
