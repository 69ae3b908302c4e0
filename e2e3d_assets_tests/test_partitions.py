"""Image set keys: any name becomes one that Dagster's UI, URLs and bucket paths can carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e3d_assets.partitions import KEY_PATTERN, slug


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("banana", "banana"),
        ("My Photos (2026)", "my-photos-2026"),
        ("Café_Zürich", "cafe_zurich"),
        ("../../etc/passwd", "etc-passwd"),
        ("--x--", "x"),
        ("a" * 100, "a" * 63),
    ],
)
def test_slug_of_usual_names(name, key):
    """Prevents keys that people do not recognise."""
    assert slug(name) == key


@pytest.mark.parametrize("name", ["", "...", "写真", "--"])
def test_slug_refuses_names_without_a_letter(name):
    """Prevents an empty key, which would put a set's products into the root of the store."""
    with pytest.raises(ValueError, match="image set name"):
        slug(name)


@given(st.text(max_size=200))
def test_slug_is_a_valid_key_and_stable(name):
    """Prevents keys that break the UI, and keys that change when they are slugified again."""
    try:
        key = slug(name)
    except ValueError:
        return
    assert KEY_PATTERN.fullmatch(key)
    assert slug(key) == key
