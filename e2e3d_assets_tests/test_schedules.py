"""The night's work, on real stores."""

import shutil

import dagster as dg
import pytest

from e2e3d_assets.definitions import defs
from e2e3d_assets.schedules import STORAGE_REPORT
from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.stores import open_artifacts, open_uploads


@pytest.fixture
def store(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("E2E3D_LONGEST_RUN_HOURS", "0.0000001")
    monkeypatch.setenv("E2E3D_KEEP_REVISIONS", "1")
    store = open_artifacts(settings)
    for text in ("first", "second", "third"):
        product = tmp_path / text
        product.mkdir()
        (product / "mesh.ply").write_text(text * 1000)
        store.write(Artifact.from_directory(product), "banana", "mesh", "run")
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / "a.jpg").write_text("photo")
    open_uploads(settings).replace("pear", tmp_path / "upload")
    return store


def maintain(instance: dg.DagsterInstance, dry_run: bool = False) -> dg.ExecuteInProcessResult:
    config = {name: {"config": {"dry_run": dry_run}} for name in ("prune_run_records", "tend_storage")}
    job = defs.resolve_job_def("maintenance_job")
    return job.execute_in_process(instance=instance, run_config={"ops": config}, raise_on_error=False)


def report(instance: dg.DagsterInstance) -> dict:
    event = instance.get_latest_materialization_event(dg.AssetKey(STORAGE_REPORT))
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_old_revisions_go_and_the_rest_is_counted(store, instance):
    """Prevents a store that grows for ever, and operators who do not know of it."""
    assert maintain(instance).success
    assert len(store.revisions("banana", "mesh")) == 1
    assert store.latest("banana", "mesh").path("mesh.ply").read_text().startswith("third")
    told = report(instance)
    assert told["image_sets"] == 2
    assert told["upload_bytes"] == 5
    assert told["old_bytes"] == 0
    assert {row.data["image set"] for row in told["table"].records} == {"banana", "pear"}


def test_unused_local_copies_go(store, instance, settings, tmp_path, monkeypatch):
    """Prevents a worker's disk from filling with copies of what lies in the bucket."""
    monkeypatch.setenv("E2E3D_CACHE_GB", "0")
    copied = store.latest("banana", "mesh")
    scratch = shutil.copytree(copied.path(), tmp_path / "scratch")
    store.cache.adopt(scratch, copied.files)
    shutil.rmtree(scratch)
    assert any(path.is_file() for path in store.cache.root.rglob("*"))
    assert maintain(instance, dry_run=True).success
    assert any(path.is_file() for path in store.cache.root.rglob("*"))
    assert maintain(instance).success
    assert not any(path.is_file() for path in store.cache.root.rglob("*"))


def test_dry_run_only_tells(store, instance):
    """Prevents a look at what would go from removing it."""
    assert maintain(instance, dry_run=True).success
    assert len(store.revisions("banana", "mesh")) == 3
    assert report(instance)["old_bytes"] > 0


def test_one_unusable_set_stops_nothing_but_is_told(store, instance, settings):
    """Prevents one foreign folder from ending all clean-up, or from being passed over in silence."""
    (settings.home / "artifacts" / "a\\b" / "mesh").mkdir(parents=True)
    result = maintain(instance)
    assert not result.success
    assert len(store.revisions("banana", "mesh")) == 1
    assert report(instance)["image_sets"] == 3
