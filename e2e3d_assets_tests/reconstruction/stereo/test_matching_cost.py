"""What a plane costs."""

import cv2
import numpy as np
import pytest

from e2e3d_assets.reconstruction.stereo.packing import compare, compare_depths, pack
from e2e3d_assets.reconstruction.stereo.propagation import State, plane_costs

from .scene import Rendering, render, ring_camera


def grey(rendering: Rendering) -> np.ndarray:
    return cv2.cvtColor(rendering.photo, cv2.COLOR_RGB2GRAY)


def costs_at(depth_factor: float, source: Rendering, reference: Rendering, geometric: bool = False) -> np.ndarray:
    """Costs of the true planes, moved in depth, where the photo shows a surface."""
    compared = compare(reference.camera, grey(reference), [source.camera], [grey(source)])
    if geometric:
        asked = compare_depths(reference.camera, [source.camera], [source.depth.astype(np.float32)])
        compared = compared._replace(
            depths=asked.depths, depth_bases=asked.depth_bases, back=asked.back, geometric_weight=np.float32(1)
        )
    hit = reference.depth > 0
    planes = np.dstack([reference.normal, reference.depth * depth_factor]).astype(np.float32)
    state = State(planes, np.zeros(hit.shape, np.float32), hit.astype(np.uint32))
    plane_costs(compared, state)
    return state.costs[hit]


@pytest.fixture(scope="module")
def reference() -> Rendering:
    return render(ring_camera(0))


@pytest.mark.parametrize("brightness", [1.0, 0.6])
def test_true_planes_cost_little_whatever_the_exposure(reference: Rendering, brightness: float):
    """A camera on automatic exposure must not break matching."""
    source = render(ring_camera(8), brightness)
    assert np.median(costs_at(1.0, source, reference)) < 0.3
    assert np.median(costs_at(1.03, source, reference)) > 0.5


def test_depth_maps_that_agree_cost_little(reference: Rendering):
    """The geometric term must be zero at the truth and grow in pixels with the error."""
    source = render(ring_camera(8))
    without, agreeing = (costs_at(1.0, source, reference, geometric) for geometric in (False, True))
    assert np.median(agreeing - without) < 0.1
    farther = costs_at(1.03, source, reference, True) - costs_at(1.03, source, reference, False)
    assert np.median(farther) > 0.7


def test_packed_words_hold_the_four_taps():
    """A swapped tap would blur every comparison by a pixel."""
    photo = np.arange(12, dtype=np.uint8).reshape(3, 4)
    word = int(pack(photo)[8, 8])
    assert [word >> shift & 255 for shift in (0, 8, 16, 24)] == [0, 1, 4, 5]
