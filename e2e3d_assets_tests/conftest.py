"""Fixtures for all tests: each test has an E2E3D_HOME of its own, so that nothing touches the developer's."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import hypothesis
import pytest
import sqlalchemy

from e2e3d_assets.settings import Settings

DATA = Path(__file__).parent / "data"

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
def _trust_the_machine(connection: Any, _: object) -> None:
    """No database of a test must survive a power cut, so none waits for the disk."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty E2E3D_HOME; nothing of the surrounding environment shows through."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"E2E3D_{field.upper()}", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("E2E3D_HOME", str(tmp_path_factory.mktemp("home")))
    return Settings()


@pytest.fixture
def instance():
    """An ephemeral Dagster instance that knows the image set ``banana``."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        ephemeral.add_dynamic_partitions("image_sets", ["banana"])
        yield ephemeral


@pytest.fixture(scope="session")
def _new_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The databases of an instance that has seen nothing: Dagster takes its time to make them."""
    folder = tmp_path_factory.mktemp("databases")
    with dg.DagsterInstance.local_temp(str(folder)):
        return folder


@pytest.fixture
def sqlite_instance(_new_databases: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance on a disk, that knows the image set ``banana``."""
    shutil.copytree(_new_databases, tmp_path / "dagster")
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        instance.add_dynamic_partitions("image_sets", ["banana"])
        yield instance


@pytest.fixture(scope="session")
def banana_photos() -> Path:
    """The sample photos, 2000×1330."""
    return DATA / "banana" / "images"
