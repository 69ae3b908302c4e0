"""What a stage cost is told in full."""

import subprocess
import sys

from e2e3d_assets.measure import Meter

_MEMORY_BYTES = 300_000_000
_HOLD_MEMORY = f"held = bytearray(b'x') * {_MEMORY_BYTES}; print(flush=True); input()"


def test_memory_of_children_counts():
    """A child that takes most of a stage's memory and does not show: machines would be chosen too small."""
    meter = Meter()
    meter.look()
    before = meter.cost().peak_memory_bytes
    with subprocess.Popen([sys.executable, "-c", _HOLD_MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        meter.look()
        child.communicate(b"\n")
    assert before + _MEMORY_BYTES * 0.9 < meter.cost().peak_memory_bytes < before + _MEMORY_BYTES * 1.5
