"""The condition that re-computes, evaluated tick by tick by Dagster itself."""

import dagster as dg
import pytest

from e2e3d_assets.automation import automated
from e2e3d_assets.definitions import defs

SETS = dg.DynamicPartitionsDefinition(name="image_sets")


def definitions(mesh_version: str) -> dg.Definitions:
    """photos → mesh → texture, the mesh in some version."""

    @dg.asset(partitions_def=SETS, code_version="1")
    def photos() -> None: ...

    @dg.asset(partitions_def=SETS, code_version=mesh_version, deps=[photos])
    def mesh(context: dg.AssetExecutionContext) -> None:
        if context.run.tags.get("fail"):
            raise dg.Failure("no")

    @dg.asset(partitions_def=SETS, code_version="1", deps=[mesh])
    def texture() -> None: ...

    return dg.Definitions(assets=[each.map_asset_specs(automated) for each in (photos, mesh, texture)])


class Ticks:
    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor = None
        self.version = "1"

    def run(self, *names: str, image_set: str = "banana", **tags: str) -> None:
        assets = list(definitions(self.version).resolve_asset_graph().assets_defs)
        dg.materialize(
            assets, selection=list(names) or None, partition_key=image_set, instance=self.instance, tags=tags,
            raise_on_error=False,
        )  # fmt: skip

    def tick(self) -> dict[str, set[str]]:
        result = dg.evaluate_automation_conditions(definitions(self.version), self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return {
            name: partitions
            for name in ("photos", "mesh", "texture")
            if (partitions := result.get_requested_partitions(dg.AssetKey(name)))
        }


@pytest.fixture
def ticks(instance) -> Ticks:
    instance.add_dynamic_partitions("image_sets", ["pear"])
    return Ticks(instance)


def test_nothing_is_made_that_was_never_made(ticks):
    """Prevents a switched-on sensor from reconstructing every image set at once."""
    assert ticks.tick() == {}
    assert ticks.tick() == {}


def test_newer_code_makes_its_product_and_what_follows_again(ticks):
    """Prevents old products under new code, and asking twice."""
    ticks.run()
    ticks.tick()
    ticks.version = "2"
    assert ticks.tick() == {"mesh": {"banana"}, "texture": {"banana"}}
    ticks.run("mesh", "texture")
    assert ticks.tick() == {}


def test_a_whole_run_asks_for_nothing(ticks):
    """Prevents a run from being followed by another of the same."""
    ticks.tick()
    ticks.run()
    assert ticks.tick() == {}
    assert ticks.tick() == {}


def test_what_failed_is_not_asked_for_again(ticks):
    """Prevents a permanent failure from being repeated for ever."""
    ticks.run()
    ticks.tick()
    ticks.version = "2"
    ticks.run("mesh", fail="yes")
    for _ in range(3):
        assert ticks.tick() == {}


def test_expensive_stages_are_left_to_people():
    """Prevents a new version of the stereo from taking every machine for a week."""
    conditions = {spec.key.to_user_string(): spec.automation_condition for spec in defs.resolve_all_asset_specs()}
    assert conditions["depth_maps"] is None
    assert conditions["mesh"] is not None
