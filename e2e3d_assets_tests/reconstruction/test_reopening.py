"""Delivered files that are broken, incomplete or somewhere else, and are handed out nevertheless."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e3d_assets.reconstruction.exporting import export_model_files
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import ModelFilesOptions
from e2e3d_assets.reconstruction.reopening import compare_model_files
from e2e3d_assets.reconstruction.stereo.ply import PlyWriter, read_points
from e2e3d_assets.reconstruction.textured_mesh import TexturedMesh, load_glb

from .delivery_scene import make_scene, textured_box

FACES = 3072
OPTIONS = ModelFilesOptions(archive=True, levels=(2000,), tiles_from=0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = make_scene(tmp_path_factory.mktemp("scene"))
    textured_box(subdivisions=4).save_glb(scene["textured_mesh"] / "model.glb")
    out = scene.root / "exported"
    out.mkdir()
    export_model_files(scene["textured_mesh"], scene["dense_cloud"], scene["sparse_model"], out, OPTIONS, Monitor())
    return out


def test_good_files_agree(exported: Path):
    """A check that fails good models is switched off, and then nothing is checked."""
    disagreements, figures = compare_model_files(exported)
    assert disagreements == []
    assert 0 < float(figures["model_2k_glb"]) <= 2000
    meshes = ("mesh_ply", "model_glb", "model_obj", "model_usdz", "tiles")
    assert {name: figures[name] for name in meshes} == dict.fromkeys(meshes, FACES)
    assert figures["dense_cloud_ply"] == figures["dense_cloud_laz"] == 2000


NAMES = ["mesh.ply", "model.glb", "model.obj", "model.usdz", "model_2k.glb", "dense_cloud.laz", "model.zip"]


@pytest.mark.parametrize("name", [*NAMES, "tiles/0_0_0_0.glb", "sparse/images.bin", "dense_cloud.ply"])
def test_cut_off_files_are_named(exported: Path, tmp_path: Path, name: str):
    """A full disk leaves half a file."""
    broken = shutil.copytree(exported, tmp_path / "broken")
    whole = (broken / name).read_bytes()
    (broken / name).unlink()
    (broken / name).write_bytes(whole[: len(whole) // 2])
    disagreements, _ = compare_model_files(broken)
    assert any(what.startswith(name.partition("/")[0]) for what in disagreements)


def elsewhere(mesh: TexturedMesh, path: Path) -> None:
    TexturedMesh(mesh.vertices + 0.1, mesh.faces, mesh.uv, mesh.face_page, mesh.pages).save_glb(path)


def partly(mesh: TexturedMesh, path: Path) -> None:
    faces = len(mesh.faces) - 1
    TexturedMesh(mesh.vertices, mesh.faces[:faces], mesh.uv[:faces], mesh.face_page[:faces], mesh.pages).save_glb(path)


@pytest.mark.parametrize(("change", "words"), [(elsewhere, "lie where"), (partly, "were expected")])
def test_a_file_that_says_something_else_is_named(
    exported: Path, tmp_path: Path, change: Callable[[TexturedMesh, Path], None], words: str
):
    """People mix the files of one model: a mesh from one, cameras from another."""
    broken = shutil.copytree(exported, tmp_path / "broken")
    change(load_glb(exported / "model.glb"), broken / "model.glb")
    disagreements, _ = compare_model_files(broken)
    assert [what for what in disagreements if what.startswith("model.glb") and words in what]


def test_missing_textures_are_named(exported: Path, tmp_path: Path):
    """An OBJ without its pictures is grey."""
    broken = shutil.copytree(exported, tmp_path / "broken")
    (broken / "texture_0.jpg").unlink()
    disagreements, _ = compare_model_files(broken)
    assert "model.obj has a part without texture" in disagreements


def test_a_cloud_with_points_left_out_is_named(exported: Path, tmp_path: Path):
    """The LAZ is what surveyors measure in."""
    broken = shutil.copytree(exported, tmp_path / "broken")
    (broken / "dense_cloud.ply").unlink()
    with PlyWriter(broken / "dense_cloud.ply") as file:
        file.write(read_points(exported / "dense_cloud.ply")[:1999])
    disagreements, _ = compare_model_files(broken)
    assert disagreements == [
        "dense_cloud.laz holds 2,000 where 1,999 were expected",
        "model.zip lacks dense_cloud.ply",
    ]


def test_a_tile_outside_its_box_is_named(exported: Path, tmp_path: Path):
    """Viewers of maps look at boxes only, and would never load it."""
    broken = shutil.copytree(exported, tmp_path / "broken")
    tileset = json.loads((broken / "tiles" / "tileset.json").read_text())
    tileset["root"]["boundingVolume"]["box"][0] += 1
    (broken / "tiles" / "tileset.json").write_text(json.dumps(tileset))
    disagreements, _ = compare_model_files(broken)
    assert any("does not lie in its box" in what for what in disagreements)
