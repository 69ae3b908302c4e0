"""Image sets: the dynamic partitions of every asset, and the rule that makes a key of any name."""

import re
import unicodedata

import dagster as dg

image_sets = dg.DynamicPartitionsDefinition(name="image_sets")

DELETED = "deleted_image_sets"
"""Registry, among the instance's dynamic partitions, of keys that were deleted: they are never used again, because
Dagster would show the old set's history under the new one's name."""

KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def slug(name: str) -> str:
    """A valid image set key made from any name: lower-case ASCII, digits, ``_`` and ``-``, at most 63 characters.

    Dagster itself accepts any key, and its UI breaks on commas and dots; keys also stand in URLs and bucket paths.

    Raises:
        ValueError: if nothing of the name can be kept.
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9_-]+", "-", ascii_name).strip("-_")[:63].rstrip("-_")
    if not KEY_PATTERN.fullmatch(key):
        raise ValueError(f"{name!r} has no letter a-z or digit to make an image set name of")
    return key


def key_of(folder: str) -> str | None:
    """The key of an uploaded folder; none if nothing of its name can be kept."""
    try:
        return slug(folder)
    except ValueError:
        return None
