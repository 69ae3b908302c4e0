"""Everything is killed and cut while image sets are uploaded; afterwards nothing may be lost, doubled or left behind.

``CHAOS_SECONDS`` says for how long, ``CHAOS_SEED`` with which misfortunes.
"""

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from e2e3d_assets.presets import Options
from e2e3d_assets.runs import UPLOAD_TAG, UploadVersion
from e2e3d_assets_tests.fake_science import BEHAVIOUR

from . import ceph, postgres, proxy
from .ceph import S3Server
from .postgres import Postgres
from .production import Production, until
from .proxy import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SECONDS = float(os.environ.get("CHAOS_SECONDS", "120"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
SETS = 20
NAMES = [f"set-{number}" for number in range(SETS)]
CLIENTS = 4
_STARTS = 10
_SECONDS_TO_RECOVER = 240 + 20 * SETS


class Saboteur:
    """Breaks processes and connections at the same time, and mends what an operator's supervisor would start again."""

    def __init__(
        self, production: Production, database: Postgres, s3_server: S3Server, s3_proxy: Proxy, seed: int
    ) -> None:
        self.production, self.database, self.s3_server, self.s3_proxy = production, database, s3_server, s3_proxy
        self.seed = seed
        self.done: Counter[str] = Counter()

    def work(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        processes = (
            self.kill_worker, self.kill_worker, self.kill_daemon, self.kill_code_server, self.kill_database,
            self.kill_store,
        )  # fmt: skip
        with ThreadPoolExecutor(2) as hands:
            both = [
                hands.submit(self._work, ends, processes, random.Random(self.seed)),
                hands.submit(self._work, ends, (self.cut, self.slow), random.Random(self.seed + 1_000_000)),
            ]
        for hand in both:
            hand.result()

    def _work(self, ends: float, acts: Sequence[Callable[[random.Random], None]], chance: random.Random) -> None:
        while time.monotonic() < ends:
            act = chance.choice(acts)
            act(chance)
            self.done[act.__name__] += 1
            time.sleep(chance.uniform(2, 6))

    def kill_worker(self, chance: random.Random) -> None:
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            chance.choice(_workers(self.production)).kill()
            self.done["killed workers"] += 1

    def kill_daemon(self, chance: random.Random) -> None:
        self.production.kill("daemon")
        self._supervise("daemon")

    def kill_code_server(self, chance: random.Random) -> None:
        self.production.kill("code-server")
        self._supervise("code-server")

    def _supervise(self, name: str) -> None:
        """Start a server until it stays: one that finds no store ends, and says so."""
        for _ in range(_STARTS):
            with contextlib.suppress(AssertionError):
                self.production.start(name)
                return
            assert self.production.processes[name].poll() is not None, f"{name} lives and does not serve"
        raise AssertionError(f"{name} does not stay")

    def kill_database(self, chance: random.Random) -> None:
        self.database.kill()
        time.sleep(chance.uniform(0, 2))
        self.database.start()

    def kill_store(self, chance: random.Random) -> None:
        part = chance.choice(ceph.PARTS)
        self.s3_server.kill(part)
        time.sleep(chance.uniform(0, 2))
        self.s3_server.start(part)

    def cut(self, chance: random.Random) -> None:
        ends = time.monotonic() + chance.uniform(0.1, 3)
        while time.monotonic() < ends:
            self.s3_proxy.cut()
            time.sleep(0.05)

    def slow(self, chance: random.Random) -> None:
        self.s3_proxy.latency, self.s3_proxy.bytes_per_second = chance.uniform(0, 0.5), chance.uniform(1e4, 1e6)
        time.sleep(chance.uniform(2, 8))
        self.s3_proxy.latency, self.s3_proxy.bytes_per_second = 0, float("inf")


def _workers(production: Production) -> list[psutil.Process]:
    """Processes that execute runs, with or without a living code server, by what their stages wrote down."""
    pids = {line["pid"] for line in production.journal()}
    return [process for process in production.family() if process.pid in pids]


def _strangers(production: Production) -> list[str]:
    """Processes of the instance that neither are servers nor belong to one."""
    known = {process.pid for process in production.processes.values()}
    workers = _workers(production)
    return [
        f"{process.pid} {process.cmdline()}"
        for process in production.family()
        if known.isdisjoint({process.pid, *(parent.pid for parent in process.parents())}) or process in workers
    ]


def _upload(production: Production, client: int, chance: random.Random, ends: float) -> None:
    """One client's sets, then now and then one of them again, with other photos, until the time is over."""
    sets = NAMES[client::CLIENTS]
    for image_set in sets:
        production.upload(image_set, version=1, seconds={"mesh": chance.uniform(0, 2)})
    while time.monotonic() < ends:
        production.upload(chance.choice(sets), version=chance.random())
        time.sleep(chance.uniform(5, 45))


def _last_runs(production: Production) -> dict[str, dict]:
    """Per image set, the newest run that was started for the last state of its upload."""
    runs, uploads = production.runs(), production.uploads
    found = {}
    for name in NAMES:
        fingerprint = uploads.upload(name).fingerprint
        for run in runs:
            version = UploadVersion.of_tag(run["tags"].get(UPLOAD_TAG, ""))
            if version and version.image_set == name and version.is_of(fingerprint):
                found.setdefault(name, run)
    return found


def _is_at_rest(production: Production) -> bool:
    """Whether each upload had its run, and none is at work or to come."""
    with contextlib.suppress(requests.RequestException):
        runs = production.runs()
        will_retry = [
            run for run in runs
            if run["tags"].get("dagster/will_retry") == "true" and "dagster/auto_retry_run_id" not in run["tags"]
        ]  # fmt: skip
        finished = all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in runs)
        return finished and not will_retry and len(_last_runs(production)) == SETS
    return False


@pytest.fixture
def world(s3_server: S3Server, tmp_path):
    if postgres.programs() is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    port = urlsplit(s3_server.endpoint).port
    with postgres.serve() as database, proxy.running(port or 80) as s3_proxy:
        production = Production(
            tmp_path, database, s3_server, "chaos",
            E2E3D_S3_ENDPOINT=f"http://127.0.0.1:{s3_proxy.port}", E2E3D_S3_RETRY_SECONDS="20",
        )  # fmt: skip
        try:
            production.start()
            for pool in ("cpu_heavy", "ram_heavy"):
                production.widen_pool(pool, 4)
            # Clients and assertions go straight to the server: what is tested is the instance.
            production.variables["E2E3D_S3_ENDPOINT"] = s3_server.endpoint
            yield production, Saboteur(production, database, s3_server, s3_proxy, SEED)
        finally:
            production.stop()


def test_nothing_is_lost_doubled_or_left_behind(world):
    """Prevents any crash at any moment from losing an upload, a product, a slot or disk space."""
    production, saboteur = world
    ends = time.monotonic() + SECONDS
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [
            pool.submit(_upload, production, client, random.Random(SEED * 100 + client), ends)
            for client in range(CLIENTS)
        ]
        saboteur.work(SECONDS)
    for client in clients:
        client.result()
    until(lambda: _is_at_rest(production), _SECONDS_TO_RECOVER, "the instance comes to rest")
    failed = [run for run in _last_runs(production).values() if run["status"] != "SUCCESS"]
    # A worker that was killed twice, or a store that was away for longer than a stage tries, is for a person to repeat.
    for run in failed:
        production.reexecute_from_failure(run["runId"])
    until(lambda: _is_at_rest(production), _SECONDS_TO_RECOVER, "what was repeated comes to rest")
    print(f"{dict(saboteur.done)}; {SETS} sets, {len(production.runs())} runs, {len(failed)} repeated by hand")

    last_runs = _last_runs(production)
    for name in NAMES:
        assert last_runs[name]["status"] == "SUCCESS", (name, production.statuses(name))
        successes = [run for run in production.runs(name) if run["status"] == "SUCCESS"]
        assert len({run["tags"][UPLOAD_TAG] for run in successes}) == len(successes), f"{name} was made once each"
        wanted = (production.uploads.upload(name).path() / BEHAVIOUR).read_text()
        for asset in Options.model_fields:
            assert _version(production, name, asset) == wanted, f"{asset} of {name} is made of the last upload"
    until(lambda: not _strangers(production), 60, "no process is left but those that were started")
    until(lambda: production.slots_taken() == 0, 60, "no slot is taken")
    assert production.scratch_left() == []


def _version(production: Production, image_set: str, asset: str) -> str:
    """What fake stages hand on from the upload. Reading checks every byte of the product against its manifest."""
    artifact = production.artifacts.latest(image_set, asset)
    assert artifact is not None, (image_set, asset)
    return (artifact.path() / BEHAVIOUR).read_text()
