"""depth_maps shared in chunks: real stereo, a real store on disk, a real Dagster run."""

from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from e2e3d_assets.assets.dense import depth_maps
from e2e3d_assets.jobs import stage_executor
from e2e3d_assets.partitions import image_sets
from e2e3d_assets.progress import LogProgress
from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.stereo import steps
from e2e3d_assets.settings import Settings
from e2e3d_assets.stages import Stages
from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.io_manager import ArtifactIOManager
from e2e3d_assets.storage.store import ArtifactStore
from e2e3d_assets.stores import open_artifacts
from e2e3d_assets_tests.reconstruction.stereo import scene

CONFIG = {
    "resources": {
        "stages": {"config": {"overrides": {"depth_maps": {"max_photo_size": 128, "quarter_sweeps": 2}}}},
    }
}
UPSTREAM = dg.AssetSpec("undistorted_photos", partitions_def=image_sets).with_io_manager_key("artifacts")
RESOURCES = {"artifacts": ArtifactIOManager(), "stages": Stages(progress=LogProgress())}


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> ArtifactStore:
    """With an undistorted photo set ``banana`` of five photos of a ball on a table."""
    renderings = [scene.render(scene.ring_camera(angle)) for angle in (0, 12, 24, 36, 48)]
    workspace = scene.write_workspace(tmp_path / "undistorted", renderings)
    store = open_artifacts(settings)
    store.write(Artifact.from_directory(workspace), "banana", "undistorted_photos", "run")
    return store


def _run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [UPSTREAM, depth_maps], partition_key="banana", instance=instance, resources=RESOURCES, run_config=CONFIG,
        raise_on_error=False,
    )  # fmt: skip


def _steps(result: dg.ExecuteInProcessResult) -> Counter[str]:
    keys = (event.step_key or "" for event in result.all_events if event.is_step_success)
    return Counter(key.removeprefix("depth_maps.").partition("[")[0] for key in keys)


def _digest(store: ArtifactStore) -> str:
    product = store.latest("banana", "depth_maps")
    assert product is not None
    return product.digest


def _definitions() -> dg.Definitions:
    """What worker processes load."""
    return dg.Definitions([UPSTREAM, depth_maps], jobs=[_job()], resources=RESOURCES, executor=stage_executor)


def _job():
    return dg.define_asset_job("depth_job", selection=[depth_maps], partitions_def=image_sets)


def depth_job() -> dg.JobDefinition:
    """For :func:`dagster.reconstructable`."""
    return _definitions().resolve_job_def("depth_job")


@pytest.mark.slow
def test_chunks_make_the_product_of_one_piece(store, instance, monkeypatch):
    """Prevents big sets from being reconstructed otherwise than small ones, and parts from filling the store."""
    monkeypatch.setenv("E2E3D_DEPTH_CHUNK_PHOTOS", "2")
    result = _run(instance)
    steps = _steps(result)
    assert result.success
    assert (steps["search"], steps["refine"], steps["confirm"]) == (3, 3, 3)
    chunked = _digest(store)
    assert store.assets("banana") == ["depth_maps", "undistorted_photos"]

    again = _steps(_run(instance))
    assert (again["search"], again["put_together"]) == (0, 1), "what is there is not planned again"

    store.delete("banana", "depth_maps")
    monkeypatch.delenv("E2E3D_DEPTH_CHUNK_PHOTOS")
    assert _steps(_run(instance))["search"] == 0, "a small set is one piece"
    assert _digest(store) == chunked


@pytest.mark.slow
def test_killed_run_goes_on_after_its_finished_chunks(store, instance, monkeypatch):
    """Prevents a crash after hours from costing all of them."""
    monkeypatch.setenv("E2E3D_DEPTH_CHUNK_PHOTOS", "2")
    estimated: list[object] = []
    plain = steps.estimate

    def fails_late(problem, *arguments, **named):
        if problem.camera.width == 128:
            if len(estimated) == 18:
                raise BadInput("The power is gone", "Wait")
            estimated.append(problem)
        return plain(problem, *arguments, **named)

    monkeypatch.setattr(steps, "estimate", fails_late)
    assert not _run(instance).success
    assert len(estimated) == 18, "five photos searched at three sizes, three refined"
    assert [name for name in store.assets("banana") if "refined" in name] == [
        "depth_maps.refined.1_of_3",
        "depth_maps.refined.2_of_3",
    ]

    estimated.clear()
    assert _run(instance).success
    assert len(estimated) == 2, "the photos of the chunk that was not finished"


@pytest.mark.slow
def test_processes_share_the_chunks(store, monkeypatch, sqlite_instance):
    """Prevents chunks that hand over something in memory, which no second process or machine has."""
    monkeypatch.setenv("E2E3D_DEPTH_CHUNK_PHOTOS", "3")
    job, tags = dg.reconstructable(depth_job), {"dagster/partition": "banana"}
    config = CONFIG | {"execution": {"config": {"processes": 2}}}
    with dg.execute_job(job, sqlite_instance, run_config=config, tags=tags) as result:
        assert result.success
        assert len({event.pid for event in result.all_events if event.is_step_success}) > 1
    assert _digest(store)
