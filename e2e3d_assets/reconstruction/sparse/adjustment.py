"""The last bundle adjustments of a model: robust, and with the intrinsics that the photos can tell.

What belongs here: running adjustments. Whether a camera's principal point is free is decided in
:mod:`~e2e3d_assets.reconstruction.sparse.principal_point`, whether its focal length is in
:mod:`~e2e3d_assets.reconstruction.sparse.focal_length`.

The mapper minimises squared errors over matches of which some percent are wrong by a few pixels; they weigh as much as
hundreds of good ones. A Cauchy loss at the scale of the errors themselves (Barron, "A General and Adaptive Robust Loss
Function", 2019, section 1) takes their pull away, and what is then far off is removed.
"""

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
import pycolmap

from ..monitor import Monitor
from ..native import run_cancellable
from .focal_length import contradicted, untold_focals
from .principal_point import CROPPED_WHY, Decision, are_cropped, decide

_ROUNDS = 2
_MAX_ERROR_IN_MEDIANS = 5.0
_MIN_TRIANGULATION_ANGLE_DEG = 1.5
_FUNCTION_TOLERANCE = 1e-5
_TRIAL_TOLERANCE = 1e-4
_MAX_ITERATIONS = 50
_ON_OFF = {"yes": "on", "no": "off"}


def keep_untold_focals(
    model: pycolmap.Reconstruction, priors: Mapping[int, float], threads: int, monitor: Monitor, given: Collection[int]
) -> tuple[pycolmap.Reconstruction, set[int]]:
    """Give cameras the focal lengths of EXIF where the photos cannot tell them, and adjust the rest to it.

    Args:
        model: as the mapper left it, with all focal lengths refined; not changed.
        priors: EXIF's focal lengths by camera id, pixels.
        threads: of the solver.
        monitor: cancellation.
        given: cameras whose calibration was given and is kept.

    Returns:
        the model to go on with, and the cameras whose focal lengths are EXIF's in it.
    """
    untold = untold_focals(model, priors)
    if not untold:
        return model, set()
    trial = pycolmap.Reconstruction(model)
    for camera_id, focal in untold.items():
        trial.camera(camera_id).focal_length = focal
    for scale in (None, median_error(model)):
        _adjust(trial, (), given, scale, threads, monitor, keep_focals=True)
    if contradicted(median_error(model), median_error(trial)):
        return model, set()
    return trial, set(untold)


def adjust_robustly(model: pycolmap.Reconstruction, given: Collection[int], threads: int, monitor: Monitor) -> None:
    """One adjustment in place of all but principal points and the cameras given; nothing is removed."""
    _adjust(model, (), given, median_error(model), threads, monitor, tolerance=_TRIAL_TOLERANCE)


def adjust_finally(
    model: pycolmap.Reconstruction,
    choice: Literal["auto", "yes", "no"],
    threads: int,
    monitor: Monitor,
    given: Collection[int] = (),
    keep_focals: bool = False,
) -> dict[int, Decision]:
    """Adjust a model in place.

    Args:
        model: as the mapper left it; principal points that are not refined are put back to the centre.
        choice: whether principal points are refined; auto decides for each camera.
        threads: of the solver; one thread gives the same numbers on every machine.
        monitor: cancellation.
        given: cameras whose calibration was given and is kept.
        keep_focals: focal lengths stay as they are, but those of cameras whose principal points are free.

    Returns:
        the decision for each camera id in use.
    """
    decisions = _decide_all(model, choice, threads, monitor, given)
    free = {camera_id for camera_id, decision in decisions.items() if decision.refine}
    if _centre_principal_points(model, decisions.keys() - free - set(given)):
        _adjust(model, (), given, None, threads, monitor, keep_focals)
    for number in range(_ROUNDS):
        median = median_error(model)
        if number > 0:
            limit = _MAX_ERROR_IN_MEDIANS * median
            pycolmap.ObservationManager(model).filter_all_points3D(limit, _MIN_TRIANGULATION_ANGLE_DEG)
        _adjust(model, free, given, median, threads, monitor, keep_focals)
    return decisions


def _centre_principal_points(model: pycolmap.Reconstruction, camera_ids: Collection[int]) -> bool:
    """Where a model has grown from one that had refined them; whether any was elsewhere."""
    moved = False
    for camera_id in camera_ids:
        camera = model.camera(camera_id)
        centre = camera.width / 2, camera.height / 2
        if (camera.principal_point_x, camera.principal_point_y) != centre:
            camera.principal_point_x, camera.principal_point_y = centre
            moved = True
    return moved


def median_error(model: pycolmap.Reconstruction) -> float:
    """Of the points' reprojection errors, each weighted by its observations, pixels."""
    errors = np.array([point.error for point in model.points3D.values()])
    lengths = np.array([point.track.length() for point in model.points3D.values()])
    return float(np.median(np.repeat(errors, lengths)))


def _decide_all(
    model: pycolmap.Reconstruction,
    choice: Literal["auto", "yes", "no"],
    threads: int,
    monitor: Monitor,
    given: Collection[int],
) -> dict[int, Decision]:
    used = sorted({model.image(image_id).camera_id for image_id in model.reg_image_ids()})
    decisions = {camera_id: Decision(False, "the calibration was given") for camera_id in used if camera_id in given}
    unknown = [camera_id for camera_id in used if camera_id not in given]
    if choice != "auto":
        return decisions | dict.fromkeys(unknown, Decision(choice == "yes", f"switched {_ON_OFF[choice]}"))
    if unknown:
        centred_error = _centred_error(model, unknown, given, threads, monitor)
        trial = pycolmap.Reconstruction(model)
        _adjust(trial, unknown, given, median_error(model), threads, monitor, tolerance=_TRIAL_TOLERANCE)
        if are_cropped(trial, centred_error, median_error(trial)):
            decisions |= dict.fromkeys(unknown, Decision(True, CROPPED_WHY))
        else:
            decisions |= {camera_id: decide(trial, camera_id) for camera_id in unknown}
    return decisions


def _centred_error(
    model: pycolmap.Reconstruction, camera_ids: Collection[int], given: Collection[int], threads: int, monitor: Monitor
) -> float:
    """Median error with the principal points of these cameras at the centre; the copy is gone before the next."""
    centred = pycolmap.Reconstruction(model)
    if _centre_principal_points(centred, camera_ids):
        adjust_robustly(centred, given, threads, monitor)
    return median_error(centred)


def _adjust(
    model: pycolmap.Reconstruction,
    free: Collection[int],
    given: Collection[int],
    scale: float | None,
    threads: int,
    monitor: Monitor,
    keep_focals: bool = False,
    tolerance: float = _FUNCTION_TOLERANCE,
) -> None:
    """One adjustment of everything in place.

    Args:
        free: cameras whose principal points are free; where some are, the others keep all their intrinsics.
        given: cameras that keep all their intrinsics in any case.
        scale: of the Cauchy loss in pixels; None minimises squares.
        tolerance: share of the Cauchy loss; a step that gains less is the last.
    """
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_principal_point = bool(free)
    options.refine_focal_length = bool(free) or not keep_focals
    solver = options.ceres.solver_options
    solver.num_threads = threads
    if scale is not None:
        options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
        options.ceres.loss_function_scale = max(scale, 1e-3)
        solver.function_tolerance = tolerance
        solver.max_num_iterations = _MAX_ITERATIONS
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
        camera_id = model.image(image_id).camera_id
        if camera_id in given or (free and camera_id not in free):
            config.set_constant_cam_intrinsics(camera_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    run_cancellable(lambda _: pycolmap.create_default_bundle_adjuster(options, config, model).solve(), monitor)
    model.update_point_3d_errors()
