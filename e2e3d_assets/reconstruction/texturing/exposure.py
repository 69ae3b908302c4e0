"""How much brighter or warmer each photo is than the others, and which photos disagree on a face.

What belongs here: statistics of the faces' mean colours. Exposure and white balance are one factor a channel and
photo, as in Brown and Lowe, "Automatic Panoramic Image Stitching" (IJCV 2007), section 6, but robust.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..mesh_repair import face_neighbours
from ..stereo.compiled import serial
from .observations import Observations, ranges

_FACES_USED = 60_000
_ITERATIONS = 8
_TYPICAL_LOG_DIFFERENCE = 0.06
_DARKEST, _BRIGHTEST = 8.0, 247.0  # clipped colours say nothing of exposure
_PRIOR = 0.02  # weight of "no difference", relative to what the faces say: keeps long chains of photos from drifting
_HIGHLIGHTS = 0.995  # quantile of the colours that must not be made brighter than white
_FEWEST_WITNESSES = 3
_OUTLIER_SIGMAS = 3.0
_LEAST_SIGMA = 6.0  # grey levels
_HALF_DOUBT = 0.5  # that grows from what is beyond doubt


def photo_gains(observations: Observations, photos: int) -> NDArray[np.float64]:
    """Factors (photos, 3) that bring all photos to one exposure and white balance: 1 in the geometric mean,
    or less where that would burn out highlights."""
    count = np.diff(observations.begins)
    several = np.flatnonzero(count > 1)
    if not len(several):
        return np.ones((photos, 3))
    chosen = several[:: max(1, len(several) // _FACES_USED)]
    row = np.repeat(np.arange(len(chosen)), count[chosen])
    first_of_row = np.cumsum(count[chosen]) - count[chosen]
    index = observations.begins[chosen][row] + np.arange(len(row)) - first_of_row[row]
    photo, color = observations.photo[index], observations.color[index].astype(np.float64)
    usable = ((color > _DARKEST) & (color < _BRIGHTEST)).all(axis=1)
    base = np.sqrt(observations.quality[index]) * usable
    logs = np.log(np.maximum(color, 1.0))
    gains = np.zeros((photos, 3))
    for channel in range(3):
        weight, gain = base, np.zeros(photos)
        for _ in range(_ITERATIONS):
            W = csr_array((weight, (row, photo)), (len(chosen), photos))
            total = np.maximum(W.sum(axis=1), 1e-12)
            mean = np.bincount(row, weight * logs[:, channel], len(chosen)) / total
            own = np.asarray(W.sum(axis=0)).ravel()
            normal = np.diag(own) - (W.T @ (W / total[:, None])).toarray()
            side = np.bincount(photo, weight * (mean[row] - logs[:, channel]), photos)
            normal[np.diag_indices(photos)] += _PRIOR * max(own.mean(), 1e-12)
            gain = np.linalg.solve(normal, side)
            corrected = logs[:, channel] + gain[photo]
            center = np.bincount(row, weight * corrected, len(chosen)) / total
            weight = base / (1 + ((corrected - center[row]) / _TYPICAL_LOG_DIFFERENCE) ** 2)
        gains[:, channel] = gain - gain.mean()
    factors = np.exp(gains)
    brightest = color.max(axis=1)
    before = max(float(np.quantile(brightest, _HIGHLIGHTS)), _BRIGHTEST)
    after = float(np.quantile((color * factors[photo]).max(axis=1), _HIGHLIGHTS))
    return factors * min(1.0, before / after)


def outliers(observations: Observations, faces: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(N,) whether a photo shows a face in a colour that most other photos do not show: people, cars, shadows.

    The colours must have been brought to one exposure. Where fewer than three photos see a face nobody is outvoted.
    After Waechter, Moehrle and Goesele, "Let There Be Color!" (ECCV 2014), section 3.1, with medians in place of
    their normal distribution. What is found is grown in its photo over neighbours that disagree half as much, and by
    one face more, which may show its edge.

    Args:
        observations: who sees what.
        faces: (F, 3).
    """
    doubt = _doubts(observations.begins, observations.color, observations.detail)
    found = doubt > 1
    pairs = face_neighbours(faces)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    begins = np.searchsorted(pairs[:, 0], np.arange(len(faces) + 1))
    newest = np.flatnonzero(found)
    face = observations.face
    while len(newest):
        around = _beside(newest, face, pairs[:, 1], begins, observations)
        newest = around[~found[around] & (doubt[around] > _HALF_DOUBT)]
        found[newest] = True
    found[_beside(np.flatnonzero(found), face, pairs[:, 1], begins, observations)] = True
    return found


def _beside(
    index: NDArray[np.int64],
    face: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    begins: NDArray[np.int64],
    observations: Observations,
) -> NDArray[np.int64]:
    """Where the same photos' observations of neighbouring faces are, each once."""
    count = begins[face[index] + 1] - begins[face[index]]
    beside = neighbours[ranges(begins[face[index]], count)]
    at, known = observations.find(beside, np.repeat(observations.photo[index], count))
    return np.unique(at[known])


@serial
def _doubts(begins, color, detail):
    """(N,) distance from what most photos show, relative to how much they disagree; 1 is too much."""
    doubt = np.zeros(len(color), np.float32)
    for face in range(len(begins) - 1):
        first, last = begins[face], begins[face + 1]
        if last - first < _FEWEST_WITNESSES:
            continue
        distance = np.zeros(last - first)
        for channel in range(3):
            center = np.median(color[first:last, channel])
            for i in range(first, last):
                distance[i - first] += (color[i, channel] - center) ** 2
        distance = np.sqrt(distance / 3)
        spread = 1.4826 * np.median(distance) + np.median(detail[first:last])
        limit = _OUTLIER_SIGMAS * max(spread, _LEAST_SIGMA)
        for i in range(first, last):
            doubt[i] = distance[i - first] / limit
    return doubt
