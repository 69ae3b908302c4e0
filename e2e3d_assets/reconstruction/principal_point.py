"""Where a camera's optical axis meets its sensor: found by the photos where they can tell, else left at the centre.

What belongs here: the decision, per camera, and the adjustment that follows from it. Real lenses are off-centre by
half a percent of the picture's width; left alone, that turns cameras by tenths of a degree. But a weak network (few
photos, one height, forward motion) cannot tell the offset from a turn of the camera, and refining makes it worse. So
the offset is refined exactly where its standard deviation by the adjustment's covariance is smaller than what it is
known to anyway without looking: the smaller of the two errors is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pycolmap

from .monitor import Monitor
from .native import run_cancellable, thread_count

PRIOR_SIGMA_OF_WIDTH = 0.005
"""How far real cameras' principal points are from the centre, as a share of the longer side."""
MODEL_ERROR_FACTOR = 3.0
"""Covariances assume independent errors; real ones (lens model, focus, key points that move) are this much larger."""
_MAX_OFFSET_OF_SIZE = 0.06
_MIN_PHOTOS = 5
_COVARIANCE_PHOTOS = 60


@dataclass(frozen=True)
class Decision:
    """Whether a camera's principal point is refined, and why, in plain words."""

    refine: bool
    why: str
    sigma_px: float | None = None


def refine_principal_points(
    model: pycolmap.Reconstruction, choice: Literal["auto", "yes", "no"], monitor: Monitor
) -> tuple[pycolmap.Reconstruction, dict[int, Decision]]:
    """Decide for each camera, and adjust the whole model with those principal points free that were chosen.

    Args:
        model: an adjusted model with principal points at the centre; left as it is.
        choice: auto decides by covariance.
        monitor: cancellation.

    Returns:
        the adjusted model, and the decision for each camera id.
    """
    used = sorted({model.image(image_id).camera_id for image_id in model.reg_image_ids()})
    if choice == "no":
        return model, dict.fromkeys(used, Decision(False, "switched off"))
    trial = pycolmap.Reconstruction(model)
    _adjust(trial, used, monitor)
    if choice == "yes":
        return trial, dict.fromkeys(used, Decision(True, "switched on"))
    decisions = {camera_id: _decide(model, trial, camera_id) for camera_id in used}
    chosen = [camera_id for camera_id, decision in decisions.items() if decision.refine]
    if chosen == used:
        return trial, decisions
    if not chosen:
        return model, decisions
    adjusted = pycolmap.Reconstruction(model)
    _adjust(adjusted, chosen, monitor)
    return adjusted, decisions


def _decide(model: pycolmap.Reconstruction, trial: pycolmap.Reconstruction, camera_id: int) -> Decision:
    photos = [i for i in model.reg_image_ids() if model.image(i).camera_id == camera_id]
    if len(photos) < _MIN_PHOTOS:
        return Decision(False, f"only {len(photos)} photos by this camera, {_MIN_PHOTOS} are needed")
    camera = trial.camera(camera_id)
    size = max(camera.width, camera.height)
    sigma = _principal_point_sigma(trial, camera_id, photos)
    if sigma is None:
        return Decision(False, "the covariance cannot be computed")
    prior = PRIOR_SIGMA_OF_WIDTH * size
    trusted = MODEL_ERROR_FACTOR * sigma
    figures = f"its uncertainty is {trusted:.2f} px, of a camera left alone {prior:.1f} px"
    if trusted >= prior:
        return Decision(False, f"the photos cannot tell it: {figures}", sigma)
    offset = np.hypot(camera.principal_point_x - camera.width / 2, camera.principal_point_y - camera.height / 2)
    if offset > _MAX_OFFSET_OF_SIZE * size:
        return Decision(False, f"an offset of {offset:.0f} px is not credible", sigma)
    return Decision(True, f"the photos tell it: {figures}", sigma)


def _principal_point_sigma(model: pycolmap.Reconstruction, camera_id: int, photos: Sequence[int]) -> float | None:
    """Standard deviation in pixels of the worse-known coordinate, all other unknowns free."""
    config = pycolmap.BundleAdjustmentConfig()
    step = max(1, -(-len(photos) // _COVARIANCE_PHOTOS))
    for image_id in photos[::step]:
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = _options()
    options.refine_principal_point = True
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
    wanted = pycolmap.BACovarianceOptions()
    covariance = pycolmap.estimate_ba_covariance(wanted, model, adjuster)
    camera = model.camera(camera_id)
    block = None if covariance is None else covariance.get_other_params_cov(camera.params)
    if block is None:
        return None
    indices = list(camera.principal_point_idxs())
    return float(np.sqrt(np.diag(block)[indices].max()) * _residual_sigma(model))


def _residual_sigma(model: pycolmap.Reconstruction) -> float:
    """Of one coordinate of a reprojection, pixels."""
    errors = np.array([point.error for point in model.points3D.values()])
    lengths = np.array([point.track.length() for point in model.points3D.values()])
    return float(np.sqrt(np.average(errors**2, weights=lengths) / 2.0))


def _options() -> pycolmap.BundleAdjustmentOptions:
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.solver_options.num_threads = thread_count()
    return options


def _adjust(model: pycolmap.Reconstruction, cameras: Sequence[int], monitor: Monitor) -> None:
    """Adjust everything; principal points of the named cameras are free, other cameras keep all their intrinsics."""
    options = _options()
    options.refine_principal_point = True
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
        if model.image(image_id).camera_id not in cameras:
            config.set_constant_cam_intrinsics(model.image(image_id).camera_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    run_cancellable(lambda _: pycolmap.create_default_bundle_adjuster(options, config, model).solve(), monitor)
    model.update_point_3d_errors()
