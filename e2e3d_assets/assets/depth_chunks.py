"""The ops inside the asset depth_maps: how one big image set is shared among steps, processes and machines.

What belongs here: how chunks are named, and what each of them reads. What does not: what the steps compute
(:mod:`e2e3d_assets.reconstruction.stereo.steps`).

Each of the three steps needs what the one before it made of *neighbouring* photos, so it begins when all chunks of that
one are done. Dagster carries only this order and the chunks' names, such as ``2_of_7``; what a chunk makes is kept in
the artifact store, by name, until the asset's product is committed. A set that is one chunk has none of this: the last
op does all three steps in one go.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import dagster as dg

from ..reconstruction.monitor import Figures, Monitor
from ..reconstruction.options import DepthMapsOptions
from ..settings import Settings
from ..stages import Stages, stage_op
from ..storage.artifacts import Artifact

_ORDER = dg.In(dg.Nothing)


@stage_op(ins={"earlier": _ORDER}, out=dg.DynamicOut(dg.Nothing))
def plan_chunks(
    context: dg.OpExecutionContext, stages: Stages, undistorted_photos: Artifact
) -> Iterator[dg.DynamicOutput[None]]:
    """Name the chunks; none if the set is small, or if its depth maps are in the store already."""
    if not stages.is_made(context, undistorted_photos):
        for chunk in stages.ask(context, _chunks, undistorted_photos):
            yield dg.DynamicOutput(None, mapping_key=chunk)


@stage_op(ins={"chunk": _ORDER}, out=dg.Out(dg.Nothing), pool="cpu_heavy")
def search(context: dg.OpExecutionContext, stages: Stages, undistorted_photos: Artifact) -> None:
    """Coarse depth maps of a chunk, from the photos alone."""
    from ..reconstruction.stereo.steps import search_depth_maps

    chunk = context.get_mapping_key() or ""
    photos = stages.ask(context, _chunks, undistorted_photos)[chunk]

    def stage(undistorted: Path, out: Path, options: DepthMapsOptions, monitor: Monitor) -> Figures:
        search_depth_maps(undistorted, out, options, monitor, photos)
        return {"photos": len(photos)}

    stages.make_part(context, f"searched.{chunk}", stage, undistorted_photos)


@stage_op(ins={"chunk": _ORDER}, out=dg.Out(dg.Nothing), pool="cpu_heavy")
def refine(context: dg.OpExecutionContext, stages: Stages, undistorted_photos: Artifact) -> None:
    """Full-size depth maps of a chunk, consistent with the neighbours' coarse ones."""
    from ..reconstruction.stereo.steps import refine_depth_maps

    _go_on(context, stages, undistorted_photos, "searched", refine_depth_maps, "refined")


@stage_op(ins={"chunk": _ORDER}, out=dg.Out(dg.Nothing), pool="cpu_heavy")
def confirm(context: dg.OpExecutionContext, stages: Stages, undistorted_photos: Artifact) -> None:
    """Depth maps of a chunk, as far as the neighbours' confirm them."""
    from ..reconstruction.stereo.steps import confirm_depth_maps

    _go_on(context, stages, undistorted_photos, "refined", confirm_depth_maps, "confirmed")


@stage_op(ins={"confirmed": _ORDER}, out=dg.Out(io_manager_key="artifacts"), pool="cpu_heavy")
def put_together(
    context: dg.OpExecutionContext, stages: Stages, undistorted_photos: Artifact
) -> Iterator[dg.Output[Artifact]]:
    """One product of all chunks; of a small set, the work itself."""
    from ..reconstruction.depth import estimate_depth_maps, join_depth_maps

    parts: list[Artifact] = []
    if not stages.is_made(context, undistorted_photos):
        chunks = stages.ask(context, _chunks, undistorted_photos)
        parts = stages.parts(context, [f"confirmed.{chunk}" for chunk in chunks])

    def join(undistorted: Path, *confirmed: Path, out: Path, options: DepthMapsOptions, monitor: Monitor) -> Figures:
        return join_depth_maps(undistorted, confirmed, out, options, monitor)

    yield from stages.run(context, join if parts else estimate_depth_maps, undistorted_photos, parts=parts)
    stages.forget_parts(context)


def _chunks(undistorted: Path, options: DepthMapsOptions) -> dict[str, list[str]]:
    """Photos by the chunk's name; none if one chunk would hold the whole set."""
    from ..reconstruction.stereo.plan import split_photos

    chunks = split_photos(undistorted, options, Settings().depth_chunk_photos)
    return {f"{number}_of_{len(chunks)}": photos for number, photos in enumerate(chunks, 1)} if len(chunks) > 1 else {}


def _go_on(
    context: dg.OpExecutionContext,
    stages: Stages,
    undistorted_photos: Artifact,
    before: str,
    step: Callable[..., None],
    after: str,
) -> None:
    """Do a step of a chunk; of the chunks of the step before, only files of the neighbourhood are fetched."""
    from ..reconstruction.stereo.plan import photos_read
    from ..reconstruction.stereo.states import photo_of

    chunk = context.get_mapping_key() or ""
    chunks = stages.ask(context, _chunks, undistorted_photos)
    photos = chunks[chunk]
    neighbourhood = stages.ask(context, partial(photos_read, photos=photos), undistorted_photos)
    states = [
        part.only(lambda path: photo_of(path) in neighbourhood)
        for part in stages.parts(context, [f"{before}.{name}" for name in chunks])
    ]

    def stage(undistorted: Path, *states: Path, out: Path, options: DepthMapsOptions, monitor: Monitor) -> Figures:
        step(undistorted, states, out, options, monitor, photos)
        return {"photos": len(photos)}

    stages.make_part(context, f"{after}.{chunk}", stage, undistorted_photos, *(s for s in states if s.files))
