"""Exposure, outvoted photos, choice of photos and seams, on a strip of faces that several photos see."""

import numpy as np
import pytest

from e2e3d_assets.reconstruction.texturing.charts import cut_charts, rectangles, split_loose
from e2e3d_assets.reconstruction.texturing.exposure import outliers, photo_gains
from e2e3d_assets.reconstruction.texturing.observations import Observations
from e2e3d_assets.reconstruction.texturing.seams import shares
from e2e3d_assets.reconstruction.texturing.selection import UNSEEN, select_photos

CELLS = 40
FACES = 2 * CELLS


@pytest.fixture
def strip() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a strip of squares, two triangles each, along x."""
    x = np.arange(CELLS + 1.0)
    vertices = np.concatenate([np.stack([x, 0 * x, 0 * x], 1), np.stack([x, 0 * x + 1, 0 * x], 1)])
    low, high = np.arange(CELLS), np.arange(CELLS) + CELLS + 1
    faces = np.stack([np.stack([low, low + 1, high], 1), np.stack([low + 1, high + 1, high], 1)], 1)
    return vertices, faces.reshape(-1, 3).astype(np.int32)


def seen_by(quality: np.ndarray, color: np.ndarray | None = None) -> Observations:
    """Observations from a table (faces, photos) of qualities, 0 where unseen, and colours (faces, photos, 3)."""
    face, photo = np.nonzero(quality)
    color = np.full((*quality.shape, 3), 100.0) if color is None else color
    return Observations(
        np.searchsorted(face, np.arange(len(quality) + 1)),
        photo.astype(np.int32),
        quality[face, photo].astype(np.float32),
        color[face, photo].astype(np.float32),
        np.full(len(face), 3.0, np.float32),
    )


def test_exposure_is_found_from_overlaps_alone():
    """Fails if a chain of photos, of which only neighbours overlap, is not brought to one exposure."""
    random = np.random.default_rng(0)
    true = np.array([[1.0, 1.0, 1.0], [1.2, 1.1, 1.3], [0.9, 1.0, 0.8]])
    albedo = random.uniform(40, 160, (300, 3))
    quality = np.zeros((300, 3))
    quality[:200, 0] = quality[100:, 1] = quality[200:, 2] = 50
    observations = seen_by(quality, albedo[:, None] * true * random.normal(1, 0.01, (300, 3, 1)))
    evened = photo_gains(observations, 3) * true
    assert np.ptp(np.log(evened), axis=0).max() < 0.06


def test_highlights_are_not_burnt_out():
    """Fails if evening exposures makes bright surfaces white."""
    color = np.full((100, 2, 3), 240.0)
    color[:, 1] *= 0.6
    gains = photo_gains(seen_by(np.full((100, 2), 10.0), color), 2)
    assert (color * gains).max() < 250


def test_a_passer_by_is_outvoted(strip: tuple[np.ndarray, np.ndarray]):
    """Fails if something that one of five photos shows gets into the texture, with its edges or where it differs
    little, or if two against two are outvoted."""
    color = np.full((FACES, 5, 3), 120.0) + np.random.default_rng(0).normal(0, 3, (FACES, 5, 3))
    color[10:20, 3] = 20
    color[20:23, 3] = 100
    found = outliers(seen_by(np.ones((FACES, 5)), color), strip[1]).reshape(FACES, 5)
    assert found[9:24, 3].all()
    assert found.sum() <= 17
    assert not outliers(seen_by(np.ones((FACES, 2)), color[:, 2:4]), strip[1]).any()


def test_faces_take_the_better_photo_but_not_at_every_face(strip: tuple[np.ndarray, np.ndarray]):
    """Fails if the choice ignores quality, or follows its noise and cuts the surface into crumbs."""
    random = np.random.default_rng(1)
    quality = np.full((FACES, 2), 100.0)
    quality[: FACES // 2, 1] = quality[FACES // 2 :, 0] = 40
    observations = seen_by(quality * random.uniform(0.8, 1.25, quality.shape))
    label = select_photos(*strip, observations, np.zeros(2 * FACES, bool))
    assert (np.diff(label) != 0).sum() == 1
    assert (label == np.repeat([0, 1], FACES // 2)).mean() > 0.95


def test_outvoted_and_unseen_faces(strip: tuple[np.ndarray, np.ndarray]):
    """Fails if a face takes an outvoted photo though another sees it, or gets a photo that does not see it."""
    quality = np.full((FACES, 2), 100.0)
    quality[:, 1] = 30
    quality[60:] = 0
    outlier = np.zeros((60, 2), bool)
    outlier[20:40, 0] = True
    label = select_photos(*strip, seen_by(quality), outlier.ravel())
    assert (label[20:40] == 1).all()
    assert (label[60:] == UNSEEN).all()
    assert (label[:10] == 0).all()


def test_levelling_removes_a_step_between_photos(strip: tuple[np.ndarray, np.ndarray]):
    """Fails if a seam stays visible, or shares of a face's photos do not add up to one."""
    vertices, faces = strip
    color = np.full((FACES, 2, 3), 100.0)
    color[:, 1] += [12, 0, -8]
    observations = seen_by(np.ones((FACES, 2)), color)
    label = np.repeat([0, 1], FACES // 2).astype(np.int32)
    given = shares(faces, label, observations, np.zeros(2 * FACES, bool), len(vertices), 2)
    total = np.zeros((FACES, 3))
    np.add.at(total, given.face, given.weight)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    own = np.concatenate(
        [given.correction[given.of(k)][np.isin(given.face[given.of(k)], np.flatnonzero(label == k))] for k in (0, 1)]
    )
    left, right = own[FACES // 2 - 1].mean(axis=0), own[FACES // 2].mean(axis=0)
    np.testing.assert_allclose(left - right, [12, 0, -8], atol=1.0)
    guests = given.face[given.of(1)] < FACES // 2
    assert 0 < guests.sum() <= 3


def test_shade_of_one_view_is_evened_but_no_other_surface_mixed_in(strip: tuple[np.ndarray, np.ndarray]):
    """Fails if the sheen that one photo shows stays in the model, or a background seen past an edge tints the front."""
    vertices, faces = strip
    label = np.zeros(FACES, np.int32)
    everywhere, edge = slice(None), slice(10, 14)
    for where, difference, expected in ((everywhere, 9.0, 6.0), (edge, 120.0, 0.0)):
        color = np.full((FACES, 3, 3), 100.0)
        color[where, 1:] += difference  # two of three photos are brighter: the mean is at 2/3
        given = shares(faces, label, seen_by(np.ones((FACES, 3)), color), np.zeros(3 * FACES, bool), len(vertices), 3)
        np.testing.assert_allclose(given.correction, expected, atol=1.0)


def test_charts_are_connected_faces_of_one_photo(strip: tuple[np.ndarray, np.ndarray]):
    """Fails if charts mix photos, or rectangles leave out a corner of a face."""
    _, faces = strip
    label = np.repeat([0, 1, 0, UNSEEN], FACES // 4).astype(np.int32)
    of_face, photo = cut_charts(faces, label)
    assert sorted(photo) == [0, 0, 1]
    assert (of_face == -1).sum() == FACES // 4
    corners = np.random.default_rng(0).uniform(0, 500, (FACES, 3, 2))
    charts = rectangles(of_face, photo, corners, 0.5, 3)
    seen = of_face >= 0
    inside = (corners[seen] + 0.5) * 0.5 - 0.5 - charts.origin[of_face[seen]][:, None]
    assert (inside >= 3).all()
    assert (inside <= charts.size[of_face[seen]][:, None] - 4).all()


def test_rings_are_cut_open():
    """Fails if a chart that surrounds nothing takes the whole of its rectangle in the atlas."""
    angle = np.linspace(0, 2 * np.pi, 721)
    inner, outer = np.stack([np.cos(angle), np.sin(angle)], 1) * 900, np.stack([np.cos(angle), np.sin(angle)], 1) * 950
    corners = np.stack([inner[:-1], outer[:-1], outer[1:]], axis=1) + 1000
    of_face, photo = split_loose(np.zeros(720, np.int32), np.zeros(1, np.int32), corners)
    area = rectangles(of_face, photo, corners, 1.0, 0).size.prod(axis=1).sum()
    assert area < 0.25 * 1900**2
    assert (np.bincount(of_face, minlength=len(photo)) > 0).all()
