"""Colours from photos into atlas pages.

What belongs here: which page pixel belongs to which face, and what it shows. A page pixel just outside a face (the
gutter, which bilinear filtering and mip-maps reach) belongs to the nearest face and shows what the photo shows there.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from ..stereo.compiled import parallel, serial

NOBODY = -1


@serial
def own_pixels(owner, page, corners, face_page, order):
    """Mark a page's pixels with the face that covers their centre.

    Args:
        owner: (S, S) int32, written.
        page: its number.
        corners: (F, 3, 2) float64 page coordinates, integers at pixel centres.
        face_page: (F,) page of each face.
        order: faces to mark, the most important last.
    """
    side = owner.shape[0]
    for face in order:
        if face_page[face] != page:
            continue
        x0, y0 = corners[face, 0, 0], corners[face, 0, 1]
        x1, y1 = corners[face, 1, 0], corners[face, 1, 1]
        x2, y2 = corners[face, 2, 0], corners[face, 2, 1]
        double_area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if double_area == 0:
            continue
        left, right = max(0, int(np.ceil(min(x0, x1, x2)))), min(side - 1, int(np.floor(max(x0, x1, x2))))
        top, bottom = max(0, int(np.ceil(min(y0, y1, y2)))), min(side - 1, int(np.floor(max(y0, y1, y2))))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                b1 = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / double_area
                b2 = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / double_area
                if b1 >= 0 and b2 >= 0 and b1 + b2 <= 1:
                    owner[y, x] = face


@serial
def own_gutter(owner, gutter):
    """Give pixels that nobody owns, up to ``gutter`` from a face, to that face.

    Args:
        owner: (S, S) int32, read and written.
        gutter: pixels, counted like a chess king's moves.
    """
    side = owner.shape[0]
    for _ in range(gutter):
        for y in range(side):
            for x in range(side):
                if owner[y, x] != NOBODY:
                    continue
                for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
                    row, column = y + dy, x + dx
                    if 0 <= row < side and 0 <= column < side and owner[row, column] >= 0:
                        owner[y, x] = -2 - owner[row, column]  # counts from the next round on
                        break
        for y in range(side):
            for x in range(side):
                if owner[y, x] < NOBODY:
                    owner[y, x] = -2 - owner[y, x]


@parallel
def paint(canvas, owner, corners, chosen, source, target_depth, weight, gain, correction, photo, gutter):
    """Add one photo's share to the pixels of some faces.

    Args:
        canvas: (S, S, 3) uint8, added to.
        owner: (S, S) int32, face of each pixel.
        corners: (F, 3, 2) page coordinates.
        chosen: (n,) faces of this page to paint.
        source: (n, 3, 3) homogeneous pixel coordinates of the corners in this photo.
        target_depth: (n, 3) depths of the corners in the chart's own photo.
        weight: (n, 3) share of this photo at the corners.
        gain: (3,) factor of this photo's colours.
        correction: (n, 3, 3) colours to add at the corners.
        photo: (h, w, 3) uint8.
        gutter: pixels around a face that may be its own.
    """
    side = owner.shape[0]
    height, width = photo.shape[0], photo.shape[1]
    for item in numba.prange(len(chosen)):
        face = chosen[item]
        x0, y0 = corners[face, 0, 0], corners[face, 0, 1]
        x1, y1 = corners[face, 1, 0], corners[face, 1, 1]
        x2, y2 = corners[face, 2, 0], corners[face, 2, 1]
        double_area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if double_area == 0:
            double_area = 1e-9
        left = max(0, int(np.ceil(min(x0, x1, x2) - gutter)))
        right = min(side - 1, int(np.floor(max(x0, x1, x2) + gutter)))
        top = max(0, int(np.ceil(min(y0, y1, y2) - gutter)))
        bottom = min(side - 1, int(np.floor(max(y0, y1, y2) + gutter)))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                if owner[y, x] != face:
                    continue
                b1 = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / double_area
                b2 = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / double_area
                b0 = 1 - b1 - b2
                # Straight in the chart is not straight in another photo: depths turn page into space coordinates.
                s0, s1, s2 = b0 / target_depth[item, 0], b1 / target_depth[item, 1], b2 / target_depth[item, 2]
                u = s0 * source[item, 0, 0] + s1 * source[item, 1, 0] + s2 * source[item, 2, 0]
                v = s0 * source[item, 0, 1] + s1 * source[item, 1, 1] + s2 * source[item, 2, 1]
                w = s0 * source[item, 0, 2] + s1 * source[item, 1, 2] + s2 * source[item, 2, 2]
                u = min(max(u / w, 0.0), width - 1.0)
                v = min(max(v / w, 0.0), height - 1.0)
                c0, c1, c2 = max(b0, 0.0), max(b1, 0.0), max(b2, 0.0)
                total = c0 + c1 + c2
                c0, c1, c2 = c0 / total, c1 / total, c2 / total
                share = c0 * weight[item, 0] + c1 * weight[item, 1] + c2 * weight[item, 2]
                column, row = min(int(u), width - 2), min(int(v), height - 2)
                fx, fy = u - column, v - row
                for channel in range(3):
                    color = (1 - fy) * (
                        (1 - fx) * photo[row, column, channel] + fx * photo[row, column + 1, channel]
                    ) + fy * ((1 - fx) * photo[row + 1, column, channel] + fx * photo[row + 1, column + 1, channel])
                    color = (
                        color * gain[channel]
                        + c0 * correction[item, 0, channel]
                        + c1 * correction[item, 1, channel]
                        + c2 * correction[item, 2, channel]
                    )
                    value = canvas[y, x, channel] + share * min(max(color, 0.0), 255.0) + 0.5
                    canvas[y, x, channel] = min(255, int(value))


def unseen_cells(colors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Square cells (N, CELL, CELL, 3), each showing a face with colours (N, 3 corners, 3) at its corners, which lie
    in the centres of the top-left, top-right and bottom-left pixel.
    """
    step = np.arange(CELL) / (CELL - 1)
    right = (colors[:, 1] - colors[:, 0])[:, None, None] * step[None, None, :, None]
    down = (colors[:, 2] - colors[:, 0])[:, None, None] * step[None, :, None, None]
    return np.clip(colors[:, None, None, 0] + right + down + 0.5, 0, 255).astype(np.uint8)


CELL = 4
"""Side of an unseen face's cell in pixels."""
