"""Which run records go, with real runs on a real SQLite instance."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from e2e3d_assets.run_retention import prune_runs
from e2e3d_assets.runs import UPLOAD_TAG, UploadVersion

SETS = dg.DynamicPartitionsDefinition(name="image_sets")


@dg.asset(partitions_def=SETS)
def photos() -> dg.MaterializeResult:
    return dg.MaterializeResult()


@dg.asset(partitions_def=SETS, deps=[photos])
def mesh(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    if context.run.tags.get("fail"):
        raise dg.Failure("no")
    return dg.MaterializeResult()


@dg.op
def nothing() -> None:
    pass


@dg.job
def plain_job():
    nothing()


@pytest.fixture
def instance(sqlite_instance) -> dg.DagsterInstance:
    return sqlite_instance


def run(instance: dg.DagsterInstance, image_set: str, assets=(photos, mesh), **tags: str) -> str:
    result = dg.materialize(
        [photos, mesh],
        selection=list(assets),
        partition_key=image_set,
        instance=instance,
        tags=tags,
        raise_on_error=False,
    )
    return result.run_id


def prune(instance: dg.DagsterInstance) -> set[str]:
    return set(prune_runs(instance, datetime.now(UTC) + timedelta(minutes=1), dry_run=False))


def test_runs_that_hold_a_product_are_kept(instance):
    """Prevents a tidied database that believes a finished model was never made."""
    whole = run(instance, "banana")
    only_mesh = run(instance, "banana", assets=[mesh])
    last = run(instance, "banana", assets=[mesh])
    assert prune(instance) == {only_mesh}, f"{whole} holds photos, {last} the mesh"
    assert instance.get_run_by_id(only_mesh) is None
    assert {run.run_id for run in instance.get_runs()} == {whole, last}


def test_failed_runs_go_but_for_the_last(instance):
    """Prevents an old failure from staying for ever, and a failed set from looking as if it had never been tried."""
    first = run(instance, "banana", fail="1")
    second = run(instance, "banana", fail="1")
    run(instance, "banana", fail="1")
    assert prune(instance) == {first, second}


def test_runs_of_the_last_upload_are_kept(instance):
    """Prevents the upload sensor from starting an old upload again after a clean-up."""
    tagged = run(instance, "banana", **{UPLOAD_TAG: UploadVersion("banana", 1, "abc").tag, "fail": "1"})
    by_hand = run(instance, "banana")
    assert prune(instance) == set()
    assert {run.run_id for run in instance.get_runs()} == {tagged, by_hand}


def test_young_and_unfinished_runs_are_kept(instance):
    """Prevents a clean-up from removing what somebody is looking at."""
    done = plain_job.execute_in_process(instance=instance).run_id
    working = instance.create_run_for_job(plain_job, status=dg.DagsterRunStatus.STARTED).run_id
    assert prune_runs(instance, datetime.now(UTC) - timedelta(days=1), dry_run=False) == []
    assert prune(instance) == {done}
    assert instance.get_run_by_id(working)


def test_dry_run_removes_nothing(instance):
    """Prevents an operator who only wanted to look from losing records."""
    done = plain_job.execute_in_process(instance=instance).run_id
    assert prune_runs(instance, datetime.now(UTC) + timedelta(minutes=1)) == [done]
    assert instance.get_run_by_id(done)
