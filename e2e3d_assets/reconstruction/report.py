"""Stage ``report``: how good the model is and why, as ``report.json`` and ``report.html``.

What belongs here: putting the parts together. Figures, judgement, plots and pictures are in :mod:`.reporting`; the
document's shape is in :mod:`.report_schema`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import pycolmap
from PIL import Image

from .match_document import MatchesDocument
from .monitor import Figures, Monitor
from .options import ReportOptions
from .photo_set import PhotoSet
from .preview import contact_sheet, save_preview
from .report_schema import DenseSummary, Report, RunRecord
from .reporting import pictures, plots, summaries
from .reporting.advice import Ring, judge
from .reporting.fidelity import Coverage, Likeness, compare_with_photos, measure_coverage
from .sparse_document import SparseDocument
from .stereo.ply import read_points
from .stereo.views import SparseScene, read_scene
from .textured_mesh import TexturedMesh, load_glb
from .viewpoints import Focus, focus_of

HTML_NAME, JSON_NAME, FILM_NAME = "report.html", "report.json", "turntable.webp"
_STEPS = 7


@dataclass(frozen=True)
class _Evidence:
    """What the stages left, read once."""

    products: Mapping[str, Path]
    photos: PhotoSet
    matches: MatchesDocument
    sparse: SparseDocument
    model: pycolmap.Reconstruction
    undistorted: SparseScene
    mesh: TexturedMesh
    focus: Focus


@dataclass(frozen=True)
class _Findings:
    """What the report measures itself."""

    coverage: Coverage
    likenesses: Sequence[Likeness]


def build_report(
    record: RunRecord, products: Mapping[str, Path], out: Path, options: ReportOptions, monitor: Monitor
) -> Figures:
    """Write ``report.json`` (:class:`~.report_schema.Report`), ``report.html``, ``preview.jpg``, and the model
    from four sides (``turntable_<n>.png``) and turning (``turntable.webp``).

    Args:
        record: what the orchestrator knows of the run.
        products: directory of each of the other eleven assets' products, by asset.
        out: empty directory to fill.
        options: how much is measured.
        monitor: progress and cancellation.
    """
    monitor.progress(0, _STEPS, "reading the products")
    evidence = _read(products)
    monitor.progress(1, _STEPS, "coverage")
    coverage = measure_coverage(evidence.mesh, evidence.undistorted.cameras, monitor)
    monitor.progress(2, _STEPS, "likeness")
    undistorted = products["undistorted_photos"]
    likenesses = compare_with_photos(evidence.mesh, evidence.undistorted, undistorted, options.compared_photos, monitor)
    findings = _Findings(coverage, likenesses)
    monitor.progress(3, _STEPS, "figures")
    report = _report(record, evidence, findings)
    (out / JSON_NAME).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    monitor.progress(4, _STEPS, "turntable")
    cameras = pictures.viewing_cameras(evidence.focus)
    views = list(pictures.render_views(evidence.mesh, cameras, monitor))
    save_preview(contact_sheet(views), out)
    for number, view in enumerate(views, 1):
        view.save(out / f"turntable_{number}.png")
    if options.film_frames:
        film = pictures.render_views(evidence.mesh, pictures.film_cameras(evidence.focus, options.film_frames), monitor)
        pictures.save_film(list(film), out / FILM_NAME)
    maps = list(pictures.render_coverage(evidence.mesh, coverage.views, cameras, monitor))
    monitor.progress(5, _STEPS, "page")
    html = _page(report, evidence, findings, views, maps, monitor)
    (out / HTML_NAME).write_text(html, encoding="utf-8")
    monitor.progress(_STEPS, _STEPS, "done")
    return _figures(report, (out / HTML_NAME).stat().st_size)


def _figures(report: Report, html_bytes: int) -> Figures:
    figures: Figures = {
        "warnings": sum(warning.severity != "note" for warning in report.warnings),
        "notes": sum(warning.severity == "note" for warning in report.warnings),
        "photos_registered": report.photos.registered,
        "mean_reprojection_error_px": round(report.sparse.mean_reprojection_error_px, 3),
        "dense_points": report.dense.points,
        "faces": report.mesh.faces,
        "seen_by_three_photos_percent": round(100 * report.coverage.seen_by_three, 1),
        "wall_seconds_of_stages": round(sum(stage.wall_seconds for stage in report.stages), 1),
        "html_bytes": html_bytes,
    }
    if report.likeness.median_psnr_db is not None:
        figures["median_psnr_db"] = round(report.likeness.median_psnr_db, 2)
    return figures


def _read(products: Mapping[str, Path]) -> _Evidence:
    model = pycolmap.Reconstruction(products["sparse_model"] / "sparse" / "0")
    mesh = load_glb(products["textured_mesh"] / "model.glb")
    return _Evidence(
        products=products,
        photos=PhotoSet.load(products["photos"]),
        matches=MatchesDocument.load(products["matches"]),
        sparse=SparseDocument.load(products["sparse_model"]),
        model=model,
        undistorted=read_scene(products["undistorted_photos"]),
        mesh=mesh,
        focus=focus_of(model).within(mesh.vertices),
    )


def _report(record: RunRecord, evidence: _Evidence, findings: _Findings) -> Report:
    figures = {stage.stage: stage.figures for stage in record.stages}
    photos = summaries.summarise_photos(evidence.photos, evidence.matches, evidence.sparse)
    given_names = {photo.image: photo.name for photo in photos.items if photo.image is not None}
    sparse = summaries.summarise_sparse(evidence.model, evidence.sparse)
    mesh = summaries.summarise_mesh(evidence.mesh)
    textured_percent = _number(figures, "textured_mesh", "textured_area_percent")
    texture = summaries.summarise_texture(evidence.mesh, None if textured_percent is None else textured_percent / 100)
    coverage = summaries.summarise_coverage(findings.coverage)
    likeness = summaries.summarise_likeness(findings.likenesses, given_names)
    images = _registered(evidence.model)
    down = np.median([-image.viewing_direction()[2] for image in images])
    ring = Ring(
        [given_names[image.name] for image in images],
        np.degrees(evidence.focus.azimuths).tolist(),
        float(np.degrees(np.arcsin(down))),
    )
    depth_coverage = _number(figures, "depth_maps", "median_coverage_pct")
    return Report(
        **record.model_dump(),
        finished=datetime.now(UTC),
        warnings=judge(photos, sparse, mesh, texture, coverage, likeness, ring, depth_coverage),
        photos=photos,
        sparse=sparse,
        dense=DenseSummary(points=len(read_points(evidence.products["dense_cloud"] / "dense_cloud.ply"))),
        mesh=mesh,
        texture=texture,
        coverage=coverage,
        likeness=likeness,
        files=summaries.list_files([evidence.products["model_files"], evidence.products["viewer"]]),
        versions=summaries.versions(),
    )


def _number(figures: Mapping[str, Mapping[str, object]], stage: str, name: str) -> float | None:
    value = figures.get(stage, {}).get(name)
    return float(value) if isinstance(value, int | float) else None


def _registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    """In the order of :class:`~.viewpoints.Focus`."""
    return [model.images[i] for i in sorted(model.reg_image_ids())]


def _page(
    report: Report,
    evidence: _Evidence,
    findings: _Findings,
    views: Sequence[Image.Image],
    maps: Sequence[Image.Image],
    monitor: Monitor,
) -> str:
    worst = summaries.worst_likeness(findings.likenesses)
    samples = [
        (name, pictures.data_uri(photo), pictures.data_uri(depth))
        for name, photo, depth in pictures.depth_samples(
            evidence.undistorted.names, evidence.products["undistorted_photos"], evidence.products["depth_maps"]
        )
    ]
    thumbnails: dict[str, str] = {}
    for photo in report.photos.items:
        monitor.progress(5, _STEPS, photo.name)
        if photo.image is not None:
            thumbnails[photo.image] = pictures.data_uri(
                pictures.small_photo(evidence.products["photos"] / "images" / photo.image)
            )
    folder = resources.files("e2e3d_assets.reconstruction") / "reporting"
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(size=_size, duration=_duration, length_of=_length)
    return environment.from_string((folder / "report.html.j2").read_text("utf-8")).render(
        report=report,
        plots=_plots(report, evidence),
        views=[pictures.data_uri(view) for view in views],
        maps=[pictures.data_uri(each) for each in maps],
        map_colors=pictures.COVERAGE_COLORS,
        worst=[pictures.data_uri(Image.fromarray(each)) for each in (worst.photo, worst.rendering)] if worst else None,
        samples=samples,
        thumbnails=thumbnails,
        total_wall=sum(stage.wall_seconds for stage in report.stages),
        total_cpu=sum(stage.cpu_seconds for stage in report.stages),
        most_wall=max((stage.wall_seconds for stage in report.stages), default=0) or 1,
    )


def _plots(report: Report, evidence: _Evidence) -> dict[str, str]:
    numbers = {photo.image: i for i, photo in enumerate(report.photos.items, 1) if photo.image is not None}
    images = [image for image in _registered(evidence.model) if image.name in numbers]
    cameras = [
        plots.PlanCamera(
            numbers[image.name],
            image.name,
            tuple(image.projection_center()[:2]),
            tuple(image.viewing_direction()[:2]),
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


def _length(value: float, scale: str) -> str:
    """A length of the model for people."""
    if scale != "metres":
        return f"{value:.3g} units"
    for factor, unit in ((1, "m"), (100, "cm"), (1000, "mm")):
        if value * factor >= 1 or unit == "mm":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError
