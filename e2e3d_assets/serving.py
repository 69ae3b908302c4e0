"""The long-running processes of an instance: code server, webserver, or all of them on one machine.

What belongs here: which programs with which arguments. What does not: what they serve.
"""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import psutil

from .settings import Settings, WrongSettings, unknown_names
from .storage.io_manager import FILES_PATH
from .storage.objects import BucketOptions
from .storage.provision import create_bucket
from .storage.scratch import Scratch
from .stores import open_artifacts, open_uploads

LOCATION = "e2e3d"

_POLL_SECONDS = 0.5
_SECONDS_TO_STOP = 20


def become_code_server(host: str, port: int, module: str) -> NoReturn:
    """Be ``dagster api grpc`` on the definitions of a module, with runs that start at once.

    Raises:
        WrongSettings: a variable has an impossible value, or is misspelt.
        StoreError: a store cannot be created or reached.
    """
    if unknown := unknown_names():
        raise WrongSettings(f"{', '.join(unknown)}: nothing reads such a variable. See deployment/README.md.")
    settings = Settings()
    for store in (open_artifacts(settings), open_uploads(settings)):
        store.prepare()
    if settings.logs_bucket:
        create_bucket(f"s3://{settings.logs_bucket}", BucketOptions(**settings.bucket_options))
    Scratch(settings.scratch).sweep()
    from .code_server import serve

    serve(module, ["--location-name", LOCATION, "-h", host, "-p", str(port)])


def serve_ui(arguments: Sequence[str]) -> NoReturn:
    """Be ``dagster-webserver`` with these arguments, which serves the files of products as well.

    Raises:
        WrongSettings: a variable has an impossible value.
    """
    from dagster_webserver import app, cli
    from dagster_webserver.webserver import DagsterWebserver
    from starlette.routing import BaseRoute

    from .product_files import mount

    files = mount(FILES_PATH, open_artifacts(Settings()))

    class WithFiles(DagsterWebserver):
        def build_routes(self) -> list[BaseRoute]:
            return [files, *super().build_routes()]

    # Dagster has no way to add a route; its own command line is worth keeping.
    setattr(app, DagsterWebserver.__name__, WithFiles)
    cli.dagster_webserver.main(
        args=list(arguments), prog_name="e2e3d webserver", auto_envvar_prefix="DAGSTER_WEBSERVER"
    )
    sys.exit()


def serve_everything(host: str, port: int) -> int:
    """Run code server, webserver and daemon of the instance in ``DAGSTER_HOME`` until one ends or Ctrl-C is pressed.

    Returns:
        The exit status of the one that ended by itself, else 0.
    """
    with tempfile.TemporaryDirectory(prefix="e2e3d-") as folder:
        socket, workspace = f"{folder}/socket", Path(folder, "workspace.yaml")
        server = {"socket": socket, "location_name": LOCATION}
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
        module = ["-m", "e2e3d_assets.code_server", "e2e3d_assets.definitions", "--location-name", LOCATION]
        shown = ["-h", host, "-p", str(port), "-w", str(workspace)]
        others = [[_program("e2e3d"), "webserver", *shown], [_program("dagster-daemon"), "run", "-w", str(workspace)]]
        with _children_ended(), contextlib.suppress(KeyboardInterrupt):
            code_server = subprocess.Popen([sys.executable, *module, "--socket", socket])
            # The others would greet people with a stack trace if it did not answer yet.
            while not Path(socket).exists() and code_server.poll() is None:
                time.sleep(_POLL_SECONDS)
            processes = [code_server, *map(subprocess.Popen, others)]
            while all(process.poll() is None for process in processes):
                time.sleep(_POLL_SECONDS)
            return next(process.returncode for process in processes if process.poll() is not None)
    return 0


@contextlib.contextmanager
def _children_ended() -> Iterator[None]:
    """At the end stop all processes that were started, and the runs that they have started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        family = psutil.Process().children(recursive=True)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        for survivor in psutil.wait_procs(family, _SECONDS_TO_STOP)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                survivor.kill()


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
