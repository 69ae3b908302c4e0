"""Stage ``mesh``: triangles through the dense cloud that respect what the photos looked through.

What belongs here: from oriented points and depth maps to a clean surface. What does not: colours from photos
(:mod:`texturing`).

Screened Poisson reconstruction (Kazhdan and Hoppe, "Screened Poisson Surface Reconstruction", TOG 2013) gives an
accurate, smooth surface, but closes what it can, also where nobody looked. So what of it is true is asked of the depth
maps (:mod:`.mesh_cutting`).

A minimal cut through the Delaunay tetrahedra of the thinned cloud, with soft visibility (Labatut, Pons and Keriven,
"Robust and Efficient Surface Reconstruction from Range Data", CGF 2009) and without what is too wide, was tried
instead: it was a little less accurate on a rendered statue, with twice as many faces, took longer, and lost four
fifths of a stem and of a pole before a blank sky, of which this keeps nine tenths.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import fast_simplification
import numpy as np
import open3d as o3d
import pycolmap
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from . import cropping, mesh_repair
from .carving import Ballot, DepthView, depth_views
from .errors import BadInput
from .mesh_cutting import cut, nearest_camera
from .monitor import Figures, Monitor
from .native import thread_count
from .options import MeshOptions
from .poisson import poisson_surface
from .preview import contact_sheet, save_preview
from .raycasting import render_shaded, turntable_cameras
from .stereo.views import Camera, read_scene
from .stereo.warming import warm_up
from .viewpoints import focus_of

_FEWEST_POINTS = 100
_CORE_QUANTILE = 0.005  # the region is that of all points but this share on each side …
_CORE_MARGIN = 0.25  # … and so much of its longest side more
_FACES_PER_BUDGET_FACE = 8  # finer before simplification than after it
_FACES_PER_CELL = 2
_POINTS_PER_CELL = 1.5  # on average; a finer octree would follow single points, and takes gigabytes
_SHALLOWEST, _DEEPEST = 6, 11  # octree levels; 12 needs more than 10 GB
_PADDING = 1.1  # Poisson's cube, relative to the points'
_TOLERANCE_CELLS = 2.0  # of the octree, that the surface may lie off a depth map
_SMALLEST_PART = 0.005  # of a photo, as the nearest camera sees it: smaller components are crumbs


def build_mesh(
    dense_cloud: Path, undistorted: Path, depth_maps: Path, out: Path, options: MeshOptions, monitor: Monitor
) -> Figures:
    """Write ``mesh.ply`` (vertices with colours, faces counter-clockwise from outside).

    Args:
        dense_cloud: product with ``dense_cloud.ply``.
        undistorted: product with ``sparse/`` of pinhole cameras, in the cloud's frame.
        depth_maps: product with ``stereo/depth_maps/``.
        out: empty directory.
        options: of this stage.
        monitor: progress and cancellation.

    Raises:
        BadInput: if the cloud has too few points to give a surface.
    """
    warm_up(monitor)
    scene = read_scene(undistorted)
    steps = len(scene.names) + 6
    monitor.progress(0, steps, "reading the cloud")
    cloud = _read(dense_cloud / "dense_cloud.ply")
    extent = cloud.extent
    cloud, depth = _thinned(cloud, extent, options.max_faces)
    cell = _cell(extent, depth)
    vertices, faces = poisson_surface(
        cloud.points,
        cloud.normals,
        depth,
        _PADDING,
        out,
        lambda: monitor.progress(1, steps, "reconstructing the surface"),
    )
    ballot = Ballot(vertices, _TOLERANCE_CELLS * cell)
    for done, (camera, depths) in enumerate(depth_views(scene, depth_maps)):
        monitor.progress(2 + done, steps, "asking the depth maps")
        ballot.add(camera, depths)

    def views() -> Iterator[DepthView]:
        for view in depth_views(scene, depth_maps):
            monitor.progress(steps - 4, steps, "cutting and cleaning")
            yield view

    vertices, faces = cut(vertices, faces, cloud.points, ballot, views, scene.cameras, cell)
    focus = focus_of(pycolmap.Reconstruction(undistorted / "sparse"))
    ground = cropping.find_ground(cloud.points, cloud.normals, focus)
    if options.crop == "object":
        vertices, faces = cropping.cropped(vertices, faces, focus, ground)
    vertices, faces = _without_crumbs(*mesh_repair.manifold(vertices, faces), scene.cameras)
    monitor.progress(steps - 3, steps, "simplifying")
    vertices, faces = _simplified_as_seen(vertices, faces, options.max_faces, scene.cameras)
    vertices, faces = _without_crumbs(*mesh_repair.manifold(vertices, faces), scene.cameras)
    if not len(faces):
        raise BadInput("The points do not form a surface", "Take more photos that overlap")
    monitor.progress(steps - 1, steps, "colouring and drawing")
    colors = _vertex_colors(vertices, cloud)
    _write(out / "mesh.ply", vertices, faces, colors)
    save_preview(_preview(vertices, faces), out)
    monitor.progress(steps, steps)
    return {
        "octree_depth": depth,
        "refuted_percent": round(100 * float(ballot.votes.refuted.mean()), 2),
        **mesh_repair.figures(vertices, faces),
        **cropping.figures(focus, ground),
    }


@dataclass(frozen=True)
class _Cloud:
    """Points (N, 3), their normals (N, 3, length 1) and colours (N, 3, 0…1), float64."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    colors: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def extent(self) -> float:
        """Longest side of the bounding box."""
        return float(np.ptp(self.points, axis=0).max())

    def thinned(self, size: float) -> "_Cloud":
        """One mean point for each occupied cell of a grid."""
        cell = np.floor((self.points - self.points.min(axis=0)) / size).astype(np.int64)
        count = cell.max(axis=0) + 1
        key = (cell[:, 0] * count[1] + cell[:, 1]) * count[2] + cell[:, 2]
        order = np.argsort(key)
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        sizes = np.diff(starts, append=len(order))[:, None]
        points, normals, colors = (
            np.add.reduceat(values[order], starts) / sizes for values in (self.points, self.normals, self.colors)
        )
        return _Cloud(points, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12), colors)


def _read(path: Path) -> _Cloud:
    """The cloud within its core region, points and normals finite."""
    cloud = o3d.io.read_point_cloud(path, remove_nan_points=True, remove_infinite_points=True)
    if len(cloud.points) < _FEWEST_POINTS:
        raise BadInput(
            f"The dense cloud has only {len(cloud.points)} points", "Take more photos that overlap by two thirds"
        )
    points = np.asarray(cloud.points)
    low, high = np.quantile(points, [_CORE_QUANTILE, 1 - _CORE_QUANTILE], axis=0)
    margin = (high - low).max() * _CORE_MARGIN  # in all directions: a mast on a flat scene has few points
    inside = ((points >= low - margin) & (points <= high + margin)).all(axis=1)
    return _Cloud(points[inside], np.asarray(cloud.normals)[inside], np.asarray(cloud.colors)[inside])


def _thinned(cloud: _Cloud, extent: float, max_faces: int) -> tuple[_Cloud, int]:
    """The cloud with at most one point in half an octree cell, and the octree's depth.

    It is as fine as the budget of faces can show (the surface crosses so many cells at most) and the points fill.
    """
    most_cells = min(max_faces * _FACES_PER_BUDGET_FACE / _FACES_PER_CELL, len(cloud) / _POINTS_PER_CELL)
    thinned = cloud.thinned(_cell(extent, _DEEPEST) / 2)
    for depth in range(_DEEPEST, _SHALLOWEST, -1):
        coarser = thinned.thinned(_cell(extent, depth))
        if len(coarser) <= most_cells:
            return thinned, depth
        thinned = coarser
    return thinned, _SHALLOWEST


def _cell(extent: float, depth: int) -> float:
    return extent * _PADDING / 2**depth


def _without_crumbs(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], cameras: Sequence[Camera]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    away = np.maximum(nearest_camera(vertices, faces, cameras), 1e-12)
    looks = mesh_repair.areas(vertices, faces) / away**2
    photo = float(np.median([camera.width * camera.height / (camera.K[0, 0] * camera.K[1, 1]) for camera in cameras]))
    return mesh_repair.without_small_parts(vertices, faces, looks, _SMALLEST_PART * photo)


def simplified(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], max_faces: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """At most ``max_faces`` triangles by quadric edge collapse (Garland and Heckbert, SIGGRAPH 1997)."""
    for aggression in (3, 5, 7):  # the higher, the surer the target and the coarser the choice of edges
        if len(faces) <= max_faces:
            break
        points, triangles, *_ = fast_simplification.simplify(
            vertices, faces.astype(np.int32), target_count=max_faces, agg=aggression
        )
        vertices, faces = points, triangles.astype(np.int32)
    return vertices, faces


def _simplified_as_seen(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], max_faces: int, cameras: Sequence[Camera]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """As :func:`simplified`, but errors count as they look from the cameras.

    Far surroundings, drawn nearer for the time, get fewer faces.
    """
    if len(faces) <= max_faces:
        return vertices, faces
    centres = np.array([camera.centre for camera in cameras])
    middle = centres.mean(axis=0)
    nearest = np.quantile(nearest_camera(vertices, faces[:: max(1, len(faces) // 10_000)], cameras), 0.1)
    reach = max(float(np.median(np.linalg.norm(centres - middle, axis=1))), float(nearest))
    drawn_in = _scaled_radii(vertices - middle, lambda radius: reach * np.log1p(radius / reach))
    drawn_in, faces = simplified(drawn_in, faces, max_faces)
    return _scaled_radii(drawn_in, lambda radius: reach * np.expm1(radius / reach)) + middle, faces


def _scaled_radii(points: NDArray[np.float64], scale: Callable[[NDArray], NDArray]) -> NDArray[np.float64]:
    radius = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return points * (scale(radius) / radius)


def _vertex_colors(vertices: NDArray[np.float64], cloud: _Cloud) -> NDArray[np.uint8]:
    _, nearest = cKDTree(cloud.points).query(vertices, k=4, workers=thread_count())
    return (cloud.colors[nearest].mean(axis=1) * 255 + 0.5).astype(np.uint8)


def _write(path: Path, vertices: NDArray, faces: NDArray, colors: NDArray[np.uint8]) -> None:
    mesh = o3d.t.geometry.TriangleMesh()
    mesh.vertex.positions = o3d.core.Tensor.from_numpy(vertices.astype(np.float32))
    mesh.vertex.colors = o3d.core.Tensor.from_numpy(colors.astype(np.float32) / 255)
    mesh.triangle.indices = o3d.core.Tensor.from_numpy(faces.astype(np.int32))
    if not o3d.t.io.write_triangle_mesh(path, mesh):
        raise OSError(f"{path.name} could not be written")


def _preview(vertices: NDArray, faces: NDArray) -> Image.Image:
    low, high = np.quantile(vertices, [0.01, 0.99], axis=0)
    azimuths = np.radians([30, 120, 210, 300])
    cameras = turntable_cameras((low + high) / 2, float(np.linalg.norm(high - low)) / 2, azimuths, 0.5, 320, 240)
    return contact_sheet([Image.fromarray(render_shaded(vertices, faces, camera)) for camera in cameras])
