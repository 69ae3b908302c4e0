"""360° panoramas of a room with papered walls, ray-traced from exact places."""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOM = np.array([4.0, 3.0, 1.3])
"""Half the room's length, width and height."""


def panorama(centre: NDArray[np.float64], heading_deg: float, height: int = 512) -> Image.Image:
    """What a panoramic camera at ``centre`` sees, the horizon level, x at its middle where heading is 0."""
    rows, columns = np.mgrid[0:height, 0 : 2 * height] + 0.5
    yaw = (columns / (2 * height) - 0.5) * 2 * np.pi - np.radians(heading_deg)
    pitch = (0.5 - rows / height) * np.pi
    rays = np.stack([np.cos(pitch) * np.cos(yaw), -np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=-1)
    with np.errstate(divide="ignore"):
        reach = np.where(rays > 0, (ROOM - centre) / rays, (-ROOM - centre) / rays)
    wall = np.argmin(reach, axis=-1)
    hit = centre + np.take_along_axis(reach, wall[..., None], axis=-1) * rays
    picture = np.zeros((height, 2 * height, 3), np.uint8)
    for axis in range(3):
        for side in (0, 1):
            here = (wall == axis) & ((np.take_along_axis(rays, wall[..., None], axis=-1)[..., 0] > 0) == bool(side))
            paper = _paper(2 * axis + side)
            across, along = (hit[here][:, other] for other in range(3) if other != axis)
            scale = paper.shape[0] / 9.0
            picture[here] = paper[((across + 4.4) * scale).astype(int), ((along + 4.4) * scale).astype(int)]
    return Image.fromarray(picture)


@functools.cache
def _paper(seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    layers = []
    for cells in (16, 48, 140):
        noise = Image.fromarray(random.integers(0, 255, (cells, cells, 3), dtype=np.uint8))
        layers.append(np.asarray(noise.resize((1200, 1200), Image.Resampling.BICUBIC), float))
    return np.mean(layers, axis=0).astype(np.uint8)


def fisheye(centre: NDArray[np.float64], heading_deg: float, focal: float, width: int, height: int) -> Image.Image:
    """What a fisheye lens (equidistant, ``focal`` pixels to the radian) sees there, looking along the horizon."""
    around = np.asarray(panorama(centre, heading_deg, 1200))
    across, down = np.meshgrid(
        (np.arange(width) + 0.5 - width / 2) / focal, (np.arange(height) + 0.5 - height / 2) / focal
    )
    off_axis = np.hypot(across, down)
    bend = np.sinc(off_axis / np.pi)
    x, y, z = across * bend, down * bend, np.cos(off_axis)
    columns = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * around.shape[1] - 0.5
    rows = (np.arctan2(y, np.hypot(x, z)) / np.pi + 0.5) * around.shape[0] - 0.5
    return Image.fromarray(cv2.remap(around, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_CUBIC))
