"""How an asset runs its stage: options of the run, re-use of equal earlier work, scratch, cost, preview, failure.

What belongs here: all that the twelve assets have in common. What a single stage does stands in its asset.
"""

import hashlib
import inspect
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import dagster as dg
from dagster import DagsterExecutionInterruptedError
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG
from pydantic import BaseModel, Field

from .connections import keep_connections
from .headroom import Exhausted, exhaustion, require_headroom
from .measure import Cost, Meter
from .partitions import image_sets
from .presets import Quality, options_for
from .product_metadata import describe
from .progress import ProgressSink
from .reconstruction.background import in_daemon_thread
from .reconstruction.errors import BadInput
from .reconstruction.monitor import Figures, Monitor
from .reconstruction.options import StageOptions
from .reconstruction.report_schema import RunRecord, StageRecord
from .runs import Choice, choice_of
from .settings import Settings
from .storage.artifacts import Artifact
from .storage.errors import CorruptArtifact, StoreError
from .storage.scratch import Scratch
from .storage.uploads import Upload
from .stores import open_artifacts, open_uploads, upload_of

Result = TypeVar("Result")
Context: TypeAlias = dg.AssetExecutionContext | dg.OpExecutionContext
"""Of an asset, or of an op inside one."""

_POLL_SECONDS = 0.2
_SECONDS_TO_STOP = 5.0

# The store may be away for a moment; what the user must mend is raised as a Failure that forbids retries.
_RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)
_OWNERS = ["team:reconstruction"]

stage_asset = partial(
    dg.asset, partitions_def=image_sets, io_manager_key="artifacts", owners=_OWNERS, retry_policy=_RETRIES
)
stage_graph_asset = partial(dg.graph_asset, partitions_def=image_sets, owners=_OWNERS)
stage_op = partial(dg.op, retry_policy=_RETRIES)
"""An op inside a graph asset."""


class StageInput(Protocol):
    """What a stage reads: an artifact or an upload."""

    @property
    def digest(self) -> str:
        """Names the content: equal content, equal digest."""
        ...

    def path(self) -> Path:
        """A local directory with all files, fetched now if they are elsewhere."""
        ...


class StageMeta(BaseModel):
    """What an artifact's meta data says of the stage that made it."""

    recipe: str
    """Names what the product is made of, and by which method: equal recipes give equal products."""
    method: str = ""
    """Names the stage's code version and options."""
    quality: Quality
    options: dict[str, Any]
    figures: Figures
    cost: Cost

    def number(self, figure: str) -> float:
        """A figure that is a number."""
        return float(self.figures[figure])

    @classmethod
    def of(cls, artifact: Artifact) -> "StageMeta":
        """Read it back from an artifact that a stage has made."""
        return cls.model_validate(artifact.meta)


class Stages(dg.ConfigurableResource):
    """Options of a run, settable in the launch form under ``resources: stages: config``."""

    quality: Literal["as before", "low", "medium", "high"] = "as before"
    """As before: as in the image set's last run that chose one, else medium."""
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Single values in place of the preset's, for example ``{"mesh": {"max_faces": 50000}}``."""
    fresh: bool = False
    """Compute even what was computed before from equal inputs by equal code with equal options."""
    progress: dg.ResourceDependency[ProgressSink]

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Called by Dagster before the first stage that this process runs."""
        if context.instance is not None:
            keep_connections(context.instance)

    def run(
        self,
        context: Context,
        stage: Callable[..., Figures],
        *inputs: StageInput,
        parts: Sequence[Artifact] = (),
    ) -> Iterator[dg.Output[Artifact]]:
        """Yield what ``stage`` makes of the inputs, or the latest product if it was made by the same recipe.

        Args:
            context: of the asset; its name chooses the options.
            stage: called as ``stage(*input directories, out=…, options=…, monitor=…)``, and with ``previous=…`` if it
                takes that: the directory of the latest product by the same method, to go on from, or None.
            inputs: fetched only if the stage has to work.
            parts: what was made of the inputs by :meth:`make_part`, if the stage puts that together; their cost is
                the product's too.

        Raises:
            dagster.Failure: for bad input and impossible options; never retried.
        """
        asset = context.asset_key.path[-1]
        with self._made(context, asset, stage, inputs, parts) as (artifact, reused):
            yield self._output(asset, artifact, reused=reused)

    def make_part(
        self, context: dg.OpExecutionContext, part: str, stage: Callable[..., Figures], *inputs: StageInput
    ) -> None:
        """Keep in the store what ``stage`` makes of the inputs, unless it is there: a part of the asset's product.

        Args:
            context: of the asset that the part is for.
            part: its name.
            stage: as for :meth:`run`.
            inputs: as for :meth:`run`.
        """
        name = _part_name(context, part)
        with self._made(context, name, stage, inputs) as (artifact, reused), _plain_failures():
            if not reused:
                open_artifacts(Settings()).write(artifact, context.partition_key, name, context.run_id)

    def parts(self, context: dg.OpExecutionContext, names: Iterable[str]) -> list[Artifact]:
        """What :meth:`make_part` keeps for the asset under these names.

        Raises:
            dagster.Failure: one is not there.
        """
        with _plain_failures():
            store = open_artifacts(Settings())
            found = {name: store.latest(context.partition_key, _part_name(context, name)) for name in names}
        missing = [name for name, part in found.items() if part is None]
        if missing:
            raise dg.Failure(f"The parts {', '.join(missing)} are not in the store. Start the run again.")
        return [part for part in found.values() if part is not None]

    def forget_parts(self, context: dg.OpExecutionContext) -> None:
        """Remove all that :meth:`make_part` keeps for the asset: its product is committed."""
        with _plain_failures():
            store = open_artifacts(Settings())
            for name in store.assets(context.partition_key):
                if name.startswith(_part_name(context, "")):
                    store.delete(context.partition_key, name)

    def is_made(self, context: dg.OpExecutionContext, *inputs: StageInput) -> bool:
        """Whether :meth:`run` would find the asset's product in the store."""
        asset = context.asset_key.path[-1]
        return self._latest(context, asset, "recipe", self._recipe(context, asset, inputs).digest) is not None

    def ask(self, context: dg.OpExecutionContext, question: Callable[..., Result], *inputs: StageInput) -> Result:
        """What ``question(*input directories, options)`` answers; it leaves nothing on disk."""
        options = _options(context, self._choice(context))
        with _plain_failures(), _final_interruption(context):
            return _off_main_thread(lambda: question(*(each.path() for each in inputs), options), threading.Event())

    @contextmanager
    def _made(
        self,
        context: Context,
        name: str,
        stage: Callable[..., Figures],
        inputs: Sequence[StageInput],
        parts: Sequence[Artifact] = (),
    ) -> Iterator[tuple[Artifact, bool]]:
        """What is in the store under the name, by the same recipe, or else is made now; and whether it was there."""
        _require_not_cancelled(context)
        recipe = self._recipe(context, name, inputs)
        made_before = self._latest(context, name, "recipe", recipe.digest)
        if made_before is not None:
            yield made_before, True
            return
        more: dict[str, Path | None] = {}
        if "previous" in inspect.signature(stage).parameters:
            previous = self._latest(context, name, "method", recipe.method)
            more["previous"] = previous.path() if previous else None
        self.progress.started(name, context.log)
        with Scratch(Settings().scratch).directory(f"{context.partition_key}-{name}") as out:
            monitor = Monitor(self.progress.progress)
            meter = Meter()

            def check() -> None:
                meter.look()
                require_headroom(out.parent)

            with _plain_failures(), _final_interruption(context):
                figures = _off_main_thread(
                    lambda: stage(
                        *(each.path() for each in (*inputs, *parts)),
                        out=out,
                        options=recipe.options,
                        monitor=monitor,
                        **more,
                    ),
                    monitor.cancelled,
                    check,
                )
            made = StageMeta(
                recipe=recipe.digest,
                method=recipe.method,
                quality=recipe.quality,
                options=recipe.options.model_dump(mode="json"),
                figures=figures,
                cost=sum((StageMeta.of(part).cost for part in parts), meter.cost()),
            )
            yield Artifact.from_directory(out, made.model_dump(mode="json")), False

    def upload(self, image_set: str) -> Upload:
        """What was uploaded for an image set."""
        return upload_of(open_uploads(Settings()), image_set)

    def record(self, context: dg.AssetExecutionContext, products: Mapping[str, Artifact]) -> RunRecord:
        """What this run knows of itself and of the products that it reports on, in the order given."""
        choice = self._choice(context)
        return RunRecord(
            image_set=context.partition_key,
            quality=choice.quality,
            started=datetime.fromtimestamp(context.instance.get_run_stats(context.run.run_id).start_time or 0, tz=UTC),
            run_id=context.run.run_id,
            overrides=choice.overrides,
            stages=[
                StageRecord(stage=name, figures=made.figures, options=made.options, **asdict(made.cost))
                for name, made in ((name, StageMeta.of(artifact)) for name, artifact in products.items())
            ],
        )

    def _choice(self, context: Context) -> Choice:
        quality = None if self.quality == "as before" else self.quality
        return choice_of(context.instance, context.partition_key, quality, self.overrides)

    def _recipe(self, context: Context, name: str, inputs: Sequence[StageInput]) -> "_Recipe":
        choice = self._choice(context)
        options = _options(context, choice)
        version = context.assets_def.code_versions_by_key[context.asset_key]
        method = _digest([name, version, options.model_dump(mode="json")])
        return _Recipe(_digest([method, *(each.digest for each in inputs)]), method, choice.quality, options)

    def _latest(self, context: Context, name: str, what: str, digest: str) -> Artifact | None:
        """The latest product of that name, if it was made by this recipe or method and its files are as written."""
        if self.fresh:
            return None
        with suppress(CorruptArtifact):
            artifact = open_artifacts(Settings()).latest(context.partition_key, name)
            if artifact is not None and artifact.meta.get(what) == digest:
                artifact.path()
                return artifact
        return None

    def _output(self, asset: str, artifact: Artifact, *, reused: bool) -> dg.Output[Artifact]:
        made = StageMeta.of(artifact)
        self.progress.finished(asset, made.figures, made.cost, reused)
        metadata = describe(artifact, made.figures, made.cost, made.quality, reused=reused)
        return dg.Output(artifact, metadata=metadata, data_version=dg.DataVersion(artifact.digest))


@dataclass(frozen=True)
class _Recipe:
    """See :class:`StageMeta`."""

    digest: str
    method: str
    quality: Quality
    options: StageOptions


def _digest(ingredients: list[Any]) -> str:
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def _options(context: Context, choice: Choice) -> StageOptions:
    try:
        return getattr(options_for(choice.quality, choice.overrides), context.asset_key.path[-1])
    except ValueError as error:
        raise dg.Failure(f"The run's overrides cannot be used: {error}", allow_retries=False) from error


def _part_name(context: dg.OpExecutionContext, part: str) -> str:
    return f"{context.asset_key.path[-1]}.{part}"


def _off_main_thread(
    call: Callable[[], Result], cancelled: threading.Event, check: Callable[[], object] = bool
) -> Result:
    """Run ``call`` in a thread, so that Dagster's interruption of the main thread ends native work as well.

    The thread is a daemon: where native code cannot be stopped in time, it dies with the run's process.
    ``check`` is called all the time; what it raises ends the work, too.
    """
    future = in_daemon_thread(call)
    try:
        while not future.done():
            check()
            wait([future], _POLL_SECONDS)
    except BaseException:
        cancelled.set()
        wait([future], _SECONDS_TO_STOP)
        raise
    return future.result()


def _require_not_cancelled(context: Context) -> None:
    """Dagster takes an interruption for a reason to retry the stage: here is where that ends."""
    run = context.instance.get_run_by_id(context.run.run_id)
    if run is not None and run.status == dg.DagsterRunStatus.CANCELING:
        raise dg.Failure("The run was cancelled.", allow_retries=False)


@contextmanager
def _final_interruption(context: Context) -> Iterator[None]:
    """An interruption ends the run at once: a failed stage of a run that is being cancelled makes it cancelled.

    A worker that is stopped with its machine is no stage's fault, so the run may be started again.
    """
    try:
        yield
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        _require_not_cancelled(context)
        context.instance.add_run_tags(context.run.run_id, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true"})
        raise dg.Failure("The worker was interrupted.", allow_retries=False) from None


@contextmanager
def _plain_failures() -> Iterator[None]:
    """Say in Dagster's terms what must not be tried again, and in plain words what the user can do."""
    try:
        yield
    except BadInput as error:
        raise dg.Failure(
            description=str(error),
            metadata={"problem": error.problem, "remedy": error.remedy, "files": list(error.files)},
            allow_retries=False,
        ) from error
    except StoreError as error:
        raise dg.Failure(description=str(error), allow_retries=not error.permanent) from error
    except (Exhausted, MemoryError, OSError) as error:
        if told := exhaustion(error, Settings().scratch):
            raise dg.Failure(description=told, allow_retries=False) from error
        raise
