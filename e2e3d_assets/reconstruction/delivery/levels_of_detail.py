"""The textured model with fewer triangles and one small atlas page, for phones and web pages.

What belongs here: simplifying a finished model. Its texture is baked anew from the full model: the full model's charts
end at its own edges, which a simplified surface no longer has.
"""

import cv2
import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from ..mesh_repair import manifold
from ..meshing import simplified
from ..monitor import Monitor
from ..native import thread_count
from ..textured_mesh import TexturedMesh
from .projection_atlas import project_atlas

_TEXELS_AT_ONCE = 1 << 20


def level_of_detail(mesh: TexturedMesh, max_faces: int, texture_size: int, monitor: Monitor) -> TexturedMesh:
    """A model of at most ``max_faces`` triangles with one square page of ``texture_size`` texels a side.

    Args:
        mesh: the full model.
        max_faces: fewer than it has.
        texture_size: of the new page.
        monitor: asked for cancellation.
    """
    vertices, faces = manifold(*simplified(mesh.vertices, mesh.faces, max_faces))
    monitor.check()
    uv = project_atlas(vertices, faces, texture_size)
    level = TexturedMesh(vertices, faces, uv, np.zeros(len(faces), np.int32), ())
    source = _with_smaller_pages(mesh, _texels(level, texture_size, texture_size))
    page = _baked(source, level, texture_size, monitor)
    return TexturedMesh(vertices, faces, uv, level.face_page, (page,))


def _texels(mesh: TexturedMesh, width: int, height: int) -> float:
    """Texels that the triangles cover on a page of such a size, in all."""
    corners = mesh.uv.astype(np.float64) * [width, height]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return float(np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum() / 2)


def _with_smaller_pages(mesh: TexturedMesh, texels: float) -> TexturedMesh:
    """The model with its pages reduced to about so many texels: single samples of larger ones would be noisy."""
    height, width = mesh.pages[0].shape[:2]
    scale = np.sqrt(texels / max(_texels(mesh, width, height), 1.0))
    if scale >= 1:
        return mesh
    pages = tuple(
        cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8) for page in mesh.pages
    )
    return TexturedMesh(mesh.vertices, mesh.faces, mesh.uv, mesh.face_page, pages)


def _baked(source: TexturedMesh, level: TexturedMesh, size: int, monitor: Monitor) -> NDArray[np.uint8]:
    """The page of ``level``, (size, size, 3): each texel takes the colour of the nearest point of ``source``."""
    center = source.vertices.mean(axis=0)
    surface = _scene(source.vertices - center, source.faces)
    flat = _scene(np.dstack([level.uv, np.zeros(level.uv.shape[:2])]).reshape(-1, 3), np.arange(3 * len(level.faces)))
    corners = (level.vertices - center)[level.faces]
    page = np.zeros((size, size, 3), np.uint8)
    filled = np.zeros((size, size), np.uint8)
    rows_at_once = max(1, _TEXELS_AT_ONCE // size)
    for top in range(0, size, rows_at_once):
        monitor.check()
        rows = slice(top, min(top + rows_at_once, size))
        face, weights = _faces_at(flat, rows, size)
        hit = face >= 0
        points = _weighted(corners[face[hit]], weights[hit]).astype(np.float32)
        nearest = surface.compute_closest_points(o3d.core.Tensor.from_numpy(points))
        origin = nearest["primitive_ids"].numpy().astype(np.int64)
        uv = _weighted(source.uv[origin], nearest["primitive_uvs"].numpy())
        page[rows][hit] = _sampled(source, origin, uv)
        filled[rows][hit] = 1
    return _with_gutters(page, filled)


def _scene(vertices: NDArray, faces: NDArray) -> o3d.t.geometry.RaycastingScene:
    scene = o3d.t.geometry.RaycastingScene(thread_count())
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(np.ascontiguousarray(vertices, np.float32)),
        o3d.core.Tensor.from_numpy(np.ascontiguousarray(faces.reshape(-1, 3), np.uint32)),
    )
    return scene


def _faces_at(
    flat: o3d.t.geometry.RaycastingScene, rows: slice, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Face (h, size) whose texture coordinates hold each texel's centre, -1 for none, and its barycentric weights."""
    v, u = np.meshgrid((np.arange(rows.start, rows.stop) + 0.5) / size, (np.arange(size) + 0.5) / size, indexing="ij")
    rays = np.zeros((*u.shape, 6), np.float32)
    rays[..., 0], rays[..., 1], rays[..., 2], rays[..., 5] = u, v, 1, -1
    found = flat.cast_rays(o3d.core.Tensor.from_numpy(rays))
    face = found["primitive_ids"].numpy().astype(np.int64)
    return np.where(np.isfinite(found["t_hit"].numpy()), face, -1), found["primitive_uvs"].numpy()


def _weighted(corners: NDArray, weights: NDArray[np.float32]) -> NDArray:
    """Values (N, k) inside triangles from those at their corners (N, 3, k) and two weights (N, 2)."""
    second, third = weights[:, :1], weights[:, 1:]
    return corners[:, 0] * (1 - second - third) + corners[:, 1] * second + corners[:, 2] * third


def _sampled(source: TexturedMesh, face: NDArray[np.int64], uv: NDArray) -> NDArray[np.uint8]:
    """Colours (N, 3) of the nearest texels at texture coordinates (N, 2) of faces (N,)."""
    colors = np.zeros((len(face), 3), np.uint8)
    for number, page in enumerate(source.pages):
        here = source.face_page[face] == number
        size = np.array(page.shape[1::-1])
        columns, rows = np.clip((uv[here] * size).astype(np.int64), 0, size - 1).T
        colors[here] = page[rows, columns]
    return colors


def _with_gutters(page: NDArray[np.uint8], filled: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every empty texel takes the colour of the nearest filled one, so that reduced pages show no rims."""
    labels = np.asarray(cv2.distanceTransformWithLabels(1 - filled, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)[1])
    labels = labels.astype(np.int64)
    colors = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colors[labels[filled > 0]] = page[filled > 0]
    return colors[labels]
