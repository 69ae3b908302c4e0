"""Where a camera's optical axis meets its sensor: whether the photos can tell, or it stays at the centre.

What belongs here: the decision, per camera. Real lenses are off-centre by half a percent of the picture's size; left
alone, that turns cameras by tenths of a degree. But a weak network cannot tell the offset from a turn of the camera,
and refining makes it worse. So the offset is refined only

* where the views converge: among parallel views it goes over into a shift of the camera, and takes up whatever else is
  unmodelled, such as a rolling shutter (Fraser, "Digital camera self-calibration", 1997); and
* where its standard deviation by the adjustment's covariance is smaller than what is known of it without looking, and
  smaller than the offset found: the smaller of two errors is taken. Rendered and undistorted photos have no offset, and
  noise of a quarter of a pixel in it turned cameras four times as far as all other errors did.

Photos that were cropped are told by how ill they fit with centred principal points: of eight photos of a church, each
cropped elsewhere, residuals fell to a third, and errors of cameras from 1.9 to 0.11 m. A lens off by half a percent
takes less than an eighth away. Where a few of many are cropped, as close-ups are, the others hide that: they are told
by an offset that no lens has, at least twice its uncertainty.
"""

from dataclasses import dataclass

import numpy as np
import pycolmap

PRIOR_SIGMA_OF_SIZE = 0.005
"""How far real cameras' principal points are from the centre, as a share of the longer side."""
MODEL_ERROR_FACTOR = 3.0
"""Covariances assume independent errors; real ones (lens model, focus, shutter) make estimates this much worse."""
MIN_CONVERGENCE_DEG = 10.0
CROPPED_WHY = "the photos are cropped: with principal points at their centres they do not fit"
_CROPPED = 0.75
_MAX_OFFSET_OF_SIZE = 0.06
_COVARIANCE_PHOTOS = 60
_CONVERGENCE_PHOTOS = 1000


@dataclass(frozen=True)
class Decision:
    """Whether a camera's principal point is refined, and why, in plain words."""

    refine: bool
    why: str
    sigma_px: float | None = None


def are_cropped(trial: pycolmap.Reconstruction, centred_error: float, free_error: float) -> bool:
    """Whether photos are cut from larger ones: nothing is known of their principal points, and all are to be refined.

    Args:
        trial: the model in which all principal points were free.
        centred_error: median residual of the model in which all are at the centre.
        free_error: of the trial.
    """
    return free_error < _CROPPED * centred_error and model_convergence_deg(trial) >= MIN_CONVERGENCE_DEG


def decide(trial: pycolmap.Reconstruction, camera_id: int) -> Decision:
    """Judge one camera.

    Args:
        trial: the model after a robust adjustment in which all principal points were free: by squares, a few wrong
            matches move the estimate by pixels (relic, 8 of its photos: 2.8 off, in place of 1.4).
        camera_id: the camera.
    """
    converging = model_convergence_deg(trial)
    if converging < MIN_CONVERGENCE_DEG:
        return Decision(
            False, f"the views are nearly parallel: {converging:.0f}°, {MIN_CONVERGENCE_DEG:.0f}° are needed"
        )
    sigma = principal_point_sigma(trial, camera_id)
    if sigma is None:
        return Decision(False, "the covariance cannot be computed")
    camera = trial.camera(camera_id)
    size = max(camera.width, camera.height)
    trusted, prior = MODEL_ERROR_FACTOR * sigma, PRIOR_SIGMA_OF_SIZE * size
    figures = f"its uncertainty is {trusted:.2f} px, of a camera left alone {prior:.1f} px"
    offset = np.hypot(camera.principal_point_x - camera.width / 2, camera.principal_point_y - camera.height / 2)
    if offset > _MAX_OFFSET_OF_SIZE * size:
        if offset > 2.0 * trusted:
            return Decision(True, f"{CROPPED_WHY}: {offset:.0f} px off, uncertain by {trusted:.2f}", sigma)
        return Decision(False, f"an offset of {offset:.0f} px is not credible", sigma)
    if trusted >= prior:
        return Decision(False, f"the photos cannot tell it: {figures}", sigma)
    if offset <= trusted:
        return Decision(
            False, f"at the centre as far as the photos tell: {offset:.2f} px off, uncertain by {trusted:.2f}", sigma
        )
    return Decision(True, f"the photos tell it: {figures}", sigma)


def model_convergence_deg(model: pycolmap.Reconstruction) -> float:
    """:func:`convergence_deg` of all its photos."""
    return convergence_deg(np.array([model.image(i).viewing_direction() for i in model.reg_image_ids()]))


def convergence_deg(views: np.ndarray) -> float:
    """The angle that nine in ten pairs of views stay below; of many views a part is asked.

    Args:
        views: (N, 3) unit viewing directions.
    """
    views = views[:: max(1, -(-len(views) // _CONVERGENCE_PHOTOS))]
    cosines = np.clip(views @ views.T, -1.0, 1.0)[np.triu_indices(len(views), 1)]
    return float(np.degrees(np.percentile(np.arccos(cosines), 90))) if len(cosines) else 0.0


def principal_point_sigma(model: pycolmap.Reconstruction, camera_id: int) -> float | None:
    """Standard deviation of the worse-known coordinate in pixels, with all other unknowns free too.

    Of many photos those around one of the camera's are used, which errs to the safe side.
    """
    part = _part_around(model, camera_id) if model.num_reg_images() > _COVARIANCE_PHOTOS else model
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in part.reg_image_ids():  # all: points that other photos see too would count as known
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point = True
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, part)
    covariance = pycolmap.estimate_ba_covariance(pycolmap.BACovarianceOptions(), part, adjuster)
    camera = part.camera(camera_id)
    block = None if covariance is None else covariance.get_other_params_cov(camera.params)
    if block is None:
        return None
    variances = np.diag(block)[list(camera.principal_point_idxs())]
    return float(np.sqrt(variances.max()) * _residual_sigma(part))


def _part_around(model: pycolmap.Reconstruction, camera_id: int) -> pycolmap.Reconstruction:
    """A copy with the photos that are nearest to the middle one of a camera's, and with what they see."""
    ids = model.reg_image_ids()
    centres = np.array([model.image(image_id).projection_center() for image_id in ids])
    own = centres[[model.image(image_id).camera_id == camera_id for image_id in ids]]
    middle = own[np.argmin(np.linalg.norm(own - np.median(own, axis=0), axis=1))]
    part = pycolmap.Reconstruction(model)
    for index in np.argsort(np.linalg.norm(centres - middle, axis=1))[_COVARIANCE_PHOTOS:]:
        part.deregister_frame(part.image(ids[int(index)]).frame_id)
    part.tear_down()
    return part


def _residual_sigma(model: pycolmap.Reconstruction) -> float:
    """Of one coordinate of a reprojection, pixels."""
    errors = np.array([point.error for point in model.points3D.values()])
    lengths = np.array([point.track.length() for point in model.points3D.values()])
    return float(np.sqrt(np.average(errors**2, weights=lengths) / 2.0))
