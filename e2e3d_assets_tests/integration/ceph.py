"""A Ceph object gateway for tests: a real, authenticating S3 server that survives ``kill -9``.

One monitor, one disk (bluestore on a sparse file) and one gateway, each of which can be killed and started again.
"""

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
from typing import Literal

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PACKAGES = "radosgw ceph-mon ceph-osd ceph-common"
KMS_KEY = "tests-only"
Part = Literal["monitor", "disk", "gateway"]
PARTS: tuple[Part, ...] = ("monitor", "disk", "gateway")
_COMMANDS: dict[Part, tuple[str, ...]] = {
    "monitor": ("ceph-mon", "-i", "a", "-f"),
    "disk": ("ceph-osd", "-i", "0", "-f"),
    "gateway": ("radosgw", "-n", "client.rgw", "-f"),
}
_DISK_BYTES = 8 * 2**30
_START_SECONDS = 90
_START_ATTEMPTS = 3

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
paxos_propose_interval = 0.05
paxos_min_wait = 0.02
osd_client_watch_timeout = 2
[mon]
mon_data = {folder}/mon
mon_cluster_log_file = {folder}/log/cluster.log
[osd]
osd_data = {folder}/osd
osd_objectstore = bluestore
bluestore_block_size = {disk_bytes}
bluestore_cache_autotune = false
bluestore_cache_size = 67108864
osd_memory_target = 939524096
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
    kill: Callable[[Part], None]
    """``kill -9`` of one part of the server."""
    start: Callable[[Part], None]
    """Start it again and wait until the server answers."""

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
def serve(folder: Path, disk_bytes: int = _DISK_BYTES) -> Iterator[S3Server]:
    """Run a server whose files are below the folder, and stop it."""
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    cluster = _started(folder, key, secret, disk_bytes)
    try:
        yield S3Server(f"http://127.0.0.1:{cluster.port}", key, secret, cluster.kill, cluster.start_again)
    finally:
        cluster.stop()


def _started(folder: Path, key: str, secret: str, disk_bytes: int) -> "_Cluster":
    """A running cluster. A young monitor sometimes refuses its first command, and ports are taken by others."""
    for attempt in range(1, _START_ATTEMPTS + 1):
        cluster = _Cluster(folder / str(attempt), _free_port(), _free_port())
        try:
            cluster.create(key, secret, disk_bytes)
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
        self.processes: dict[Part, subprocess.Popen[bytes]] = {}

    def create(self, key: str, secret: str, disk_bytes: int) -> None:
        for name in ("mon", "osd", "run", "log"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "ceph.conf").write_text(
            _CONFIGURATION.format(
                folder=self.folder, fsid=self.fsid, port=self.port, monitor_port=self.monitor_port, kms_key=KMS_KEY,
                disk_bytes=disk_bytes,
            )
        )  # fmt: skip
        self._create_monitor()
        self._create_disk()
        self._run(
            "radosgw-admin", "user", "create", "--uid=tests", "--display-name=tests",
            f"--access-key={key}", f"--secret-key={secret}",
        )  # fmt: skip
        self._start("gateway")
        self._until(self._answers, "the gateway")

    def _create_monitor(self) -> None:
        keyring, monitors = self.folder / "keyring", self.folder / "monmap"
        _run("ceph-authtool", "-C", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        _run(
            "ceph-authtool", keyring, "--gen-key", "-n", "client.admin",
            "--cap", "mon", "allow *", "--cap", "osd", "allow *",
        )  # fmt: skip
        address = f"v1:127.0.0.1:{self.monitor_port}"
        _run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, monitors)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monitors, "--keyring", keyring)
        self._start("monitor")
        self._until(lambda: self._succeeds("ceph", "-s"), "the monitor")

    def _create_disk(self) -> None:
        disk = str(uuid.uuid4())
        self._run("ceph", "osd", "new", disk)
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=tests", "root=default")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._start("disk")
        self._until(lambda: b"1 up" in self._run("ceph", "osd", "stat"), "the disk")

    def start_again(self, part: Part) -> None:
        self._start(part)
        self._until(self._answers, f"the {part} is back and the server")

    def kill(self, part: Part) -> None:
        process = self.processes.pop(part)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """What is stopped is thrown away: nothing is gained by asking politely."""
        for part in tuple(self.processes):
            self.kill(part)

    def _run(self, program: str, *arguments: object) -> bytes:
        return _run(program, "-c", self.folder / "ceph.conf", *arguments)

    def _succeeds(self, program: str, *arguments: object) -> bool:
        try:
            self._run(program, *arguments)
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        return True

    def _start(self, part: Part) -> None:
        program, *arguments = _COMMANDS[part]
        command = [program, "-c", str(self.folder / "ceph.conf"), *arguments]
        with (self.folder / "log" / f"{program}.out").open("ab") as log:
            self.processes[part] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            dead = [part for part, process in self.processes.items() if process.poll() is not None]
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
