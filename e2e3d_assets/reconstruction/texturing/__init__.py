"""Stage ``textured_mesh``: each face takes its colour from the photo that sees it best.

What belongs here: the order of steps, and the stage's files and figures. Each step has its module.

The recipe is that of Waechter, Moehrle and Goesele, "Let There Be Color! Large-Scale Texturing of 3D Reconstructions"
(ECCV 2014): what is seen from where (:mod:`.observations`), exposure and outvoted photos (:mod:`.exposure`), one photo
for each face (:mod:`.selection`), projective charts (:mod:`.charts`, :mod:`.packing`), levelled seams (:mod:`.seams`)
and their painting (:mod:`.painting`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import open3d as o3d
from numpy.typing import NDArray
from PIL import Image

from ..errors import BadInput
from ..mesh_repair import areas
from ..monitor import Figures, Monitor
from ..options import TexturedMeshOptions
from ..preview import contact_sheet, save_preview
from ..raycasting import TexturedRenderer
from ..stereo.views import Camera, read_scene
from ..stereo.warming import warm_up
from ..textured_mesh import TexturedMesh
from .charts import Charts, cut_charts, rectangles, scaled, split_loose
from .exposure import outliers, photo_gains
from .observations import observe, projected
from .packing import Layout, pack
from .painting import CELL, NOBODY, own_gutter, own_pixels, paint, unseen_cells
from .seams import Shares, shares
from .selection import UNSEEN, select_photos

_GUTTER = 4  # pixels: what three levels of mip-maps mix in
_SHRINK = 0.9
_FILL = 0.75  # of a page that charts can be expected to fill


def texture_mesh(mesh: Path, undistorted: Path, out: Path, options: TexturedMeshOptions, monitor: Monitor) -> Figures:
    """Write ``model.glb``: the mesh with its atlas pages.

    Every photo is read twice: at half size to judge it, at full size to paint from it.

    Args:
        mesh: product with ``mesh.ply``.
        undistorted: product with ``images/`` and ``sparse/`` of pinhole cameras, in the mesh's frame.
        out: empty directory.
        options: of this stage.
        monitor: progress and cancellation.

    Raises:
        BadInput: if there are no triangles, a photo cannot be read or no photo sees any triangle.
    """
    warm_up(monitor)
    vertices, faces, vertex_colors = _read_mesh(mesh / "mesh.ply")
    scene = read_scene(undistorted)
    photos = [undistorted / "images" / name for name in scene.names]
    steps = 2 * len(photos) + 4
    observations = observe(
        vertices, faces, scene.cameras, undistorted, scene.names,
        lambda done: monitor.progress(done, steps, "looking at the photos"),
    )  # fmt: skip
    if not len(observations.photo):
        raise BadInput("No photo sees the surface", "Repeat the reconstruction from the photos")
    monitor.progress(len(photos), steps, "choosing photos")
    gains = photo_gains(observations, len(photos))
    observations = replace(observations, color=(observations.color * gains[observations.photo]).astype(np.float32))
    outlier = outliers(observations, faces)
    label = select_photos(vertices, faces, observations, outlier)
    monitor.progress(len(photos) + 1, steps, "levelling the seams")
    given = shares(faces, label, observations, outlier, len(vertices), len(photos))
    monitor.progress(len(photos) + 2, steps, "laying out the atlas")
    atlas = _lay_out(vertices, faces, label, scene.cameras, options)
    pages = _painted(atlas, vertices, faces, scene.cameras, photos, gains, given, monitor, steps)
    _fill_unseen(atlas, pages, faces, label, vertex_colors)
    model = TexturedMesh(vertices, faces, atlas.uv(), atlas.face_page, tuple(pages), label == UNSEEN)
    model.save_glb(out / "model.glb")
    monitor.progress(steps - 1, steps, "drawing")
    save_preview(_preview(model, scene.cameras), out)
    monitor.progress(steps, steps)
    area = areas(vertices, faces)
    return {
        "texture_pages": len(pages),
        "texture_side": atlas.layout.side,
        "texture_scale": round(atlas.scale, 4),
        "textured_faces_percent": round(100 * float((label != UNSEEN).mean()), 2),
        "textured_area_percent": round(100 * float(area[label != UNSEEN].sum() / area.sum()), 2),
        "unseen_faces": int((label == UNSEEN).sum()),
        "photos_used": len(np.unique(label[label != UNSEEN])),
        "charts": len(atlas.charts),
        "outlier_views_percent": round(100 * float(outlier.mean()), 2),
        "largest_exposure_factor": round(float(np.exp(np.abs(np.log(gains)).max())), 3),
        "model_bytes": (out / "model.glb").stat().st_size,
    }


def _read_mesh(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.uint8]]:
    mesh = o3d.io.read_triangle_mesh(path)
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.triangles)
    if not len(faces):
        raise BadInput("The mesh has no triangles", "Repeat the mesh stage")
    colors = np.asarray(mesh.vertex_colors) if mesh.has_vertex_colors() else np.full((len(vertices), 3), 0.7)
    return vertices, faces, (colors * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class _Atlas:
    """Where everything lies.

    Attributes:
        charts: rectangles in the photos, at ``scale``.
        layout: of the charts' rectangles, and last that of the unseen faces' cells, if there are any.
        scale: of the photos.
        corners: (F, 3, 2) float64 page coordinates of the faces' corners, integers at pixel centres.
        depth: (F, 3) float64 of the corners in the chart's photo.
        face_page: (F,) int32.
    """

    charts: Charts
    layout: Layout
    scale: float
    corners: NDArray[np.float64]
    depth: NDArray[np.float64]
    face_page: NDArray[np.int32]

    def uv(self) -> NDArray[np.float32]:
        """(F, 3, 2) texture coordinates."""
        return ((self.corners + 0.5) / self.layout.side).astype(np.float32)


def _lay_out(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    label: NDArray[np.int32],
    cameras: Sequence[Camera],
    options: TexturedMeshOptions,
) -> _Atlas:
    """Charts at the photos' own resolution, or as much smaller as the pages demand."""
    of_face, photo = cut_charts(faces, label)
    corners = np.zeros((len(faces), 3, 2))
    depth = np.ones((len(faces), 3))
    for index in np.unique(label[label != UNSEEN]):
        own = label == index
        pixels, depths = projected(cameras[index], vertices)
        corners[own], depth[own] = pixels[faces[own]], depths[faces[own]]
    of_face, photo = split_loose(of_face, photo, corners)
    unseen = np.flatnonzero(label == UNSEEN)
    across = int(np.ceil(np.sqrt(len(unseen))))
    cells = [[across * CELL, -(-len(unseen) // max(across, 1)) * CELL]] if len(unseen) else []
    scale = 1.0
    while True:
        charts = rectangles(of_face, photo, corners, scale, _GUTTER)
        size = np.concatenate([charts.size, np.array(cells, np.int64).reshape(-1, 2)])
        room = options.max_pages * options.max_texture_size**2 * _FILL
        if size.max() <= options.max_texture_size and size.prod(axis=1).sum() <= room:
            layout = pack(size, options.max_texture_size)
            if layout.pages <= options.max_pages:
                break
        scale *= _SHRINK
    shift = layout.position[of_face] - charts.origin[of_face]
    page_corners = scaled(corners, scale) + shift[:, None, :]
    face_page = layout.page[of_face].astype(np.int32)
    if len(unseen):
        place = np.stack([np.arange(len(unseen)) % across, np.arange(len(unseen)) // across], axis=1) * CELL
        page_corners[unseen] = (layout.position[-1] + place)[:, None] + np.array([[0, 0], [1, 0], [0, 1]]) * (CELL - 1)
        face_page[unseen] = layout.page[-1]
    return _Atlas(charts, layout, scale, page_corners, depth, face_page)


def _painted(
    atlas: _Atlas,
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    cameras: Sequence[Camera],
    photos: Sequence[Path],
    gains: NDArray[np.float64],
    given: Shares,
    monitor: Monitor,
    steps: int,
) -> list[NDArray[np.uint8]]:
    """All pages, painted photo by photo."""
    side = atlas.layout.side
    seen = atlas.charts.of_face >= 0
    owners = []
    for page in range(atlas.layout.pages):
        owner = np.full((side, side), NOBODY, np.int32)
        own_pixels(owner, page, atlas.corners, atlas.face_page, np.flatnonzero(seen))
        own_gutter(owner, _GUTTER)
        owners.append(owner)
    pages = [np.zeros((side, side, 3), np.uint8) for _ in owners]
    for index, path in enumerate(photos):
        monitor.progress(len(photos) + 2 + index, steps, "painting")
        mine = given.of(index)
        if mine.start == mine.stop:
            continue
        photo, camera = _read_photo(path, cameras[index], atlas.scale)
        homogeneous = (vertices @ camera.R.T + camera.t) @ camera.K.T
        for page, canvas in enumerate(pages):
            here = atlas.face_page[given.face[mine]] == page
            chosen = given.face[mine][here]
            paint(
                canvas,
                owners[page],
                atlas.corners,
                chosen,
                homogeneous[faces[chosen]],
                atlas.depth[chosen],
                given.weight[mine][here],
                gains[index],
                given.correction[mine][here],
                photo,
                _GUTTER,
            )
    for canvas, owner in zip(pages, owners, strict=True):
        nobodys = owner == NOBODY
        canvas[nobodys] = canvas[~nobodys].mean(axis=0) if not nobodys.all() else 0  # what coarse mip-maps mix in
    return pages


def _read_photo(path: Path, camera: Camera, scale: float) -> tuple[NDArray[np.uint8], Camera]:
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if photo is None:
        raise BadInput("A photo cannot be read", "Repeat the stage that undistorts the photos", [path.name])
    if scale < 1:
        size = (max(2, round(camera.width * scale)), max(2, round(camera.height * scale)))
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return photo, camera.resized(photo.shape[1], photo.shape[0])  # pyright: ignore[reportReturnType]


def _fill_unseen(
    atlas: _Atlas,
    pages: list[NDArray[np.uint8]],
    faces: NDArray[np.int32],
    label: NDArray[np.int32],
    vertex_colors: NDArray[np.uint8],
) -> None:
    """Paint the cells of the faces that no photo sees."""
    unseen = np.flatnonzero(label == UNSEEN)
    if not len(unseen):
        return
    cells = unseen_cells(vertex_colors[faces[unseen]].astype(np.float64))
    canvas = pages[atlas.layout.page[-1]]
    place = np.rint(atlas.corners[unseen, 0]).astype(np.int64)
    rows = place[:, 1, None, None] + np.arange(CELL)[None, :, None]
    columns = place[:, 0, None, None] + np.arange(CELL)[None, None, :]
    canvas[rows, columns] = cells


def _preview(model: TexturedMesh, cameras: Sequence[Camera]) -> Image.Image:
    """The model from four of the photos' places."""
    renderer = TexturedRenderer(model)
    chosen = [cameras[i] for i in np.linspace(0, len(cameras) - 1, min(4, len(cameras))).round().astype(int)]
    return contact_sheet([Image.fromarray(renderer.picture(camera.limited(320))) for camera in chosen])


__all__ = ["texture_mesh"]
