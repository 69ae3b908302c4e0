"""The model as 3D Tiles 1.1: what viewers of maps load piece by piece, coarse first, fine where one looks.

What belongs here: cutting levels of detail into tiles and describing them. Levels come from :mod:`.levels_of_detail`.

Own writer: GLB is a tile's content as it is since 1.1, and what is left is one JSON file. The library py3dtiles
writes point clouds, and pins older releases of NumPy and numba than dense reconstruction needs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from ..mesh_repair import areas
from ..monitor import Monitor
from ..sparse.sparse_document import Georeference
from ..textured_mesh import TexturedMesh
from .excerpts import Excerpts

TILESET_NAME = "tileset.json"
_TILE_FACES = 25_000  # of a tile, about
_TEXELS_OF_ERROR = 8  # viewers ask for more where an error spans 16 pixels: where a texel spans two

_Key: TypeAlias = tuple[int, int, int]


@dataclass
class _Tile:
    """A cube of the octree: what lies in it at one level, and the tiles that take its place."""

    error: float
    content: str | None = None
    bounds: NDArray[np.float64] = field(default_factory=lambda: np.array([[np.inf] * 3, [-np.inf] * 3]))
    children: list["_Tile"] = field(default_factory=list)


def write_tiles(
    directory: Path, levels: Sequence[TexturedMesh], georeference: Georeference | None, monitor: Monitor
) -> None:
    """Write ``tileset.json`` and one GLB for each tile into a new directory.

    Tiles are cubes of an octree in the world frame; those of one level replace those of the coarser one. Each holds all
    faces that reach into it: where tiles of two levels meet, their rims overlap and leave no gaps.

    Args:
        directory: created.
        levels: of one model, the coarsest first, the full model last.
        georeference: the tiles stand on the globe (ECEF, metres) where the world frame's place is known.
        monitor: asked for cancellation.
    """
    directory.mkdir()
    low, high = levels[-1].vertices.min(axis=0), levels[-1].vertices.max(axis=0)
    side = float((high - low).max())
    root = _Tile(side)
    above: dict[_Key, _Tile] = {(0, 0, 0): root}
    above_depth = 0
    for number, level in enumerate(levels):
        depth = max(_depth(len(level.faces)), above_depth + (number > 0))
        cells = np.clip((level.vertices - low) / side * 2**depth, 0, 2**depth - 1).astype(np.int64)
        tiles = _write_level(directory, number, level, cells, monitor)
        for (x, y, z), tile in tiles.items():
            tile.error = 0.0 if level is levels[-1] else _TEXELS_OF_ERROR * _texel_size(level)
            up = depth - above_depth
            above.get((x >> up, y >> up, z >> up), root).children.append(tile)
        above, above_depth = tiles, depth
    if len(root.children) == 1:
        (root,) = root.children
    description = {
        "asset": {"version": "1.1", "generator": "E2E3D"},
        "geometricError": side,
        "root": {**_placed(georeference), **_described(root), "refine": "REPLACE"},
    }
    (directory / TILESET_NAME).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def _depth(faces: int) -> int:
    """How often the cube is halved: a surface fills four of the eight halves."""
    return max(0, int(np.ceil(np.log(faces / _TILE_FACES) / np.log(4))))


def _write_level(
    directory: Path, number: int, level: TexturedMesh, cells: NDArray[np.int64], monitor: Monitor
) -> dict[_Key, _Tile]:
    """One file for each of the vertices' cells (V, 3)."""
    excerpts = Excerpts(level)
    tiles: dict[_Key, _Tile] = {}
    for x, y, z in np.unique(cells[level.faces].reshape(-1, 3), axis=0).tolist():
        monitor.check()
        inside = (cells == (x, y, z)).all(axis=1)
        part = excerpts.of(np.flatnonzero(inside[level.faces].any(axis=1)))
        name = f"{number}_{x}_{y}_{z}.glb"
        part.save_glb(directory / name)
        tiles[x, y, z] = _Tile(0.0, name, np.array([part.vertices.min(axis=0), part.vertices.max(axis=0)]))
    return tiles


def _texel_size(mesh: TexturedMesh) -> float:
    """Side of a texel on the surface, world units, on average."""
    sizes = np.array([page.shape[1::-1] for page in mesh.pages])[mesh.face_page]
    first, second = ((mesh.uv[:, i] - mesh.uv[:, 0]) * sizes for i in (1, 2))
    texels = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum() / 2
    return float(np.sqrt(areas(mesh.vertices, mesh.faces).sum() / max(texels, 1.0)))


def _described(tile: _Tile) -> dict[str, Any]:
    """A tile and all below it. Boxes hold those of the children, as the format demands."""
    children = [_described(child) for child in tile.children]
    for child in tile.children:
        tile.bounds[0] = np.minimum(tile.bounds[0], child.bounds[0])
        tile.bounds[1] = np.maximum(tile.bounds[1], child.bounds[1])
    centre, half = tile.bounds.mean(axis=0), np.ptp(tile.bounds, axis=0) / 2
    description: dict[str, Any] = {
        "boundingVolume": {"box": [*centre.tolist(), *np.diag(half).ravel().tolist()]},
        "geometricError": tile.error,
    }
    if tile.content is not None:
        description["content"] = {"uri": tile.content}
    if children:
        description["children"] = children
    return description


def _placed(georeference: Georeference | None) -> dict[str, list[float]]:
    """The root's transform, column by column, from east, north, up to the Earth-centred frame."""
    if georeference is None:
        return {}
    longitude, latitude = np.radians([georeference.longitude, georeference.latitude])
    origin = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True).transform(
        georeference.longitude, georeference.latitude, georeference.altitude
    )
    east = [-np.sin(longitude), np.cos(longitude), 0.0]
    north = [-np.sin(latitude) * np.cos(longitude), -np.sin(latitude) * np.sin(longitude), np.cos(latitude)]
    up = [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    columns = [[*east, 0.0], [*north, 0.0], [*up, 0.0], [*origin, 1.0]]
    return {"transform": [float(value) for column in columns for value in column]}
