"""Products before they are committed: what a directory must be to become one."""

import os

import pytest

from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.errors import Refused

from .store_contract import make


@pytest.mark.parametrize("name", ["dangling", "folder", "fifo"])
def test_what_is_no_file_is_refused(tmp_path, name):
    """Prevents products that silently lack what the stage meant to put into them."""
    (tmp_path / "other").mkdir()
    root = tmp_path / "own"
    make(root, {"a": b"1"})
    if name == "fifo":
        os.mkfifo(root / name)
    else:
        (root / name).symlink_to(tmp_path / ("other" if name == "folder" else "nowhere"))
    with pytest.raises(Refused, match=name):
        Artifact.from_directory(root)


def test_an_empty_product_is_refused(tmp_path):
    """Prevents a stage that wrote nothing from counting as done."""
    (tmp_path / "own" / "empty").mkdir(parents=True)
    with pytest.raises(Refused, match="no file"):
        Artifact.from_directory(tmp_path / "own")


def test_the_name_of_the_manifest_is_refused(tmp_path):
    """Prevents a product from overwriting its own manifest."""
    with pytest.raises(Refused, match="keeps this name for itself"):
        make(tmp_path / "own", {"manifest.json": b"1"})
