"""Names of objects."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e3d_assets.storage.errors import Refused
from e2e3d_assets.storage.names import check_component, check_path, is_below

wild = st.text(st.one_of(st.sampled_from("./\\a \n\0~"), st.characters()), max_size=20)


@given(wild)
def test_an_accepted_path_stays_below_its_folder(path):
    """Prevents traversal, whatever the characters: names come from uploads of strangers."""
    try:
        check_path(path)
    except Refused:
        return
    root = Path("/store/of/mine")
    assert PurePosixPath(root, path).is_relative_to(root)
    assert (root / path).resolve().is_relative_to(root.resolve())
    assert PurePosixPath(path).as_posix() == path, "one name for one object"
    path.encode()


@pytest.mark.parametrize(
    "path", ["IMG 1.JPG", "a/b/c.jpg", "Ünïcödé/写真.jpg", "...", "..a", ".hidden", "a#1?%2F", "x" * 255]
)
def test_ordinary_names_are_accepted(path):
    """Prevents refusing the photos of people whose cameras or languages name files unlike ours."""
    assert check_path(path) == path


@pytest.mark.parametrize("path", ["", "/", "/a", "..", "a/..", "a/./b", "a//b", "a/", "a\\b", "a\tb", "\x7f", "\ud800"])
def test_tricks_are_refused_with_a_remedy(path):
    """Prevents names that one file system or object store keeps and the other loses."""
    with pytest.raises(Refused, match="Rename the file"):
        check_path(path)


def test_too_long_names_are_refused():
    """Prevents a product that fits a bucket but no disk, or the other way round."""
    for path in ("x" * 256, "é" * 128, "/".join(["x" * 100] * 9)):
        with pytest.raises(Refused, match="longer than"):
            check_path(path)


def test_a_component_is_one_segment():
    """Prevents an image set that reaches into another one's folder."""
    with pytest.raises(Refused, match="slash"):
        check_component("a/b")


def test_below_is_by_segment():
    """Prevents `images` from meaning `images-small` too."""
    assert is_below("images/a", "images")
    assert is_below("images/a", "")
    assert not is_below("images-small/a", "images")
    assert not is_below("images", "images")
