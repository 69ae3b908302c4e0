"""Models that share structure become one; others stay apart."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pycolmap
import pytest

from e2e3d_assets.reconstruction.mapping import build_sparse_model
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import SparseModelOptions
from e2e3d_assets.reconstruction.sparse.sparse_document import SparseDocument

from ..camera_networks import build_model, ring, write_products

Found: TypeAlias = Callable[[int, int, np.ndarray], np.ndarray]

LINKS = {(9, 10), (8, 11), (7, 12), (0, 15), (1, 14), (2, 13)}
HALF = 10


def weak_links(i: int, j: int, matches: np.ndarray) -> np.ndarray:
    """Between the halves few pairs of photos have 15 points each, a third of them wrong."""
    if (i < HALF) == (j < HALF):
        return matches
    if (i, j) not in LINKS:
        return matches[:0]
    few = matches[7 * i :][:15].copy()
    few[:5, 1] = np.roll(few[:5, 1], 1)
    return few


def only_wrong_links(i: int, j: int, matches: np.ndarray) -> np.ndarray:
    """Between the first six photos and the rest nothing is true."""
    if (i < 6) == (j < 6):
        return matches
    wrong = matches[:15].copy()
    wrong[:, 1] = np.random.default_rng(i * 100 + j).permutation(wrong[:, 1])
    return wrong


def build(tmp_path: Path, found: Found, photos: int = 16) -> tuple[pycolmap.Reconstruction, SparseDocument]:
    write_products([build_model(ring(photos))], tmp_path / "photos", tmp_path / "matches", found)
    out = tmp_path / "out"
    out.mkdir()
    build_sparse_model(tmp_path / "photos", tmp_path / "matches", out, SparseModelOptions(), Monitor())
    return pycolmap.Reconstruction(out / "sparse" / "0"), SparseDocument.load(out)


def test_halves_linked_by_few_points_a_photo_become_one_model(tmp_path: Path):
    """No photo of one half has points enough to be placed in the other; all together have."""
    model, document = build(tmp_path, weak_links)
    assert [summary.photos for summary in document.models] == [16]
    assert "models that share points joined" in document.attempts
    truth = {f"{index:03d}.jpg": centre for index, (_, centre) in enumerate(ring(16))}
    images = [model.image(i) for i in model.reg_image_ids()]
    centres = np.array([image.projection_center() for image in images])
    true = np.array([truth[image.name] for image in images])
    found = pycolmap.estimate_sim3d(centres, true)
    errors = np.linalg.norm([found * centre for centre in centres] - true, axis=1)
    assert errors.max() < 0.05  # of a ring of radius 5


@pytest.mark.slow
def test_wrong_links_join_nothing(tmp_path: Path):
    """Two places with chance agreements laid over one another give a model of neither."""
    _, document = build(tmp_path, only_wrong_links, photos=9)
    assert [summary.photos for summary in document.models] == [6, 3]
