"""How an asset runs its stage: options of the run, re-use of equal earlier work, scratch, cost, preview, failure.

What belongs here: all that the twelve assets have in common. What a single stage does stands in its asset.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import dagster as dg
from dagster import DagsterExecutionInterruptedError
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG
from pydantic import BaseModel, Field

from .measure import Cost, Meter
from .partitions import image_sets
from .presets import Quality, options_for
from .progress import ProgressSink
from .reconstruction.errors import BadInput
from .reconstruction.monitor import Figures, Monitor
from .reconstruction.options import StageOptions
from .reconstruction.report_schema import RunRecord, StageRecord
from .runs import Choice, choice_of
from .settings import Settings
from .storage.artifacts import Artifact
from .storage.errors import CorruptArtifact, StoreError
from .storage.scratch import Scratch
from .storage.store import ArtifactStore
from .storage.uploads import Upload
from .stores import open_artifacts, open_uploads, upload_of

Result = TypeVar("Result")

_POLL_SECONDS = 0.2
_SECONDS_TO_STOP = 8.0

stage_asset = partial(
    dg.asset,
    partitions_def=image_sets,
    io_manager_key="artifacts",
    owners=["team:reconstruction"],
    # The store may be away for a moment; what the user must mend is raised as a Failure that forbids retries.
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL),
)


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
    """Names what the product is made of: equal recipes give equal products."""
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

    def run(
        self, context: dg.AssetExecutionContext, stage: Callable[..., Figures], *inputs: StageInput
    ) -> Iterator[dg.Output[Artifact]]:
        """Yield what ``stage`` makes of the inputs, or the latest product if it was made by the same recipe.

        Args:
            context: of the asset; its name chooses the options.
            stage: called as ``stage(*input directories, out, options, monitor)``.
            inputs: fetched only if the stage has to work.

        Raises:
            dagster.Failure: for bad input and impossible options; never retried.
        """
        _require_not_cancelled(context)
        asset = context.asset_key.path[-1]
        choice = self._choice(context)
        options = _options(asset, choice)
        recipe = _recipe(asset, context.assets_def.code_versions_by_key[context.asset_key], options, inputs)
        settings = Settings()
        store = open_artifacts(settings)
        earlier = None if self.fresh else _made_by(recipe, store, context.partition_key, asset)
        if earlier is not None:
            yield self._output(asset, earlier, reused=True)
            return
        self.progress.started(asset, context.log)
        with Scratch(settings.scratch).directory(f"{context.partition_key}-{asset}") as out:
            monitor = Monitor(self.progress.progress)
            meter = Meter()
            with _plain_failures(), _final_interruption(context):
                figures = _off_main_thread(
                    lambda: stage(*(each.path() for each in inputs), out, options, monitor), monitor.cancelled
                )
            made = StageMeta(
                recipe=recipe,
                quality=choice.quality,
                options=options.model_dump(mode="json"),
                figures=figures,
                cost=meter.cost(),
            )
            yield self._output(asset, Artifact.from_directory(out, made.model_dump(mode="json")), reused=False)

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

    def _choice(self, context: dg.AssetExecutionContext) -> Choice:
        quality = None if self.quality == "as before" else self.quality
        return choice_of(context.instance, context.partition_key, quality, self.overrides)

    def _output(self, asset: str, artifact: Artifact, *, reused: bool) -> dg.Output[Artifact]:
        made = StageMeta.of(artifact)
        self.progress.finished(asset, made.figures, made.cost, reused)
        metadata: dict[str, Any] = {
            **_preview(artifact),
            **made.figures,
            "wall_seconds": round(made.cost.wall_seconds, 2),
            "cpu_seconds": round(made.cost.cpu_seconds, 2),
            "peak_memory_mb": round(made.cost.peak_memory_bytes / 1e6),
            "quality": made.quality,
            "reused": reused,
        }
        return dg.Output(artifact, metadata=metadata, data_version=dg.DataVersion(artifact.digest))


def _preview(artifact: Artifact) -> dict[str, dg.MetadataValue]:
    if all(file.path != "preview.jpg" for file in artifact.files):
        return {}
    picture = base64.b64encode(artifact.path("preview.jpg").read_bytes()).decode()
    return {"preview": dg.MetadataValue.md(f"![preview](data:image/jpeg;base64,{picture})")}


def _options(asset: str, choice: Choice) -> StageOptions:
    try:
        return getattr(options_for(choice.quality, choice.overrides), asset)
    except ValueError as error:
        raise dg.Failure(f"The run's overrides cannot be used: {error}", allow_retries=False) from error


def _made_by(recipe: str, store: ArtifactStore, image_set: str, asset: str) -> Artifact | None:
    """The latest product, if it was made by this recipe and all its files are as they were written."""
    with suppress(CorruptArtifact):
        artifact = store.latest(image_set, asset)
        if artifact is not None and artifact.meta.get("recipe") == recipe:
            artifact.path()
            return artifact
    return None


def _recipe(asset: str, code_version: str | None, options: StageOptions, inputs: Sequence[StageInput]) -> str:
    ingredients = [asset, code_version, options.model_dump(mode="json"), [each.digest for each in inputs]]
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def _off_main_thread(call: Callable[[], Result], cancelled: threading.Event) -> Result:
    """Run ``call`` in a thread, so that Dagster's interruption of the main thread ends native work as well.

    The thread is a daemon: where native code cannot be stopped in time, it dies with the run's process.
    """
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # raised in the main thread below
            future.set_exception(error)

    threading.Thread(target=work, name="stage", daemon=True).start()
    # Waiting for the future, not for the thread: an interrupted Thread.join takes a living thread for dead.
    try:
        while not future.done():
            wait([future], _POLL_SECONDS)
    except BaseException:
        cancelled.set()
        wait([future], _SECONDS_TO_STOP)
        raise
    return future.result()


def _require_not_cancelled(context: dg.AssetExecutionContext) -> None:
    """Dagster takes an interruption for a reason to retry the stage: here is where that ends."""
    run = context.instance.get_run_by_id(context.run.run_id)
    if run is not None and run.status == dg.DagsterRunStatus.CANCELING:
        raise dg.Failure("The run was cancelled.", allow_retries=False)


@contextmanager
def _final_interruption(context: dg.AssetExecutionContext) -> Iterator[None]:
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
