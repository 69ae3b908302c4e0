"""Sparse reconstruction: where every camera stood."""

import dagster as dg

from ..stages import Stages, stage_asset
from ..storage.artifacts import Artifact


@stage_asset(
    group_name="sparse", kinds={"colmap", "sqlite"}, code_version="4", pool="cpu_heavy", tags={"cost": "medium"}
)
def features(context: dg.AssetExecutionContext, stages: Stages, photos: Artifact):
    """SIFT key points and descriptors of every photo, in a COLMAP database; photos of one camera share intrinsics."""
    from ..reconstruction.features import extract_features

    yield from stages.run(context, extract_features, photos)


@stage_asset(
    group_name="sparse", kinds={"colmap", "sqlite"}, code_version="4", pool="cpu_heavy", tags={"cost": "medium"}
)
def matches(context: dg.AssetExecutionContext, stages: Stages, photos: Artifact, features: Artifact):
    """Pairs of photos that see the same place, geometrically verified; `matches.json` says which and why."""
    from ..reconstruction.matching import match_features

    yield from stages.run(context, match_features, photos, features)


@stage_asset(group_name="sparse", kinds={"colmap"}, code_version="12", pool="cpu_heavy", tags={"cost": "medium"})
def sparse_model(context: dg.AssetExecutionContext, stages: Stages, photos: Artifact, matches: Artifact):
    """Camera poses, intrinsics and 3D points: COLMAP models, the largest first; georegistered where there is GPS."""
    from ..reconstruction.mapping import build_sparse_model

    yield from stages.run(context, build_sparse_model, photos, matches)
