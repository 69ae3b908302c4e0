"""Stage ``report``: how good the model is and why, as ``report.json`` and ``report.html``.

What belongs here: putting the parts together. Figures, judgement, plots, pictures and page are in :mod:`.reporting`;
the document's shape is in :mod:`.report_schema`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .monitor import Figures, Monitor
from .options import ReportOptions
from .preview import contact_sheet, save_preview
from .report_schema import DenseSummary, Report, RunRecord
from .reporting import pictures, summaries
from .reporting.advice import Ring, judge
from .reporting.evidence import Evidence, Findings, read_evidence
from .reporting.fidelity import compare_with_photos, measure_coverage
from .reporting.page import render_page
from .reporting.progress import ticks
from .stereo.ply import read_points

HTML_NAME, JSON_NAME, FILM_NAME = "report.html", "report.json", "turntable.webp"


def build_report(
    record: RunRecord, products: Mapping[str, Path], out: Path, options: ReportOptions, monitor: Monitor
) -> Figures:
    """Write ``report.json`` (:class:`~.report_schema.Report`), ``report.html``, ``preview.jpg``, and the model
    from four sides (``turntable_<n>.png``) and turning (``turntable.webp``, ``turntable.mp4``).

    Args:
        record: what the orchestrator knows of the run.
        products: directory of each of the other eleven assets' products, by asset.
        out: empty directory to fill.
        options: how much is measured.
        monitor: progress and cancellation.
    """
    monitor.check()
    evidence = read_evidence(products)
    tick = ticks(monitor, _steps(evidence, options))
    coverage = measure_coverage(evidence.mesh, evidence.undistorted.cameras, tick)
    undistorted = products["undistorted_photos"]
    likenesses = compare_with_photos(evidence.mesh, evidence.undistorted, undistorted, options.compared_photos, tick)
    findings = Findings(coverage, likenesses)
    report = _report(record, evidence, findings)
    (out / JSON_NAME).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    cameras = pictures.viewing_cameras(evidence.focus)
    views = list(pictures.render_views(evidence.mesh, cameras, tick))
    save_preview(contact_sheet(views), out)
    for number, view in enumerate(views, 1):
        view.save(out / f"turntable_{number}.png")
    if options.film_frames:
        film = pictures.render_views(evidence.mesh, pictures.film_cameras(evidence.focus, options.film_frames), tick)
        pictures.save_film(list(film), out / FILM_NAME)
    maps = list(pictures.render_coverage(evidence.mesh, coverage.views, cameras, tick))
    html = render_page(report, evidence, findings, views, maps, tick)
    (out / HTML_NAME).write_text(html, encoding="utf-8")
    return _figures(report, (out / HTML_NAME).stat().st_size)


def _steps(evidence: Evidence, options: ReportOptions) -> int:
    """Pictures that will be looked at or drawn."""
    registered = len(evidence.undistorted.names)
    drawn = 2 * pictures.TURNTABLE_VIEWS + options.film_frames
    return registered + min(options.compared_photos, registered) + drawn + len(evidence.photos.photos)


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


def _report(record: RunRecord, evidence: Evidence, findings: Findings) -> Report:
    figures = {stage.stage: stage.figures for stage in record.stages}
    photos = summaries.summarise_photos(evidence.photos, evidence.matches, evidence.sparse)
    given_names = {photo.image: photo.name for photo in photos.items if photo.image is not None}
    sparse = summaries.summarise_sparse(evidence.model, evidence.sparse)
    mesh = summaries.summarise_mesh(evidence.mesh)
    textured_percent = _number(figures, "textured_mesh", "textured_area_percent")
    texture = summaries.summarise_texture(evidence.mesh, None if textured_percent is None else textured_percent / 100)
    coverage = summaries.summarise_coverage(findings.coverage)
    likeness = summaries.summarise_likeness(findings.likenesses, given_names)
    images = evidence.images
    down = np.median([-image.viewing_direction()[2] for image in images])
    ring = Ring(
        [given_names[image.name] for image in images],
        np.degrees(evidence.focus.azimuths).tolist(),
        float(np.degrees(np.arcsin(down))),
    )
    depth_coverage = _number(figures, "depth_maps", "median_coverage_percent")
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
