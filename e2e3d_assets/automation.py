"""Re-computing what newer code would make differently: declarative, and off until an operator starts its sensor.

What belongs here: the condition, and which stages have it. Stages that take long have none: a new version of them is
for a person to roll out, by ``e2e3d backfill --stale``.
"""

import dagster as dg

_EXPENSIVE = {"cost": "high"}

_newer = dg.AutomationCondition.code_version_changed() | dg.AutomationCondition.any_deps_updated()
_handled = (
    dg.AutomationCondition.newly_requested()
    | dg.AutomationCondition.newly_updated()
    | dg.AutomationCondition.initial_evaluation()
)

recompute_if_newer = (
    _newer.since(_handled)
    & ~dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
    # What has failed would fail again: a person has to look first.
    & ~dg.AutomationCondition.execution_failed()
).with_label("made again when its stage's code, or what it is made from, is newer")

automation_sensor = dg.AutomationConditionSensorDefinition(
    name="automation_sensor",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.STOPPED,
    minimum_interval_seconds=60,
    description="Makes cheap products again when their stage's code, or what they are made from, is newer.",
)


def automated(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with the condition, unless its stage is expensive."""
    if _EXPENSIVE.items() <= spec.tags.items():
        return spec
    return spec.replace_attributes(automation_condition=recompute_if_newer)
