"""What every step of depth_maps needs to know of the set, and how a set is split into chunks.

What belongs here: decisions for the set as a whole, the same in every process. What does not: which photos are
compared with which (:mod:`.views`), the work (:mod:`.steps`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import BadInput
from ..options import DepthMapsOptions
from .views import Camera, ReferencePlan, SparseScene, plan_references, read_scene

WITNESSES = 12
"""Photos that may confirm a depth. More than it is estimated from: confirming is cheap."""
_MOST_MISFIT = 0.01  # widths of a photo; good models have a thousandth


@dataclass(frozen=True)
class DepthPlan:
    """What every step needs to know of the set."""

    scene: SparseScene
    cameras: tuple[Camera, ...]
    references: tuple[ReferencePlan, ...]

    @classmethod
    def read(cls, undistorted: Path, options: DepthMapsOptions) -> "DepthPlan":
        """Plan from the sparse model. Raises BadInput if no photo can have a depth map."""
        scene = read_scene(undistorted)
        if scene.median_error > _MOST_MISFIT:
            raise BadInput(
                "The cameras do not fit the photos: points appear "
                f"{100 * min(scene.median_error, 1):.0f} % of a photo's width from where they were found",
                "Leave out the given calibration or mend it, and repeat the reconstruction from the photos",
            )
        references = tuple(plan_references(scene, options.sources, max(WITNESSES, options.sources)))
        if all(reference.skipped_because for reference in references):
            raise BadInput(
                "No depth can be estimated: no two photos show enough common points from different places",
                "Take photos while moving around the subject, so that each part is seen by at least three of them",
                scene.names,
            )
        return cls(scene, tuple(c.limited(options.max_photo_size) for c in scene.cameras), references)

    @cached_property
    def usable(self) -> list[ReferencePlan]:
        """The photos that get a depth map."""
        return [reference for reference in self.references if not reference.skipped_because]

    @cached_property
    def with_depth(self) -> frozenset[int]:
        """Their indices."""
        return frozenset(reference.photo for reference in self.usable)

    def name(self, reference: ReferencePlan) -> str:
        """The photo's name."""
        return self.scene.names[reference.photo]

    def chosen(self, names: Sequence[str] | None) -> list[ReferencePlan]:
        """Those of ``names`` that get a depth map; None means all."""
        wanted = set(self.scene.names if names is None else names)
        return [reference for reference in self.usable if self.name(reference) in wanted]


def split_photos(undistorted: Path, options: DepthMapsOptions, most: int) -> list[list[str]]:
    """Names of the photos that get a depth map, in chunks of about equal size and at most ``most``.

    Raises:
        BadInput: as :func:`..depth.estimate_depth_maps`.
    """
    plan = DepthPlan.read(undistorted, options)
    names = sorted(plan.scene.names[reference.photo] for reference in plan.usable)
    chunks = -(-len(names) // most)
    return [names[len(names) * i // chunks : len(names) * (i + 1) // chunks] for i in range(chunks)]


def photos_read(undistorted: Path, options: DepthMapsOptions, photos: Sequence[str]) -> set[str]:
    """The photos whose earlier states the later steps read for ``photos``: their own and their neighbours'."""
    plan = DepthPlan.read(undistorted, options)
    seen = {r.photo for r in plan.chosen(photos)}.union(*({*r.sources, *r.witnesses} for r in plan.chosen(photos)))
    return {plan.scene.names[photo] for photo in seen}
