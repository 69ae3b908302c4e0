"""``matches.json``: pairs compared, what they have in common, and which photos hang together.

What belongs here: the document's schema, reading and writing it, and pure questions to it. How the pairs were compared
is in :mod:`~e2e3d_assets.reconstruction.matching`.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from .pairing import Why

FILE_NAME = "matches.json"
MIN_INLIERS = 15
"""Fewer points that agree on one geometry are chance: such a pair is not verified."""


class MatchedPair(BaseModel):
    """Two photos that were compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    photos: tuple[str, str]
    matches: int
    inliers: int
    why: list[Why]

    @property
    def verified(self) -> bool:
        """Whether the two show the same points beyond chance."""
        return self.inliers >= MIN_INLIERS


class MatchesDocument(BaseModel):
    """All of ``matches.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairing: str
    pairs: list[MatchedPair]
    groups: list[list[str]]
    digests: dict[str, str] = Field(default={}, description="Of all that comparing a photo depends on.")

    def save(self, directory: Path) -> None:
        """Write ``matches.json`` into a directory."""
        (directory / FILE_NAME).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "MatchesDocument":
        """Read ``matches.json`` of a directory."""
        return cls.model_validate_json((directory / FILE_NAME).read_text(encoding="utf-8"))


def connected_groups(names: Sequence[str], pairs: Sequence[MatchedPair]) -> list[list[str]]:
    """Photos that hang together by verified pairs, the largest group first; single photos too."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for pair in pairs:
        if pair.verified:
            parent[root(pair.photos[1])] = root(pair.photos[0])
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(root(name), []).append(name)
    return sorted(groups.values(), key=len, reverse=True)


def inliers_by_partner(names: Sequence[str], pairs: Sequence[MatchedPair]) -> dict[str, list[tuple[int, str]]]:
    """For each photo its verified partners as (inliers, partner), the best first."""
    partners: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for pair in pairs:
        if pair.verified:
            one, other = pair.photos
            partners[one].append((pair.inliers, other))
            partners[other].append((pair.inliers, one))
    return {name: sorted(found, reverse=True) for name, found in partners.items()}
