"""Photos that share a camera but were taken at different zooms: told apart by a model, and given cameras of their own.

What belongs here: the decision, and the cameras in a database. Photos without EXIF say nothing of their zoom, and EXIF
rounds it, or was copied by software that cropped; photos of one size share a camera then. The mapper bends the scene
until it fits: of eight photos of a church, every other one longer by 3 % gave cameras 0.19 m off, by a quarter 1.3 m,
in place of 4 mm.

The bent model still tells. Adjusted with a camera for each photo, the residuals of such photos fall by a third or more,
those of photos at one zoom by some percent; and the focal lengths fall into groups within some tenths of a percent.
Parallel views cannot tell a zoom from a height: a zoomed photo is taken for one from lower down, which leaves the
ground as it is, and focal lengths of their own would scatter. There nothing is told apart.
"""

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pycolmap

from ..monitor import Monitor
from .adjustment import adjust_robustly
from .principal_point import MIN_CONVERGENCE_DEG, model_convergence_deg

Zooms: TypeAlias = frozenset[frozenset[int]]
"""Ids of the images at each zoom, of the cameras that are told apart; the images of other cameras are not in it."""

NOT_TOLD_APART: Zooms = frozenset()
_GAP = 0.01
_WIDEST = 0.05
_TELLING = 0.8


def tell_apart(
    models: Sequence[pycolmap.Reconstruction],
    cameras: Mapping[int, int],
    before: Zooms,
    given: Collection[int],
    threads: int,
    monitor: Monitor,
) -> Zooms:
    """Zooms by the focal length that the models give each photo.

    Args:
        models: as the mapper left them, the largest first; not changed.
        cameras: of each image, as the photos share them by what is known without looking.
        before: the zooms that the models were mapped with.
        given: cameras whose calibration was given and is kept.
        threads: of the solver.
        monitor: cancellation.

    Returns:
        the zooms of the cameras told apart before, or by what the residuals say now. An image without a place in these
        models is at a zoom of its own.
    """
    focals: dict[int, float] = {}
    shared: dict[int, np.ndarray] = {}
    own: dict[int, np.ndarray] = {}
    for model in models:
        if model_convergence_deg(model) < MIN_CONVERGENCE_DEG:
            continue
        freed = with_own_cameras(model)
        for _ in range(2):
            adjust_robustly(freed, {i for i in freed.images if cameras[i] in given}, threads, monitor)
        for image_id in freed.images.keys() - focals.keys():
            focals[image_id] = freed.camera(image_id).mean_focal_length()
            shared[image_id], own[image_id] = _errors(model, image_id), _errors(freed, image_id)
    zooms: set[frozenset[int]] = set()
    for camera_id in set(cameras.values()) - set(given):
        images = {image_id for image_id, used in cameras.items() if used == camera_id}
        placed = images & focals.keys()
        groups = by_focal_length({image_id: focals[image_id] for image_id in placed})
        if len(groups) < 2:
            continue
        others = placed - groups[0]
        if any(images >= zoom for zoom in before) or _median(own, others) < _TELLING * _median(shared, others):
            zooms.update(groups, (frozenset((image_id,)) for image_id in images - placed))
    return frozenset(zooms)


def by_focal_length(focals: Mapping[int, float]) -> list[frozenset[int]]:
    """Image ids in groups of nearly one focal length, the largest group first.

    A group ends where the next focal length is 1 % longer. One that is 5 % wide is no single zoom, but steps of a
    motion: its photos are groups by themselves.
    """
    order = sorted(focals, key=lambda image_id: (focals[image_id], image_id))
    logs = np.log([focals[image_id] for image_id in order])
    groups: list[frozenset[int]] = []
    starts = [0, *(np.flatnonzero(np.diff(logs) > _GAP) + 1)] if order else []
    for start, end in pairwise([*starts, len(order)]):
        ids = order[start:end]
        wide = logs[end - 1] - logs[start] > _WIDEST
        groups.extend(map(frozenset, ([image_id] for image_id in ids) if wide else [ids]))
    return sorted(groups, key=lambda group: (-len(group), min(group)))


def with_own_cameras(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """A copy in which each photo has a camera of its own, of the image's id, and its principal point at the centre."""
    freed = pycolmap.Reconstruction()
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        camera = copy.copy(model.camera(image.camera_id))
        camera.camera_id = image_id
        camera.principal_point_x, camera.principal_point_y = camera.width / 2, camera.height / 2
        freed.add_camera_with_trivial_rig(camera)
        pixels = np.array([point.xy for point in image.points2D])
        freed.add_image_with_trivial_frame(
            pycolmap.Image(image.name, pixels, image_id, image_id), image.cam_from_world()
        )
    for point in model.points3D.values():
        freed.add_point3D(point.xyz, point.track, point.color)
    freed.update_point_3d_errors()
    return freed


def give_cameras(database: Path, zooms: Zooms) -> None:
    """In a COLMAP database, give the images of each zoom one camera; the first zoom of each camera keeps it."""
    taken: set[int] = set()
    with pycolmap.Database.open(database) as opened:
        for images in sorted(map(sorted, zooms)):
            first = opened.read_image(images[0])
            if first.camera_id not in taken:
                taken.add(first.camera_id)
                continue
            camera = opened.read_camera(first.camera_id)
            camera.has_prior_focal_length = False
            camera = opened.read_camera(opened.write_camera(camera))
            rig = pycolmap.Rig()
            rig.add_ref_sensor(camera.sensor_id)
            rig_id = opened.write_rig(rig)
            for image in map(opened.read_image, images):
                image.camera_id = camera.camera_id
                frame = pycolmap.Frame()
                frame.frame_id, frame.rig_id = image.frame_id, rig_id
                frame.add_data_id(image.data_id)
                opened.update_frame(frame)
                opened.update_image(image)


def _errors(model: pycolmap.Reconstruction, image_id: int) -> np.ndarray:
    """Of the points that a photo sees, pixels."""
    points = model.image(image_id).get_observation_points2D()
    return np.array([model.point3D(point.point3D_id).error for point in points])


def _median(errors: Mapping[int, np.ndarray], images: Iterable[int]) -> float:
    return float(np.median(np.concatenate([errors[image_id] for image_id in images])))
