"""The small pictures for people."""

import numpy as np
import pytest
from PIL import Image

from e2e3d_assets.reconstruction.preview import MAX_BYTES, contact_sheet, save_preview

from .photo_files import textured


def test_noise_fits_too(tmp_path):
    """A picture over the limit would swell every page of the orchestrator that shows it inline."""
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), dtype=np.uint8)
    save_preview(Image.fromarray(noise), tmp_path)
    assert (tmp_path / "preview.jpg").stat().st_size <= MAX_BYTES
    with Image.open(tmp_path / "preview.jpg") as saved:
        assert saved.width / saved.height == pytest.approx(4 / 3, rel=0.05)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 24])
@pytest.mark.parametrize("shape", [(320, 240), (240, 320), (900, 100)])
def test_sheet_of_any_number_and_shape(count: int, shape: tuple[int, int]):
    """Upright photos in wide cells would be too small to see anything; none at all must not divide by zero."""
    pictures = [textured(seed, *shape) for seed in range(count)]
    sheet = contact_sheet(pictures)
    assert 200 <= sheet.width <= 640
    if count == 24:
        covered = (np.asarray(sheet).std(axis=2) > 8).mean()
        assert covered > 0.6
