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
    _provide("dagster.yaml", home)
    return home


def workspace_file(settings: Settings) -> Path:
    """The file that names this code location, in the embedded instance's folder; its name is that of production."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    return _provide("workspace.yaml", settings.dagster_home)


def _provide(name: str, folder: Path) -> Path:
    """A file of the package, copied into a folder unless the folder has one of its own."""
    file = folder / name
    if not file.exists():
        with resources.as_file(resources.files("e2e3d_assets") / name) as packaged:
            shutil.copyfile(packaged, file)
    return file


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance that holds runs, events and image sets. Close it, or use it as a context manager."""
    return dg.DagsterInstance.from_config(str(prepare_dagster_home(settings)))
