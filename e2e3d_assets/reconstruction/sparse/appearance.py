"""One vector a photo, from its own SIFT descriptors: photos of the same thing have nearby vectors.

What belongs here: the vocabulary and the signatures built on it. Nothing is downloaded: the vocabulary is learnt from
the photo set itself. Signatures are VLAD (Jegou et al., "Aggregating local descriptors into a compact image
representation", 2010) with intra-normalisation (Arandjelovic and Zisserman, "All about VLAD", 2013).
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

_WORDS = 64
_TRAINING_DESCRIPTORS = 60_000
_DESCRIPTORS_A_PHOTO = 2_000
_ITERATIONS = 12


def signatures(
    read_descriptors: Callable[[int], NDArray[np.uint8]],
    image_ids: Sequence[int],
    seed: int,
    checkpoint: Callable[[], None],
) -> NDArray[np.float32]:
    """Signatures of photos, one at a time in memory.

    Args:
        read_descriptors: gives a photo's (M, 128) SIFT descriptors, the largest key points last.
        image_ids: the photos.
        seed: of the vocabulary.
        checkpoint: called before each photo.

    Returns:
        (N, 64 * 128) float32 unit vectors.
    """
    words = _vocabulary(read_descriptors, image_ids, seed, checkpoint)
    rows: list[NDArray[np.float32]] = []
    for image_id in image_ids:
        checkpoint()
        rows.append(_vlad(_prepared(read_descriptors(image_id)), words))
    return np.stack(rows)


def _vocabulary(
    read_descriptors: Callable[[int], NDArray[np.uint8]],
    image_ids: Sequence[int],
    seed: int,
    checkpoint: Callable[[], None],
) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    each = max(1, _TRAINING_DESCRIPTORS // len(image_ids))
    samples: list[NDArray[np.float32]] = []
    for image_id in image_ids:
        checkpoint()
        prepared = _prepared(read_descriptors(image_id))
        samples.append(prepared[random.permutation(len(prepared))[:each]])
    training = np.concatenate(samples)
    cv2.setRNGSeed(seed)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, _ITERATIONS, 0.0)
    count = min(_WORDS, max(1, len(training)))
    return cv2.kmeans(training, count, None, stop, 1, cv2.KMEANS_PP_CENTERS)[2]  # type: ignore[call-overload]


def _prepared(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = descriptors[-_DESCRIPTORS_A_PHOTO:].astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def _vlad(descriptors: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.float32]:
    nearest = np.argmax(descriptors @ words.T - 0.5 * (words**2).sum(axis=1), axis=1)
    vlad = np.zeros_like(words)
    np.add.at(vlad, nearest, descriptors - words[nearest])
    vlad /= np.maximum(np.linalg.norm(vlad, axis=1, keepdims=True), 1e-6)
    flat = vlad.ravel()
    return flat / max(float(np.linalg.norm(flat)), 1e-6)
