"""Stage ``model_files``: the model in the formats that other programs open, all in one coordinate frame.

What belongs here: which files are delivered. The vertices of every file lie in the world frame of ``sparse/`` (z up);
only GLB and USDZ say y up, by the matrix of their root node, as their viewers expect. Where the photos carry GPS the
LAZ has a map's coordinates, and the tiles stand on the globe by the transform of their root. Faces that no photo shows
have a material of their own, ``unseen``, in GLB and OBJ.

GLB holds plain triangles and JPEG. Draco (DracoPy, 19 MB to install) made the sample's 12.2 MB 6.5 MB in 0.3 CPU-s, but
few programs beside browsers read it, and phones are served by the levels of detail. For meshopt and KTX2 no library
with wheels is kept.
"""

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray

from .delivery.levels_of_detail import level_of_detail
from .delivery.lidar import write_laz
from .delivery.tiles import write_tiles
from .delivery.usdz import write_usdz
from .delivery.wavefront import write_obj
from .monitor import Figures, Monitor
from .options import ModelFilesOptions
from .sparse.sparse_document import SparseDocument
from .textured_mesh import TexturedMesh, load_glb

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}
_COPIED_AT_ONCE = 1 << 20
_WORTHWHILE = 1.25  # times a level's triangles that the full model must have
_LEVEL_TEXTURES = ((10_000, 1024), (50_000, 2048), (1 << 31, 3072))  # (up to so many triangles, texels a side)
_COMPRESSED = frozenset((".glb", ".jpg", ".png", ".laz", ".usdz"))


def export_model_files(
    textured_mesh: Path,
    dense_cloud: Path,
    sparse_model: Path,
    out: Path,
    options: ModelFilesOptions,
    monitor: Monitor,
) -> Figures:
    """Write ``model.glb``, ``model.obj`` with its materials, ``mesh.ply``, ``dense_cloud.ply`` and ``sparse/``; by the
    options also ``dense_cloud.laz``, ``model.usdz``, ``model_<thousands of faces>k.glb``, ``tiles/`` and ``model.zip``.

    Args:
        textured_mesh: product with ``model.glb``.
        dense_cloud: product with ``dense_cloud.ply``.
        sparse_model: product with ``sparse/0`` and ``sparse_model.json``.
        out: empty directory to fill.
        options: which formats.
        monitor: progress and cancellation.
    """
    glb, cloud = textured_mesh / "model.glb", dense_cloud / "dense_cloud.ply"
    mesh = load_glb(glb)
    textures = _write_textures(glb, out)
    georeference = SparseDocument.load(sparse_model).georeference
    writers: dict[str, Callable[[Path], object]] = {
        "model.glb": lambda path: _link_or_copy(glb, path),
        "model.obj": lambda path: write_obj(path, mesh, textures),
        "mesh.ply": lambda path: _write_ply(mesh, path),
        "dense_cloud.ply": lambda path: _link_or_copy(cloud, path),
        "sparse": lambda path: shutil.copytree(sparse_model / "sparse" / "0", path, copy_function=_link_or_copy),
    }
    if options.laz:
        writers["dense_cloud.laz"] = lambda path: write_laz(cloud, path, georeference, monitor)
    if options.usdz:
        writers["model.usdz"] = lambda path: write_usdz(path, mesh, [out / name for name in textures])
    levels = [mesh]
    for faces in sorted(options.levels, reverse=True):
        if len(mesh.faces) > _WORTHWHILE * faces:
            writers[f"model_{faces // 1000}k.glb"] = partial(_write_level, levels, faces, monitor)
    if len(mesh.faces) >= options.tiles_from:
        writers["tiles"] = lambda path: write_tiles(path, levels[::-1], georeference, monitor)
    if options.archive:
        writers["model.zip"] = lambda path: _write_archive(out, path, monitor)
    for number, (name, write) in enumerate(writers.items()):
        monitor.progress(number, len(writers), name)
        write(out / name)
    figures = _figures(out)
    shutil.copyfile(textured_mesh / "preview.jpg", out / "preview.jpg")
    monitor.progress(len(writers), len(writers), "done")
    return figures


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    """A second name for the same bytes where the file system can; products are never written to again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_textures(glb: Path, out: Path) -> list[str]:
    """The atlas pages beside the OBJ, byte for byte as in the GLB; their names, by page."""
    names: list[str] = []
    for page, (suffix, data) in enumerate(_texture_files(glb)):
        names.append(f"texture_{page}{suffix}")
        (out / names[-1]).write_bytes(data)
    return names


def _texture_files(glb: Path) -> list[tuple[str, bytes]]:
    """The pages of the atlas as they lie in ``model.glb``: (suffix with dot, bytes) of each."""
    data = glb.read_bytes()
    json_size = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + json_size])
    binary = memoryview(data)[28 + json_size :]
    files: list[tuple[str, bytes]] = []
    for image in document["images"]:
        view = document["bufferViews"][image["bufferView"]]
        picture = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        files.append((_SUFFIXES[image["mimeType"]], bytes(picture)))
    return files


def _write_ply(mesh: TexturedMesh, path: Path) -> None:
    """Binary PLY with smooth vertex normals and the texture's colour at each vertex."""
    plain = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=_vertex_colors(mesh), process=False)
    plain.export(path, file_type="ply", vertex_normal=True)


def _vertex_colors(mesh: TexturedMesh) -> NDArray[np.uint8]:
    """(V, 3) colour of the texture at one corner of each vertex."""
    colors = np.zeros((len(mesh.vertices), 3), np.uint8)
    for page, picture in enumerate(mesh.pages):
        chosen = mesh.face_page == page
        size = np.array(picture.shape[1::-1])
        columns, rows = np.clip((mesh.uv[chosen].reshape(-1, 2) * size).astype(np.int32), 0, size - 1).T
        colors[mesh.faces[chosen].reshape(-1)] = picture[rows, columns]
    return colors


def _write_level(levels: list[TexturedMesh], faces: int, monitor: Monitor, path: Path) -> None:
    """Make one more level of the first, write it and keep it for the tiles."""
    texture_size = next(size for most, size in _LEVEL_TEXTURES if faces <= most)
    levels.append(level_of_detail(levels[0], faces, texture_size, monitor))
    levels[-1].save_glb(path)


def _write_archive(out: Path, path: Path, monitor: Monitor) -> None:
    """All files so far in one; what is compressed already is stored as it is. Equal files give an equal archive."""
    files = sorted(file for file in out.rglob("*") if file.is_file())
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            monitor.check()
            entry = zipfile.ZipInfo(file.relative_to(out).as_posix())
            entry.compress_type = zipfile.ZIP_STORED if file.suffix in _COMPRESSED else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, _COPIED_AT_ONCE)


def _figures(out: Path) -> Figures:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    sizes = {path.relative_to(out).as_posix(): path.stat().st_size for path in files}
    formats: dict[str, int] = {}
    for name, size in sizes.items():
        kind = name.partition("/")[0].replace(".", "_")
        formats[f"{kind}_bytes"] = formats.get(f"{kind}_bytes", 0) + size
    return {"files": len(sizes), "bytes": sum(sizes.values()), **formats}
