"""A Ceph object gateway for tests: one monitor, one in-memory disk, one gateway; a real, authenticating S3 server."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PACKAGES = "radosgw ceph-mon ceph-osd ceph-common"
KMS_KEY = "tests-only"
_START_SECONDS = 90
_START_ATTEMPTS = 3
_STOP_SECONDS = 3

_CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = v1:127.0.0.1:{monitor_port}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr2 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {folder}/run
admin_socket = {folder}/run/$name.$pid.asok
pid_file =
log_file = {folder}/log/$name.log
crash_dir = {folder}/log
keyring = {folder}/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_warn = 1
mon_data_avail_crit = 1
[mon]
mon_data = {folder}/mon
mon_cluster_log_file = {folder}/log/cluster.log
[osd]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_fast_shutdown = true
osd_class_update_on_start = false
osd_crush_update_on_start = false
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_thread_pool_size = 32
rgw_s3_auth_use_keystone = false
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = {kms_key}=dGVzdHMgb25seSwgdGVzdHMgb25seSwgdGVzdHMgMzI=
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 5
"""


@dataclass(frozen=True)
class S3Server:
    """Where a running server is, and who may use it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    kill: Callable[[], None]
    """Kill the gateway (not the disk behind it) as ``kill -9`` does."""
    restart: Callable[[], None]
    """Start it again and wait until it answers."""

    def options(self, **changes: object) -> dict[str, object]:
        """Keyword options of the stores."""
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "allow_http": True,
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "retry_seconds": 5,
        } | changes


def missing_programs() -> list[str]:
    """What is not installed of what :func:`serve` needs."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[S3Server]:
    """Run a server whose files are below the folder, and stop it."""
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    cluster = _started(folder, key, secret)
    try:
        yield S3Server(f"http://127.0.0.1:{cluster.port}", key, secret, cluster.kill_gateway, cluster.start_gateway)
    finally:
        cluster.stop()


def _started(folder: Path, key: str, secret: str) -> "_Cluster":
    """A running cluster. A young monitor sometimes refuses its first command, and ports are taken by others."""
    for attempt in range(1, _START_ATTEMPTS + 1):
        cluster = _Cluster(folder / str(attempt), _free_port(), _free_port())
        try:
            cluster.start(key, secret)
            return cluster
        except BaseException as error:
            cluster.stop()
            if not isinstance(error, RuntimeError) or attempt == _START_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


class _Cluster:
    def __init__(self, folder: Path, port: int, monitor_port: int) -> None:
        self.folder, self.port, self.monitor_port = folder, port, monitor_port
        self.fsid = str(uuid.uuid4())
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, key: str, secret: str) -> None:
        for name in ("mon", "osd", "run", "log"):
            (self.folder / name).mkdir(parents=True)
        configuration = self.folder / "ceph.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=self.folder, fsid=self.fsid, port=self.port, monitor_port=self.monitor_port, kms_key=KMS_KEY
            )
        )
        keyring, monitors = self.folder / "keyring", self.folder / "monmap"
        _run("ceph-authtool", "-C", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        _run(
            "ceph-authtool",
            keyring,
            "--gen-key",
            "-n",
            "client.admin",
            "--cap",
            "mon",
            "allow *",
            "--cap",
            "osd",
            "allow *",
        )
        _run(
            "monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", f"v1:127.0.0.1:{self.monitor_port}", monitors
        )
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monitors, "--keyring", keyring)
        self._start("ceph-mon", "-i", "a", "-f")
        self._until(lambda: self._succeeds("ceph", "-s"), "the monitor")
        disk = str(uuid.uuid4())
        self._run("ceph", "osd", "new", disk)
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=tests", "root=default")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._start("ceph-osd", "-i", "0", "-f")
        self._until(lambda: b"1 up" in self._run("ceph", "osd", "stat"), "the disk")
        self._run(
            "radosgw-admin", "user", "create", "--uid=tests", "--display-name=tests",
            f"--access-key={key}", f"--secret-key={secret}",
        )  # fmt: skip
        self.start_gateway()

    def start_gateway(self) -> None:
        self._start("radosgw", "-n", "client.rgw", "-f")
        self._until(self._answers, "the gateway")

    def kill_gateway(self) -> None:
        gateway = self.processes.pop()
        gateway.kill()
        gateway.wait()

    def stop(self) -> None:
        """The gateway first; what does not listen is killed."""
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, program: str, *arguments: object) -> bytes:
        return _run(program, "-c", self.folder / "ceph.conf", *arguments)

    def _succeeds(self, program: str, *arguments: object) -> bool:
        try:
            self._run(program, *arguments)
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        return True

    def _start(self, program: str, *arguments: object) -> None:
        command = [program, "-c", str(self.folder / "ceph.conf"), *map(str, arguments)]
        with (self.folder / "log" / f"{program}.out").open("wb") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def _until(self, condition, what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            dead = [process for process in self.processes if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not start: {self._last_words()}")
            time.sleep(0.1)

    def _last_words(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.folder.glob("log/*.out")))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False


def _run(program: str, *arguments: object) -> bytes:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CEPH_")}
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=60, env=environment)
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
