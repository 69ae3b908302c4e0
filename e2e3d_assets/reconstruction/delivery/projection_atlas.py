"""A texture atlas for a surface that no photo has laid out: patches that look one way, drawn as seen from there.

What belongs here: texture coordinates of a bare mesh. What colours go there does not.

Own atlas, of the charts that texturing makes from photos, with straight views in their place: open3d's (UVAtlas)
differs from call to call, so that every run would make a new version of equal files, and takes several times as long.
"""

import numpy as np
import open3d as o3d
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from ..mesh_repair import face_neighbours
from ..texturing.charts import cut_charts, rectangles, scaled, split_loose
from ..texturing.packing import pack

_GUTTER = 4  # texels around each chart
_SMOOTHING_ROUNDS = 12  # of the normals, so that a rough surface does not fall into crumbs
_VOTING_ROUNDS = 12  # crumbs join the patch that surrounds them
_LEAST_FACING = 0.3  # cosine between a face and its view: beyond, it would be squeezed to a line
_SHRINK = 0.98
_SMALLEST_SCALE = 1e-3
_UNFOLDING_ROUNDS = 8
_FOLD = 1e-3  # of the surface's extent: lower steps are no folds, but the slope of one face
_AXES = np.concatenate([np.eye(3), -np.eye(3)])


def project_atlas(vertices: NDArray[np.float64], faces: NDArray[np.int32], size: int) -> NDArray[np.float32]:
    """Texture coordinates (F, 3, 2), as glTF counts them, on one square page of ``size`` texels a side.

    Six straight views, one along each axis, all at the same scale. What a patch hides of itself is drawn beside it.

    Raises:
        ValueError: if the surface falls into more patches than the page has room for.
    """
    view = _views(vertices, faces)
    of_face, view_of_chart = cut_charts(faces, view)
    seen = np.einsum("fij,fkj->fki", _rotations()[view], (vertices - vertices.min(axis=0))[faces])
    corners, height = seen[..., :2], seen[..., 2] / np.ptp(vertices, axis=0).max()
    corners *= size / np.sqrt(_areas(corners).sum())  # as if every texel could be used
    uv = np.zeros((len(faces), 3, 2), np.float32)
    for _ in range(_UNFOLDING_ROUNDS):
        of_face, view_of_chart = split_loose(of_face, view_of_chart, corners)
        uv = _packed(of_face, view_of_chart, corners, size)
        hidden = _hidden(uv, height)
        if not hidden.any():
            break
        folded, beside = np.unique(of_face[hidden], return_inverse=True)
        of_face[hidden] = len(view_of_chart) + beside
        view_of_chart = np.concatenate([view_of_chart, view_of_chart[folded]])
    return uv


def _rotations() -> NDArray[np.float64]:
    """(6, 3, 3) from world to view; the last row of each points to the viewer."""
    return np.stack([np.stack([np.roll(axis, 1), np.roll(np.abs(axis), 2), axis]) for axis in _AXES])


def _views(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.int32]:
    """The axis (F,) along which each face is drawn, the same over large patches."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    cosine = (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)) @ _AXES.T
    usable = cosine >= np.minimum(_LEAST_FACING, cosine.max(axis=1, keepdims=True))
    around = _with_neighbours(faces)
    smooth = normals
    for _ in range(_SMOOTHING_ROUNDS):
        smooth = around @ smooth
    view = np.where(usable, smooth @ _AXES.T, -np.inf).argmax(axis=1)
    for _ in range(_VOTING_ROUNDS):
        votes = around @ np.eye(len(_AXES))[view] + cosine / 4
        view = np.where(usable, votes, -np.inf).argmax(axis=1)
    return view.astype(np.int32)


def _with_neighbours(faces: NDArray[np.int32]) -> csr_array:
    """(F, F) ones where a face is another's neighbour or itself."""
    pairs = face_neighbours(faces)
    itself = np.arange(len(faces))
    rows = np.concatenate([pairs[:, 0], pairs[:, 1], itself])
    columns = np.concatenate([pairs[:, 1], pairs[:, 0], itself])
    return csr_array(coo_array((np.ones(len(rows)), (rows, columns)), (len(faces), len(faces))))


def _areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F,) of flat triangles (F, 3, 2)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2


def _packed(
    of_face: NDArray[np.int32], view_of_chart: NDArray[np.int32], corners: NDArray[np.float64], size: int
) -> NDArray[np.float32]:
    """Texture coordinates at the largest scale at which the charts fit on the page."""
    scale = 1.0
    while scale > _SMALLEST_SCALE:
        charts = rectangles(of_face, view_of_chart, corners, scale, _GUTTER)
        if charts.size.max() <= size and charts.size.prod(axis=1).sum() <= size**2:
            layout = pack(charts.size, size)
            if layout.pages == 1:
                shift = layout.position[of_face] - charts.origin[of_face]
                return ((scaled(corners, scale) + shift[:, None] + 0.5) / size).astype(np.float32)
        scale *= _SHRINK
    raise ValueError(f"{len(view_of_chart):,} patches do not fit on a page of {size} texels a side")


def _hidden(uv: NDArray[np.float32], height: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Faces (F,) whose middle lies under another face of the page: a folded patch."""
    corners = np.dstack([uv, height]).astype(np.float32).reshape(-1, 3)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(corners),
        o3d.core.Tensor.from_numpy(np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)),
    )
    rays = np.zeros((len(uv), 6), np.float32)
    rays[:, :2], rays[:, 2], rays[:, 5] = uv.mean(axis=1), 2, -1
    above = scene.cast_rays(o3d.core.Tensor.from_numpy(rays))["t_hit"].numpy()
    return 2 - above > height.mean(axis=1) + _FOLD
