"""Stage ``viewer``: one web page that shows model, cloud and cameras, and opens from a disk or a bucket, offline.

What belongs here: choosing, shrinking and packing what the page shows. How it behaves is JavaScript in
``viewer_page/source`` (three.js, bundled by ``npm ci && npm run build`` there into the committed
``viewer_page/viewer.min.js``); how it looks is ``viewer_page/page.html.j2``.

Own page rather than viser's exported scene: viser's has no measuring, no photos on the frusta and no phone layout.
Positions are rounded to small parts of the distance between points (16 bits over an open scene's bounding box would
show as steps close by), pictures go as JPEG, all numbers in one block (:mod:`.delivery.packed_numbers`).
"""

import base64
import io
import json
import math
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from .delivery.packed_numbers import PackedNumbers, along_curve, in_order_of_use
from .monitor import Figures, Monitor
from .options import ViewerOptions
from .preview import save_preview
from .raycasting import render
from .sparse.sparse_document import SparseDocument
from .stereo.ply import read_points
from .textured_mesh import TexturedMesh, load_glb, split_corners
from .viewpoints import Focus, focus_of

FILE_NAME = "viewer.html"
_PICTURE_SIDE = 4096  # of the sheet of small photos: what every phone's graphics can hold
_JPEG_QUALITY = 85
_FRUSTUM_DEPTH = 0.3  # of a drawn camera, of the distance to its neighbour
_FRUSTUM_DEPTHS = (0.12, 0.5)  # between these, of the radius of what is photographed
_POINT_SIZE = 1.3  # of a cloud's point, of the distance between points: neighbours touch
_CANDIDATES = 6  # points looked at for each one shown
_CELL_PRECISION = 1.03
_STEPS_PER_SPACING = 64  # positions are rounded to such parts of the distance between neighbours …
_STEPS_PER_EXTENT = 65_536  # … or, where that is finer, of the whole


def build_viewer(
    textured_mesh: Path,
    dense_cloud: Path,
    sparse_model: Path,
    photos: Path,
    out: Path,
    options: ViewerOptions,
    monitor: Monitor,
    title: str = "3D model",
) -> Figures:
    """Write ``viewer.html``: the textured model, the dense cloud, and every camera with its photo.

    Args:
        textured_mesh: product with ``model.glb``.
        dense_cloud: product with ``dense_cloud.ply``.
        sparse_model: product with ``sparse/0`` and ``sparse_model.json``.
        photos: product with ``images/``.
        out: empty directory to fill.
        options: bounds on what the page holds.
        monitor: progress and cancellation.
        title: heads the page.
    """
    model = pycolmap.Reconstruction(sparse_model / "sparse" / "0")
    images = [model.images[i] for i in sorted(model.reg_image_ids(), key=lambda i: model.images[i].name)]
    total = len(images) + 4

    numbers = PackedNumbers()
    monitor.progress(0, total, "model")
    mesh = load_glb(textured_mesh / "model.glb")
    focus = focus_of(model).within(mesh.vertices)
    pictures = _pack_model(mesh, options.max_texture_pixels, numbers)
    monitor.progress(1, total, "dense cloud")
    points, spacing = _pack_cloud(dense_cloud, options.max_points, numbers)
    sheet, tiles = _photo_sheet(
        [photos / "images" / image.name for image in images],
        options.thumbnail_size,
        lambda done, name: monitor.progress(2 + done, total, name),
    )
    monitor.progress(total - 1, total, "writing the page")
    depth = _frustum_depth(np.array([image.projection_center() for image in images]), focus.radius)
    reach = float(np.linalg.norm(mesh.vertices - focus.center, axis=1).max())
    scene = {
        "arrays": numbers.table,
        "pages": len(mesh.pages),
        "photos": [{**_frustum(image, depth), "tile": tile} for image, tile in zip(images, tiles, strict=True)],
        "point_size": spacing * _POINT_SIZE,
        "inside": focus.inside,
        "center": focus.center.tolist(),
        "radius": focus.radius,
        "far": reach * 2,
        "view_direction": focus.best_direction.tolist(),
        "metric": SparseDocument.load(sparse_model).is_metric,
    }
    subtitle = f"{len(mesh.faces):,} triangles · {points:,} points · {len(images):,} photos"
    page = out / FILE_NAME
    shown = [*pictures, ("photo-sheet", _jpeg(sheet))]
    page.write_text(_render(title, subtitle, scene, numbers.packed(), shown), encoding="utf-8")
    save_preview(_first_view(mesh, focus), out)
    return {
        "bytes": page.stat().st_size,
        "faces": len(mesh.faces),
        "points": points,
        "cameras": len(images),
        "texture_pages": len(pictures),
    }


def _pack_model(mesh: TexturedMesh, max_pixels: int, numbers: PackedNumbers) -> list[tuple[str, bytes]]:
    """Add each page's triangles to ``numbers``; the pictures, together no larger than ``max_pixels``."""
    pixels = sum(page.shape[0] * page.shape[1] for page in mesh.pages)
    scale = min(1.0, math.sqrt(max_pixels / pixels))
    edges = np.linalg.norm(mesh.vertices[mesh.faces[:, 1]] - mesh.vertices[mesh.faces[:, 0]], axis=1)
    step = _step(mesh.vertices, float(np.median(edges)))
    for page in range(len(mesh.pages)):
        chosen = mesh.face_page == page
        vertices, uv, faces = split_corners(mesh.vertices, mesh.faces[chosen], mesh.uv[chosen])
        order, faces = in_order_of_use(vertices, faces)
        numbers.add_rounded(f"page{page}.position", vertices[order], step)
        numbers.add(f"page{page}.uv", np.round(np.clip(uv[order], 0, 1) * 65535).astype(np.uint16))
        numbers.add(f"page{page}.index", faces.reshape(-1, 1))
    return [(f"page-{i}", _jpeg(_shrunk(Image.fromarray(page), scale))) for i, page in enumerate(mesh.pages)]


def _shrunk(image: Image.Image, scale: float) -> Image.Image:
    scale = min(scale, _PICTURE_SIDE / max(image.size))
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=2)


def _pack_cloud(dense_cloud: Path, max_points: int, numbers: PackedNumbers) -> tuple[int, float]:
    """Add an even choice of the cloud's points to ``numbers``; how many there are and their distance."""
    points = read_points(dense_cloud / "dense_cloud.ply")
    some = points[:: max(1, len(points) // (_CANDIDATES * max_points))]
    positions = np.stack([some["x"], some["y"], some["z"]], axis=1)
    chosen, spacing = thinned(positions, max_points)
    chosen = chosen[along_curve(positions[chosen])]
    numbers.add_rounded("cloud.position", positions[chosen], _step(positions, spacing))
    numbers.add("cloud.color", np.stack([some["red"], some["green"], some["blue"]], axis=1)[chosen])
    return len(chosen), spacing


def _step(positions: NDArray[np.floating], spacing: float) -> float:
    """What positions (N, 3), so far apart, are rounded to."""
    extent = float(np.ptp(positions, axis=0).max())
    return max(min(spacing / _STEPS_PER_SPACING, extent / _STEPS_PER_EXTENT), 1e-12)


def thinned(positions: NDArray[np.float32], most: int) -> tuple[NDArray[np.int64], float]:
    """Choose points (N, 3) such that dense places are thinned first: one for each cell of a grid.

    Returns:
        At most ``most`` indices, and the size of the cells.
    """
    low, extent = positions.min(axis=0), max(float(np.ptp(positions, axis=0).max()), 1e-9)
    if len(positions) <= most:
        return np.arange(len(positions)), extent / math.sqrt(len(positions))
    coarse, fine = extent / 4, extent / 2**20
    chosen, cell = np.zeros(1, np.int64), coarse
    while coarse / fine > _CELL_PRECISION:
        middle = math.sqrt(coarse * fine)
        keys = ((positions - low) / middle).astype(np.int64) @ np.array([1, 1 << 21, 1 << 42])
        first = np.unique(keys, return_index=True)[1]
        if len(first) <= most:
            chosen, cell, coarse = first, middle, middle
        else:
            fine = middle
    return chosen, cell


def _first_view(mesh: TexturedMesh, focus: Focus) -> Image.Image:
    return Image.fromarray(render(mesh, focus.camera(focus.best_azimuth, 640, 480)))


def _photo_sheet(
    paths: Sequence[Path], thumbnail_size: int, progress: Callable[[int, str], None]
) -> tuple[Image.Image, list[list[float]]]:
    """One picture with all photos small, and where each lies in it: left, top, right, bottom in [0, 1]."""
    columns = math.ceil(math.sqrt(len(paths)))
    rows = math.ceil(len(paths) / columns)
    cell = min(thumbnail_size, _PICTURE_SIDE // columns)
    sheet = Image.new("RGB", (columns * cell, rows * cell))
    tiles: list[list[float]] = []
    for i, path in enumerate(paths):
        with Image.open(path) as photo:
            photo.draft("RGB", (cell, cell))
            small = photo.convert("RGB")
        small.thumbnail((cell, cell), Image.Resampling.LANCZOS)
        left, top = i % columns * cell, i // columns * cell
        sheet.paste(small, (left, top))
        corners = [left, top, left + small.width, top + small.height]
        tiles.append([value / side for value, side in zip(corners, sheet.size * 2, strict=True)])
        progress(i + 1, path.name)
    return sheet, tiles


def _frustum_depth(centers: NDArray[np.float64], radius: float) -> float:
    """How deep cameras (N, 3) are drawn: large enough to be seen, small enough not to hide one another."""
    apart = np.median(cKDTree(centers).query(centers, k=2)[0][:, 1]) if len(centers) > 1 else radius
    return float(np.clip(_FRUSTUM_DEPTH * apart, *np.multiply(_FRUSTUM_DEPTHS, radius)))


def _frustum(image: pycolmap.Image, depth: float) -> dict[str, Any]:
    """A camera for the page: name, centre, forward axis and the corners of its picture, in the world frame."""
    camera = image.camera
    pixels = np.array([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]], float)
    rays = np.column_stack([np.asarray(camera.cam_from_img(pixels), float), np.ones(4)])
    world_from_cam = image.cam_from_world().inverse()
    return {
        "name": image.name,
        "center": image.projection_center().tolist(),
        "forward": image.viewing_direction().tolist(),
        "corners": [(world_from_cam * (ray * depth)).tolist() for ray in rays],
    }


def _jpeg(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=_JPEG_QUALITY)
    return data.getvalue()


def _render(
    title: str, subtitle: str, scene: dict[str, Any], numbers: bytes, pictures: Sequence[tuple[str, bytes]]
) -> str:
    folder = resources.files("e2e3d_assets.reconstruction") / "viewer_page"
    template = jinja2.Template((folder / "page.html.j2").read_text("utf-8"), autoescape=True)
    return template.render(
        title=title,
        subtitle=subtitle,
        scene=json.dumps(scene, separators=(",", ":")).replace("<", "\\u003c"),
        numbers=_base64(numbers),
        pictures=[(name, _base64(picture)) for name, picture in pictures],
        licence=(folder / "THREE_LICENSE.txt").read_text("utf-8"),
        script=(folder / "viewer.min.js").read_text("utf-8"),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
