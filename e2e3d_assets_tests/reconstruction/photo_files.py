"""Small photos for tests: textured, different by seed, in every format and colour mode."""

from pathlib import Path

import numpy as np
from PIL import Image


def textured(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A crisp random picture of blocks and gradients: full of corners, different for each seed."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize((width, height), 0)
    fine = Image.fromarray(random.integers(0, 255, (48, 64, 3), dtype=np.uint8)).resize((width, height), 0)
    return Image.blend(coarse, fine, 0.4)


def save_photos(folder: Path, names: list[str], first_seed: int = 0) -> None:
    """One different JPEG for each name, which may contain folders."""
    for seed, name in enumerate(names, first_seed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        textured(seed).save(folder / name, "JPEG", quality=90)
