"""The Dagster instance that commands use: the one of DAGSTER_HOME, else the embedded one in E2E3D_HOME."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import dagster as dg

from .settings import Settings


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME where it is set, else the embedded instance's folder."""
    return Path(os.environ.get("DAGSTER_HOME") or settings.dagster_home)


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance that holds runs, events and image sets. Close it, or use it as a context manager.

    The embedded one is made if it is new, by one process while others wait: Dagster's databases, made by two at the
    same time, come out broken.
    """
    home = dagster_home(settings)
    if home != settings.dagster_home:
        return dg.DagsterInstance.from_config(str(home))
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / ".opening.lock"):
        file = home / "dagster.yaml"
        if not file.exists():
            with resources.as_file(resources.files("e2e3d_assets") / file.name) as packaged:
                shutil.copyfile(packaged, file)
        return dg.DagsterInstance.from_config(str(home))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
