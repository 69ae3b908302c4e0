"""Small pictures of depth maps and clouds for people.

What belongs here: pictures. What does not: numbers.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .ply import read_in_pieces
from .views import Camera

_MOST_BYTES = 30_000
_MOST_TILES = 24
_SHEET_WIDTH = 900
_RENDER_WIDTH = 640
_PIECE = 250_000
_BACKGROUND = 245


def contact_sheet(maps: Sequence[tuple[str, NDArray[np.float32]]], path: Path) -> None:
    """Depth maps side by side, near red and far blue, unknown black."""
    step = max(1, -(-len(maps) // _MOST_TILES))
    maps = maps[::step]
    columns = max(1, min(len(maps), 6 if len(maps) > 8 else 4))
    width = _SHEET_WIDTH // columns
    tiles = [_coloured(depth, width) for _, depth in maps]
    height = max(tile.shape[0] for tile in tiles)
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * height, i % columns * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    write_jpeg(sheet, path)


def _coloured(depth: NDArray[np.float32], width: int) -> NDArray[np.uint8]:
    rows = np.linspace(0, depth.shape[0] - 1, max(1, round(width * depth.shape[0] / depth.shape[1]))).astype(np.int64)
    small = depth[np.ix_(rows, np.linspace(0, depth.shape[1] - 1, width).astype(np.int64))]
    known = small > 0
    if not known.any():
        return np.zeros((*small.shape, 3), np.uint8)
    inverse = 1 / np.where(known, small, 1)
    far, near = np.percentile(inverse[known], [2, 98])
    grey = np.clip(255 * (inverse - far) / max(near - far, 1e-12), 0, 255).astype(np.uint8)
    return np.where(known[..., None], cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), 0).astype(np.uint8)


def rendered_cloud(cloud: Path, camera: Camera, path: Path) -> None:
    """The cloud as one photo's camera sees it, a pixel or more for each point."""
    height = max(1, round(_RENDER_WIDTH * camera.height / camera.width))
    camera = camera.resized(_RENDER_WIDTH, height)
    nearest = np.full(_RENDER_WIDTH * height, np.inf, np.float32)
    picture = np.full((_RENDER_WIDTH * height, 3), _BACKGROUND, np.uint8)
    for chunk in read_in_pieces(cloud, _PIECE):
        xyz = np.stack([chunk["x"], chunk["y"], chunk["z"]], 1).astype(np.float64) @ camera.R.T + camera.t
        xyz = xyz @ camera.K.T
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = np.round(xyz[:, :2].T / xyz[:, 2])
        inside = (xyz[:, 2] > 0) & (u >= 0) & (v >= 0) & (u < _RENDER_WIDTH) & (v < height)
        at = (v[inside] * _RENDER_WIDTH + u[inside]).astype(np.int64)
        order = np.argsort(-xyz[inside, 2], kind="stable")  # nearest last: it stays
        at, depth = at[order], xyz[inside, 2][order].astype(np.float32)
        colours = np.stack([chunk["blue"], chunk["green"], chunk["red"]], 1)[inside][order]
        visible = depth <= nearest[at]
        picture[at[visible]] = colours[visible]
        np.minimum.at(nearest, at, depth)
    write_jpeg(picture.reshape(height, _RENDER_WIDTH, 3), path)


def write_jpeg(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a BGR picture in the best quality that stays within the size shown in a page."""
    for quality in range(85, 0, -10):
        _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(encoded) <= _MOST_BYTES or quality <= 15:
            path.write_bytes(encoded.tobytes())
            return
