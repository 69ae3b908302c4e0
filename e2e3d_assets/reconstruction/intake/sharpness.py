"""How crisp a photo is, comparable between photos of different sizes and contents."""

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

LONG_SIDE = 1024
_BLUR_TAPS = 9
_ROUNDING = 1.0  # grey levels: a gradient so smooth that it climbs by single levels looks like a flight of crisp steps


def sharpness_of(grey: MatLike) -> float:
    """Share of the local variation that blurring again would remove: 0 flat or blurred, 1 crisp.

    The photo is first brought to one size, so that the figure does not depend on its resolution, and the ratio makes it
    independent of contrast (Crete et al., "The blur effect", 2007).

    Args:
        grey: (H, W) uint8.
    """
    scale = LONG_SIDE / max(grey.shape)
    if scale < 1.0:
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    values = grey.astype(np.float32)
    return min(_lost_variation(values, axis=0), _lost_variation(values, axis=1))


def _lost_variation(values: NDArray[np.float32], axis: int) -> float:
    kernel = (1, _BLUR_TAPS) if axis == 0 else (_BLUR_TAPS, 1)
    before = np.abs(np.diff(values, axis=axis))
    after = np.abs(np.diff(cv2.blur(values, kernel), axis=axis))
    before = np.maximum(before - _ROUNDING, 0.0)
    total = float(before.sum())
    return float(np.maximum(before - after, 0.0).sum()) / total if total > 0.0 else 0.0
