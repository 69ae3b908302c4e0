"""The code location as a whole: what it holds, that it loads quickly, and that it reads nothing when it is imported."""

import subprocess
import sys

import dagster as dg

from e2e3d_assets.definitions import defs
from e2e3d_assets.presets import Options

_HEAVY = ("torch", "open3d", "cv2", "pycolmap", "numba", "scipy", "trimesh", "obstore")


def test_definitions_load():
    """Prevents a code location that Dagster refuses."""
    dg.Definitions.validate_loadable(defs)


def test_one_asset_per_stage_of_the_presets():
    """Prevents an asset whose options nobody can set, or options of an asset that does not exist."""
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().materializable_asset_keys}
    assert keys == set(Options.model_fields)


def test_asset_specs(snapshot):
    """Prevents accidental changes of the graph, its groups, owners, kinds, pools and versions."""
    graph = defs.resolve_asset_graph()
    rows = {}
    for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key):
        node = graph.get(spec.key)
        rows[spec.key.to_user_string()] = {
            "made from": sorted(key.to_user_string() for key in node.parent_keys),
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "owners": list(spec.owners),
            "tags": {name: value for name, value in spec.tags.items() if not name.startswith("dagster/kind")},
            "code version": spec.code_version,
            "pools": sorted(node.pools or []),
            "checks": sorted(key.name for key in graph.get_check_keys_for_assets({spec.key})),
        }
    assert rows == snapshot


def test_every_asset_says_what_it_is():
    """Prevents empty pages in the UI."""
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert len(spec.description) > 40, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key


def test_import_is_light_and_reads_no_environment():
    """Prevents code servers, sensors and ``--help`` from paying for libraries that only stages need, and a wrong
    setting from making the code location vanish instead of failing the run that needs it.
    """
    program = f"import sys, e2e3d_assets.definitions; print([m for m in {_HEAVY!r} if m in sys.modules])"
    environment = {"E2E3D_HOME": "invalid", "E2E3D_ARTIFACTS": "nonsense://", "PATH": ""}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
