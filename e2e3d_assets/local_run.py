"""Runs, lists and exports image sets on this machine: what the commands of the terminal do, through the assets.

What belongs here: staging an upload, one in-process run of ``reconstruct_job``, reading its outcome, copying files out.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData
from rich.console import Console

from . import definitions
from .instance import dagster_home, open_instance
from .jobs import QUIET_CONSOLE
from .partitions import DELETED, image_sets, slug
from .presets import Options, Quality
from .runs import JOB, UPLOAD_TAG, Choice, UploadVersion, latest_versions, next_version
from .serving import serve_everything
from .settings import Settings
from .stages import StageMeta
from .storage.artifacts import Artifact
from .storage.errors import Refused
from .storage.scratch import Scratch
from .storage.store import ArtifactStore
from .stores import open_artifacts, open_uploads
from .terminal import TerminalProgress

_DELIVERED = ("model_files", "viewer", "report")
_NOT_DELIVERED = {"preview.jpg"}


class Unusable(Exception):
    """What was asked for makes no sense as it was typed."""


class NoModel(Exception):
    """The photos cannot give a model; says why and what to do."""


@dataclass(frozen=True)
class SetState:
    """One row of ``e2e3d sets``, in words."""

    name: str
    state: str
    quality: str
    photos: str
    faces: str
    last_run: str
    size: str


def reconstruct(
    photos: Path,
    quality: Quality,
    overrides: dict[str, dict[str, Any]],
    output: Path | None,
    name: str | None,
    fresh: bool,
    console: Console,
) -> Path:
    """Stage ``photos`` as an upload, materialize every asset of its image set and copy the model's files out.

    Returns:
        The directory with the files.

    Raises:
        Unusable: no photos at that path, no name to be made of it, or no writable output.
        NoModel: the photos cannot give a model.
        RuntimeError: a stage failed for any other reason.
    """
    image_set = _image_set(photos, name)
    output = output or Path(f"{image_set}-model")
    _require_writable(output)
    settings = Settings()
    Scratch(settings.scratch).sweep()
    with open_instance(settings) as instance, TerminalProgress(console, stages=len(Options.model_fields)) as progress:
        job = definitions.build_defs(progress=progress).resolve_job_def(JOB)
        choice = Choice(quality=quality, overrides=overrides)
        # From here to the start of the run no time may be lost: a sensor on this instance may see the upload as well.
        version = _upload(photos, image_set, settings, instance)
        result = job.execute_in_process(
            instance=instance,
            partition_key=image_set,
            tags={UPLOAD_TAG: version.tag},
            run_config={**choice.run_config(fresh=fresh), **QUIET_CONSOLE},
            raise_on_error=False,
        )
    if not result.success:
        _raise_failure(result)
    return export_set(image_set, output)


def serve_dagster(sample: Path | None, name: str | None, host: str, port: int) -> int:
    """Run the embedded instance until it ends, with ``sample`` uploaded as an image set; give the exit status.

    Raises:
        Unusable: no photos at that path, or no name to be made of it.
    """
    settings = Settings()
    with open_instance(settings) as instance:  # made before its processes open it, all at once
        if sample is not None:
            _upload(sample, _image_set(sample, name), settings, instance)
    os.environ["DAGSTER_HOME"] = str(dagster_home(settings))
    return serve_everything(host, port)


def _image_set(photos: Path, name: str | None) -> str:
    if not photos.exists():
        raise Unusable(f"{photos} does not exist. Name a folder of photos, a video, or a zip or tar archive.")
    try:
        return slug(name or photos.resolve().name.split(".")[0])
    except ValueError as error:
        raise Unusable(f"{error}. Choose one with --name.") from error


def _upload(photos: Path, image_set: str, settings: Settings, instance: dg.DagsterInstance) -> UploadVersion:
    if image_set in instance.get_dynamic_partitions(DELETED):
        raise Unusable(
            f"The image set {image_set!r} was deleted and its name is not used again. Choose another --name."
        )
    instance.add_dynamic_partitions(str(image_sets.name), [image_set])
    latest = latest_versions(instance, image_set).get(image_set)
    try:
        upload = open_uploads(settings).replace(image_set, photos)
    except Refused as error:
        raise NoModel(str(error)) from error
    return next_version(image_set, upload.fingerprint, latest)


def _require_writable(directory: Path) -> None:
    """Find out before hours of work, not after them."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise Unusable(f"{directory} cannot be written: {error.strerror}. Choose another --output.") from error


def _raise_failure(result: dg.ExecuteInProcessResult) -> None:
    for event in result.filter_events(lambda event: event.is_step_failure):
        failure = event.step_failure_data
        told = failure.user_failure_data
        if told is not None and "problem" in told.metadata:
            raise NoModel(told.description)
        raise RuntimeError(f"{event.step_key} failed: {told.description if told else _reason(failure)}")
    raise RuntimeError("The run failed before its first stage.")


def _reason(failure: StepFailureData) -> str:
    """What the stage itself raised; Dagster wraps it once."""
    error = failure.error
    if error is None:
        return failure.error_display_string
    qualified, separator, text = (error.cause or error).message.strip().partition(": ")
    return f"{qualified.rpartition('.')[2]}{separator}{text}"


def export_set(image_set: str, directory: Path) -> Path:
    """Copy the files of the latest model of an image set into ``directory``, each complete or not at all.

    Raises:
        Unusable: there is no such model.
        OSError: the directory cannot be written.
    """
    settings = Settings()
    store = open_artifacts(settings)
    artifacts = _delivered(store, image_set)
    if len(artifacts) < len(_DELIVERED):
        known = ", ".join(store.image_sets()) or "none yet"
        raise Unusable(f"{image_set!r} has no finished model. Image sets with products: {known}.")
    for artifact in artifacts:
        for relative, source in _files(artifact):
            _copy_atomically(source, directory / relative)
    return directory


def delivered_file(store: ArtifactStore, image_set: str, path: str) -> Artifact:
    """The latest product for people outside that has a file.

    Raises:
        Unusable: none has it.
    """
    artifacts = _delivered(store, image_set)
    for artifact in artifacts:
        if artifact.file(path):
            return artifact
    names = ", ".join(relative for artifact in artifacts for relative, _ in _files(artifact)) if artifacts else ""
    raise Unusable(f"{image_set!r} has no {path}. " + (f"It has {names}." if names else "It has no finished model."))


def _delivered(store: ArtifactStore, image_set: str) -> list[Artifact]:
    """The latest products for people outside, as far as there are any."""
    return [artifact for asset in _DELIVERED if (artifact := store.latest(image_set, asset))]


def _files(artifact: Artifact) -> Iterator[tuple[str, Path]]:
    for file in artifact.files:
        if file.path not in _NOT_DELIVERED:
            yield file.path, artifact.path(file.path)


def _copy_atomically(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(source, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def list_sets() -> list[SetState]:
    """Every image set that was uploaded, run or registered, with the state of its model."""
    settings = Settings()
    store = open_artifacts(settings)
    with open_instance(settings) as instance:
        names = {
            *instance.get_dynamic_partitions(str(image_sets.name)),
            *store.image_sets(),
            *open_uploads(settings).image_sets(),
        }
        return [_state(name, store, instance) for name in sorted(names)]


def _state(name: str, store: ArtifactStore, instance: dg.DagsterInstance) -> SetState:
    runs = instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": name}), limit=1)
    mesh, photos = store.latest(name, "mesh"), store.latest(name, "photos")
    finished = store.latest(name, "report")
    if runs and not runs[0].dagster_run.is_finished:
        state = "running"
    elif runs and runs[0].dagster_run.status == dg.DagsterRunStatus.FAILURE:
        state = "failed"
    else:
        state = "finished" if finished else "waiting"
    return SetState(
        name=name,
        state=state,
        quality=StageMeta.of(finished).quality if finished else "",
        photos=f"{StageMeta.of(photos).figures['photos_accepted']}" if photos else "",
        faces=f"{StageMeta.of(mesh).figures['faces']:,}" if mesh else "",
        last_run=f"{_began(runs[0]):%Y-%m-%d %H:%M}" if runs else "",
        size=f"{store.usage(name) / 1e6:,.0f} MB",
    )


def _began(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), tz=UTC)
