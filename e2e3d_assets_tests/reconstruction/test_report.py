"""Reports that say something else than the products, that need a network, or that fail on an incomplete record."""

import re
from datetime import UTC, datetime
from html import unescape
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from e2e3d_assets.reconstruction.errors import Cancelled
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import ReportOptions
from e2e3d_assets.reconstruction.preview import MAX_BYTES
from e2e3d_assets.reconstruction.report import build_report
from e2e3d_assets.reconstruction.report_schema import Report, RunRecord, StageRecord

from .delivery_scene import BOX, CAMERAS, FOCAL, NOISE_PX, OFFSET, DeliveryScene, camera_center, make_scene

STAGES = [
    StageRecord(
        stage="depth_maps",
        wall_seconds=61,
        cpu_seconds=200.5,
        peak_memory_bytes=1_500_000_000,
        figures={"median_coverage_percent": 20.0},
        options={"max_photo_size": 1000},
    ),
    StageRecord(
        stage="textured_mesh",
        wall_seconds=0,
        cpu_seconds=0,
        peak_memory_bytes=0,
        figures={"textured_area_percent": 93.0},
    ),
]


def record(**changes) -> RunRecord:
    values = {"image_set": "a <b> set", "quality": "low", "started": datetime(2026, 5, 4, 3, 2, tzinfo=UTC)}
    return RunRecord.model_validate(values | {"run_id": "run-1", "stages": STAGES} | changes)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DeliveryScene:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def out(scene: DeliveryScene) -> Path:
    out = scene.root / "report"
    out.mkdir()
    build_report(record(), scene.products, out, ReportOptions(film_frames=5), Monitor())
    return out


@pytest.fixture(scope="module")
def report(out: Path) -> Report:
    return Report.model_validate_json((out / "report.json").read_text())


def test_report_counts_the_products(report: Report):
    """Each figure is read from the product itself, so that it is true after a single stage was made again."""
    assert (report.photos.given, report.photos.accepted, report.photos.registered) == (CAMERAS + 1, CAMERAS, CAMERAS)
    assert report.sparse.registered_photos == CAMERAS
    assert 0.3 < report.sparse.mean_reprojection_error_px < 0.7
    assert report.sparse.scale == "metres"
    assert report.dense.points == 2000
    assert (report.mesh.vertices, report.mesh.faces, report.mesh.components) == (98, 192, 1)
    assert report.mesh.watertight
    assert report.mesh.extent == pytest.approx((1.0, 0.6, 0.8), abs=1e-5)
    assert (report.texture.pages, report.texture.width) == (2, 128)
    assert report.texture.coverage == 0.93
    assert report.stages == STAGES
    assert report.versions["pycolmap"]


def test_measured_points_and_markers_are_listed(out: Path, report: Report):
    """A control point that was left out, unseen by anybody, is a wrong survey or a model that is bent there."""
    assert report.sparse.georeference is not None
    assert [(p.name, p.used, p.residual_m) for p in report.sparse.georeference.control_points] == [
        ("gcp <7>", False, 1)
    ]
    assert [(m.number, m.side_m) for m in report.sparse.markers] == [(23, 0.2001)]
    page = (out / "report.html").read_text()
    assert "gcp &lt;7&gt;" in page
    assert "contradicts the others" in page
    assert "0.2001 m" in page


def test_model_is_measured_against_the_photos(report: Report):
    """Photos that are renderings of the model agree with it, if cameras, pixels and frames are understood rightly."""
    assert report.likeness.photos == CAMERAS
    assert report.likeness.median_psnr_db is not None
    assert report.likeness.median_psnr_db > 30
    assert report.coverage.seen_by_one == pytest.approx(1 - bottom_share(), abs=0.1)
    pixel = np.linalg.norm(camera_center(0) - OFFSET) / FOCAL
    assert report.coverage.ground_sampling_distance == pytest.approx(pixel, rel=0.2)
    assert report.sparse.point_uncertainty == pytest.approx(NOISE_PX * pixel, rel=0.6)


def bottom_share() -> float:
    """Of the box's surface; cameras above the box cannot see it."""
    x, y, z = BOX
    return x * y / (2 * (x * y + y * z + z * x))


def test_place_on_earth_is_told_with_its_doubt(out: Path, report: Report):
    """A surveyor needs the projection, and how far the measured places are off, before anything else."""
    place = report.sparse.georeference
    assert place is not None
    assert (place.latitude, place.longitude, place.altitude, place.epsg) == (47, 11, 600, 32632)
    html = (out / "report.html").read_text()
    assert "EPSG:32632" in html
    assert "50 cm, 1 m" in html


def test_each_photo_has_its_fate(report: Report):
    """The user asks of every file what became of it."""
    fates = {photo.name: photo for photo in report.photos.items}
    assert fates["Photo 3.JPG"].fate == "registered"
    assert fates["Photo 3.JPG"].matched_photos == 2
    assert fates["broken.jpg"].fate == "rejected"
    assert fates["broken.jpg"].reason == "it is not a photo"


def test_figures_of_stages_reach_the_warnings(report: Report):
    """Depth for a fifth of the pixels makes a doubtful surface."""
    codes = {"control_points_contradict", "photos_rejected", "little_depth", "much_left_out"}
    assert {warning.code for warning in report.warnings} == codes


def test_page_needs_no_network_and_no_script(out: Path):
    """The page is opened from a disk, a mail or a bucket, by people who are offline."""
    html = (out / "report.html").read_text()
    links = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', html)
    assert links
    assert all(link.startswith("data:image/") for link in links)
    assert "<script" not in html
    assert "url(" not in html


def test_names_given_by_users_stay_text(out: Path):
    """A set or photo named like markup must not change the page."""
    html = (out / "report.html").read_text()
    assert "a &lt;b&gt; set" in html
    assert "<b> set" not in html


def test_page_shows_what_the_report_says(out: Path, report: Report):
    """HTML and JSON are read by different people and must not differ."""
    html = (out / "report.html").read_text()
    for photo in report.photos.items:
        assert photo.name in html
    for warning in report.warnings:
        assert warning.message in unescape(html)
    assert html.count("<svg class=") == 4
    assert html.count('alt="The textured model, view') == html.count('alt="Map of coverage, view') == 4
    assert "1 min 01 s" in html
    assert "1.5 GB" in html


def test_preview_is_a_small_picture_of_the_model(out: Path):
    """It is stored in the orchestrator's database: larger ones slow it down."""
    assert (out / "preview.jpg").stat().st_size <= MAX_BYTES
    with Image.open(out / "preview.jpg") as preview:
        colors = preview.convert("RGB").getcolors(1 << 24)
    assert colors is not None
    assert len(colors) > 100


def test_turntable_is_a_film_and_four_pictures(out: Path):
    """The film is what people post: each frame must differ, and the first side must be the first picture's."""
    with Image.open(out / "turntable.webp") as film:
        assert film.n_frames == 5
        frames = []
        for frame in range(5):
            film.seek(frame)
            frames.append(np.asarray(film.convert("RGB"), int))
    assert all(np.abs(a - b).mean() > 1 for a, b in pairwise(frames))
    assert len(list(out.glob("turntable_*.png"))) == 4
    video = cv2.VideoCapture(str(out / "turntable.mp4"))
    for frame in frames:
        read, picture = video.read()
        assert read
        assert np.abs(picture[..., ::-1].astype(int) - frame).mean() < 8
    with Image.open(out / "turntable_1.png") as first:
        same = np.asarray(first.resize(frames[0].shape[1::-1]).convert("RGB"), int)
    assert np.abs(same - frames[0]).mean() < np.abs(same - frames[2]).mean() / 3


def test_progress_rises_to_its_end_even_without_a_record_of_stages(scene: DeliveryScene, tmp_path: Path):
    """People plan by the time that is left. An engineer who ran the stages by hand has no record of their costs."""
    told: list[tuple[int, int]] = []
    monitor = Monitor(lambda done, total, what: told.append((done, total)))
    options = ReportOptions(film_frames=0, compared_photos=4)
    figures = build_report(record(stages=[]), scene.products, tmp_path, options, monitor)
    done = [each for each, _ in told]
    (total,) = {each for _, each in told}
    assert done == sorted(done)
    assert total - 3 <= max(done) <= total
    assert figures["photos_registered"] == CAMERAS
    assert not (tmp_path / "turntable.webp").exists()


def test_cancelling_stops(scene: DeliveryScene, tmp_path: Path):
    """A cancelled run must not go on writing."""
    monitor = Monitor()
    monitor.cancelled.set()
    with pytest.raises(Cancelled):
        build_report(record(), scene.products, tmp_path, ReportOptions(), monitor)
