"""Surveyed points in ``gcp_list.txt``, on models with exact truth."""

import tempfile
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.georeference.control_points import in_photos, load_control_points, robust_similarity
from e2e3d_assets.reconstruction.georeference.evidence import WorldEvidence
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import PhotosOptions
from e2e3d_assets.reconstruction.photo_set import Gps, PhotoRecord
from e2e3d_assets.reconstruction.photos import prepare_photos
from e2e3d_assets.reconstruction.sparse.alignment import align_model

from ..camera_networks import build_model, ring
from ..photo_files import save_photos

UTM_ORIGIN = np.array([500_300.0, 5_183_000.0, 210.0])
POINTS = np.array([[-1.2, -1, 0.1], [1.1, -0.9, 0.3], [1, 1.2, 0], [-1, 0.8, 0.45], [0.1, 0, 0.2], [0.4, -0.5, -0.3]])
ORDINARY = "EPSG:32615\n"


def surveyed_scene(points: np.ndarray = POINTS) -> tuple[pycolmap.Reconstruction, list[str]]:
    """A model in an arbitrary frame, and the lines of a file with the marks of points, 0.5 pixels off."""
    random = np.random.default_rng(3)
    model = build_model(ring(10))
    lines = []
    for number, point in enumerate(points):
        x, y, z = UTM_ORIGIN + point
        for image_id in model.reg_image_ids():
            image = model.image(image_id)
            pixel = image.project_point(point)
            if pixel is not None:
                across, down = pixel + random.normal(0, 0.5, 2)
                lines.append(f"{x:.4f} {y:.4f} {z:.4f} {across:.2f} {down:.2f} {image.name} gcp{number}")
    model.transform(pycolmap.Sim3d(0.3, pycolmap.Rotation3d(np.array([0.7, -0.4, 1.1])), np.array([5.0, -3.0, 8.0])))
    return model, lines


def evidence_of(tmp_path: Path, lines: list[str], header: str = ORDINARY) -> WorldEvidence:
    (tmp_path / "gcp_list.txt").write_text(header + "\n".join(lines) + "\n")
    return WorldEvidence(control_points=load_control_points(tmp_path / "gcp_list.txt"))


@pytest.mark.parametrize("header", ["EPSG:32615\n", "WGS84 UTM 15N\n", "+proj=utm +zone=15 +datum=WGS84 +units=m\n"])
def test_model_in_metres_on_the_map(tmp_path: Path, header: str):
    """Surveyors pay for centimetres: scale, heading and place must come out, whichever way the system is written."""
    model, lines = surveyed_scene()
    alignment = align_model(model, evidence_of(tmp_path, lines, header), 0)
    georeference = alignment.georeference
    assert georeference is not None
    assert georeference.source == "control points"
    assert len(georeference.control_points) == len(POINTS)
    assert georeference.max_residual_m < 0.01  # half a pixel at 5 m is 2.3 mm
    assert all(point.photos >= 6 for point in georeference.control_points)
    model.transform(alignment.world_from_model)
    size = np.ptp([model.image(i).projection_center() for i in model.reg_image_ids()], axis=0)[:2]
    true_size = np.ptp([centre for _, centre in ring(10)], axis=0)[:2]
    assert size == pytest.approx(true_size, rel=0.01)  # UTM is 0.04 % smaller than the ground
    to_utm = Transformer.from_crs("EPSG:4979", "EPSG:32615", always_xy=True)
    east, north, _ = to_utm.transform(georeference.longitude, georeference.latitude, georeference.altitude)
    assert (east, north) == pytest.approx(tuple(np.median(POINTS, axis=0)[:2] + UTM_ORIGIN[:2]), abs=0.05)


def test_wrong_survey_and_wrong_marks_are_told_apart(tmp_path: Path):
    """A mistyped coordinate, or a mark on the wrong thing, must neither bend the model nor stay unnoticed."""
    model, lines = surveyed_scene()
    wrong_mark = next(i for i, line in enumerate(lines) if line.endswith("gcp0"))
    lines[wrong_mark] = " ".join([*lines[wrong_mark].split()[:3], "100.0 100.0", *lines[wrong_mark].split()[5:]])
    lines = [
        line.replace(line.split()[0], f"{float(line.split()[0]) + 1:.4f}") if line.endswith("gcp4") else line
        for line in lines
    ]
    georeference = align_model(model, evidence_of(tmp_path, lines), 0).georeference
    assert georeference is not None
    by_name = {point.name: point for point in georeference.control_points}
    assert [name for name, point in by_name.items() if not point.used] == ["gcp4"]
    assert by_name["gcp4"].offset_m == pytest.approx((-1, 0, 0), abs=0.02)
    assert max(point.residual_m for name, point in by_name.items() if name != "gcp4") < 0.01


def test_control_points_win_over_gps(tmp_path: Path):
    """GPS of photos is off by metres where the survey is off by millimetres."""
    model, lines = surveyed_scene()
    gps = {f"{i:03d}.jpg": Gps(latitude=10 + i / 1000, longitude=10 + i * i / 2000, altitude=i) for i in range(1, 11)}
    evidence = WorldEvidence(gps, evidence_of(tmp_path, lines).control_points)
    georeference = align_model(model, evidence, 0).georeference
    assert georeference is not None
    assert georeference.source == "control points"


@pytest.mark.parametrize(("kept", "words"), [(2, "2 control points"), (0, "0 control points")])
def test_too_few_points_say_so(tmp_path: Path, kept: int, words: str):
    """With two points the model could still turn around the line between them."""
    model, lines = surveyed_scene()
    lines = [line for line in lines if int(line[-1]) < kept] or ["1 2 3 4 5 elsewhere.jpg"]
    alignment = align_model(model, evidence_of(tmp_path, lines), 0)
    assert alignment.georeference is None
    assert words in alignment.frame


def test_points_on_a_line_say_so(tmp_path: Path):
    """Along a road all points are nearly on one line: the model's roll would be chance."""
    model, lines = surveyed_scene(np.array([[-1.2, -1, 0], [0, 0, 0], [1.2, 1, 0.0]]))
    assert "on a line" in align_model(model, evidence_of(tmp_path, lines), 0).frame


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("EPSG:999999\n", "coordinate system"),
        ("somewhere\n", "coordinate system"),
        ("WGS84 UTM 99N\n", "coordinate system"),
        ("EPSG:32615\n1 2 3 4\n", "Line 2"),
        ("EPSG:32615\n# note\n1 2 NaN 4 5 a.jpg\n", "Line 3.*heights"),
        ("EPSG:4326\n200 95 0 1 1 a.jpg\n", "no place"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str, words: str):
    """A typing error must read as such, with its line, before anything is computed."""
    save_photos(tmp_path / "upload", ["a.jpg", "b.jpg", "c.jpg"])
    (tmp_path / "upload/gcp_list.txt").write_text(text)
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match=words) as caught:
        prepare_photos(tmp_path / "upload", tmp_path / "out", PhotosOptions(), Monitor())
    assert caught.value.files == ("gcp_list.txt",)


def test_photos_are_found_by_the_names_that_people_gave(tmp_path: Path):
    """Photos are stored under safe names; the file knows them by their own, in whatever case."""
    records = [PhotoRecord(given_name="flight 1/DJI_1.JPG", name="DJI_1.jpg", status="accepted")]
    (tmp_path / "gcp_list.txt").write_text("EPSG:4326\n10 50 100 1 2 dji_1.jpg\n10 50 100 3 4 gone.jpg\n")
    points = in_photos(load_control_points(tmp_path / "gcp_list.txt"), records)
    assert [point.marks for point in points] == [(("DJI_1.jpg", 1.0, 2.0),)]


@given(st.integers(5, 12), st.integers(0, 1000))
def test_fewer_than_half_wrong_points_do_no_harm(count: int, seed: int):
    """The least median of squares stands just under half of wrong points."""
    random = np.random.default_rng(seed)
    target = random.normal(0, 10, (count, 3))
    source = (target - 3.0) / 2.5
    wrong = random.choice(count, (count - 3) // 2, replace=False)
    target[wrong] += random.choice([-1, 1], (len(wrong), 3)) * random.uniform(30, 60, (len(wrong), 3))
    similarity, used = robust_similarity(source, target)
    assert similarity is not None
    assert similarity.scale == pytest.approx(2.5, rel=1e-6)
    assert not used[wrong].any()


_NUMBERS = st.one_of(st.floats(), st.integers(-(10**30), 10**30), st.text(max_size=5))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["EPSG:4326", "EPSG:32632", "#"]), st.lists(st.lists(_NUMBERS)))
def test_any_text_gives_points_or_a_plain_refusal(header: str, rows: list[list[object]]):
    """The file is typed by hand and saved by spreadsheets: no content of it may be a stack trace."""
    with tempfile.TemporaryDirectory() as folder:
        text = "\n".join([header, *(" ".join(map(str, row)) for row in rows)])
        Path(folder, "gcp_list.txt").write_bytes(text.encode("utf-8", "replace"))
        try:
            points = load_control_points(Path(folder, "gcp_list.txt"))
        except BadInput:
            return
    assert all(np.isfinite(point.place).all() and point.marks for point in points)


def test_a_thousand_points_are_no_trouble():
    """All triples of a thousand points are 166 million."""
    target = np.random.default_rng(0).normal(0, 10, (1000, 3))
    similarity, used = robust_similarity(target * 2, target)
    assert similarity is not None
    assert used.all()


def test_names_that_are_written_differently(tmp_path: Path):
    """Lists are written by other programs, in other encodings, with folders, spaces, or without the suffix."""
    lines = [
        "1 2 3 4 5 flight/IMG 1.JPG gcp A",
        "1 2 3 4 6 img_2 gcp A",
        "1 2 3 4 7 C:\\a\\b.tif gcp A",
        "1 2 3 4 8 c.jpg gcp A",
    ]
    (tmp_path / "gcp_list.txt").write_bytes("\r\n".join(["EPSG:32615", *lines]).encode("utf-16"))
    given = ["IMG 1.jpg", "IMG_2.heic", "b.tif", "left/c.jpg", "right/c.jpg"]
    records = [PhotoRecord(given_name=name, name=f"{i}.jpg", status="accepted") for i, name in enumerate(given)]
    (point,) = in_photos(load_control_points(tmp_path / "gcp_list.txt"), records)
    assert point.name == "gcp A"
    assert point.marks == (("0.jpg", 4, 5), ("1.jpg", 4, 6), ("2.jpg", 4, 7))  # which c.jpg is meant nobody knows


def test_why_a_survey_was_not_used(tmp_path: Path):
    """A list for other photos, or with x and y exchanged, left the model to GPS without a word; a wrong zone moved
    it to another country."""
    model, lines = surveyed_scene()
    foreign = [line.replace(".jpg", "x.jpg") for line in lines]
    evidence = WorldEvidence(control_points=in_photos(evidence_of(tmp_path, foreign).control_points, []))
    assert "none of the photos" in align_model(model, evidence, 0).unused["control points"]
    flat = [(x, y, 0.0) for x, y, _ in POINTS]
    model, lines = surveyed_scene(np.array(flat))
    swapped = [" ".join([line.split()[1], line.split()[0], *line.split()[2:]]) for line in lines]
    header = "+proj=tmerc +lat_0=0 +lon_0=-93 +x_0=500000 +y_0=5183000 +datum=WGS84 +units=m\n"
    alignment = align_model(model, evidence_of(tmp_path, swapped, header), 0)
    assert alignment.georeference is None
    assert "mirrored" in alignment.unused["control points"]
    gps = {f"{i:03d}.jpg": Gps(latitude=46.8, longitude=-87.0, altitude=0) for i in range(1, 11)}
    alignment = align_model(model, WorldEvidence(gps, evidence_of(tmp_path, lines).control_points), 0)
    assert "km from the control points" in alignment.unused["gps"]
