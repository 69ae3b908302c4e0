"""Photos of one camera at several zooms are told apart; those at one zoom, or that cannot tell, stay together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.reconstruction.options import SparseModelOptions
from e2e3d_assets.reconstruction.sparse.sparse_document import SparseDocument
from e2e3d_assets.reconstruction.sparse.zooms import NOT_TOLD_APART, Zooms, by_focal_length, tell_apart

from ..camera_networks import FOCAL, build_model, ring, strip, write_products

VIEWS = ring(9)


def build(tmp_path: Path, model: pycolmap.Reconstruction) -> tuple[pycolmap.Reconstruction, SparseDocument, Figures]:
    write_products([model], tmp_path / "photos", tmp_path / "matches")
    out = tmp_path / "sparse_model"
    out.mkdir()
    figures = build_sparse_model(tmp_path / "photos", tmp_path / "matches", out, SparseModelOptions(), Monitor())
    return pycolmap.Reconstruction(out / "sparse" / "0"), SparseDocument.load(out), figures


def told_apart(model: pycolmap.Reconstruction, given: Sequence[int] = ()) -> Zooms:
    return tell_apart([model], dict.fromkeys(model.images, 1), NOT_TOLD_APART, given, 1, Monitor())


@pytest.mark.parametrize("zooms", [(1.0, 1.03), (0.6,) + (1.0,) * 8])
def test_zooms_are_told_apart(tmp_path: Path, zooms: tuple[float, ...]):
    """Photos without EXIF shared a camera: at two zooms, cameras were off by half of the scene."""
    model, document, figures = build(tmp_path, build_model(VIEWS, zooms=zooms))
    assert figures["zooms_told_apart"] == 2
    assert [camera.zoom_of for camera in document.cameras] == [1, 1]
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    focals = [image.camera.mean_focal_length() for image in images]
    assert focals == pytest.approx([FOCAL * zooms[number % len(zooms)] for number in range(1, 10)], rel=3e-3)
    centres, true = np.array([image.projection_center() for image in images]), np.array([c for _, c in VIEWS])
    found = pycolmap.estimate_sim3d(centres, true)
    assert max(np.linalg.norm([found * centre for centre in centres] - true, axis=1)) < 0.02


def test_photo_at_no_zoom_of_others_has_a_camera_of_its_own(tmp_path: Path):
    """Each photo cropped as it looked best: no two share a focal length."""
    zooms = 1.0 + np.random.default_rng(2).permutation(9) / 15
    model, _, figures = build(tmp_path, build_model(VIEWS, zooms=list(zooms)))
    assert figures["zooms_told_apart"] == figures["photos_registered"] == 9
    assert len(model.cameras) == 9


def test_what_cannot_tell_is_left_together():
    """Noise is no zoom. Parallel views cannot tell one from a height: a drone's heights scattered by five metres."""
    assert told_apart(build_model(VIEWS, noise_px=1.5, points=60)) == NOT_TOLD_APART
    assert told_apart(build_model(strip(10), zooms=(1.0, 1.4))) == NOT_TOLD_APART
    zoomed = build_model(VIEWS, zooms=(1.0, 1.2))
    assert told_apart(zoomed) == {frozenset(range(1, 10, 2)), frozenset(range(2, 10, 2))}
    assert told_apart(zoomed, given=[1]) == NOT_TOLD_APART


def test_groups_by_focal_length():
    """What is near is one zoom however many photos there are; a slow zoom, step by step, is none."""
    assert by_focal_length({}) == []
    assert by_focal_length({1: 1000.0, 2: 1400.0, 3: 1004.0, 4: 1397.0, 5: 998.0}) == [{1, 3, 5}, {2, 4}]
    slow = {number: 1000.0 * 1.008**number for number in range(10)}
    assert by_focal_length(slow) == [{number} for number in range(10)]
    assert by_focal_length({number: slow[number] for number in range(6)}) == [set(range(6))]
