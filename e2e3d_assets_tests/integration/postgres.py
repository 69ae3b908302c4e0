"""A private PostgreSQL server for tests, with a password, on 127.0.0.1; it can be stopped and started again."""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_SYSTEM_USER = "postgres"
_START_SECONDS = 60


def programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``: Debian keeps them off the path."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    return Path(found).parent if found else None


class Postgres:
    """A server whose files are in one folder."""

    user = "e2e3d"
    database = "postgres"

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.password = secrets.token_hex(12)
        self._folder = folder
        self._bin = programs()
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._as_user = _SYSTEM_USER if os.getuid() == 0 else None
        self._initialize()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self._folder,
            "fsync": "off", "max_connections": 200,
        }  # fmt: skip
        arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [f"{self._bin}/postgres", "-D", str(self._folder / "data"), *arguments],
                stdout=log, stderr=log, user=self._as_user,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run([f"{self._bin}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """Stop it at once, as a crash would: clients lose their connections."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: immediate shutdown, of its children too
            self._process.wait(30)
            self._process = None

    def _initialize(self) -> None:
        (self._folder / "password").write_text(self.password)
        if self._as_user:
            entry = pwd.getpwnam(_SYSTEM_USER)
            for path in (self._folder, self._folder / "password"):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        subprocess.run(
            [
                f"{self._bin}/initdb", "-D", str(self._folder / "data"), "-U", self.user, "-A", "scram-sha-256",
                "--pwfile", str(self._folder / "password"), "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8",
            ],
            check=True, capture_output=True, user=self._as_user, cwd="/",
        )  # fmt: skip


@contextlib.contextmanager
def serve() -> Iterator[Postgres]:
    """Run a server, and stop it. Its folder is no temporary folder of pytest's: those are closed to other users."""
    with (
        tempfile.TemporaryDirectory(prefix="e2e3d-postgres-") as folder,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        port = free.getsockname()[1]
        free.close()
        os.chmod(folder, 0o755)
        server = Postgres(Path(folder), port)
        try:
            server.start()
            yield server
        finally:
            server.kill()
