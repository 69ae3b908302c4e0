"""The Dagster instance that commands use: the one of DAGSTER_HOME, else the embedded one in E2E3D_HOME."""

import os
import shutil
from importlib import resources
from pathlib import Path

import dagster as dg

from .settings import Settings


def prepare_dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME where it is set, else the embedded instance's folder, made and configured if it is new."""
    if chosen := os.environ.get("DAGSTER_HOME"):
        return Path(chosen)
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    if not file.exists():
        with resources.as_file(resources.files("e2e3d_assets") / file.name) as packaged:
            shutil.copyfile(packaged, file)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance that holds runs, events and image sets. Close it, or use it as a context manager."""
    return dg.DagsterInstance.from_config(str(prepare_dagster_home(settings)))
