"""Bilinear samples of a picture at scattered places. Nothing else belongs here."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .native import thread_count

_COLUMNS = 4096  # OpenCV takes pictures of places, not lists


def sampled(picture: NDArray, at: NDArray) -> NDArray[np.float32]:
    """Values (N, channels) at pixel coordinates (N, 2), integers at pixel centres; borders go on outside.

    Args:
        picture: (h, w) or (h, w, channels), uint8 or float32.
        at: x and y.
    """
    rows = max(1, -(-len(at) // _COLUMNS))
    grid = np.zeros((2, rows * _COLUMNS), np.float32)
    grid[:, : len(at)] = at.T
    across, down = grid.reshape(2, rows, _COLUMNS)
    cv2.setNumThreads(thread_count())
    values = cv2.remap(picture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(rows * _COLUMNS, -1)[: len(at)].astype(np.float32)
