"""The production instance end to end: uploads, notifications, cancelling, crashes, backfills, deletion.

Real Postgres, S3 server, code server, webserver and daemon; the stages alone are fakes that compute nothing.
"""

import json
import os
import signal
import time

import psutil
import pytest

from e2e3d_assets.runs import UPLOAD_TAG
from e2e3d_assets_tests.notifications.receivers import HttpReceiver, http_receiver

from . import postgres
from .production import Production, until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def database():
    if postgres.programs() is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with postgres.serve() as database:
        yield database


@pytest.fixture(scope="module")
def receiver():
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def running(database, s3_server, receiver: HttpReceiver, tmp_path_factory):
    production = Production(
        tmp_path_factory.mktemp("production"),
        database,
        s3_server,
        "production",
        E2E3D_UPLOAD_QUIET_SECONDS="2",
        E2E3D_WEBHOOK_URLS=receiver.url,
        E2E3D_WEBHOOK_SECRET="s3cret",
    )
    try:
        production.start()
        yield production
    finally:
        production.stop()


@pytest.fixture
def production(running: Production):
    """With an empty journal."""
    running.journal_path.unlink(missing_ok=True)
    return running


def ends(production: Production, image_set: str, *statuses: str, seconds: float = 90) -> None:
    """Wait until the runs of a set have these statuses, the oldest first."""
    try:
        until(
            lambda: production.statuses(image_set) == list(statuses), seconds, f"the runs of {image_set} are {statuses}"
        )
    except AssertionError as error:
        raise AssertionError(f"{error} They are {production.statuses(image_set)}.") from None


def test_upload_becomes_a_model_and_is_told(production, receiver):
    """Prevents an instance that looks healthy and does nothing."""
    production.upload("banana")
    uploaded = time.time()
    ends(production, "banana", "SUCCESS")
    began = production.journal()[0]["time"]
    print(f"marker to first stage: {began - uploaded:.1f} s")
    (run,) = production.runs("banana")
    assert run["tags"][UPLOAD_TAG].startswith("banana:1:")
    assert production.artifacts.assets("banana").count("report") == 1
    told = until(lambda: [json.loads(body) for _, body in receiver.got if b"banana" in body], 40, "success is told")
    assert [event["kind"] for event in told] == ["run.succeeded"]
    assert production.scratch_left() == []
    assert [run["status"] for run in production.runs("banana")] == ["SUCCESS"], "and no second run"


def test_runs_begin_with_the_code_loaded_and_keep_their_connections(production, database):
    """Prevents each run from loading everything, and each question of a run from logging in to the database again,
    should Dagster change what the product leans on.
    """
    production.upload("forked", seconds={"photos": 2})
    until(lambda: production.has_begun("photos"), 60, "the stage works")
    worker = psutil.Process(production.journal()[0]["pid"])
    assert database.port in {connection.raddr.port for connection in worker.net_connections() if connection.raddr}
    parent = worker.parent()
    assert parent is not None
    assert "forkserver" in " ".join(parent.cmdline())
    ends(production, "forked", "SUCCESS")


def test_cancelled_run_stops_its_work(production):
    """Prevents native work, children, scratch and pool slots that outlive a cancelled run."""
    production.upload("slow", seconds={"depth_maps": 120}, children=["depth_maps"])
    until(lambda: production.has_begun("depth_maps"), 60, "the stage works")
    worker = psutil.Process(production.journal()[-1]["pid"])
    (child,) = until(lambda: [c for c in worker.children() if c.name() == "sleep"], 10, "it has a child")
    assert production.slots_taken() == 1
    cancelled = time.time()
    production.terminate(production.runs("slow")[0]["runId"])
    until(lambda: production.journal()[-1]["event"] == "stopped", 10, "the work stops")
    print(f"cancelled to stopped: {production.journal()[-1]['time'] - cancelled:.1f} s")
    ends(production, "slow", "CANCELED", seconds=30)
    until(lambda: not child.is_running(), 5, "the child is gone")
    until(lambda: not worker.is_running() or worker.status() == "zombie", 20, "the worker is gone")
    assert production.slots_taken() == 0
    assert production.scratch_left() == []


def test_killed_worker_is_started_again_and_goes_on(production):
    """Prevents a crash from costing more than the stage that was at work."""
    production.upload("crash", seconds={"mesh": 4})
    until(lambda: production.has_begun("mesh"), 60, "the stage works")
    os.kill(production.journal()[-1]["pid"], signal.SIGKILL)
    ends(production, "crash", "FAILURE", "SUCCESS")
    began = [line["stage"] for line in production.journal() if line["event"] == "began"]
    assert began.count("depth_maps") == 1, "what was finished is used again"
    assert began.count("mesh") == 2
    assert production.slots_taken() == 0


def test_worker_that_dies_with_its_code_server_is_started_again(production):
    """Prevents a crash of the machine from leaving a run that counts as running for half a day."""
    production.upload("both", seconds={"mesh": 4})
    until(lambda: production.has_begun("mesh"), 60, "the stage works")
    production.kill("code-server")
    os.kill(production.journal()[-1]["pid"], signal.SIGKILL)
    production.start("code-server")
    ends(production, "both", "FAILURE", "SUCCESS", seconds=120)
    assert production.slots_taken() == 0
    assert production.scratch_left() == []


def test_orphan_of_a_code_server_can_be_cancelled(production):
    """Prevents a worker that nobody can reach from working on beside the next run of its set."""
    production.upload("orphan", seconds={"mesh": 120})
    until(lambda: production.has_begun("mesh"), 60, "the stage works")
    worker = psutil.Process(production.journal()[-1]["pid"])
    production.kill("code-server")
    production.start("code-server")
    production.terminate(production.runs("orphan")[0]["runId"])
    until(lambda: not worker.is_running(), 60, "the worker is gone")
    ends(production, "orphan", "CANCELED", seconds=60)


def test_reexecution_from_failure_uses_finished_stages(production):
    """Prevents an hour of stereo from being repeated for a failed texture."""
    production.upload("broken", bad_input_once=["textured_mesh"])
    ends(production, "broken", "FAILURE", seconds=120)
    production.reexecute_from_failure(production.runs("broken")[0]["runId"])
    ends(production, "broken", "FAILURE", "SUCCESS")
    began = [line["stage"] for line in production.journal() if line["event"] == "began"]
    assert began.count("mesh") == 1


def test_restart_of_the_database_is_survived(production, database):
    """Prevents maintenance of the database from costing a night's run."""
    production.upload("database", seconds={"mesh": 6})
    until(lambda: production.has_begun("mesh"), 60, "the stage works")
    database.kill()
    time.sleep(2)
    database.start()
    until(lambda: production.statuses("database")[-1:] == ["SUCCESS"], 150, "a run finishes")
    until(lambda: production.slots_taken() == 0, 90, "slots are free")


def test_backfill_through_the_queue(production):
    """Prevents a night's backfill that stops at its first bad set, or forgets how sets were made."""
    production.upload("good")
    production.upload("bad", bad_input=["features"])
    ends(production, "good", "SUCCESS")
    ends(production, "bad", "FAILURE")
    done = production.command("backfill", "good", "bad", "--quality", "low", "--queue")
    assert done.returncode == 1, done.stderr
    assert "1 of 2 image sets are ready." in done.stdout
    assert "features: These photos show nothing (a.jpg). Take others." in done.stdout
    ends(production, "good", "SUCCESS", "SUCCESS")


def test_delete_cancels_and_removes_everything(production):
    """Prevents a deleted set from coming back by its upload, or its run from going on."""
    production.upload("secret", seconds={"mesh": 120})
    until(lambda: production.has_begun("mesh"), 60, "the stage works")
    refused = production.command("delete", "secret", "--yes")
    assert refused.returncode == 2, refused.stdout
    done = production.command("delete", "secret", "--yes", "--cancel-runs")
    assert done.returncode == 0, done.stderr
    assert "secret" not in production.artifacts.image_sets()
    assert "secret" not in production.uploads.image_sets()
    production.upload("secret")
    time.sleep(8)
    assert production.statuses("secret") == ["CANCELED"]


def test_killed_daemon_and_code_server_lose_nothing(production):
    """Prevents an upload that falls between two processes."""
    production.kill("daemon")
    production.upload("meanwhile")
    production.kill("code-server")
    production.start("code-server", "daemon")
    ends(production, "meanwhile", "SUCCESS", seconds=120)
