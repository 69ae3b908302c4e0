"""The stage dense_cloud: depth maps merged into one oriented, coloured point cloud.

What belongs here: the order of photos and what is in memory. What does not: which depths are merged
(:mod:`.stereo.merging`).
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .depth import WITNESSES
from .errors import BadInput
from .monitor import Figures, Monitor
from .options import DenseCloudOptions
from .stereo import formats, photos, previews
from .stereo.merging import PhotoMaps, Tolerance, merge
from .stereo.ply import PlyWriter, read_points
from .stereo.views import SparseScene, plan_references, read_scene
from .stereo.warming import warm_up


def fuse_depth_maps(
    undistorted: Path, depth_maps: Path, out: Path, options: DenseCloudOptions, monitor: Monitor
) -> Figures:
    """Merge all depth maps.

    Args:
        undistorted: the COLMAP dense workspace that the maps were made from.
        depth_maps: what :func:`.depth.estimate_depth_maps` wrote.
        out: gets ``dense_cloud.ply``, ``dense_cloud.json`` and ``preview.jpg``.
        options: tolerances.
        monitor: progress per photo.

    Returns:
        Points, their mean confidence and mean number of photos.

    Raises:
        BadInput: if no depth is confirmed by another photo.
    """
    scene = read_scene(undistorted)
    with_maps = {name: i for i, name in enumerate(scene.names) if formats.map_path(depth_maps, "depth", name).exists()}
    usable = set(with_maps.values())
    references = [r for r in plan_references(scene, WITNESSES, WITNESSES) if r.photo in usable]
    tolerance = Tolerance(
        options.max_reprojection_error,
        options.max_relative_depth_error,
        options.max_normal_angle,
        options.min_views_few,
        options.min_views_many,
        options.many_views,
    )
    warm_up(monitor)
    load = _Loader(undistorted, depth_maps, scene, keep=WITNESSES + 2)
    views = confidence = 0.0
    with PlyWriter(out / "dense_cloud.ply") as cloud:
        for done, reference in enumerate(references):
            monitor.progress(done, len(references), f"merging {scene.names[reference.photo]}")
            witnesses = [load(photo) for photo in reference.witnesses if photo in usable]
            if not witnesses:
                continue
            points = merge(load(reference.photo), witnesses, tolerance)
            cloud.write(points)
            views += float(points["views"].sum())
            confidence += float(points["confidence"].sum())
        if cloud.count == 0:
            raise BadInput(
                "No depth is confirmed by a second photo, so there is no dense cloud",
                "Take sharper photos with more overlap, and avoid bare or shiny surfaces",
            )
    figures: Figures = {
        "points": cloud.count,
        "mean_views": round(views / cloud.count, 2),
        "mean_confidence": round(confidence / cloud.count, 3),
        "photos_merged": len(references),
    }
    (out / "dense_cloud.json").write_text(json.dumps({"options": options.model_dump(), **figures}, indent=1))
    previews.rendered_cloud(
        read_points(out / "dense_cloud.ply"), scene.cameras[references[0].photo], out / "preview.jpg"
    )
    return figures


class _Loader:
    """Photos' maps from disk, the latest few kept; which pixels are spent is kept of all, as bits."""

    def __init__(self, undistorted: Path, depth_maps: Path, scene: SparseScene, keep: int) -> None:
        self._undistorted = undistorted
        self._depth_maps = depth_maps
        self._scene = scene
        self._keep = keep
        self._loaded: OrderedDict[int, PhotoMaps] = OrderedDict()
        self._spent: dict[int, NDArray[np.uint8]] = {}

    def __call__(self, photo: int) -> PhotoMaps:
        if photo in self._loaded:
            self._loaded.move_to_end(photo)
            return self._loaded[photo]
        while len(self._loaded) >= self._keep:
            dropped, maps = self._loaded.popitem(last=False)
            self._spent[dropped] = np.packbits(maps.spent)
        self._loaded[photo] = self._read(photo)
        return self._loaded[photo]

    def _read(self, photo: int) -> PhotoMaps:
        name = self._scene.names[photo]
        read: Callable[[str], NDArray[np.float32]] = lambda kind: formats.read_map(  # noqa: E731
            formats.map_path(self._depth_maps, kind, name)
        )
        depth = np.array(read("depth"))
        height, width = depth.shape
        camera = self._scene.cameras[photo].resized(width, height)
        spent = np.zeros(depth.shape, np.uint8)
        if photo in self._spent:
            spent = np.unpackbits(self._spent[photo], count=depth.size).reshape(depth.shape)
        return PhotoMaps(
            camera,
            depth,
            np.round(127 * read("normal")).astype(np.int8),
            np.round(255 * read("confidence")).astype(np.uint8),
            photos.read_colour(self._undistorted, name, camera),
            spent,
        )
