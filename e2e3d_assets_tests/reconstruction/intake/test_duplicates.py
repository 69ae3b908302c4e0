"""Equal and nearly equal photos."""

import numpy as np
from PIL import Image

from e2e3d_assets.reconstruction.intake.duplicates import first_equals, first_near, perceptual_hash

from ..photo_files import textured


def test_first_equals_points_back():
    """A chain of copies must name the first, which stays, and not one that is left out."""
    assert first_equals(["a", "b", "a", "a", "b"]) == [None, None, 0, 0, 1]


def test_hash_survives_resizing_and_brightness_but_not_another_picture():
    """A hash that is too coarse would mark the photos of a whole set as duplicates of each other."""
    picture = textured(1).convert("L")
    smaller = picture.resize((160, 120), Image.Resampling.BOX)
    brighter = np.clip(np.asarray(picture, float) * 0.9 + 20, 0, 255).astype(np.uint8)
    hashes = [perceptual_hash(np.asarray(p)) for p in (picture, smaller, brighter, textured(2).convert("L"))]
    assert first_near(hashes) == [None, 0, 0, None]
