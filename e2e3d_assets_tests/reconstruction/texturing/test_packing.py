"""Rectangles in pages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e3d_assets.reconstruction.texturing.packing import pack


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 100), st.integers(1, 100)), min_size=1, max_size=80))
def test_rectangles_neither_overlap_nor_leave_their_page(sizes: list[tuple[int, int]]):
    """Fails if two charts share pixels: each would show the other's photo."""
    size = np.array(sizes)
    layout = pack(size, 128)
    pages = np.zeros((layout.pages, layout.side, layout.side), int)
    for (width, height), page, (left, top) in zip(sizes, layout.page, layout.position, strict=True):
        assert left >= 0
        assert top >= 0
        pages[page, top : top + height, left : left + width] += 1
    assert pages.max() == 1
    assert pages.sum() == size.prod(axis=1).sum()


def test_pages_are_well_filled():
    """Fails if the packer wastes memory and bandwidth on empty pages."""
    random = np.random.default_rng(0)
    size = random.integers(8, 200, (2000, 2))
    layout = pack(size, 8192)
    assert layout.pages == 1
    assert size.prod(axis=1).sum() > 0.8 * layout.side**2


def test_too_large_a_rectangle_is_refused():
    """Fails if the packer loops for ever on what cannot fit."""
    with pytest.raises(ValueError, match="larger than a page"):
        pack(np.array([[300, 10]]), 256)
