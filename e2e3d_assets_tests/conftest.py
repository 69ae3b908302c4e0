"""Fixtures for all tests: each test has an E2E3D_HOME of its own, so that nothing touches the developer's."""

from pathlib import Path

import dagster as dg
import pytest

from e2e3d_assets.settings import Settings

DATA = Path(__file__).parent / "data"


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
def banana_photos() -> Path:
    """The sample photos, 2000×1330."""
    return DATA / "banana" / "images"
