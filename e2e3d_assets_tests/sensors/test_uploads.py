"""The upload sensor against a real upload store on disk and an ephemeral instance."""

import json
import time
from pathlib import Path

import dagster as dg
import pytest

from e2e3d_assets.definitions import defs
from e2e3d_assets.partitions import DELETED
from e2e3d_assets.runs import JOB, PARTITION_TAG, UPLOAD_TAG, Choice
from e2e3d_assets.sensors.uploads import upload_sensor
from e2e3d_assets.storage.uploads import COMPLETE, OPTIONS

_job = defs.resolve_job_def(JOB)


class Ticks:
    """Ticks of the sensor on one instance; requested runs are recorded as the daemon would."""

    def __init__(self, instance: dg.DagsterInstance, uploads: Path) -> None:
        self.instance = instance
        self.uploads = uploads
        self.cursor: str | None = None

    def put(self, folder: str, *files: str, marker: bool = True, options: str | None = None) -> None:
        for name in files:
            path = self.uploads / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        if options is not None:
            (self.uploads / folder / OPTIONS).write_text(options)
        if marker:
            (self.uploads / folder / COMPLETE).write_text("")

    def tick(self) -> dg.SensorResult:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = upload_sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for addition in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(addition.partitions_def_name, list(addition.partition_keys))
        for request in result.run_requests or []:
            self.instance.create_run_for_job(
                _job, run_config=request.run_config, tags={**request.tags, PARTITION_TAG: str(request.partition_key)}
            )
        return result


@pytest.fixture
def ticks(instance, settings) -> Ticks:
    return Ticks(instance, settings.home / "uploads")


def keys(result: dg.SensorResult) -> list[str | None]:
    return [request.partition_key for request in result.run_requests or []]


def test_upload_becomes_partition_and_run(ticks):
    """Prevents an upload that lies there for ever, and a second run for it."""
    ticks.put("Sunflower", "a.jpg", "nested/b.jpg")
    first = ticks.tick()
    (request,) = first.run_requests
    assert request.partition_key == "sunflower"
    assert request.tags[UPLOAD_TAG] == request.run_key
    assert request.run_key.startswith("sunflower:1:")
    assert "sunflower" in ticks.instance.get_dynamic_partitions("image_sets")
    assert keys(ticks.tick()) == []
    assert "Nothing has changed" in ticks.tick().skip_reason.skip_message


def test_half_uploaded_set_waits_and_says_so(ticks, monkeypatch):
    """Prevents a run on half an upload, and an uploader who wonders why nothing happens."""
    ticks.put("banana", "a.jpg", marker=False)
    waiting = ticks.tick()
    assert keys(waiting) == []
    assert "banana: 1 files so far" in waiting.skip_reason.skip_message
    monkeypatch.setenv("E2E3D_UPLOAD_QUIET_SECONDS", "1")
    time.sleep(1.1)
    assert keys(ticks.tick()) == ["banana"]


def test_options_file_becomes_run_config(ticks):
    """Prevents an uploader's quality from being ignored."""
    ticks.put("banana", "a.jpg", options='{"quality": "low", "overrides": {"mesh": {"max_faces": 5000}}}')
    (request,) = ticks.tick().run_requests
    config = request.run_config["resources"]["stages"]["config"]
    assert config == {"quality": "low", "overrides": {"mesh": {"max_faces": 5000}}, "fresh": False}


@pytest.mark.parametrize("options", ["{", '{"quality": "best"}', '{"overrides": {"mesh": {"faces": 1}}}', "[]"])
def test_wrong_options_are_told_and_block_nobody(ticks, monkeypatch, options):
    """Prevents one typing error from stopping every upload behind it."""
    monkeypatch.setenv("E2E3D_UPLOAD_RUNS_PER_TICK", "1")
    ticks.put("bad", "a.jpg", options=options)
    ticks.put("later", "a.jpg")
    assert keys(ticks.tick()) == ["later"]
    told = ticks.tick().skip_reason.skip_message
    assert "bad: e2e3d.json cannot be used." in told
    assert "bad" not in ticks.instance.get_dynamic_partitions("image_sets")


def test_without_options_the_last_choice_is_repeated(ticks):
    """Prevents two photos more from throwing the set back to another quality."""
    ticks.put("banana", "a.jpg")
    ticks.tick()
    ticks.instance.create_run_for_job(
        _job, run_config=Choice(quality="high").run_config(fresh=True), tags={PARTITION_TAG: "banana"}
    )
    ticks.put("banana", "b.jpg")
    (request,) = ticks.tick().run_requests
    assert request.run_config["resources"]["stages"]["config"] == {"quality": "high", "overrides": {}, "fresh": False}


def test_requests_are_capped_and_the_rest_follows(ticks, monkeypatch):
    """Prevents one tick from timing out on a thousand new uploads, and uploads that are forgotten by the next."""
    monkeypatch.setenv("E2E3D_UPLOAD_RUNS_PER_TICK", "3")
    for number in range(7):
        ticks.put(f"set{number}", "a.jpg")
    found = [keys(ticks.tick()) for _ in range(4)]
    assert [len(each) for each in found] == [3, 3, 1, 0]
    assert {key for each in found for key in each} == {f"set{number}" for number in range(7)}


def test_failed_listing_changes_nothing(ticks, monkeypatch):
    """Prevents a store that is away from looking like one without uploads."""
    ticks.put("banana", "a.jpg")
    ticks.tick()
    ticks.tick()
    before = ticks.cursor
    monkeypatch.setenv("E2E3D_UPLOADS", "s3://nowhere/uploads")
    monkeypatch.setenv("E2E3D_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("E2E3D_S3_ALLOW_HTTP", "true")
    monkeypatch.setenv("E2E3D_S3_RETRY_SECONDS", "0")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    failed = ticks.tick()
    assert "cannot be listed, so nothing is changed" in failed.skip_reason.skip_message
    assert before is not None
    assert failed.cursor == before
    assert keys(failed) == []


def test_runs_of_others_count(ticks):
    """Prevents a second run for an upload that the command line or the API has already started."""
    ticks.put("banana", "a.jpg")
    (request,) = ticks.tick().run_requests
    fresh_sensor = Ticks(ticks.instance, ticks.uploads)
    assert keys(fresh_sensor.tick()) == []
    assert ticks.instance.get_run_records(dg.RunsFilter(tags={UPLOAD_TAG: request.run_key}))


def test_deleted_keys_stay_deleted(ticks):
    """Prevents an upload that was not removed from bringing a deleted set back."""
    ticks.instance.add_dynamic_partitions(DELETED, ["banana"])
    ticks.put("banana", "a.jpg")
    assert keys(ticks.tick()) == []


def test_cursor_stays_small(ticks):
    """Prevents ticks that each store a list of all image sets."""
    for number in range(25):
        ticks.put(f"image-set-{number}", "a.jpg")
    for _ in range(4):
        ticks.tick()
    assert len(ticks.cursor) < 200
    assert json.loads(ticks.cursor)["settled"]
