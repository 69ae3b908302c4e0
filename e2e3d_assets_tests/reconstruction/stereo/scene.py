"""A small made-up scene with exact depth: a textured ball on a square table under a blank sky.

World frame z up, the table's top at z = 0. Photos are ray-traced exactly; the texture is random, with a fixed seed.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from e2e3d_assets.reconstruction.stereo.views import Camera

RADIUS = 0.5
TABLE = 1.5  # half its side
SKY = 200
_WAVES = 60
_SAMPLED_PER_PHOTO = 200


@dataclass(frozen=True)
class Rendering:
    """One ray-traced photo.

    Attributes:
        camera: its camera.
        photo: (height, width, 3) uint8.
        depth: (height, width), 0 in the sky.
        normal: (height, width, 3), camera frame.
    """

    camera: Camera
    photo: NDArray[np.uint8]
    depth: NDArray[np.float64]
    normal: NDArray[np.float64]


def ring_camera(angle_deg: float, width: int = 160, height: int = 120, distance: float = 3.0) -> Camera:
    """A camera around the ball, looking down at it by about 25 degrees."""
    angle = np.radians(angle_deg)
    centre = distance * np.array([np.cos(angle), np.sin(angle), 0.47])
    forward = (np.array([0, 0, 0.25]) - centre) / np.linalg.norm(np.array([0, 0, 0.25]) - centre)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    K = np.array([[1.2 * width, 0, width / 2 - 0.5], [0, 1.2 * width, height / 2 - 0.5], [0, 0, 1.0]])
    return Camera(width, height, K, R, -R @ centre)


def render(camera: Camera, brightness: float = 1.0) -> Rendering:
    """Ray-trace one photo."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.K).T @ camera.R
    centre = camera.centre
    with np.errstate(divide="ignore", invalid="ignore"):
        table = -centre[2] / rays[..., 2]
        touched = centre + table[..., None] * rays
        table = np.where((table > 0) & (np.abs(touched[..., :2]) < TABLE).all(-1), table, np.inf)
        offset = centre - np.array([0, 0, RADIUS])
        a, b, c = (rays**2).sum(-1), 2 * rays @ offset, offset @ offset - RADIUS**2
        ball = (-b - np.sqrt(b * b - 4 * a * c)) / (2 * a)
    ball = np.where(np.isnan(ball), np.inf, ball)
    depth = np.minimum(table, ball)
    hit = np.isfinite(depth)
    points = centre + np.where(hit, depth, 0)[..., None] * rays
    normal = np.where((ball < table)[..., None], (points - [0, 0, RADIUS]) / RADIUS, [0, 0, 1.0])
    photo = np.where(hit[..., None], brightness * _texture(points), SKY)
    return Rendering(
        camera, np.clip(photo, 0, 255).astype(np.uint8), np.where(hit, depth, 0), (normal @ camera.R.T) * hit[..., None]
    )


def _texture(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Many random waves, 30…250 mm long: no two places look alike."""
    rng = np.random.default_rng(7)
    directions = rng.normal(size=(_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    waves = directions * (2 * np.pi / np.geomspace(0.03, 0.25, _WAVES))[:, None]
    values = np.sin(points @ waves.T + rng.uniform(0, 2 * np.pi, _WAVES))
    return 110 + 22 * (values @ rng.normal(size=(_WAVES, 3)) / np.sqrt(_WAVES / 8))


def write_workspace(folder: Path, renderings: list[Rendering], points: int = _SAMPLED_PER_PHOTO) -> Path:
    """Write an undistorted COLMAP workspace: photos and a sparse model with exact points."""
    (folder / "images").mkdir(parents=True)
    (folder / "sparse").mkdir()
    model = pycolmap.Reconstruction()
    first = renderings[0].camera
    K = first.K
    camera = pycolmap.Camera(
        model="PINHOLE",
        width=first.width,
        height=first.height,
        params=[K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5],
        camera_id=1,
    )
    model.add_camera_with_trivial_rig(camera)
    world = np.concatenate([_surface_points(r, points, seed) for seed, r in enumerate(renderings)])
    tracks = [pycolmap.Track() for _ in world]
    for i, rendering in enumerate(renderings):
        pixels, seen = _observed(rendering, world)
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rendering.camera.R), rendering.camera.t)
        name = f"{i:03d}.png"
        image = pycolmap.Image(name=name, keypoints=pixels[seen] + 0.5, camera_id=1, image_id=i + 1)
        model.add_image_with_trivial_frame(image, pose)
        for index, point in enumerate(seen):
            tracks[point].add_element(i + 1, index)
        cv2.imwrite(str(folder / "images" / name), cv2.cvtColor(rendering.photo, cv2.COLOR_RGB2BGR))
    for xyz, track in zip(world, tracks, strict=True):
        if track.length() >= 2:
            model.add_point3D(xyz, track, np.zeros(3, np.uint8))
    model.write_binary(folder / "sparse")
    return folder


def _surface_points(rendering: Rendering, count: int, seed: int) -> NDArray[np.float64]:
    camera = rendering.camera
    rows, columns = np.nonzero(rendering.depth > 0)
    picked = np.random.default_rng(seed).permutation(len(rows))[:count]
    rows, columns = rows[picked], columns[picked]
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(camera.K).T
    return (rays * rendering.depth[rows, columns, None] - camera.t) @ camera.R


def _observed(rendering: Rendering, world: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    camera = rendering.camera
    local = world @ camera.R.T + camera.t
    pixels = local @ camera.K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    nearest = np.round(pixels).astype(int)
    inside = (local[:, 2] > 0) & (nearest >= 0).all(1) & (nearest < [camera.width, camera.height]).all(1)
    depth = np.zeros(len(world))
    depth[inside] = rendering.depth[nearest[inside, 1], nearest[inside, 0]]
    return pixels, np.flatnonzero(np.abs(depth - local[:, 2]) < 0.02 * local[:, 2])
