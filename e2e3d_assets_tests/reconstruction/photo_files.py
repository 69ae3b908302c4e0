"""Small photos for tests: textured, different by seed, in every format and colour mode."""

from pathlib import Path

import numpy as np
import tifffile
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


def save_dng(path: Path, picture: Image.Image, orientation: int) -> None:
    """Bayer DNG of a camera whose colours are sRGB's primaries."""
    encoded = np.asarray(picture, float) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    bayer = linear[..., 1].copy()
    bayer[0::2, 0::2], bayer[1::2, 1::2] = linear[0::2, 0::2, 0], linear[1::2, 1::2, 2]
    camera_from_xyz = ((3.2405, -1.5371, -0.4985), (-0.9693, 1.8760, 0.0416), (0.0556, -0.2040, 1.0572))
    ratios = [part for row in camera_from_xyz for value in row for part in (round(value * 10_000), 10_000)]
    tags = [
        (271, 2, 0, "Maker", True), (272, 2, 0, "Phone 1", True), (274, 3, 1, orientation, True),
        (33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True),
        (50706, 1, 4, b"\1\4\0\0", True), (50707, 1, 4, b"\1\1\0\0", True), (50708, 2, 0, "Maker Phone 1", True),
        (50714, 3, 1, 95, True), (50717, 3, 1, 4095, True), (50721, 10, 9, ratios, True),
        (50728, 5, 3, (1, 1) * 3, True), (50778, 3, 1, 21, True),
    ]  # fmt: skip
    values = np.round(bayer * 4000 + 95).astype(np.uint16)
    tifffile.imwrite(path, values, photometric=32803, extratags=tags, metadata=None)
