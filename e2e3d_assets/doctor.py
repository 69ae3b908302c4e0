"""Examines this machine: versions, graphics card, store, disk. Nothing is changed."""

import importlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from pydantic import SecretStr

from .settings import Settings, WrongSettings, unknown_names

_PACKAGES = ("e2e3d-assets", "dagster", "pycolmap", "open3d", "numba", "opencv-python-headless", "numpy")
_NATIVE_MODULES = ("pycolmap", "open3d", "numba", "cv2")
_BYTES_FOR_A_SMALL_RUN = 5_000_000_000


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    good: bool
    found: str


def examine() -> list[Finding]:
    """All findings, in the order in which trouble is best looked for."""
    findings = [Finding("python", True, f"{platform.python_version()} on {platform.platform()}")]
    findings += [_attempt(f"package {name}", lambda name=name: importlib.metadata.version(name)) for name in _PACKAGES]
    findings += [_attempt(f"import {name}", lambda name=name: _imported(name)) for name in _NATIVE_MODULES]
    findings.append(Finding("processors", True, _processors()))
    findings.append(Finding("graphics card", True, _graphics_card()))
    try:
        settings = Settings()
    except WrongSettings as error:
        return [*findings, Finding("settings", False, str(error))]
    findings += [
        Finding(f"E2E3D_{name.upper()}", True, _shown(getattr(settings, name))) for name in Settings.model_fields
    ]
    findings += [Finding(name, False, "nothing reads this variable") for name in unknown_names()]
    findings.append(_attempt("artifact store", lambda: _reachable_artifacts(settings)))
    findings.append(_attempt("upload store", lambda: _reachable_uploads(settings)))
    findings.append(_disk(settings))
    return findings


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "set, hidden" if value.get_secret_value() else "not set"
    return "not set" if value in (None, "") else str(value)


def _attempt(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except Exception as error:  # whatever is wrong is the finding
        return Finding(what, False, f"{type(error).__name__}: {error}")


def _imported(name: str) -> str:
    module = importlib.import_module(name)
    return str(getattr(module, "__version__", "present"))


def _processors() -> str:
    from .reconstruction.native import thread_count

    memory = psutil.virtual_memory()
    return f"{thread_count()} threads, {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB memory free"


def _graphics_card() -> str:
    device = "/dev/nvidia0"
    return f"{device} present" if os.path.exists(device) else "none found: everything runs on the processor"


def _reachable_artifacts(settings: Settings) -> str:
    from .stores import open_artifacts

    found = len(open_artifacts(settings).image_sets())
    return f"{settings.artifacts_url} ({found} image sets)"


def _reachable_uploads(settings: Settings) -> str:
    from .stores import open_uploads

    return f"{settings.uploads_url} ({len(open_uploads(settings).image_sets())} image sets)"


def _disk(settings: Settings) -> Finding:
    folder = settings.scratch
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding("scratch disk", free > _BYTES_FOR_A_SMALL_RUN, f"{free / 1e9:.1f} GB free at {settings.scratch}")
