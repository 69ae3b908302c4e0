"""Dagster's code server, whose runs begin as forks of a process that has loaded the code, not by loading it again.

Loading takes most of the time between a launch and its first stage: 2 to 3 CPU-seconds a run. What belongs here: this
one difference. It leans on an attribute that Dagster keeps to itself; a test looks whether it still works.
"""

import multiprocessing
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from typing import Any, NoReturn

_ALSO_LOADED = ["dagster._cli", "dagster._grpc.impl", "dagster_postgres", "dagster_aws.s3", "e2e3d_assets.cli"]
"""What runs of the production instance need besides the definitions; nothing that starts threads."""


def serve(module: str, arguments: Sequence[str]) -> NoReturn:
    """Be ``dagster api grpc`` on the definitions of a module, until told to stop."""
    from dagster._cli.api import grpc_command
    from dagster._grpc import server

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_ALSO_LOADED, module])
    forkserver.ensure_running()

    class RunsByFork(server.DagsterApiServer):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._mp_ctx = context

    setattr(server, server.DagsterApiServer.__name__, RunsByFork)
    name, variables = "dagster api grpc", "DAGSTER_CLI_API_GRPC"
    grpc_command.main(args=["-m", module, *arguments], prog_name=name, auto_envvar_prefix=variables)
    raise SystemExit


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
