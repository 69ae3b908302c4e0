"""Which photo sees which face, how well, and in what colour.

What belongs here: one pass over the photos at half size, which leaves a short record for each pair of face and photo.
What does not: deciding between photos (:mod:`.selection`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..raycasting import Raycaster
from ..sampling import sampled
from ..stereo.photos import read_mask
from ..stereo.views import Camera

_DEPTH_MAP_SIZE = 1000  # longer side, for what stands close in front
_OCCLUDER_MARGIN = 2  # pixels of that map
_IN_FRONT = 0.01  # relative depth from which something counts as standing in front
_FRAME_MARGIN = 2.0  # pixels of the photo that no face may come near
_GRAZING_COSINE = 0.15
_NEAR_OCCLUDER_FACTOR = 0.15  # of the quality: the surface's silhouette is never exact
_SAMPLES = np.array([[4, 1, 1], [1, 4, 1], [1, 1, 4], [2, 2, 2]]) / 6  # inside a face


@dataclass(frozen=True)
class Observations:
    """Pairs of face and photo, grouped by face.

    Attributes:
        begins: (F + 1,) int64, where each face's pairs begin.
        photo: (N,) int32, ascending within each face.
        quality: (N,) float32, pixels that the face covers in the photo, less where it is seen badly.
        color: (N, 3) float32, mean sRGB 0…255.
        detail: (N,) float32, mean gradient in grey levels a pixel.
    """

    begins: NDArray[np.int64]
    photo: NDArray[np.int32]
    quality: NDArray[np.float32]
    color: NDArray[np.float32]
    detail: NDArray[np.float32]

    @property
    def face(self) -> NDArray[np.int64]:
        """(N,) the face of each pair."""
        return np.repeat(np.arange(len(self.begins) - 1), np.diff(self.begins))

    def find(self, face: NDArray[np.int64], photo: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where pairs (n,) of face and photo are, and whether they are there."""
        width = int(self.photo.max(initial=0)) + 1
        keys = self.face * width + self.photo  # ascending
        wanted = face * width + photo
        index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return index, (keys[index] == wanted) & (photo < width)


def ranges(begins: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """begins[0], begins[0] + 1, … (counts[0] numbers), begins[1], …"""
    return np.repeat(begins - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def projected(camera: Camera, vertices: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel coordinates (V, 2), integers at pixel centres, and depths (V,)."""
    homogeneous = (vertices @ camera.R.T + camera.t) @ camera.K.T
    depth = homogeneous[:, 2]
    return homogeneous[:, :2] / np.where(depth > 0, depth, np.nan)[:, None], depth


def observe(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    cameras: Sequence[Camera],
    undistorted: Path,
    names: Sequence[str],
    progress: Callable[[int], None],
) -> Observations:
    """Look at every face from every photo.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        cameras: of the photos, at their full size.
        undistorted: where the photos and their masks lie; masked pixels show no face.
        names: of the photos.
        progress: called with the number of photos done.
    """
    raycaster = Raycaster(vertices, faces)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    clearance = 0.5 * float(np.median(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)))
    parts = []
    for index, (camera, name) in enumerate(zip(cameras, names, strict=True)):
        progress(index)
        face, quality = _seen(raycaster, vertices, faces, normals, camera, clearance)
        unmasked = _unmasked(read_mask(undistorted, name, camera), camera, vertices, faces[face])
        face, quality = face[unmasked], quality[unmasked]
        color, detail = _looks(undistorted / "images" / name, camera, vertices, faces[face])
        parts.append((face, np.full(len(face), index, np.int32), quality, color, detail))
    progress(len(names))
    face, photo, quality, color, detail = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(face, kind="stable")
    begins = np.searchsorted(face[order], np.arange(len(faces) + 1))
    return Observations(begins, photo[order], quality[order], color[order], detail[order])


def _seen(
    raycaster: Raycaster,
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    normals: NDArray[np.float64],
    camera: Camera,
    clearance: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Faces that a camera sees whole, and how well."""
    pixels, depth = projected(camera, vertices)
    last = np.array([camera.width, camera.height]) - 1 - _FRAME_MARGIN
    with np.errstate(invalid="ignore"):
        inside = (depth > 0) & (pixels >= _FRAME_MARGIN).all(axis=1) & (pixels <= last).all(axis=1)
    towards = camera.centre - vertices[faces[:, 0]]
    lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(towards, axis=1)
    cosine = (normals * towards).sum(axis=1) / np.maximum(lengths, 1e-30)
    candidates = np.flatnonzero(inside[faces].all(axis=1) & (cosine > _GRAZING_COSINE))
    wanted = np.unique(faces[candidates])
    free = np.zeros(len(vertices), bool)
    free[wanted] = raycaster.sees(camera.centre, vertices[wanted], clearance)
    face = candidates[free[faces[candidates]].all(axis=1)]
    corners = pixels[faces[face]]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    hidden = _near_occluder(raycaster, camera, corners.mean(axis=1), depth[faces[face]].mean(axis=1))
    quality = np.maximum(area, 1e-3) * np.where(hidden, _NEAR_OCCLUDER_FACTOR, 1.0)
    return face, quality.astype(np.float32)


def _near_occluder(
    raycaster: Raycaster, camera: Camera, pixels: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether something stands in front of the points (N,) or close beside them in the picture."""
    small = camera.limited(_DEPTH_MAP_SIZE)
    size = 2 * _OCCLUDER_MARGIN + 1
    nearest = cv2.erode(raycaster.hits(small).depth, np.ones((size, size), np.uint8))
    scale = small.width / camera.width
    x = np.clip(np.rint((pixels[:, 0] + 0.5) * scale - 0.5).astype(int), 0, small.width - 1)
    y = np.clip(np.rint((pixels[:, 1] + 0.5) * scale - 0.5).astype(int), 0, small.height - 1)
    # A surface seen at a slant is itself nearer a few pixels on: its own slope must not count.
    return nearest[y, x] < depth * (1 - _IN_FRONT)


def _unmasked(
    mask: NDArray[np.bool_], camera: Camera, vertices: NDArray[np.float64], faces: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Which faces (N, 3), all inside the photo, have every corner where the photo is not masked."""
    if mask.all():
        return np.ones(len(faces), bool)
    pixels = np.rint(np.nan_to_num(projected(camera, vertices)[0][faces])).astype(np.int64)
    return np.logical_and.reduce(mask[pixels[..., 1], pixels[..., 0]], axis=1)


def _looks(
    path: Path, camera: Camera, vertices: NDArray[np.float64], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean colours (N, 3) and mean gradients (N,) of faces in a photo at half size."""
    photo = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2)
    if photo is None:
        raise BadInput("A photo cannot be read", "Repeat the stage that undistorts the photos", [path.name])
    photo = np.ascontiguousarray(photo[..., ::-1])
    small = camera.resized(photo.shape[1], photo.shape[0])
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    gradient = cv2.magnitude(cv2.Scharr(grey, cv2.CV_32F, 1, 0), cv2.Scharr(grey, cv2.CV_32F, 0, 1)) / 32
    pixels, _ = projected(small, vertices)
    corners = pixels[faces].astype(np.float32)
    color = np.zeros((len(faces), 3), np.float32)
    detail = np.zeros(len(faces), np.float32)
    for weights in _SAMPLES.astype(np.float32):
        at = np.einsum("nck,c->nk", corners, weights)
        color += sampled(photo, at)
        detail += sampled(gradient, at)[:, 0]
    count = np.float32(len(_SAMPLES))
    return color / count, detail / count
