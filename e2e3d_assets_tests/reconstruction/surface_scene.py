"""Two small scenes with exact truth for the surface stages, with the workspace and the dense cloud that earlier stages
would have written: a bumpy textured ball and a box on a floor, photographed from a ring of cameras, and an open yard
with a wall, a railing and a stem before a blank sky, photographed from one side.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import trimesh
from numpy.typing import NDArray

from e2e3d_assets.reconstruction.raycasting import Raycaster, orbit_camera
from e2e3d_assets.reconstruction.stereo.formats import map_path, write_map
from e2e3d_assets.reconstruction.stereo.ply import POINT, PlyWriter
from e2e3d_assets.reconstruction.stereo.views import Camera

CENTER = np.array([0.0, 0.0, 0.35])
BACKGROUND = 90


def truth() -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices and faces of the ball (radius 0.5), the box and the floor they stand on."""
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.5)
    ball.vertices *= 1 + 0.06 * np.sin(7 * ball.vertices[:, :1]) * np.sin(6 * ball.vertices[:, 1:2])
    ball.apply_translation([0, 0, 0.45])
    box = trimesh.creation.box([0.3, 0.3, 0.3]).apply_translation([0.75, 0.1, 0.15])
    floor = trimesh.creation.box([2.4, 2.4, 0.02]).apply_translation([0, 0, -0.01])
    whole = trimesh.util.concatenate([ball, box, floor])
    return np.asarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int32)


def yard() -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices and faces: ground, a wall with a gap, a railing in front of both, and a stem that rises into the sky."""
    boxes = [
        ([2.4, 1.8, 0.02], [0, 0, -0.01]),
        ([1.2, 0.1, 0.8], [-0.6, 0.7, 0.4]),
        ([0.6, 0.1, 0.8], [0.9, 0.7, 0.4]),
        ([0.3, 0.3, 0.3], [-0.7, -0.1, 0.15]),
    ]
    rails = [[(-0.5, 0.3, height), (0.9, 0.3, height)] for height in (0.1, 0.55)]
    bars = [[(x, 0.3, 0.0), (x, 0.3, 0.55)] for x in YARD_BARS]
    parts = [trimesh.creation.box(extents).apply_translation(middle) for extents, middle in boxes]
    parts += [trimesh.creation.cylinder(YARD_RADIUS, segment=segment, sections=12) for segment in rails + bars]
    parts.append(trimesh.creation.cylinder(YARD_RADIUS, segment=YARD_STEM, sections=12))
    whole = trimesh.util.concatenate(parts)
    return np.asarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int32)


YARD_BARS = np.linspace(-0.5, 0.9, 8)
YARD_STEM = [(-0.7, -0.1, 0.3), (-0.6, -0.1, 1.3)]
YARD_RADIUS = 0.014


def arc(count: int, width: int = 480, height: int = 360) -> list[Camera]:
    """Cameras before the yard, alternately low and high."""
    cameras = []
    for index in range(count):
        azimuth, elevation = np.radians(-130 + 80 * index / (count - 1)), np.radians(20 if index % 2 else 35)
        direction = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
        cameras.append(orbit_camera(CENTER, 1.0, np.array(direction), width, height))
    return cameras


def paint_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB 0…255 (N, 3) of places: smooth, of several scales, different everywhere."""
    x, y, z = (points * 9).T
    red = np.sin(x + 2 * np.sin(y)) + 0.5 * np.sin(5 * z + x)
    green = np.sin(y * 1.3 + np.sin(2 * z)) + 0.5 * np.sin(4 * x - y)
    blue = np.sin(z * 1.7 + x) + 0.5 * np.sin(5 * y + z)
    return 128 + 55 * np.stack([red, green, blue], axis=1)


def ring(count: int, width: int = 320, height: int = 240) -> list[Camera]:
    """Cameras around the scene, alternately low and high."""
    cameras = []
    for index in range(count):
        azimuth, elevation = 2 * np.pi * index / count, np.radians(25 if index % 2 else 50)
        direction = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
        cameras.append(orbit_camera(CENTER, 0.9, np.array(direction), width, height))
    return cameras


class Scene:
    """The truth and its photos.

    Args:
        cameras: from where it is photographed.
        mesh: vertices and faces; the ball, box and floor if not given.
    """

    def __init__(
        self, cameras: Sequence[Camera], mesh: tuple[NDArray[np.float64], NDArray[np.int32]] | None = None
    ) -> None:
        self.cameras = list(cameras)
        self.vertices, self.faces = mesh or truth()
        self._raycaster = Raycaster(self.vertices, self.faces)
        corners = self.vertices[self.faces]
        self._normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self._normals /= np.linalg.norm(self._normals, axis=1, keepdims=True)

    def surface(self, camera: Camera) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        """Mask (h, w) of what a camera sees, and places and outward normals of the pixels in it."""
        hits = self._raycaster.hits(camera)
        here = hits.face >= 0
        y, x = np.nonzero(here)
        rays = np.stack([x, y, np.ones_like(x)], axis=1) @ np.linalg.inv(camera.K).T @ camera.R
        return here, camera.centre + rays * hits.depth[here][:, None], self._normals[hits.face[here]]

    def photo(self, camera: Camera) -> NDArray[np.uint8]:
        """(h, w, 3) sRGB, nine rays a pixel."""
        here, places, _ = self.surface(camera.resized(camera.width * 3, camera.height * 3))
        picture = np.full((*here.shape, 3), float(BACKGROUND))
        picture[here] = paint_of(places)
        return cv2.resize(picture, (camera.width, camera.height), interpolation=cv2.INTER_AREA).astype(np.uint8)

    def write_workspace(self, root: Path, factors: Sequence[float] | None = None) -> Path:
        """``undistorted_photos``: images/ (PNG, so that nothing but the stage adds errors) and sparse/."""
        (root / "images").mkdir(parents=True)
        (root / "sparse").mkdir()
        model = pycolmap.Reconstruction()
        points = self.vertices[:: max(1, len(self.vertices) // 100)]
        for index, camera in enumerate(self.cameras):
            params = [camera.K[0, 0], camera.K[1, 1], camera.K[0, 2] + 0.5, camera.K[1, 2] + 0.5]
            model.add_camera_with_trivial_rig(
                pycolmap.Camera(
                    model="PINHOLE", width=camera.width, height=camera.height, params=params, camera_id=index + 1
                )
            )
            image = pycolmap.Image(name=f"photo_{index:02}.png", camera_id=index + 1, image_id=index + 1)
            image.points2D = pycolmap.Point2DList([pycolmap.Point2D(np.array([1.0, 1.0])) for _ in points])
            pose = pycolmap.Rigid3d(pycolmap.Rotation3d(camera.R), camera.t)
            model.add_image_with_trivial_frame(image, pose)
            factor = factors[index] if factors else 1.0
            picture = np.clip(self.photo(camera) * factor, 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / "images" / image.name), picture[..., ::-1])
        for index, point in enumerate(points):
            track = pycolmap.Track()
            for image_id in model.images:
                track.add_element(image_id, index)
            model.add_point3D(point, track, np.zeros(3, np.uint8))
        model.write(root / "sparse")
        return root

    def write_depth_maps(self, root: Path) -> Path:
        """``depth_maps`` at half size, exact; 0 on the background."""
        for index, camera in enumerate(self.cameras):
            depth = self._raycaster.hits(camera.limited(camera.width // 2)).depth
            write_map(map_path(root, "depth", f"photo_{index:02}.png"), np.where(np.isfinite(depth), depth, 0))
        return root

    def write_cloud(self, root: Path, noise: float = 0.002) -> Path:
        """``dense_cloud``: what the cameras see, with noise, a few floaters in front, and nothing else."""
        root.mkdir(parents=True)
        random = np.random.default_rng(1)
        with PlyWriter(root / "dense_cloud.ply") as writer:
            for camera in self.cameras:
                _, places, normals = self.surface(camera.limited(camera.width // 2))
                floating = random.random(len(places)) < 0.001
                places = places + random.normal(0, noise, places.shape)
                places[floating] += (camera.centre - places[floating]) * random.uniform(0, 0.5, (floating.sum(), 1))
                points = np.zeros(len(places), POINT)
                for axis, name in enumerate("xyz"):
                    points[name], points[f"n{name}"] = places[:, axis], normals[:, axis]
                for channel, name in enumerate(("red", "green", "blue")):
                    points[name] = paint_of(places)[:, channel].clip(0, 255)
                points["confidence"], points["views"] = 1, 3
                writer.write(points)
        return root
