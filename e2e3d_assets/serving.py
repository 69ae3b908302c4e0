"""Becoming a long-running process of the production instance, after a look at what it needs; nothing else."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from .settings import Settings, WrongSettings, unknown_names
from .storage.objects import BucketOptions
from .storage.provision import create_bucket
from .storage.scratch import Scratch
from .stores import open_artifacts, open_uploads

LOCATION = "e2e3d"


def become_code_server(host: str, port: int, module: str) -> NoReturn:
    """Replace this process by ``dagster api grpc`` on the definitions of a module.

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
    program = str(Path(sys.executable).with_name("dagster"))
    arguments = ["api", "grpc", "-m", module, "--location-name", LOCATION]
    os.execv(program, [program, *arguments, "-h", host, "-p", str(port)])
