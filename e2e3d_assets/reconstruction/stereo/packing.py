"""Photos and views as the kernels read them.

What belongs here: arrays' layouts. What does not: reading files, choosing views.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .matching_cost import PAD, RADIUS
from .views import Camera


def resized(grey: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A grey photo at another size, averaged over the pixels' areas."""
    if grey.shape == (height, width):
        return grey
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def pack(grey: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Each pixel with its right, lower and diagonal neighbours in one word: one load feeds a bilinear sample.

    Args:
        grey: (height, width).

    Returns:
        (height + 2 PAD, width + 2 PAD), edges repeated.
    """
    taps = np.pad(grey, ((PAD, PAD + 1), (PAD, PAD + 1)), mode="edge").astype(np.uint32)
    eight = np.uint32(8)
    right = taps[:-1, :-1] | taps[:-1, 1:] << eight
    below = taps[1:, :-1] | taps[1:, 1:] << eight
    return np.asarray(right | below << np.uint32(16), np.uint32)


def padded(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A reference photo, edges repeated by the patch's radius."""
    return np.pad(grey, RADIUS, mode="edge")


@dataclass(frozen=True)
class Views:
    """The photos that one reference photo is compared with, at one size.

    Attributes:
        packed: uint32, all views' packed pixels, flat.
        bases: (views,) int64, where each begins.
        geometry: (views, 16) float32: A = K_v R K_r⁻¹ row by row, b = K_v t, width, height, stride, 0. A pixel p of the
            reference at inverse depth i projects to A p + b i (homogeneous).
    """

    packed: NDArray[np.uint32]
    bases: NDArray[np.int64]
    geometry: NDArray[np.float32]


@dataclass(frozen=True)
class NeighbourDepths:
    """Depth maps of the same photos, to be consistent with.

    Attributes:
        depths: float32, flat; 0 where unknown.
        bases: (views,) int64.
        back: (views, 16) float32: the projection from the view into the reference (laid out as in :class:`Views`), then
            the depth map's pixels per photo pixel (x, y), its stride, 0.
    """

    depths: NDArray[np.float32]
    bases: NDArray[np.int64]
    back: NDArray[np.float32]


def pack_views(reference: Camera, sources: Sequence[Camera], photos: Sequence[NDArray[np.uint8]]) -> Views:
    """Bring source photos, already at their cameras' sizes, into the kernels' layout."""
    packed = [pack(photo) for photo in photos]
    return Views(np.concatenate([p.ravel() for p in packed]), begins(packed), view_geometry(reference, sources))


def view_geometry(reference: Camera, sources: Sequence[Camera]) -> NDArray[np.float32]:
    """How the reference's pixels project into the sources, as in :class:`Views`."""
    geometry = np.zeros((len(sources), 16), np.float32)
    for row, source in zip(geometry, sources, strict=True):
        row[:12] = _projection(reference, source)
        row[12:15] = source.width, source.height, source.width + 2 * PAD
    return geometry


def pack_depths(reference: Camera, sources: Sequence[Camera], depths: Sequence[NDArray[np.float32]]) -> NeighbourDepths:
    """Bring depth maps of the sources, of whatever size, into the kernels' layout."""
    back = np.zeros((len(sources), 16), np.float32)
    for row, source, depth in zip(back, sources, depths, strict=True):
        height, width = depth.shape
        row[:12] = _projection(source, reference)
        row[12:15] = width / source.width, height / source.height, width
    return NeighbourDepths(np.concatenate([np.asarray(d, np.float32).ravel() for d in depths]), begins(depths), back)


def no_depths(views: int) -> NeighbourDepths:
    """The place-holder where consistency is not asked for."""
    return NeighbourDepths(np.zeros(1, np.float32), np.zeros(views, np.int64), np.zeros((views, 16), np.float32))


def begins(arrays: Sequence[NDArray]) -> NDArray[np.int64]:
    """Where each array begins when they are laid end to end."""
    return np.cumsum([0, *(a.size for a in arrays[:-1])], dtype=np.int64)


def _projection(reference: Camera, other: Camera) -> NDArray[np.float64]:
    R = other.R @ reference.R.T
    t = other.t - R @ reference.t
    return np.concatenate([(other.K @ R @ np.linalg.inv(reference.K)).ravel(), other.K @ t])
