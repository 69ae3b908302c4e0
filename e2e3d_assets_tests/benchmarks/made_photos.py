"""A made-up flight over a made-up town, as many photos as asked for: large sets that no repository could hold.

What belongs here: the scene, the flight and the photos. Measuring is in the benchmarks. The camera flies in strips,
looks ahead and down, and each photo overlaps the next by 70 % and the strip beside it by 60 %. Exposure and noise
change from photo to photo. File names are drawn by lot, so that their order tells nothing; GPS is written if asked for.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from e2e3d_assets.reconstruction.native import thread_count
from e2e3d_assets.reconstruction.raycasting import Raycaster
from e2e3d_assets.reconstruction.stereo.views import Camera

WIDTH, HEIGHT, FOCAL = 480, 360, 420.0
_FLIGHT_HEIGHT = 26.0
_TILT_DEG = 25.0
_OVERLAP_ALONG, _OVERLAP_ACROSS = 0.7, 0.6
_TEXEL = 0.06
_TEXTURE_SIZE = 4096
_SECOND_LAYER = 0.77 * np.array([[0.6, -0.8], [0.8, 0.6]])
"""Turns and scales the texture, so that the two together never repeat: at 250 m, places far apart would look equal."""
_PLOT = 9.0
_METRES_A_DEGREE = 111_195.0
_ORIGIN_DEG = 0.01  # at zero it would read as a receiver without a fix
_FULL_FRAME_DIAGONAL_MM = 43.267


@dataclass(frozen=True)
class _Town:
    """Ground and houses as triangles, each with a tint and a place of its own in one large texture."""

    caster: Raycaster
    corners: np.ndarray
    texture_axes: np.ndarray
    tints: np.ndarray


def make_photos(count: int, folder: Path, gps: bool = False, seed: int = 0) -> None:
    """Render ``count`` JPEGs into a folder."""
    random = np.random.default_rng(seed)
    cameras = list(flight(count))
    town = _build_town(np.array([camera.centre for camera in cameras]), random)
    texture = _texture(random)
    names = random.permutation(count)
    cv2.setNumThreads(1)

    def one(index: int) -> None:
        camera = cameras[index]
        picture = _render(town, texture, camera, np.random.default_rng((seed, index)))
        Image.fromarray(picture).save(folder / f"{names[index]:05d}.jpg", quality=90, exif=_exif(camera, gps))

    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(one, range(count)))


def flight(count: int) -> Iterator[Camera]:
    """The cameras, strip after strip."""
    along = (1 - _OVERLAP_ALONG) * _FLIGHT_HEIGHT * HEIGHT / FOCAL
    across = (1 - _OVERLAP_ACROSS) * _FLIGHT_HEIGHT * WIDTH / FOCAL
    strip = max(2, round(np.sqrt(count * across / along)))
    tilt = np.radians(_TILT_DEG)
    K = np.array([[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1.0]])
    for index in range(count):
        number, step = divmod(index, strip)
        back = number % 2 == 1
        centre = np.array([across * number, along * (strip - 1 - step if back else step), _FLIGHT_HEIGHT])
        ahead = np.array([0.0, -1.0 if back else 1.0, 0.0])
        view = np.sin(tilt) * ahead - np.array([0, 0, np.cos(tilt)])
        right = np.cross(view, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(view, right), view])
        yield Camera(WIDTH, HEIGHT, K, R, -R @ centre)


def _build_town(centres: np.ndarray, random: np.random.Generator) -> _Town:
    margin = 2 * _FLIGHT_HEIGHT
    low, high = centres[:, :2].min(axis=0) - margin, centres[:, :2].max(axis=0) + margin
    quads = [np.array([(*low, 0), (high[0], low[1], 0), (*high, 0), (low[0], high[1], 0)])]
    for x in np.arange(low[0], high[0], _PLOT):
        for y in np.arange(low[1], high[1], _PLOT):
            if random.random() < 0.6:
                quads += _house(np.array([x, y]) + random.uniform(0, 2, 2), random)
    corners = np.array(quads)
    vertices = corners.reshape(-1, 3)
    faces = (4 * np.arange(len(quads))[:, None, None] + [[0, 1, 2], [0, 2, 3]]).reshape(-1, 3)
    sides = np.stack([corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]], axis=1)
    axes = sides / np.linalg.norm(sides, axis=2, keepdims=True)
    offsets = random.uniform(0, _TEXTURE_SIZE, (len(quads), 2))
    offsets[0] = 0
    tints = random.uniform(0.6, 1.0, (len(quads), 3))
    return _Town(Raycaster(vertices, faces), corners[:, 0], np.dstack([axes, offsets[:, :, None]]), tints)


def _house(corner: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    x, y = corner
    width, depth = random.uniform(3, 7, 2)
    height = random.uniform(2, 8)
    floor = [(x, y), (x + width, y), (x + width, y + depth), (x, y + depth)]
    walls = [
        np.array([(*a, 0), (*b, 0), (*b, height), (*a, height)])
        for a, b in zip(floor, [*floor[1:], floor[0]], strict=True)
    ]
    return [np.array([(*point, height) for point in floor]), *walls]


def _texture(random: np.random.Generator) -> np.ndarray:
    """(S, S) uint8: blots of all sizes, as on weathered ground."""
    total = np.zeros((_TEXTURE_SIZE, _TEXTURE_SIZE), np.float32)
    for size in (64, 256, 512, 1024, 2048):
        blots = random.normal(0, 1, (size, size)).astype(np.float32)
        total += cv2.resize(blots, total.shape, interpolation=cv2.INTER_CUBIC) * 22
    return np.clip(total + 128, 0, 255).astype(np.uint8)


def _render(town: _Town, texture: np.ndarray, camera: Camera, random: np.random.Generator) -> np.ndarray:
    hits = town.caster.hits(camera)
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.K).T @ camera.R
    quad = np.maximum(hits.face, 0) // 2
    touched = camera.centre + hits.depth[..., None] * rays - town.corners[quad]
    axes = town.texture_axes[quad]
    place = np.einsum("hwij,hwj->hwi", axes[..., :3], touched) / _TEXEL + axes[..., 3]
    place = np.where(np.isfinite(place), place, 0)
    grey = 0.7 * (_sampled(texture, place) - 128.0 + _sampled(texture, place @ _SECOND_LAYER) - 128.0) + 128.0
    light = random.uniform(0.7, 1.2)
    colour = light * grey[..., None] * town.tints[quad] + random.normal(0, 2.5, (HEIGHT, WIDTH, 1))
    return np.where(hits.face[..., None] < 0, 230, np.clip(colour, 0, 255)).astype(np.uint8)


def _sampled(texture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(H, W) grey of the texture, repeated without end, at (H, W, 2) places in texels."""
    x, y = np.moveaxis((place % _TEXTURE_SIZE).astype(np.float32), -1, 0)
    return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _exif(camera: Camera, gps: bool) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Made", "Drone"
    diagonal = np.hypot(WIDTH, HEIGHT)
    exif.get_ifd(0x8769)[0xA405] = round(FOCAL * _FULL_FRAME_DIAGONAL_MM / diagonal)
    if gps:
        x, y, z = camera.centre
        north, east = _ORIGIN_DEG + y / _METRES_A_DEGREE, _ORIGIN_DEG + x / _METRES_A_DEGREE
        exif.get_ifd(0x8825).update({1: "N", 2: (0.0, 0.0, 3600 * north), 3: "E", 4: (0.0, 0.0, 3600 * east), 6: z})
    return exif
