"""Depths that reach over an outline: a blank pixel whose patch takes in the edge of a thing gets that thing's depth.

What belongs here: finding and taking off such a rim. What does not: what other photos confirm (:mod:`.consistency`);
they do confirm it, for they err alike.

A pixel in blank sky or plaster beside an edge has nothing of its own to match: the edge alone decides its cost, and the
plane that explains the edge wins ("foreground fattening"). Such a pixel is known by its patch: the samples that look
like the pixel itself hold next to none of the patch's contrast. Where the surface goes on, as on plain tiles with
joints, that does no harm. So pixels go only from the rim inwards, where they look like what lies beyond it (a thin dark
pole before a bright wall stays), and no farther than a patch reaches.
"""

import cv2
import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compiled import parallel
from .matching_cost import OFFSET_X, OFFSET_Y, RADIUS, SAMPLES

_LIKE = np.float32(15.0)  # grey values: what differs by less belongs to the pixel's own side
_BLANK = np.float32(16.0)  # variance on that side, grey values squared
_OWN_SHARE = np.float32(0.25)  # of the patch's variance
STEP = np.float32(1.03)  # ratio of depths across a rim
_ZERO = np.float32(0)
_ONE = np.float32(1)
_COLUMNS = OFFSET_X.astype(np.int64)
_ROWS = OFFSET_Y.astype(np.int64)


def without_rims(depth: NDArray[np.float32], photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The depth map less the pixels that took their depth from across an outline.

    Args:
        depth: (height, width), 0 where unknown.
        photo: (height, width) grey.
    """
    photo = photo.view()
    photo.setflags(write=False)  # as photos that were kept on disk are: one type to numba, compiled once
    blank = np.zeros(depth.shape, np.bool_)
    _blank_beside_edges(photo, blank)
    gone = np.zeros(depth.shape, np.bool_)
    for _ in range(RADIUS + 1):
        before = gone.copy()
        _take_off_rim(depth, photo, blank, before, gone)
    return np.where(gone, _ZERO, depth)


def away_from_blank(trusted: NDArray[np.float32], photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Confidence less all that lies within two pixels of what is unknown and blank: islands in the sky, blurred rims.

    Args:
        trusted: (height, width), 0 where unknown.
        photo: (height, width) grey.
    """
    grey = photo.astype(np.float32)
    variance = cv2.blur(grey * grey, (3, 3)) - cv2.blur(grey, (3, 3)) ** 2
    nothing = (trusted == 0) & (variance < _BLANK)
    return np.where(cv2.dilate(nothing.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0, _ZERO, trusted)


@parallel
def _take_off_rim(depth, photo, blank, before, gone):
    """Mark blank pixels that go on into what is unknown, farther away or gone ``before``, and look like it."""
    height, width = photo.shape
    for y in prange(height):
        for x in range(width):
            here = depth[y, x]
            if not (blank[y, x] and here > _ZERO):
                continue
            for row in range(max(y - 1, 0), min(y + 2, height)):
                for column in range(max(x - 1, 0), min(x + 2, width)):
                    there = depth[row, column] * STEP if before[row, column] else depth[row, column] / STEP
                    like = abs(np.float32(photo[row, column]) - np.float32(photo[y, x])) < _LIKE
                    if like and (there == _ZERO or there > here):
                        gone[y, x] = True


@parallel
def _blank_beside_edges(photo, blank):
    """Where the samples that look like the pixel are blank and the patch as a whole is not."""
    height, width = photo.shape
    for y in prange(height):
        for x in range(width):
            centre = np.float32(photo[y, x])
            count = own_count = _ONE
            total = square = own_total = own_square = _ZERO
            for i in range(SAMPLES):
                row = min(max(y + _ROWS[i], 0), height - 1)
                column = min(max(x + _COLUMNS[i], 0), width - 1)
                difference = np.float32(photo[row, column]) - centre
                count += _ONE
                total += difference
                square += difference * difference
                if abs(difference) < _LIKE:
                    own_count += _ONE
                    own_total += difference
                    own_square += difference * difference
            variance = square / count - (total / count) * (total / count)
            own_variance = own_square / own_count - (own_total / own_count) * (own_total / own_count)
            blank[y, x] = own_variance < _BLANK and own_variance < _OWN_SHARE * variance
