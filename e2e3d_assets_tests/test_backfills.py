"""Backfills: which sets, with what, and that one failure stops nothing. With real runs of the real assets."""

import json
import sys

import dagster as dg
import pytest

from e2e3d_assets import backfills
from e2e3d_assets.backfills import RunHere, UnknownSets, chosen_sets, known_sets, plan, stale_sets, summary
from e2e3d_assets.definitions import build_defs
from e2e3d_assets.runs import JOB, Choice
from e2e3d_assets.stores import open_uploads
from e2e3d_assets_tests import fake_science


@pytest.fixture
def instance(settings, tmp_path, monkeypatch):
    """Three image sets, of which ``bad`` cannot be reconstructed."""
    before = dict(sys.modules)
    fake_science.install()
    uploads = open_uploads(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        for name in ("apple", "bad", "cherry"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "a.jpg").write_text(name)
            behaviour = {"bad_input": ["features"]} if name == "bad" else {}
            (folder / fake_science.BEHAVIOUR).write_text(json.dumps(behaviour))
            uploads.replace(name, folder)
        instance.add_dynamic_partitions("image_sets", ["apple", "bad", "cherry"])
        yield instance
    for name in [name for name in sys.modules if name.startswith("e2e3d_assets.reconstruction.")]:
        if name in before:
            sys.modules[name] = before[name]
        else:
            del sys.modules[name]


def run(instance: dg.DagsterInstance, *names: str, quality=None, overrides=None, fresh=False):
    work = plan(instance, names, quality, overrides or {})
    return list(RunHere(instance).run(work, fresh))


def test_names_are_checked_before_anything_runs():
    """Prevents a typing error from being found after a night of work."""
    assert chosen_sets(["a", "b"], ["b", "b"], everything=False) == ["b"]
    assert chosen_sets(["a", "b"], [], everything=True) == ["a", "b"]
    with pytest.raises(UnknownSets, match="c, d"):
        chosen_sets(["a", "b"], ["d", "a", "c"], everything=False)


def test_one_failing_set_stops_nothing_is_explained_and_stale(instance, monkeypatch):
    """Prevents a night's backfill from ending at its first bad set, and old models under new code."""
    outcomes = run(instance, *known_sets(instance))
    assert [(outcome.image_set, outcome.success) for outcome in outcomes] == [
        ("apple", True),
        ("bad", False),
        ("cherry", True),
    ]
    assert outcomes[1].told == "features: These photos show nothing (a.jpg). Take others."
    assert summary(outcomes) == "2 of 3 image sets are ready. Not ready: bad."
    assert stale_sets(instance, known_sets(instance)) == ["bad"]
    monkeypatch.setattr(backfills, "build_defs", newer_mesh)
    assert stale_sets(instance, known_sets(instance)) == ["apple", "bad", "cherry"]
    assert stale_sets(instance, ["cherry"]) == ["cherry"]


def test_each_set_is_made_as_it_was_made_last(instance):
    """Prevents a backfill, or a click on "Materialize", without options from being another quality than the set's."""
    run(instance, "apple", quality="high", overrides={"mesh": {"max_faces": 5000}})
    run(instance, "cherry", quality="low")
    assert plan(instance, ["apple", "cherry", "bad"], None, {}) == [
        ("apple", Choice(quality="high", overrides={"mesh": {"max_faces": 5000}})),
        ("cherry", Choice(quality="low")),
        ("bad", Choice(quality="medium")),
    ]
    assert plan(instance, ["apple"], "low", {}) == [("apple", Choice(quality="low"))]
    result = build_defs().resolve_job_def(JOB).execute_in_process(instance=instance, partition_key="cherry")
    (event,) = result.asset_materializations_for_node("mesh")
    assert event.metadata["quality"].value == "low"
    assert event.metadata["reused"].value is True
    assert plan(instance, ["cherry"], None, {}) == [("cherry", Choice(quality="low"))]


def newer_mesh() -> dg.Definitions:
    """Definitions in which the mesh stage has a new code version."""

    @dg.asset(name="mesh", code_version="the next", partitions_def=dg.DynamicPartitionsDefinition(name="image_sets"))
    def mesh() -> None: ...

    return dg.Definitions(assets=[mesh])
