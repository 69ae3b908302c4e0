"""Checks of the figures that each stage states about its product.

A blocking check stops the run where going on would be a waste; the others warn and let the operator judge.
The thresholds say when a person should look, not what a preset asks for.
"""

from functools import partial

import dagster as dg

from ..assets import delivery, dense, photos, sparse, surface
from ..partitions import image_sets
from ..stages import StageMeta
from ..storage.artifacts import Artifact

# Partitioned like the assets: a check without partitions would be given all image sets at once.
_set_check = partial(dg.asset_check, partitions_def=image_sets)

_LEAST_ACCEPTED = 0.8
_LEAST_REGISTERED = 0.8
_LARGEST_REPROJECTION_ERROR_PX = 1.5
_LEAST_MEDIAN_DEPTH_COVERAGE_PERCENT = 20.0
_LEAST_DENSE_POINTS = 10_000
_LEAST_TEXTURED_PCT = 80.0


@_set_check(asset=photos.photos)
def most_photos_accepted(photos: Artifact) -> dg.AssetCheckResult:
    """At least 80 % of the photos given could be used; the others are listed with reasons in `photos.json`."""
    made = StageMeta.of(photos)
    accepted, given = made.number("photos_accepted"), made.number("photos_given")
    return _warn(
        accepted >= _LEAST_ACCEPTED * given,
        f"{accepted:.0f} of {given:.0f} photos are used. Why the others are not: table `photos` of the product.",
        photos_accepted=accepted,
        photos_given=given,
    )


@_set_check(asset=sparse.matches)
def photos_form_one_group(matches: Artifact) -> dg.AssetCheckResult:
    """Verified matches join all photos to one group; several groups become several models."""
    made = StageMeta.of(matches)
    groups, alone = made.number("groups"), made.number("photos_without_partner")
    return _warn(
        groups == 1 and alone == 0,
        f"{groups:.0f} groups of photos, and {alone:.0f} photos that match no other. Photos in between join them.",
        groups=groups,
        photos_without_partner=alone,
    )


@_set_check(asset=sparse.sparse_model)
def most_photos_registered(sparse_model: Artifact) -> dg.AssetCheckResult:
    """At least 80 % of the accepted photos have a place in the largest model."""
    made = StageMeta.of(sparse_model)
    registered, missing = made.number("photos_registered"), made.number("photos_not_registered")
    return _warn(
        registered >= _LEAST_REGISTERED * (registered + missing),
        f"{registered:.0f} of {registered + missing:.0f} photos have a place. More overlap between photos would help.",
        photos_registered=registered,
        photos_not_registered=missing,
    )


@_set_check(asset=sparse.sparse_model)
def reprojection_error_is_small(sparse_model: Artifact) -> dg.AssetCheckResult:
    """Sparse points fall within 1.5 px of where photos show them, on average."""
    error = StageMeta.of(sparse_model).number("mean_reprojection_error_px")
    return _warn(
        error <= _LARGEST_REPROJECTION_ERROR_PX,
        f"Points miss their photos by {error:.2f} px on average. Blur, zoom or movement in the scene does that.",
        mean_reprojection_error_px=error,
    )


@_set_check(asset=dense.depth_maps)
def depth_maps_are_filled(depth_maps: Artifact) -> dg.AssetCheckResult:
    """Half of the photos have a confirmed depth in at least 20 % of their pixels."""
    coverage = StageMeta.of(depth_maps).number("median_coverage_percent")
    return _warn(
        coverage >= _LEAST_MEDIAN_DEPTH_COVERAGE_PERCENT,
        f"Half of the photos have depth in less than {coverage:.0f} % of their pixels: bare or shiny surfaces.",
        median_coverage_percent=coverage,
    )


@_set_check(asset=dense.dense_cloud, blocking=True)
def cloud_can_carry_a_surface(dense_cloud: Artifact) -> dg.AssetCheckResult:
    """The dense cloud has at least 10,000 points: fewer give a shape that says nothing."""
    points = StageMeta.of(dense_cloud).number("points")
    return dg.AssetCheckResult(
        passed=bool(points >= _LEAST_DENSE_POINTS),
        description=f"{points:,.0f} points. Where they are few, photos share too little or show bare surfaces.",
        metadata={"points": points},
    )


@_set_check(asset=surface.mesh)
def mesh_is_clean(mesh: Artifact) -> dg.AssetCheckResult:
    """No edge has more than two faces, and neighbouring faces agree on which side is outside."""
    made = StageMeta.of(mesh)
    edges, oriented = made.number("non_manifold_edges"), made.number("consistently_oriented")
    return _warn(
        edges == 0 and bool(oriented),
        f"{edges:.0f} edges with more than two faces; sides are {'alike' if oriented else 'not alike'} everywhere. "
        "Programs that print or simulate may refuse such a mesh.",
        non_manifold_edges=edges,
        consistently_oriented=oriented,
    )


@_set_check(asset=surface.textured_mesh)
def most_of_the_surface_is_textured(textured_mesh: Artifact) -> dg.AssetCheckResult:
    """At least 80 % of the surface takes its colour from a photo; the rest from its neighbours."""
    textured = StageMeta.of(textured_mesh).number("textured_area_percent")
    return _warn(
        textured >= _LEAST_TEXTURED_PCT,
        f"{textured:.0f} % of the surface is seen by a photo. Take photos of the sides that are blank.",
        textured_area_percent=textured,
    )


@_set_check(asset=delivery.model_files, blocking=True)
def model_opens_in_another_reader(model_files: Artifact) -> dg.AssetCheckResult:
    """Every file, read back by a library that did not write it, agrees in size, place and texture with the others."""
    from ..reconstruction.reopening import compare_model_files

    disagreements, seen = compare_model_files(model_files.path())
    return dg.AssetCheckResult(
        passed=not disagreements, description="; ".join(disagreements) or "All files agree", metadata=seen
    )


def _warn(passed: bool, told_otherwise: str, **metadata: float | str) -> dg.AssetCheckResult:
    """A result that stops nothing; words only where there is something to do."""
    return dg.AssetCheckResult(
        passed=bool(passed),
        severity=dg.AssetCheckSeverity.WARN,
        description=None if passed else told_otherwise,
        metadata=metadata,
    )
