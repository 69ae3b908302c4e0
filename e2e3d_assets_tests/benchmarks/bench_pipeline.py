"""The whole pipeline on the sample set: wall, CPU and memory of each stage, and what Dagster costs beside them.

``python -m e2e3d_assets_tests.benchmarks.bench_pipeline [--quality medium]``. "Orchestration" is the run's wall time
less the stages' own; "all kept" is a second run in which every stage is found done.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from e2e3d_assets.reconstruction.report_schema import Report

_PHOTOS = Path(__file__).parents[1] / "data" / "banana" / "images"


def main() -> None:
    """Run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quality", default="medium")
    quality = parser.parse_args().quality
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "E2E3D_HOME": f"{folder}/home"}
        command = [Path(sys.executable).with_name("e2e3d"), "run", _PHOTOS, "--name", "banana", "--quality", quality]
        walls = []
        for _ in range(2):
            started = time.perf_counter()
            subprocess.run([*command, "--output", f"{folder}/model"], env=environment, check=True, text=True)
            walls.append(time.perf_counter() - started)
        report = Report.model_validate_json(Path(folder, "model", "report.json").read_bytes())
    print(f"{'stage':<20}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
    for stage in report.stages:
        memory = stage.peak_memory_bytes / 1e6
        print(f"{stage.stage:<20}{stage.wall_seconds:9.1f}{stage.cpu_seconds:9.1f}{memory:9.0f}")
    in_stages = sum(stage.wall_seconds for stage in report.stages)
    cpu = sum(stage.cpu_seconds for stage in report.stages)
    print(f"{'all but report':<20}{in_stages:9.1f}{cpu:9.1f}")
    print(f"command {walls[0]:.1f} s, all kept {walls[1]:.1f} s, orchestration at most {walls[0] - in_stages:.1f} s")
    print(
        f"registered {report.photos.registered} of {report.photos.given}, "
        f"mean reprojection error {report.sparse.mean_reprojection_error_px:.3f} px"
    )


if __name__ == "__main__":
    main()
