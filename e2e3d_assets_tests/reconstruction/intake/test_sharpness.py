"""The figure that tells blurred photos from crisp ones."""

import numpy as np
from PIL import Image, ImageFilter

from e2e3d_assets.reconstruction.intake.sharpness import sharpness_of
from e2e3d_assets.reconstruction.photo_set import BLURRED

from ..photo_files import textured


def grey(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"))


def test_blur_lowers_sharpness_in_every_direction():
    """Motion blur goes one way only; a figure that averages both ways would miss it."""
    picture = textured(0, 1024, 768)
    crisp = sharpness_of(grey(picture))
    shaken = np.mean([np.roll(grey(picture).astype(float), shift, axis=1) for shift in range(24)], axis=0)
    assert sharpness_of(grey(picture.filter(ImageFilter.GaussianBlur(6)))) < 0.5 * crisp
    assert sharpness_of(shaken.astype(np.uint8)) < 0.5 * crisp


def test_the_more_blur_the_less_sharp():
    """Eight bits make steps of the smoothest gradient, which read as crisp: of photos out of focus, those blurred worst
    passed for good ones, and people were told that their thing had too little detail."""
    picture = textured(0, 1024, 768)
    figures = [sharpness_of(grey(picture.filter(ImageFilter.GaussianBlur(radius)))) for radius in (0, 4, 9, 16)]
    assert figures[0] > 2 * BLURRED
    assert max(figures[1:]) < BLURRED / 2


def test_contrast_and_size_do_not_matter():
    """Otherwise small or dull photos would be called blurred."""
    picture = textured(0, 2048, 1536)
    crisp = sharpness_of(grey(picture))
    assert abs(sharpness_of((grey(picture) // 4 + 90).astype(np.uint8)) - crisp) < 0.1
    assert abs(sharpness_of(grey(picture.resize((1024, 768), Image.Resampling.BOX))) - crisp) < 0.05


def test_flat_photo_is_not_sharp():
    """A lens cap must not divide by zero."""
    assert sharpness_of(np.full((50, 60), 7, np.uint8)) == 0.0
