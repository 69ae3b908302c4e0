"""The production configuration as Dagster reads it: each section must be what Dagster takes, and say what we mean."""

import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.config_schema import process_workspace_config

from e2e3d_assets.settings import DEPLOYMENT_NAMES

PROJECT = Path(__file__).parents[2]
DEPLOYMENT = PROJECT / "deployment"


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    for name in DEPLOYMENT_NAMES:
        monkeypatch.setenv(name, "5432" if name.endswith("PORT") else "somewhere")
    monkeypatch.setenv("E2E3D_LOGS_BUCKET", "logs")
    monkeypatch.setenv("E2E3D_S3_ENDPOINT", "http://127.0.0.1:9000")


@pytest.mark.parametrize("directory", [DEPLOYMENT, PROJECT / "e2e3d_assets"], ids=["production", "embedded"])
def test_dagster_takes_the_instance_configuration(directory):
    """Prevents a section that only fails when the daemon starts at the operator's."""
    configuration, _ = dagster_instance_config(str(directory))
    assert configuration["telemetry"] == {"enabled": False}
    InstanceRef.from_dir(str(directory))


@pytest.mark.parametrize("directory", [DEPLOYMENT, PROJECT], ids=["production", "embedded"])
def test_dagster_takes_the_workspace(directory):
    """Prevents a webserver without a code location."""
    workspace = yaml.safe_load((directory / "workspace.yaml").read_text())
    assert process_workspace_config(workspace).success


def test_postgres_is_reached_by_the_driver_that_is_installed():
    """Prevents a daemon that dies of a missing psycopg 3."""
    storage = InstanceRef.from_dir(str(DEPLOYMENT)).storage_data
    assert storage is not None
    assert storage.class_name == "DagsterPostgresStorage"
    assert storage.config_dict["postgres_db"]["scheme"] == "postgresql+psycopg2"


def test_runs_of_one_image_set_never_overlap():
    """Prevents two runs from computing the same set at the same time."""
    configuration, _ = dagster_instance_config(str(DEPLOYMENT))
    (limit,) = configuration["concurrency"]["runs"]["tag_concurrency_limits"]
    assert limit["key"] == "dagster/partition"
    assert limit["limit"] == 1
    assert limit["value"] == {"applyLimitPerUniqueValue": True}


def test_every_variable_of_the_files_is_documented():
    """Prevents a variable that the doctor calls a typing error, or that nobody knows of."""
    read = {
        value["env"]
        for name in ("dagster.yaml", "workspace.yaml")
        for value in _values(yaml.safe_load((DEPLOYMENT / name).read_text()))
        if isinstance(value, dict) and set(value) == {"env"}
    }
    assert read == DEPLOYMENT_NAMES | {"E2E3D_S3_ENDPOINT", "E2E3D_LOGS_BUCKET"}
    readme = (DEPLOYMENT / "README.md").read_text()
    assert [name for name in sorted(read) if name not in readme] == []


def test_the_embedded_instance_needs_no_variable(tmp_path):
    """Prevents `e2e3d run` from asking for a database."""
    shutil.copyfile(PROJECT / "e2e3d_assets" / "dagster.yaml", tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert "Sqlite" in type(instance.event_log_storage).__name__


def _values(node):
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _values(child)
