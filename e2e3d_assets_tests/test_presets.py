"""Presets: one table of numbers, strict about names."""

import pytest

from e2e3d_assets.presets import QUALITIES, TABLE, Options, options_for


def test_medium_column_equals_the_options_defaults():
    """Prevents the library's defaults and the medium preset from drifting apart."""
    assert options_for("medium") == Options()


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_row_is_an_existing_valid_option(quality):
    """Prevents a preset that fails only when somebody asks for high."""
    options = options_for(quality)
    column = QUALITIES.index(quality)
    for (stage, option), values in TABLE.items():
        assert getattr(getattr(options, stage), option) == values[column]


def test_overrides_replace_single_values():
    """Prevents an override from resetting the rest of its stage to medium."""
    options = options_for("low", {"features": {"max_features": 1000}})
    assert options.features.max_features == 1000
    assert options.features.max_photo_size == options_for("low").features.max_photo_size


@pytest.mark.parametrize("overrides", [{"mesh": {"max_face": 9}}, {"meshes": {}}, {"mesh": {"max_faces": -1}}])
def test_wrong_overrides_are_named(overrides):
    """Prevents a typing error from silently giving the preset's value."""
    (stage,) = overrides
    with pytest.raises(ValueError, match=stage):
        options_for("medium", overrides)
