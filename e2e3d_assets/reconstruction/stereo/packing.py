"""Photos and views as the kernels read them.

What belongs here: arrays' layouts. What does not: reading files, choosing views.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .matching_cost import PAD, patch_offsets
from .views import Camera


class Comparison(NamedTuple):
    """One photo, the views that it is compared with, and perhaps their depth maps; all at one size.

    Attributes:
        reference: uint32, the photo, packed (:func:`pack`) and flat.
        offsets: (SAMPLES,) int32, :func:`.matching_cost.patch_offsets` in it.
        rays: (4,) float32: fx, fy, cx, cy of the photo.
        packed: uint32, all views' packed pixels, flat.
        bases: (views,) int64, where each view's begin.
        geometry: (views, 16) float32: A = K_v R K_r⁻¹ row by row, b = K_v t, width, height, stride, 0. A pixel p of the
            photo at inverse depth i projects to A p + b i (homogeneous).
        depths: float32, all views' depth maps, flat; 0 where unknown.
        depth_bases: (views,) int64, where each begins.
        back: (views, 16) float32: the projection from the view into the photo (laid out as in ``geometry``), then the
            depth map's pixels per pixel of the view (x, y), its width and height (at least 2).
        geometric_weight: float32, cost of a pixel of disagreement with a view's depth map; 0: they are not read.
    """

    reference: NDArray[np.uint32]
    offsets: NDArray[np.int32]
    rays: NDArray[np.float32]
    packed: NDArray[np.uint32]
    bases: NDArray[np.int64]
    geometry: NDArray[np.float32]
    depths: NDArray[np.float32]
    depth_bases: NDArray[np.int64]
    back: NDArray[np.float32]
    geometric_weight: np.float32


def resized(grey: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A photo at another size, averaged over the pixels' areas."""
    if grey.shape[:2] == (height, width):
        return grey
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def pack(grey: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Each pixel with its right, lower and diagonal neighbours in one word: one load feeds a bilinear sample.

    Args:
        grey: (height, width).

    Returns:
        (height + 2 PAD, width + 2 PAD), edges repeated.
    """
    taps = np.pad(grey, ((PAD, PAD + 1), (PAD, PAD + 1)), mode="edge")
    words = np.stack([taps[:-1, :-1], taps[:-1, 1:], taps[1:, :-1], taps[1:, 1:]], axis=-1)
    return words.view("<u4")[..., 0]


def compare(
    camera: Camera, photo: NDArray[np.uint8], sources: Sequence[Camera], source_photos: Sequence[NDArray[np.uint8]]
) -> Comparison:
    """Bring a grey photo and those it is compared with, all at their cameras' sizes, into the kernels' layout."""
    reference = pack(photo)
    sizes = [(source.width + 2 * PAD) * (source.height + 2 * PAD) for source in sources]
    bases = begins(sizes)
    packed = np.empty(sum(sizes), np.uint32)
    for base, size, source_photo in zip(bases, sizes, source_photos, strict=True):
        packed[base : base + size] = pack(source_photo).ravel()
    return Comparison(
        reference.ravel(),
        patch_offsets(reference.shape[1]),
        _rays(camera),
        packed,
        bases,
        view_geometry(camera, sources),
        np.zeros(1, np.float32),
        np.zeros(len(sources), np.int64),
        np.zeros((len(sources), 16), np.float32),
        np.float32(0),
    )


def compare_depths(camera: Camera, sources: Sequence[Camera], depths: Sequence[NDArray[np.float32]]) -> Comparison:
    """The same without photos, to ask depth maps only; these may be of any size."""
    back = np.zeros((len(sources), 16), np.float32)
    for row, source, depth in zip(back, sources, depths, strict=True):
        height, width = depth.shape
        row[:12] = _projection(source, camera)
        row[12:16] = width / source.width, height / source.height, width, height
    return Comparison(
        np.zeros(1, np.uint32),
        patch_offsets(0),
        _rays(camera),
        np.zeros(1, np.uint32),
        np.zeros(len(sources), np.int64),
        view_geometry(camera, sources),
        np.concatenate([np.asarray(d, np.float32).ravel() for d in depths]),
        begins([depth.size for depth in depths]),
        back,
        np.float32(0),
    )


def view_geometry(camera: Camera, sources: Sequence[Camera]) -> NDArray[np.float32]:
    """How the camera's pixels project into the sources, as :attr:`Comparison.geometry`."""
    geometry = np.zeros((len(sources), 16), np.float32)
    for row, source in zip(geometry, sources, strict=True):
        row[:12] = _projection(camera, source)
        row[12:15] = source.width, source.height, source.width + 2 * PAD
    return geometry


def begins(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where each array begins when arrays of these sizes are laid end to end."""
    return np.cumsum([0, *sizes[:-1]], dtype=np.int64)


def _rays(camera: Camera) -> NDArray[np.float32]:
    K = camera.K
    return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], np.float32)


def _projection(reference: Camera, other: Camera) -> NDArray[np.float64]:
    R = other.R @ reference.R.T
    t = other.t - R @ reference.t
    return np.concatenate([(other.K @ R @ np.linalg.inv(reference.K)).ravel(), other.K @ t])
