"""``report.html``: the report as one page that needs neither a network nor a script.

What belongs here: what stands on the page and how numbers are written for people. How it looks is ``report.html.j2``.
"""

import re
from collections.abc import Sequence
from importlib import resources

import jinja2
import numpy as np
from PIL import Image

from ..report_schema import DeliveredFile, Report
from . import advice, pictures, plots, summaries
from .evidence import Evidence, Findings
from .progress import Tick


def render_page(
    report: Report,
    evidence: Evidence,
    findings: Findings,
    views: Sequence[Image.Image],
    maps: Sequence[Image.Image],
    tick: Tick,
) -> str:
    """The page's HTML.

    Args:
        report: all figures.
        evidence: the products, for plots and pictures.
        findings: what was measured on them.
        views: renderings of the model.
        maps: the same views with the map of coverage.
        tick: called with each photo.
    """
    worst = summaries.worst_likeness(findings.likenesses)
    samples = [
        (name, pictures.data_uri(photo), pictures.data_uri(depth))
        for name, photo, depth in pictures.depth_samples(
            evidence.undistorted.names, evidence.products["undistorted_photos"], evidence.products["depth_maps"]
        )
    ]
    thumbnails: dict[str, str] = {}
    for photo in report.photos.items:
        tick(photo.name)
        if photo.image is not None:
            thumbnails[photo.image] = pictures.data_uri(
                pictures.small_photo(evidence.products["photos"] / "images" / photo.image)
            )
    folder = resources.files("e2e3d_assets.reconstruction") / "reporting"
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(size=_size, duration=_duration, length_of=_length, rounded=_rounded)
    return environment.from_string((folder / "report.html.j2").read_text("utf-8")).render(
        report=report,
        plots=_plots(report, evidence),
        views=[pictures.data_uri(view) for view in views],
        maps=[pictures.data_uri(each) for each in maps],
        map_colors=pictures.COVERAGE_COLORS,
        worst=[pictures.data_uri(Image.fromarray(each)) for each in (worst.photo, worst.rendering)] if worst else None,
        samples=samples,
        thumbnails=thumbnails,
        files=_grouped(report.files),
        total_wall=sum(stage.wall_seconds for stage in report.stages),
        total_cpu=sum(stage.cpu_seconds for stage in report.stages),
        most_wall=max((stage.wall_seconds for stage in report.stages), default=0) or 1,
    )


def _plots(report: Report, evidence: Evidence) -> dict[str, str]:
    numbers = {photo.image: i for i, photo in enumerate(report.photos.items, 1) if photo.image is not None}
    images = evidence.images
    doubtful = {photo.image for photo in advice.doubtful(report.photos)}
    cameras = [
        plots.PlanCamera(
            numbers[image.name],
            image.name,
            tuple(image.projection_center()[:2]),
            tuple(image.viewing_direction()[:2]),
            image.name in doubtful,
        )
        for image in images
    ]
    points = list(evidence.model.points3D.values())
    pairs = summaries.verified_pairs(evidence.matches)
    index = {image.name: i for i, image in enumerate(images)}
    edges = [
        (index[a], index[b], pair.inliers) for pair in pairs for a, b in [pair.photos] if a in index and b in index
    ]
    errors = np.array([point.error for point in points])
    tracks = np.array([point.track.length() for point in points])
    longest = int(np.clip(tracks.max(initial=3), 8, 40))
    accepted = [photo.image for photo in report.photos.items if photo.image is not None]
    order = {name: i for i, name in enumerate(accepted)}
    return {
        "plan": plots.plan(
            cameras, np.array([point.xyz[:2] for point in points]), edges, metric=report.sparse.scale == "metres"
        ),
        "matches": plots.match_matrix(
            accepted, [(order[a], order[b], pair.inliers) for pair in pairs for a, b in [pair.photos]]
        ),
        "errors": plots.histogram(
            errors,
            np.linspace(0, max(2.0, float(np.quantile(errors, 0.99))), 41),
            "reprojection error of a point, pixels",
            "points",
            (float(np.median(errors)), f"median {np.median(errors):.2f} px"),
        ),
        "tracks": plots.histogram(
            tracks,
            np.arange(2, longest + 2) - 0.5,
            f"photos that see a point (last bar: {longest} or more)",
            "points",
            (float(tracks.mean()), f"mean {tracks.mean():.1f}"),
        ),
    }


_PURPOSES = {
    "model.glb": "the textured model, for web pages and most 3D programs",
    "model.obj": "the textured model, for programs that read no GLB; with its .mtl and textures",
    "model.usdz": "the textured model, for iPhone, iPad and Mac",
    "model.zip": "all files in one",
    "mesh.ply": "the surface without texture, for measuring and printing",
    "dense_cloud.ply": "the measured points with normals, colours and confidence",
    "dense_cloud.laz": "the measured points, for surveyors' programs and GIS",
    "sparse/": "cameras and sparse points, for COLMAP and what reads its files",
    "tiles/": "the textured model as 3D Tiles, for Cesium and other globes",
    "viewer.html": "a page to turn, switch and measure, without a network",
}


def _grouped(files: Sequence[DeliveredFile]) -> list[tuple[str, int, int, str]]:
    """(name, files, bytes, what it is for) of each file, and of each folder as a whole."""
    sizes: dict[str, list[int]] = {}
    for file in files:
        folder, slash, _ = file.path.partition("/")
        sizes.setdefault(folder + slash, []).append(file.bytes)
    return [(name, len(each), sum(each), _purpose(name)) for name, each in sizes.items()]


def _purpose(name: str) -> str:
    level = re.fullmatch(r"model_(\d+)k\.glb", name)
    return f"the model with at most {level[1]},000 triangles, for phones" if level else _PURPOSES.get(name, "")


def _size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if number >= 100 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError


def _duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _rounded(value: float) -> str:
    """Two digits, with zeros for the others."""
    return f"{float(f'{value:.1e}'):,.0f}"


def _length(value: float, scale: str) -> str:
    """A length of the model for people."""
    if scale != "metres":
        return f"{value:.3g} units"
    for factor, unit in ((1, "m"), (100, "cm"), (1000, "mm")):
        if value * factor >= 1 or unit == "mm":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError
