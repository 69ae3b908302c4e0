"""Deleting image sets from real stores and a real instance."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from e2e3d_assets.definitions import defs
from e2e3d_assets.deletion import InFlight, cancel_runs, delete_set, is_known, runs_in_flight
from e2e3d_assets.instance import open_instance
from e2e3d_assets.partitions import DELETED
from e2e3d_assets.runs import JOB, PARTITION_TAG
from e2e3d_assets.settings import Settings
from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.store import ArtifactStore
from e2e3d_assets.storage.uploads import UploadStore
from e2e3d_assets.stores import open_artifacts, open_uploads


@pytest.fixture
def stores(settings, tmp_path) -> tuple[ArtifactStore, UploadStore]:
    return fill(settings, tmp_path)


def fill(settings: Settings, folder: Path) -> tuple[ArtifactStore, UploadStore]:
    store, uploads = open_artifacts(settings), open_uploads(settings)
    for image_set in ("banana", "pear"):
        product = folder / image_set
        product.mkdir()
        (product / "mesh.ply").write_text("mesh")
        store.write(Artifact.from_directory(product), image_set, "mesh", "run")
        (folder / f"{image_set}-upload").mkdir()
        (folder / f"{image_set}-upload" / "a.jpg").write_text("photo")
        uploads.replace(image_set.capitalize(), folder / f"{image_set}-upload")
    return store, uploads


def unfinished(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    job = defs.resolve_job_def(JOB)
    return instance.create_run_for_job(job, status=status, tags={PARTITION_TAG: "banana"}).run_id


def test_everything_of_the_set_goes_and_nothing_else(stores, instance):
    """Prevents photos of a customer from staying behind, and those of another from going as well."""
    store, uploads = stores
    delete_set("banana", store, uploads, instance)
    assert store.image_sets() == ["pear"]
    assert uploads.image_sets() == ["Pear"]
    assert instance.get_dynamic_partitions("image_sets") == []
    assert instance.get_dynamic_partitions(DELETED) == ["banana"]
    assert not is_known("banana", store, uploads, instance)


def test_unfinished_runs_forbid_it(stores, instance):
    """Prevents a run from failing at its last stage because its partition is gone."""
    store, uploads = stores
    unfinished(instance, dg.DagsterRunStatus.STARTED)
    with pytest.raises(InFlight, match="--cancel-runs"):
        delete_set("banana", store, uploads, instance)
    assert store.image_sets() == ["banana", "pear"]
    assert uploads.image_sets() == ["Banana", "Pear"]


def test_cut_off_deletion_can_be_repeated(stores, instance, monkeypatch):
    """Prevents half a set that nobody can remove any more."""
    store, uploads = stores
    monkeypatch.setattr(uploads, "delete", lambda folder: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        delete_set("banana", store, uploads, instance)
    monkeypatch.undo()
    assert is_known("banana", store, uploads, instance)
    delete_set("banana", store, uploads, instance)
    assert not is_known("banana", store, uploads, instance)


def test_waiting_ends_when_the_run_has_stopped(stores, instance, monkeypatch):
    """Prevents a deletion that begins while the cancelled run still writes."""
    run_id = unfinished(instance, dg.DagsterRunStatus.STARTED)
    monkeypatch.setattr(type(instance.run_coordinator), "cancel_run", lambda self, run_id: True, raising=False)

    def stop() -> None:
        time.sleep(0.3)
        instance.report_run_canceled(instance.get_run_by_id(run_id))

    threading.Thread(target=stop).start()
    cancel_runs(instance, "banana", patience_seconds=20)
    assert runs_in_flight(instance, "banana") == []


def test_run_that_does_not_stop_is_told(instance, monkeypatch):
    """Prevents a command that waits for ever."""
    unfinished(instance, dg.DagsterRunStatus.STARTED)
    monkeypatch.setattr(type(instance.run_coordinator), "cancel_run", lambda self, run_id: True, raising=False)
    with pytest.raises(InFlight, match="did not stop"):
        cancel_runs(instance, "banana", patience_seconds=0)


@pytest.mark.slow
def test_the_command_asks_first_and_the_name_is_not_used_again(settings, tmp_path):
    """Prevents a typing error from deleting a year of photos, and new photos under an old history."""
    fill(settings, tmp_path)
    assert e2e3d("delete", "banana", answer="n").returncode != 0
    assert open_artifacts(settings).image_sets() == ["banana", "pear"]
    assert e2e3d("delete", "banana", answer="y").returncode == 0
    assert open_artifacts(settings).image_sets() == ["pear"]
    with open_instance(settings) as instance:
        assert instance.get_dynamic_partitions(DELETED) == ["banana"]
    again = e2e3d("run", str(tmp_path / "banana-upload"), "--name", "banana", "--output", str(tmp_path / "model"))
    assert again.returncode == 2
    assert "was deleted" in again.stderr
    assert e2e3d("delete", "nothing", "--yes").returncode == 2


def e2e3d(*arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("e2e3d"))
    return subprocess.run(
        [program, *arguments], input=answer + "\n", capture_output=True, text=True, check=False, timeout=120
    )
