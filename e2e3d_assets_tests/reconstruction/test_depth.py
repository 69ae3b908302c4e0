"""The stage depth_maps on a ray-traced scene with exact depth."""

import json
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.depth import describe_depth_maps, estimate_depth_maps, join_depth_maps
from e2e3d_assets.reconstruction.errors import BadInput, Cancelled
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import DepthMapsOptions
from e2e3d_assets.reconstruction.stereo import steps
from e2e3d_assets.reconstruction.stereo.formats import map_path, read_map, write_device
from e2e3d_assets.reconstruction.stereo.plan import split_photos

from .stereo import scene

QUICK = DepthMapsOptions(max_photo_size=128, quarter_sweeps=2, half_sweeps=1)


def maps_of(folder: Path, kind: str) -> dict[str, np.ndarray]:
    paths = sorted((folder / "stereo" / f"{kind}_maps").glob("*.bin"))
    return {path.name: np.array(read_map(path)) for path in paths}


def test_depths_and_normals_are_right(renderings: list[scene.Rendering], depth_maps: Path):
    """The point of it all. The second photo is darker than the others."""
    for i, truth in enumerate(renderings):
        depth = read_map(map_path(depth_maps, "depth", f"{i:03d}.png"))
        normal = read_map(map_path(depth_maps, "normal", f"{i:03d}.png"))
        confidence = read_map(map_path(depth_maps, "confidence", f"{i:03d}.png"))
        both = (depth > 0) & (truth.depth > 0)
        assert both.sum() > 0.8 * (truth.depth > 0).sum()
        error = np.abs(depth - truth.depth)[both] / truth.depth[both]
        assert np.median(error) < 0.0015
        assert (error < 0.01).mean() > 0.93
        assert np.median((normal * truth.normal).sum(-1)[both]) > np.cos(np.radians(4))
        assert ((confidence > 0) == (depth > 0)).all()
        assert confidence.max() <= 1


def test_sky_stays_empty(renderings: list[scene.Rendering], depth_maps: Path):
    """A blank sky matches everywhere: its depths are noise, which later stages would turn into a surface."""
    for i, truth in enumerate(renderings):
        sky = cv2.erode((truth.depth == 0).astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
        depth = read_map(map_path(depth_maps, "depth", f"{i:03d}.png"))
        assert (depth[sky] > 0).mean() < 0.01


def test_product_is_whole(workspace: Path, depth_maps: Path):
    """Lists, report and preview are there, scratch files are not."""
    names = [f"{i:03d}.png" for i in range(5)]
    assert (depth_maps / "stereo/fusion.cfg").read_text().split() == names
    report = json.loads((depth_maps / "depth_maps.json").read_text())
    assert set(report["photos"]) == set(names)
    assert {photo["device"] for photo in report["photos"].values()} == {"cpu"}
    assert 0 < (depth_maps / "preview.jpg").stat().st_size <= 30_000
    assert {path.name for path in depth_maps.iterdir()} == {"stereo", "depth_maps.json", "preview.jpg"}
    assert {path.name for path in (depth_maps / "stereo/width_maps").iterdir()} == {f"{name}.png" for name in names}


def test_colmap_fuses_our_maps(workspace: Path, depth_maps: Path, tmp_path: Path):
    """Whoever goes on in COLMAP must be able to."""
    merged = tmp_path / "workspace"
    shutil.copytree(workspace, merged)
    shutil.copytree(depth_maps / "stereo", merged / "stereo")
    options = pycolmap.StereoFusionOptions()
    options.min_num_pixels = 3
    cloud = pycolmap.stereo_fusion(
        tmp_path / "fused.ply", merged, input_type="geometric", options=options, output_type="PLY"
    )
    points = np.array([point.xyz for point in cloud.points3D.values()])
    assert len(points) > 3000
    from_ball = np.linalg.norm(points - [0, 0, scene.RADIUS], axis=1) - scene.RADIUS
    assert np.median(np.minimum(np.abs(from_ball), np.abs(points[:, 2]))) < 0.01


def test_chunks_and_resumed_runs_give_the_same(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fanning out over machines, or going on after a crash, must not change a bit, nor compute twice."""
    whole, chunked = tmp_path / "whole", tmp_path / "chunked"
    for folder in (whole, chunked):
        folder.mkdir()
    estimate_depth_maps(workspace, whole, QUICK, Monitor())
    chunks = split_photos(workspace, QUICK, 3)
    assert chunks == [["000.png", "001.png"], ["002.png", "003.png", "004.png"]]
    searched, refined, confirmed = ([tmp_path / f"{step}{i}" for i in range(2)] for step in ("s", "r", "c"))
    for names, out in zip(chunks, searched, strict=True):
        steps.search_depth_maps(workspace, out, QUICK, Monitor(), names)
    for names, out in zip(chunks, refined, strict=True):
        steps.refine_depth_maps(workspace, searched, out, QUICK, Monitor(), names)
    for names, out in zip(chunks, confirmed, strict=True):
        steps.confirm_depth_maps(workspace, refined, out, QUICK, Monitor(), names)
    join_depth_maps(workspace, confirmed, chunked, QUICK, Monitor())
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    cancelled = threading.Event()
    seen: list[str] = []

    def cancel_late(_done: int, _total: int, what: str) -> None:
        seen.append(what)
        if what.startswith("depth of 003.png"):
            cancelled.set()

    with pytest.raises(Cancelled):
        estimate_depth_maps(workspace, resumed, QUICK, Monitor(cancel_late, cancelled))
    estimated: list[tuple] = []
    plain = steps.estimate

    def counted(*arguments, **named):
        estimated.append(arguments)
        return plain(*arguments, **named)

    monkeypatch.setattr(steps, "estimate", counted)
    estimate_depth_maps(workspace, resumed, QUICK, Monitor())
    refined = [arguments for arguments in estimated if arguments[0].camera.width == 128]
    assert len(refined) in (2, 3)  # 003.png, 004.png, and 002.png if it was still in work
    widths = {path.name: path.read_bytes() for path in (whole / "stereo/width_maps").iterdir()}
    for folder in (chunked, resumed):
        assert {path.name: path.read_bytes() for path in (folder / "stereo/width_maps").iterdir()} == widths
    for kind in ("depth", "normal", "confidence"):
        expected = maps_of(whole, kind)
        assert len(expected) == 5
        for folder in (chunked, resumed):
            for name, values in maps_of(folder, kind).items():
                np.testing.assert_array_equal(values, expected[name])
    assert (chunked / "depth_maps.json").read_text() == (whole / "depth_maps.json").read_text()
    write_device(chunked, "003.png", "cuda")
    figures = describe_depth_maps(workspace, chunked, QUICK)
    assert figures["device"] == "cpu: 4 of 5 photos; cuda: 1 of 5 photos"


def test_other_inputs_do_not_resume(workspace: Path, tmp_path: Path):
    """States of other options or photos must not leak into a product."""
    cancelled = threading.Event()
    monitor = Monitor(
        lambda _done, _total, what: cancelled.set() if what.startswith("depth of 000.png") else None, cancelled
    )
    with pytest.raises(Cancelled):
        estimate_depth_maps(workspace, tmp_path, QUICK, monitor)
    smaller = QUICK.model_copy(update={"max_photo_size": 130})
    estimate_depth_maps(workspace, tmp_path, smaller, Monitor())
    assert next(iter(maps_of(tmp_path, "depth").values())).shape[1] == 130


def test_masked_pixels_get_no_depth(workspace: Path, tmp_path: Path):
    """What the user masks (passers-by, turntable) must not be reconstructed."""
    masked, out = tmp_path / "masked", tmp_path / "out"
    shutil.copytree(workspace, masked)
    (masked / "masks").mkdir()
    out.mkdir()
    mask = np.full((120, 160), 255, np.uint8)
    mask[:, :80] = 0
    cv2.imwrite(str(masked / "masks" / "002.png.png"), mask)
    estimate_depth_maps(masked, out, QUICK, Monitor())
    depth = read_map(map_path(out, "depth", "002.png"))
    assert not depth[:, :64].any()
    assert depth[:, 64:].any()


@pytest.mark.parametrize(
    ("angles", "points", "problem"),
    [
        ((0,), 200, "no points"),
        ((0, 0, 0), 200, "No depth can be estimated"),
        ((0, 8, 16), 0, "no points"),
    ],
)
def test_hopeless_sets_are_refused(tmp_path: Path, angles: tuple[float, ...], points: int, problem: str):
    """One photo, photos from one place, a model without points: a plain message, not a crash."""
    renderings = [scene.render(scene.ring_camera(angle, 64, 48)) for angle in angles]
    undistorted = scene.write_workspace(tmp_path / "undistorted", renderings, points)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(BadInput, match=problem):
        estimate_depth_maps(undistorted, out, QUICK, Monitor())


def test_wrong_calibration_is_said(workspace: Path, tmp_path: Path):
    """A focal length that is not the camera's gives a cloud of nonsense."""
    wrong, out = tmp_path / "wrong", tmp_path / "out"
    shutil.copytree(workspace, wrong)
    out.mkdir()
    model = pycolmap.Reconstruction(wrong / "sparse")
    for camera in model.cameras.values():
        camera.focal_length_x *= 2
        camera.focal_length_y *= 2
    model.write_binary(wrong / "sparse")
    with pytest.raises(BadInput, match="cameras do not fit"):
        estimate_depth_maps(wrong, out, QUICK, Monitor())


def test_missing_model_and_photos_are_named(workspace: Path, tmp_path: Path):
    """A product that lost files must say which."""
    out, broken = tmp_path / "out", tmp_path / "broken"
    out.mkdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no readable sparse model"):
        estimate_depth_maps(tmp_path / "empty", out, QUICK, Monitor())
    shutil.copytree(workspace, broken)
    (broken / "images" / "003.png").write_bytes(b"not a picture")
    with pytest.raises(BadInput, match=r"003\.png"):
        estimate_depth_maps(broken, out, QUICK, Monitor())
