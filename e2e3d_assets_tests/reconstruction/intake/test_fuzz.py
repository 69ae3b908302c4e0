"""A small part of ``make fuzz``."""

import pytest

from e2e3d_assets_tests.benchmarks.fuzz_intake import fuzz


@pytest.mark.slow
def test_damaged_files_break_nothing():
    """Any byte of an upload may be wrong: the process must live, answer soon, and stay small."""
    findings = fuzz(range(10**6, 10**6 + 200))
    assert findings.failures == []
    assert sum(findings.fates.values()) == 200
