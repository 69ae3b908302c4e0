"""Pictures of the report: small photos, depth maps beside their photos, and the model from four sides.

What belongs here: from products to small pictures, one photo in memory at a time.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from PIL import Image

from ..monitor import Monitor
from ..raycasting import TexturedRenderer, turntable_cameras
from ..stereo.formats import map_path, read_map
from ..textured_mesh import TexturedMesh
from ..viewpoints import Focus, turntable_azimuths

TURNTABLE_VIEWS = 4
_TURNTABLE_SIZE = (640, 520)
_THUMBNAIL, _SAMPLE = 112, 420
_SAMPLES = 4
_JPEG_QUALITY = 82


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


def turntable(mesh: TexturedMesh, focus: Focus, monitor: Monitor) -> Iterator[Image.Image]:
    """The model from the sides that were photographed."""
    start = float(np.arctan2(focus.best_direction[1], focus.best_direction[0]))
    azimuths = turntable_azimuths(focus.azimuths, start, TURNTABLE_VIEWS)
    renderer = TexturedRenderer(mesh)
    for camera in turntable_cameras(focus.center, focus.radius, azimuths, focus.elevation, *_TURNTABLE_SIZE):
        monitor.check()
        yield Image.fromarray(renderer.picture(camera))


def depth_samples(undistorted: Path, depth_maps: Path) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    """(name, photo, depth map) of some photos spread evenly over those that have depth; near is red, unknown grey."""
    model = pycolmap.Reconstruction(undistorted / "sparse")
    names = sorted(image.name for image in model.images.values())
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
