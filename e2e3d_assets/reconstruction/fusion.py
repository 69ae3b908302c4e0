"""The stage dense_cloud: depth maps merged into one oriented, coloured point cloud.

What belongs here: the order of photos and what is in memory. What does not: which depths are merged
(:mod:`.stereo.merging`).
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput
from .monitor import Figures, Monitor
from .options import DenseCloudOptions
from .stereo import formats, photos, previews
from .stereo.merging import Maps, Placed, Tolerance, merge
from .stereo.plan import WITNESSES
from .stereo.ply import PlyWriter
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
    usable = {i for i, name in enumerate(scene.names) if formats.map_path(depth_maps, "depth", name).exists()}
    references = [r for r in plan_references(scene, WITNESSES, WITNESSES) if r.photo in usable]
    if not references:
        raise _nothing_confirmed()
    tolerance = Tolerance(
        np.float32(options.max_reprojection_error),
        np.float32(options.max_relative_depth_error),
        np.float32(np.cos(np.radians(options.max_normal_angle))),
        options.min_views_few,
        options.min_views_many,
        options.many_views,
    )
    warm_up(monitor)
    loader = _Loader(undistorted, depth_maps, scene, [r.photo for r in references])
    views = confidence = 0.0
    with PlyWriter(out / "dense_cloud.ply") as cloud:
        for done, reference in enumerate(references):
            monitor.progress(done, len(references), f"merging {scene.names[reference.photo]}")
            witnesses = [photo for photo in reference.witnesses if photo in usable]
            if not witnesses:
                continue
            placed, *others = loader.place([reference.photo, *witnesses])
            points = merge(loader.maps, placed, others, tolerance)
            cloud.write(points)
            views += float(points["views"].sum())
            confidence += float(points["confidence"].sum())
        if cloud.count == 0:
            raise _nothing_confirmed()
    figures: Figures = {
        "points": cloud.count,
        "mean_views": round(views / cloud.count, 2),
        "mean_confidence": round(confidence / cloud.count, 3),
        "photos_merged": len(references),
    }
    (out / "dense_cloud.json").write_text(json.dumps({"options": options.model_dump(), **figures}, indent=1))
    previews.rendered_cloud(out / "dense_cloud.ply", scene.cameras[references[0].photo], out / "preview.jpg")
    return figures


def _nothing_confirmed() -> BadInput:
    return BadInput(
        "No depth is confirmed by a second photo, so there is no dense cloud",
        "Take sharper photos with more overlap, and avoid bare or shiny surfaces",
    )


class _Loader:
    """Photos' maps from disk, the latest few kept in place; which pixels are spent is kept of all, as bits."""

    def __init__(self, undistorted: Path, depth_maps: Path, scene: SparseScene, photos: Sequence[int]) -> None:
        self._undistorted = undistorted
        self._depth_maps = depth_maps
        self._scene = scene
        slots = min(len(photos), WITNESSES + 1)
        self._pixels = max(self._map(photo, "depth").size for photo in photos)
        self.maps = Maps.empty(slots, self._pixels)
        self._free = list(range(slots))
        self._placed: OrderedDict[int, Placed] = OrderedDict()
        self._spent: dict[int, NDArray[np.uint8]] = {}

    def place(self, photos: Sequence[int]) -> list[Placed]:
        """Have the maps of all these photos in memory at once; the first is the reference."""
        for photo in photos:
            if photo in self._placed:
                self._placed.move_to_end(photo)
        for photo in photos:
            if photo not in self._placed:
                self._placed[photo] = self._read(photo, self._free.pop() if self._free else self._drop_oldest())
        return [self._placed[photo] for photo in photos]

    def _drop_oldest(self) -> int:
        photo, placed = self._placed.popitem(last=False)
        self._spent[photo] = np.packbits(self.maps.spent[self._range(placed)])
        return placed.begin // self._pixels

    def _range(self, placed: Placed) -> slice:
        return slice(placed.begin, placed.begin + placed.camera.width * placed.camera.height)

    def _map(self, photo: int, kind: str) -> NDArray[np.float32]:
        return formats.read_map(formats.map_path(self._depth_maps, kind, self._scene.names[photo]))

    def _read(self, photo: int, slot: int) -> Placed:
        depth = self._map(photo, "depth")
        height, width = depth.shape
        placed = Placed(self._scene.cameras[photo].resized(width, height), slot * self._pixels)
        there = self._range(placed)
        colour = photos.read_colour(self._undistorted, self._scene.names[photo], placed.camera)
        self.maps.depths[there] = depth.ravel()
        self.maps.normals[there] = np.round(127 * self._map(photo, "normal")).reshape(-1, 3)
        self.maps.confidences[there] = np.round(255 * self._map(photo, "confidence")).ravel()
        self.maps.colours[there] = colour.reshape(-1, 3)
        spent = self._spent.get(photo)
        self.maps.widths[there] = formats.read_widths(self._depth_maps, self._scene.names[photo], depth.shape).ravel()
        self.maps.spent[there] = 0 if spent is None else np.unpackbits(spent, count=depth.size)
        return placed
