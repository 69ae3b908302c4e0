"""GLB files that only lenient readers open, as told by Khronos' own validator."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e3d_assets.reconstruction.exporting import export_model_files
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import ModelFilesOptions

from .delivery_scene import make_scene, textured_box

_VALIDATOR = "gltf-validator@2.0.0-dev.3.10"
_HINT = 2  # severity: pages need not be powers of two
_SCRIPT = """
const validator = require('gltf-validator'), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1]))).then(r => console.log(JSON.stringify(r)));
"""


@pytest.fixture(scope="module")
def validate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], dict]:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: it brings the validator")
    home = tmp_path_factory.mktemp("validator")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(home), _VALIDATOR]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"npm could not bring the validator: {installed.stderr[-300:]}")

    def run(path: Path) -> dict:
        done = subprocess.run(["node", "-e", _SCRIPT, str(path)], cwd=home, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run


@pytest.mark.slow
def test_every_glb_is_valid(tmp_path: Path, validate: Callable[[Path], dict]):
    """Strict programs refuse what lenient ones repair."""
    scene = make_scene(tmp_path / "scene")
    textured_box(subdivisions=4).save_glb(scene["textured_mesh"] / "model.glb")
    out = tmp_path / "out"
    out.mkdir()
    options = ModelFilesOptions(laz=False, usdz=False, levels=(1000,), tiles_from=0)
    export_model_files(scene["textured_mesh"], scene["dense_cloud"], scene["sparse_model"], out, options, Monitor())
    files = sorted(out.rglob("*.glb"))
    assert len(files) >= 3
    for file in files:
        found = validate(file)
        wrong = [issue for issue in found["issues"]["messages"] if issue["severity"] < _HINT]
        assert (file.name, wrong) == (file.name, [])
        assert found["info"]["totalTriangleCount"] > 0
