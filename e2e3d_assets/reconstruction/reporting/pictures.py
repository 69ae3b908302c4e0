"""Pictures of the report: small photos, depth maps beside their photos, and the model from four sides.

What belongs here: from products to small pictures, one photo in memory at a time.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from ..raycasting import TexturedRenderer, render_shaded
from ..stereo.formats import map_path, read_map
from ..stereo.views import Camera
from ..textured_mesh import TexturedMesh
from ..viewpoints import Focus, film_azimuths, turntable_azimuths
from .progress import Tick

TURNTABLE_VIEWS = 4
_TURNTABLE_SIZE = (640, 520)
_FILM_SIZE, _FILM_SECONDS, _FILM_QUALITY = (480, 390), 6, 72
_THUMBNAIL, _SAMPLE = 112, 420
_SAMPLES = 4
_JPEG_QUALITY = 82
COVERAGE_COLORS = ((0, "#8a8f98"), (1, "#d7301f"), (2, "#fc8d59"), (3, "#fee08b"), (4, "#a6d96a"), (6, "#1a9850"))
"""(at least so many photos, colour)."""


def data_uri(picture: Image.Image) -> str:
    """A picture that can stand in a page."""
    data = io.BytesIO()
    picture.convert("RGB").save(data, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def small_photo(path: Path, long_side: int = _THUMBNAIL) -> Image.Image:
    """A photo no larger than ``long_side``."""
    with Image.open(path) as photo:
        photo.draft("RGB", (long_side, long_side))
        small = photo.convert("RGB")
    small.thumbnail((long_side, long_side), Image.Resampling.LANCZOS)
    return small


def viewing_cameras(focus: Focus) -> list[Camera]:
    """Cameras on the sides that were photographed."""
    azimuths = turntable_azimuths(focus.azimuths, focus.best_azimuth, TURNTABLE_VIEWS)
    return [focus.camera(azimuth, *_TURNTABLE_SIZE) for azimuth in azimuths]


def film_cameras(focus: Focus, frames: int) -> list[Camera]:
    """Cameras of the turntable's film."""
    azimuths = film_azimuths(focus.azimuths, focus.best_azimuth, frames)
    return [focus.camera(azimuth, *_FILM_SIZE) for azimuth in azimuths]


def save_film(frames: Sequence[Image.Image], path: Path) -> None:
    """Write an endless animated WebP, and beside it an MP4 for programs that take no WebP.

    The MP4 holds VP9, which every current browser plays and OpenCV can write: free encoders of H.264 are under the
    GPL. Where OpenCV was built without VP9 there is no MP4.
    """
    duration = round(_FILM_SECONDS * 1000 / len(frames))
    frames[0].save(
        path, "WEBP", save_all=True, append_images=frames[1:], duration=duration, loop=0, quality=_FILM_QUALITY
    )
    codec = cv2.VideoWriter.fourcc(*"vp09")
    video = cv2.VideoWriter(str(path.with_suffix(".mp4")), codec, len(frames) / _FILM_SECONDS, frames[0].size)
    if video.isOpened():
        for frame in frames:
            video.write(np.ascontiguousarray(np.asarray(frame)[..., ::-1]))
    video.release()


def render_views(mesh: TexturedMesh, cameras: Sequence[Camera], tick: Tick) -> Iterator[Image.Image]:
    """The textured model."""
    renderer = TexturedRenderer(mesh)
    for camera in cameras:
        tick("turntable")
        yield Image.fromarray(renderer.picture(camera))


def render_coverage(
    mesh: TexturedMesh, views: NDArray[np.int32], cameras: Sequence[Camera], tick: Tick
) -> Iterator[Image.Image]:
    """The model's shape, coloured by how many photos see each vertex: ``views`` (V,)."""
    classes = np.searchsorted([photos for photos, _ in COVERAGE_COLORS], views, side="right") - 1
    colors = np.array([ImageColor.getrgb(color) for _, color in COVERAGE_COLORS], np.uint8)[classes]
    for camera in cameras:
        tick("map of coverage")
        yield Image.fromarray(render_shaded(mesh.vertices, mesh.faces, camera.limited(_SAMPLE), colors))


def depth_samples(
    names: Sequence[str], undistorted: Path, depth_maps: Path
) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    """(name, photo, depth map) of some photos spread evenly over those that have depth; near is red, unknown grey."""
    names = [name for name in names if map_path(depth_maps, "depth", name).exists()]
    for name in _spread(names, _SAMPLES):
        photo = small_photo(undistorted / "images" / name, _SAMPLE)
        depth = _colored_depth(read_map(map_path(depth_maps, "depth", name)))
        yield name, photo, depth.resize(photo.size, Image.Resampling.NEAREST)


def _spread(names: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the names, the first and others at equal distances."""
    return [names[i * len(names) // count] for i in range(count)] if len(names) > count else list(names)


def _colored_depth(depth: np.ndarray) -> Image.Image:
    step = max(1, max(depth.shape) // _SAMPLE)
    small = np.asarray(depth[::step, ::step])
    known = small > 0
    picture = np.full((*small.shape, 3), 128, np.uint8)
    if known.any():
        nearness = 1 / small[known]
        low, high = np.quantile(nearness, [0.02, 0.98])
        levels = np.uint8(np.clip((nearness - low) / max(high - low, 1e-12), 0, 1) * 255)
        colors = cv2.applyColorMap(levels.reshape(-1, 1), cv2.COLORMAP_TURBO)
        picture[known] = colors.reshape(-1, 3)[:, ::-1]
    return Image.fromarray(picture)
