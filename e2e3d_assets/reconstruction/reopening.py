"""Delivered files read back by libraries that did not write them, and compared with one another.

What belongs here: one reader for each format, and what must agree. What a file should hold is said elsewhere.
"""

# usd-core's modules are filled at run time: a type checker sees none of their names.
# pyright: reportAttributeAccessIssue=false

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import laspy
import numpy as np
import open3d as o3d
import pycolmap
import trimesh
from numpy.typing import NDArray
from PIL import Image
from pxr import Ar, Usd, UsdGeom, UsdShade

from .monitor import Figures
from .stereo.ply import read_points

_TOLERANCE = 0.01  # of the model's size
_LEVEL_TOLERANCE = 0.05  # simplifying takes off thin ends
_LAZ_CHUNK = 1_000_000
_NOT_ARCHIVED = ("model.zip", "manifest.json", "preview.jpg")
_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up to z up


@dataclass(frozen=True)
class _Seen:
    """What a reader found in a file.

    Attributes:
        count: triangles of a mesh, points of a cloud.
        bounds: (2, 3) least and greatest coordinates, world frame; of a cloud on a map, the map's.
        textured: whether every part has a picture.
        on_a_map: whether the bounds are those of a map.
    """

    count: int
    bounds: NDArray[np.float64]
    textured: bool = True
    on_a_map: bool = False


def compare_model_files(directory: Path) -> tuple[list[str], Figures]:
    """Open the files of stage model_files and compare what they say.

    Args:
        directory: with ``model.glb``, ``model.obj``, ``mesh.ply``, ``dense_cloud.ply`` and ``sparse/``; and, where
            they were asked for, ``dense_cloud.laz``, ``model.usdz``, ``model_<n>k.glb``, ``tiles/``, ``model.zip``.

    Returns:
        What disagrees, in words (empty if nothing does), and the counts that were read.
    """
    disagreements: list[str] = []
    figures: Figures = {}

    def read(name: str, reader: Callable[[Path], _Seen]) -> _Seen | None:
        try:
            seen = reader(directory / name)
        except Exception as error:  # readers fail in as many ways as files are broken
            disagreements.append(f"{name} cannot be opened: {error}")
            return None
        if not seen.count:
            disagreements.append(f"{name} is empty or cut off")
            return None
        figures[name.replace(".", "_")] = seen.count
        return seen

    def compare(name: str, reader: Callable[[Path], _Seen], like: _Seen, *, simplified: bool = False) -> None:
        seen = read(name, reader)
        if seen is not None:
            disagreements.extend(f"{name} {what}" for what in _differences(seen, like, simplified=simplified))

    mesh = read("mesh.ply", _read_ply)
    if mesh is not None:
        compare("model.glb", _read_glb, mesh)
        compare("model.obj", _read_obj, mesh)
        for level in sorted(path.name for path in directory.glob("model_*.glb")):
            compare(level, _read_glb, mesh, simplified=True)
        if (directory / "model.usdz").exists():
            compare("model.usdz", _read_usdz, mesh)
        if (directory / "tiles").exists():
            compare("tiles", _read_tiles, mesh)
    cloud = read("dense_cloud.ply", _read_cloud)
    if cloud is not None and (directory / "dense_cloud.laz").exists():
        compare("dense_cloud.laz", _read_laz, cloud)
    read("sparse", _read_sparse)
    if (directory / "model.zip").exists():
        disagreements.extend(_archive_faults(directory))
    return disagreements, figures


def _differences(seen: _Seen, like: _Seen, *, simplified: bool) -> Iterator[str]:
    if seen.count > like.count or (seen.count < like.count and not simplified):
        yield f"holds {seen.count:,} where {like.count:,} were expected"
    if not seen.textured:
        yield "has a part without texture"
    limit = (_LEVEL_TOLERANCE if simplified else _TOLERANCE) * float(np.ptp(like.bounds, axis=0).max())
    if seen.on_a_map:  # the map's axes are turned a little: heights alone can be compared
        apart = abs(float(np.ptp(seen.bounds[:, 2]) - np.ptp(like.bounds[:, 2])))
    else:
        apart = float(np.abs(seen.bounds - like.bounds).max())
    if not apart <= limit:
        yield "does not lie where it should"


def _bounds(points: NDArray[Any]) -> NDArray[np.float64]:
    return np.array([points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)], np.float64)


def _read_ply(path: Path) -> _Seen:
    mesh = o3d.io.read_triangle_mesh(path)
    return _Seen(len(mesh.triangles), _bounds(np.asarray(mesh.vertices)))


def _read_obj(path: Path) -> _Seen:
    mesh = o3d.io.read_triangle_mesh(path, enable_post_processing=True)  # without, no pictures are read
    textured = mesh.has_triangle_uvs() and mesh.has_textures() and not any(page.is_empty() for page in mesh.textures)
    return _Seen(len(mesh.triangles), _bounds(np.asarray(mesh.vertices)), textured)


def _read_glb(path: Path) -> _Seen:
    scene = trimesh.load_scene(path, process=False)
    parts = [part for part in scene.geometry.values() if isinstance(part, trimesh.Trimesh)]
    textured = all(getattr(part.visual, "material", None) and part.visual.material.baseColorTexture for part in parts)
    bounds = np.array(scene.bounds) @ _Z_UP.T
    return _Seen(sum(len(part.faces) for part in parts), np.sort(bounds, axis=0), textured)


def _read_usdz(path: Path) -> _Seen:
    stage = Usd.Stage.Open(str(path))
    mesh = UsdGeom.Mesh(next(prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)))
    to_stage = np.array(UsdGeom.XformCache().GetLocalToWorldTransform(mesh.GetPrim()))
    points = np.asarray(mesh.GetPointsAttr().Get()) @ to_stage[:3, :3] + to_stage[3, :3]
    shaders = [UsdShade.Shader(prim) for prim in stage.Traverse() if prim.IsA(UsdShade.Shader)]
    files = [shader.GetInput("file").Get() for shader in shaders if shader.GetInput("file")]
    for file in files:
        asset = Ar.GetResolver().OpenAsset(Ar.ResolvedPath(file.resolvedPath))
        Image.open(io.BytesIO(asset.GetBuffer())).verify()
    return _Seen(len(mesh.GetFaceVertexCountsAttr().Get()), _bounds(points @ _Z_UP.T), len(files) > 0)


def _read_tiles(path: Path) -> _Seen:
    """Of the finest tiles, which together are the model and overlap at their rims; the others are opened as well."""
    root = json.loads((path / "tileset.json").read_text("utf-8"))["root"]
    finest = list(_finest(path, root))
    triangles = np.unique(np.concatenate([_triangles(file) for file, _ in finest]), axis=0)
    return _Seen(len(triangles), _bounds(triangles.reshape(-1, 3)), all(seen.textured for _, seen in finest))


def _finest(directory: Path, tile: dict[str, Any]) -> Iterator[tuple[Path, _Seen]]:
    for child in tile.get("children", ()):
        yield from _finest(directory, child)
    if "content" not in tile:
        return
    file = directory / tile["content"]["uri"]
    seen = _read_glb(file)
    box = np.array(tile["boundingVolume"]["box"]).reshape(4, 3)
    half = np.abs(box[1:]).sum(axis=0)
    if (np.abs(seen.bounds - box[0]) > half + _TOLERANCE * half.max()).any():
        raise ValueError(f"{file.name} does not lie in its box")
    if not tile.get("children"):
        yield file, seen


def _triangles(path: Path) -> NDArray[np.float32]:
    """(N, 9) corners, as they stand in the file."""
    parts = trimesh.load_scene(path, process=False).geometry.values()
    return np.concatenate([np.reshape(part.triangles, (-1, 9)) for part in parts if isinstance(part, trimesh.Trimesh)])


def _read_cloud(path: Path) -> _Seen:
    read_points(path)  # notices what is cut off; open3d makes anything of it
    cloud = o3d.t.io.read_point_cloud(path).point
    return _Seen(
        len(cloud.positions), np.array([cloud.positions.min(0).numpy(), cloud.positions.max(0).numpy()], float)
    )


def _read_laz(path: Path) -> _Seen:
    count, low, high = 0, np.full(3, np.inf), np.full(3, -np.inf)
    with laspy.open(path) as file:
        on_a_map = file.header.parse_crs() is not None
        for points in file.chunk_iterator(_LAZ_CHUNK):
            positions = np.column_stack([np.asarray(points[axis]) for axis in "xyz"])
            count += len(positions)
            low, high = np.minimum(low, positions.min(axis=0)), np.maximum(high, positions.max(axis=0))
    return _Seen(count, np.array([low, high]), on_a_map=on_a_map)


def _read_sparse(path: Path) -> _Seen:
    model = pycolmap.Reconstruction(path)
    return _Seen(model.num_points3D(), np.zeros((2, 3)))


def _archive_faults(directory: Path) -> Iterator[str]:
    try:
        with zipfile.ZipFile(directory / "model.zip") as archive:
            broken = archive.testzip()
            inside = {entry.filename: entry.file_size for entry in archive.infolist()}
    except (OSError, zipfile.BadZipFile) as error:
        yield f"model.zip cannot be opened: {error}"
        return
    if broken is not None:
        yield f"model.zip is damaged at {broken}"
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and name not in _NOT_ARCHIVED and inside.get(name) != path.stat().st_size:
            yield f"model.zip lacks {name}"
