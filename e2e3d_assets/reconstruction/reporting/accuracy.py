"""How far the cameras and points can be trusted, from the covariance of the bundle adjustment.

What belongs here: error propagation. It knows random errors only; systematic ones (a wrong scale by GPS, a moved
scene) do not show in it.
"""

import math

import numpy as np
import pycolmap

_MOST_PHOTOS = 600  # the reduced camera matrix is dense: its inversion grows with the cube of the photos
_MEAN_OF_RAYLEIGH = math.sqrt(math.pi / 2)  # mean length of a 2D error whose coordinates have deviation 1


def point_uncertainty(model: pycolmap.Reconstruction) -> float | None:
    """Median standard deviation of a sparse point's position, world units; None where it cannot be told.

    The points' covariances are those of a final adjustment with the gauge fixed by two cameras, scaled by the
    variance of the residuals (Triggs et al., "Bundle Adjustment: A Modern Synthesis", 2000, section 9).
    """
    if model.num_reg_images() > _MOST_PHOTOS:
        return None
    # Views that are too regular do not determine the focal length; then it is taken as known.
    covariance = _covariance(model, known_intrinsics=False) or _covariance(model, known_intrinsics=True)
    if covariance is None:
        return None
    found = (covariance.get_point_cov(point) for point in model.points3D)
    deviations = [math.sqrt(np.trace(each)) for each in found if each is not None]
    if not deviations:
        return None
    pixel_deviation = model.compute_mean_reprojection_error() / _MEAN_OF_RAYLEIGH
    return float(np.median(deviations)) * pixel_deviation


def _covariance(model: pycolmap.Reconstruction, *, known_intrinsics: bool) -> pycolmap.BACovariance | None:
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    if known_intrinsics:
        for camera_id in model.cameras:
            config.set_constant_cam_intrinsics(camera_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(pycolmap.BundleAdjustmentOptions(), config, model)
    return pycolmap.estimate_ba_covariance(pycolmap.BACovarianceOptions(), model, adjuster)
