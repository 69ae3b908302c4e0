"""COLMAP's map files."""

from pathlib import Path

import numpy as np
import pytest

from e2e3d_assets.reconstruction.stereo.formats import (
    map_path,
    read_map,
    read_widths,
    write_lists,
    write_map,
    write_widths,
)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)])
def test_maps_come_back(tmp_path: Path, shape: tuple[int, ...]):
    """A transposed or interleaved map reads as a different surface."""
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    path = map_path(tmp_path, "normal", "folder/a.jpg")
    write_map(path, values)
    np.testing.assert_array_equal(read_map(path), values)
    channels = 1 if len(shape) == 2 else shape[2]
    assert path.read_bytes().startswith(f"5&3&{channels}&".encode())
    planar = np.frombuffer(path.read_bytes()[len(f"5&3&{channels}&") :], "<f4").reshape(channels, 3, 5)
    np.testing.assert_array_equal(planar[0], values if values.ndim == 2 else values[..., 0])


@pytest.mark.parametrize("content", [b"", b"5&3&1&1234", b"no map at all", b"5&3"])
def test_broken_maps_are_named(tmp_path: Path, content: bytes):
    """A cut-off download must not be read as a smaller map."""
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.bin is not a complete"):
        read_map(path)


def test_lists_name_photos_and_sources(tmp_path: Path):
    """COLMAP fuses the photos of fusion.cfg only."""
    write_lists(tmp_path, {"a.jpg": ["b.jpg", "c.jpg"], "b.jpg": ["a.jpg"]})
    assert (tmp_path / "stereo/fusion.cfg").read_text() == "a.jpg\nb.jpg\n"
    assert (tmp_path / "stereo/patch-match.cfg").read_text() == "a.jpg\nb.jpg, c.jpg\nb.jpg\na.jpg\n"


def test_widths_come_back(tmp_path: Path):
    """Fusion would merge coarse depths as fine ones, or none at all; a workspace of COLMAP's own has no such maps."""
    widths = np.array([[1, 4, 8], [1, 1, 4]], np.uint8)
    write_widths(tmp_path, "folder/a.jpg", widths)
    np.testing.assert_array_equal(read_widths(tmp_path, "folder/a.jpg", (2, 3)), widths)
    np.testing.assert_array_equal(read_widths(tmp_path, "b.jpg", (2, 3)), np.ones((2, 3)))
