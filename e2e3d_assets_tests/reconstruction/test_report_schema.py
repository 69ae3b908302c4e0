"""Documents that programs cannot rely on: not numbers, unknown fields, a schema that nobody described."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from e2e3d_assets.reconstruction.report_schema import RunRecord, StageRecord, json_schema


def test_schema_describes_every_field_of_a_photo():
    """Readers of report.json see its schema, not our code."""
    photo = json.loads(json_schema())["$defs"]["PhotoRecord"]["properties"]
    assert all("description" in field for field in photo.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_costs_are_finite_and_positive(value):
    """JSON has no NaN: most readers refuse the whole file."""
    with pytest.raises(ValidationError, match="wall_seconds"):
        StageRecord(stage="mesh", wall_seconds=value, cpu_seconds=1, peak_memory_bytes=1)


def test_unknown_fields_are_named():
    """A misspelt field that is silently dropped is never missed."""
    with pytest.raises(ValidationError, match="colour"):
        RunRecord.model_validate(
            {"image_set": "a", "quality": "low", "started": datetime.now(UTC), "run_id": "1", "colour": 1}
        )


def test_the_schema_is_light_to_import():
    """The orchestrator's processes import it at start."""
    heavy = "{'numpy', 'open3d', 'cv2', 'pycolmap', 'numba', 'dagster'} & set(sys.modules)"
    code = f"import sys, e2e3d_assets.reconstruction.report_schema; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
