"""Plots that are not valid SVG, count wrongly, or let a file name break out of the page."""

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e3d_assets.reconstruction.reporting import plots

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6), about=st.integers(1, 8))
def test_ticks_are_inside_and_as_many_as_asked(low, span, about):
    """Axes without ticks or with hundreds of them cannot be read."""
    ticks = plots.nice_ticks(low, low + span, about)
    slack = span * 1e-6
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)
    assert len(ticks) <= about + 1
    if about >= 3:
        assert ticks


def test_histogram_counts_every_value_once():
    """Values beyond the axis belong to the last bar: they are the interesting ones."""
    values = np.array([0.1, 0.1, 0.6, 9.0])
    root = parsed(plots.histogram(values, np.array([0, 0.5, 1.0, 1.5]), "error", "points", (0.35, "median")))
    tips = [bar[0].text for bar in root.iter(f"{SVG}rect")]
    assert tips == ["0 to 0.5: 2", "0.5 to 1: 1", "1 to 1.5: 1"]


def test_plan_shows_north_up_and_escapes_names():
    """A mirrored plan sends people to the wrong side; a file name with markup must stay text."""
    cameras = [
        plots.PlanCamera(1, "<script>alert(1)</script>", (0.0, 0.0), (0.0, 1.0)),
        plots.PlanCamera(2, "north-east", (4.0, 5.0), (0.0, 0.0)),
    ]
    svg = plots.plan(cameras, np.random.default_rng(0).normal(size=(9000, 2)), [(0, 1, 80)], metric=True)
    assert "<script" not in svg
    root = parsed(svg)
    line = next(line for line in root.iter(f"{SVG}line") if line.get("class") == "edge")
    assert float(line.get("x2")) > float(line.get("x1"))
    assert float(line.get("y2")) < float(line.get("y1"))
    assert len(svg) < 100_000


@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_matrix_works_for_any_number_of_photos(count):
    """Nothing verified, one photo, or hundreds are all ordinary."""
    names = [f"{i}.jpg" for i in range(count)]
    pairs = [(i, i + 1, 100) for i in range(count - 1)]
    root = parsed(plots.match_matrix(names, pairs))
    labels = list(root.iter(f"{SVG}text"))
    assert len(labels) <= 60
