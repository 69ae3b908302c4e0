"""Rays against triangles without a graphics card: what a camera sees of a mesh, and pictures of it.

What belongs here: visibility and rendering with Embree (open3d's RaycastingScene). What does not: choosing photos or
viewpoints for a purpose of its own (:mod:`viewpoints`, :mod:`texturing`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from .native import thread_count
from .sampling import sampled
from .stereo.views import Camera
from .textured_mesh import TexturedMesh

BACKGROUND = (255, 255, 255)
_NO_FACE = -1
_TURNTABLE_FOV_DEG = 40.0
_TURNTABLE_MARGIN = 1.15


@dataclass(frozen=True)
class Hits:
    """The first surface behind each pixel.

    Attributes:
        face: (h, w) int64, -1 where there is none.
        depth: (h, w) float32, z in the camera frame, infinite where there is none.
        barycentric: (h, w, 2) float32, weights of the face's second and third corner.
    """

    face: NDArray[np.int64]
    depth: NDArray[np.float32]
    barycentric: NDArray[np.float32]


class Raycaster:
    """A mesh that rays can be shot at.

    Coordinates are centred before Embree's float32 arithmetic, so that a far-away world origin costs no precision.

    Args:
        vertices: (V, 3), world frame.
        faces: (F, 3).
    """

    def __init__(self, vertices: NDArray, faces: NDArray) -> None:
        self._center = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        self._scene = o3d.t.geometry.RaycastingScene(thread_count())
        self._scene.add_triangles(
            o3d.core.Tensor.from_numpy(np.ascontiguousarray(vertices - self._center, np.float32)),
            o3d.core.Tensor.from_numpy(np.ascontiguousarray(faces, np.uint32)),
        )

    def hits(self, camera: Camera) -> Hits:
        """What each pixel of a camera sees."""
        x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
        directions = pixels @ np.linalg.inv(camera.K).T @ camera.R  # z of the camera frame is 1: t_hit is the depth
        rays = np.empty((*x.shape, 6), np.float32)
        rays[..., :3] = camera.centre - self._center
        rays[..., 3:] = directions
        found = self._scene.cast_rays(o3d.core.Tensor.from_numpy(rays))
        face = found["primitive_ids"].numpy().astype(np.int64)
        depth = found["t_hit"].numpy()
        return Hits(np.where(np.isfinite(depth), face, _NO_FACE), depth, found["primitive_uvs"].numpy())

    def sees(self, eye: NDArray, points: NDArray, clearance: NDArray | float) -> NDArray[np.bool_]:
        """Whether nothing stands between an eye (3,) and each of some points (N, 3).

        Args:
            eye: world frame.
            points: world frame.
            clearance: how far before a point the search ends, world units; keeps surface points from hiding
                themselves.
        """
        way = points - eye
        length = np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
        rays = np.empty((len(points), 6), np.float32)
        rays[:, :3] = eye - self._center
        rays[:, 3:] = way * (1 - np.minimum(np.reshape(clearance, (-1, 1)) / length, 1))
        return ~self._scene.test_occlusions(o3d.core.Tensor.from_numpy(rays), tfar=1.0).numpy()


def render(mesh: TexturedMesh, camera: Camera, supersample: int = 2) -> NDArray[np.uint8]:
    """The textured mesh as a camera sees it: (h, w, 3) sRGB, white where there is nothing."""
    return TexturedRenderer(mesh).picture(camera, supersample)


class TexturedRenderer:
    """Renders one textured mesh several times.

    Args:
        mesh: what to show.
    """

    def __init__(self, mesh: TexturedMesh) -> None:
        self._mesh = mesh
        self._raycaster = Raycaster(mesh.vertices, mesh.faces)

    def picture(self, camera: Camera, supersample: int = 2) -> NDArray[np.uint8]:
        """(h, w, 3) sRGB, white where there is nothing.

        Args:
            camera: from where.
            supersample: rays along a pixel's side.
        """
        mesh = self._mesh
        hits = self._raycaster.hits(camera.resized(camera.width * supersample, camera.height * supersample))
        picture = np.full((*hits.face.shape, 3), BACKGROUND, np.uint8)
        for page, texture in enumerate(mesh.pages):
            here = hits.face >= 0
            here[here] = mesh.face_page[hits.face[here]] == page
            if not here.any():
                continue
            uv = _interpolated(mesh.uv[hits.face[here]], hits.barycentric[here])
            size = np.array([texture.shape[1], texture.shape[0]])
            picture[here] = sampled(texture, uv * size - 0.5) + 0.5
        return cv2.resize(picture, (camera.width, camera.height), interpolation=cv2.INTER_AREA)  # pyright: ignore


def render_shaded(
    vertices: NDArray, faces: NDArray, camera: Camera, colors: NDArray | None = None, supersample: int = 2
) -> NDArray[np.uint8]:
    """Shape under a light from the camera: (h, w, 3), white where there is nothing; back sides are reddish.

    Args:
        vertices: (V, 3), world frame.
        faces: (F, 3).
        camera: from where.
        colors: (V, 3) uint8 of the vertices; grey if not given.
        supersample: rays along a pixel's side.
    """
    hits = Raycaster(vertices, faces).hits(camera.resized(camera.width * supersample, camera.height * supersample))
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    here = hits.face >= 0
    face = hits.face[here]
    y, x = np.nonzero(here)
    rays = (
        np.stack([x, y, np.ones_like(x)], axis=1)
        @ np.linalg.inv(camera.resized(hits.face.shape[1], hits.face.shape[0]).K).T
        @ camera.R
    )
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    facing = -(normals[face] * rays).sum(axis=1)
    light = 0.25 + 0.75 * np.abs(facing)
    if colors is None:
        base = np.where(facing[:, None] > 0, [205.0, 208.0, 212.0], [200.0, 120.0, 110.0])
    else:
        base = _interpolated(colors[faces[face]].astype(np.float32), hits.barycentric[here])
    picture = np.full((*hits.face.shape, 3), BACKGROUND, np.uint8)
    picture[here] = np.clip(base * light[:, None], 0, 255)
    return cv2.resize(picture, (camera.width, camera.height), interpolation=cv2.INTER_AREA)  # pyright: ignore


def orbit_camera(
    center: NDArray, radius: float, direction: NDArray, width: int, height: int, fov_deg: float = _TURNTABLE_FOV_DEG
) -> Camera:
    """A camera that sees a ball whole, z up in the picture.

    Args:
        center: (3,) of the ball.
        radius: of the ball.
        direction: (3,) from the centre to the camera, not vertical.
        width: pixels.
        height: pixels.
        fov_deg: across the shorter side.
    """
    direction = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    forward = -direction
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    eye = center + direction * radius * _TURNTABLE_MARGIN / np.sin(np.radians(fov_deg / 2))
    focal = min(width, height) / 2 / np.tan(np.radians(fov_deg / 2))
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return Camera(width, height, K, R, -R @ eye)


def turntable_cameras(
    center: NDArray, radius: float, azimuths: NDArray, elevation: float, width: int, height: int
) -> list[Camera]:
    """Cameras around a ball, one for each azimuth (radians), all at one elevation (radians)."""
    directions = [(np.cos(a) * np.cos(elevation), np.sin(a) * np.cos(elevation), np.sin(elevation)) for a in azimuths]
    return [orbit_camera(center, radius, np.array(direction), width, height) for direction in directions]


def _interpolated(corners: NDArray, barycentric: NDArray) -> NDArray:
    """Values (N, k) inside triangles from those at their corners (N, 3, k)."""
    second, third = barycentric[:, :1], barycentric[:, 1:]
    return corners[:, 0] * (1 - second - third) + corners[:, 1] * second + corners[:, 2] * third
