"""Viewer pages that stay empty, need a network, show the model elsewhere than the cloud, or measure wrong lengths."""

import base64
import gzip
import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from e2e3d_assets.reconstruction.errors import Cancelled
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.reconstruction.options import ViewerOptions
from e2e3d_assets.reconstruction.preview import MAX_BYTES
from e2e3d_assets.reconstruction.textured_mesh import load_glb
from e2e3d_assets.reconstruction.viewer import build_viewer, thinned

from .delivery_scene import BOX, CAMERAS, OFFSET, DeliveryScene, camera_center, make_scene

MAX_POINTS = 1500
TITLE = "a <b> set"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DeliveryScene:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def built(scene: DeliveryScene) -> tuple[Path, Figures]:
    out = scene.root / "built"
    out.mkdir()
    return out / "viewer.html", build(scene, out)


def build(scene: DeliveryScene, out: Path, monitor: Monitor | None = None) -> Figures:
    inputs = (scene[asset] for asset in ("textured_mesh", "dense_cloud", "sparse_model", "photos"))
    return build_viewer(*inputs, out, ViewerOptions(max_points=MAX_POINTS), monitor or Monitor(), TITLE)


def element(html: str, name: str) -> str:
    found = re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert found, name
    return found[1]


def arrays(html: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    described = json.loads(element(html, "scene"))
    block = gzip.decompress(base64.b64decode(element(html, "numbers")))
    return described, {name: unpacked(block, **entry) for name, entry in described["arrays"].items()}


def unpacked(
    block: bytes,
    type: str,
    offset: int,
    planes: int,
    rows: int,
    width: int,
    origin: list[float] | None = None,
    step: float = 1,
) -> np.ndarray:
    """What the page's script does: (rows, width)."""
    bytes_ = np.frombuffer(block, np.uint8, planes * rows * width, offset).reshape(planes, width, rows)
    folded = (bytes_.astype(np.int64) << (8 * np.arange(planes)[:, None, None])).sum(axis=0)
    whole = np.cumsum((folded >> 1) ^ -(folded & 1), axis=1).T
    return (whole if origin is None else np.array(origin) + whole * step).astype(type)


def test_page_holds_model_cloud_and_cameras_in_the_world_frame(scene: DeliveryScene, built: tuple[Path, Figures]):
    """Parts in different frames lie beside one another; faces whose corners are mixed up tear the model."""
    described, numbers = arrays(built[0].read_text())
    low, high = OFFSET - BOX / 2 - 2e-5, OFFSET + BOX / 2 + 2e-5
    for name in ("page0.position", "page1.position", "cloud.position"):
        points = numbers[name]
        assert np.all((points >= low) & (points <= high)), name
    assert len(numbers["cloud.position"]) == len(numbers["cloud.color"])
    assert len(numbers["page0.index"]) + len(numbers["page1.index"]) == 192 * 3
    model = load_glb(scene["textured_mesh"] / "model.glb")
    for page in (0, 1):
        corners = np.hstack([numbers[f"page{page}.position"], numbers[f"page{page}.uv"] / 65535])
        corners = corners[numbers[f"page{page}.index"]].reshape(-1, 15)
        truth = np.dstack([model.vertices[model.faces], model.uv])[model.face_page == page].reshape(-1, 15)
        # Faces come in another order.
        assert cKDTree(truth).query(corners)[0].max() < 2e-4
        assert cKDTree(corners).query(truth)[0].max() < 2e-4
    for i, photo in enumerate(described["photos"]):
        assert np.allclose(photo["center"], camera_center(i))
        corners = np.array(photo["corners"])
        assert np.dot(corners.mean(axis=0) - photo["center"], OFFSET - photo["center"]) > 0
        assert corners[0][2] > corners[3][2]  # the picture's top is up
    assert described["metric"] is True


def test_page_needs_no_network(built: tuple[Path, Figures]):
    """The page is opened from a disk or a bucket, by people who are offline."""
    html = built[0].read_text()
    assert not re.findall(r"<(?:script|img|link)[^>]*(?:src|href)=", html)
    addresses = set(re.findall(r"https?://[\w./]+", html))
    assert addresses <= {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"}  # names of formats


def test_page_carries_the_name_of_its_set_as_text(built: tuple[Path, Figures]):
    """People keep many such pages open; a name like markup must not change the page."""
    html = built[0].read_text()
    assert "<title>a &lt;b&gt; set" in html
    assert "<b>" not in html.replace(element(html, "scene"), "")[: html.index("</header>")]


def test_figures_and_preview(built: tuple[Path, Figures]):
    """Operators see the size of what people will download."""
    page, figures = built
    assert figures["bytes"] == page.stat().st_size
    assert (figures["faces"], figures["points"], figures["cameras"]) == (
        192,
        pytest.approx(MAX_POINTS, rel=0.2),
        CAMERAS,
    )
    assert figures["points"] <= MAX_POINTS
    assert (page.parent / "preview.jpg").stat().st_size <= MAX_BYTES


def test_thinning_keeps_thin_places():
    """Most points lie where most photos looked; a random choice would leave holes everywhere else."""
    rng = np.random.default_rng(3)
    dense = rng.uniform(0, 1, (20_000, 3)) * [1, 1, 0]
    sparse = rng.uniform(0, 1, (500, 3)) * [1, 1, 0] + [2, 0, 0]
    chosen, cell = thinned(np.float32(np.concatenate([dense, sparse])), 1500)
    assert 1200 < len(chosen) <= 1500
    assert (chosen >= 20_000).sum() > 300
    assert cell == pytest.approx(np.sqrt(2 / 1500), rel=0.4)


@pytest.mark.parametrize("points", [1, 2, 50])
def test_small_clouds_stay_whole(points):
    """A cloud of fewer points than asked for, even one, must not be lost."""
    chosen, cell = thinned(np.random.default_rng(0).uniform(0, 1, (points, 3)).astype(np.float32), 1000)
    assert len(chosen) == points
    assert cell >= 0


def test_cancelling_stops(scene: DeliveryScene, tmp_path: Path):
    """A cancelled run must not go on writing."""
    monitor = Monitor()
    monitor.cancelled.set()
    with pytest.raises(Cancelled):
        build(scene, tmp_path, monitor)


def test_bundle_was_built_from_the_sources_beside_it():
    """A change of the JavaScript that was not bundled (`npm ci && npm run build`) never reaches the page."""
    page = resources.files("e2e3d_assets.reconstruction") / "viewer_page"
    names = ("data.js", "layers.js", "main.js", "measure.js", "package-lock.json")
    sources = b"".join((page / "source" / name).read_bytes() for name in names)
    first_line = (page / "viewer.min.js").read_text().partition("\n")[0]
    assert first_line == f"// sources: {hashlib.sha256(sources).hexdigest()}"
    assert "MIT License" in (page / "THREE_LICENSE.txt").read_text()
