"""The IO manager: artifacts between Dagster assets. The only module of the store that knows Dagster.

An asset's output is committed under (partition, last part of the asset key); an input is the latest committed product,
whose files are fetched when they are asked for.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from .artifacts import Artifact, FileSource
from .errors import StoreError
from .manifest import FileEntry
from .parallel import ByteListener
from .store import ArtifactStore

FILES_PATH = "/files"
"""Where ``e2e3d webserver`` serves products: below it ``<image_set>/<asset>/<revision>/<file>``."""

_SECONDS_BETWEEN_MESSAGES = 10


@dataclass(frozen=True, slots=True)
class _Failing:
    """Reads files when the asset asks for them; damaged ones end its step for good."""

    source: FileSource

    def provide(self, files: Sequence[FileEntry]) -> Path:
        try:
            return self.source.provide(files)
        except StoreError as error:
            raise _failure(error) from error


class ArtifactIOManager(dg.ConfigurableIOManager):
    """Keeps each asset's product as a revision in an :class:`~e2e3d_assets.storage.store.ArtifactStore`.

    What repeating cannot mend ends in a ``Failure`` that forbids retries; a store that does not answer raises
    ``StoreUnavailable``, which the assets' retry policy may repeat.
    """

    url: str | None = None
    """Of the store; none: what the settings say."""
    scratch: str | None = None
    """Folder for copies; none: what the settings say."""

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Commit the product, unless it is committed already."""
        if not isinstance(obj, Artifact):
            raise dg.Failure(f"{context.asset_key.to_user_string()} gave no Artifact.", allow_retries=False)
        try:
            committed = self._store.write(
                obj, context.asset_partition_key, _name(context), context.run_id, _log_now_and_then(context.log)
            )
        except StoreError as error:
            raise _failure(error) from error
        context.add_output_metadata(_metadata(committed))

    def load_input(self, context: dg.InputContext) -> Artifact:
        """The latest product of the input's asset and partition."""
        asset, image_set = _name(context), context.asset_partition_key
        try:
            artifact = self._store.latest(image_set, asset)
        except StoreError as error:
            raise _failure(error) from error
        if artifact is None:
            raise dg.Failure(
                f"There is no {asset} for {image_set} in {self._store.url}. Materialize {asset} for {image_set} first.",
                allow_retries=False,
            )
        return artifact.read_through(_Failing)

    @cached_property
    def _store(self) -> ArtifactStore:
        """Opened on first use: nothing is read from the environment before."""
        if self.url is not None and self.scratch is not None:
            return ArtifactStore(self.url, Path(self.scratch))
        from ..settings import Settings

        settings = Settings()
        return ArtifactStore(
            self.url or settings.artifacts_url, Path(self.scratch or settings.scratch), **settings.bucket_options
        )


def _name(context: dg.OutputContext | dg.InputContext) -> str:
    return context.asset_key.path[-1]


def _log_now_and_then(log: dg.DagsterLogManager) -> ByteListener:
    """Tells the run's log of a transfer that takes long."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _SECONDS_BETWEEN_MESSAGES:
            last = time.monotonic()
            log.info(f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB stored")

    return tell


def _failure(error: StoreError) -> Exception:
    return dg.Failure(str(error), allow_retries=False) if error.permanent else error


def _metadata(artifact: Artifact) -> dict[str, Any]:
    return {
        "open": dg.MetadataValue.url(_address(artifact)),
        "uri": dg.MetadataValue.path(artifact.uri or ""),
        "revision": artifact.revision or "",
        "digest": artifact.digest,
        "files": len(artifact.files),
        "bytes": artifact.size,
    }


def _address(artifact: Artifact) -> str:
    """Of the product's page if it is one, else of the list of its files."""
    manifest = artifact.manifest
    if manifest is None:
        return f"{FILES_PATH}/"
    pages = [file.path for file in artifact.files if file.path.endswith(".html") and "/" not in file.path]
    page = pages[0] if len(pages) == 1 else ""
    return f"{FILES_PATH}/{manifest.image_set}/{manifest.asset}/{manifest.revision}/{page}"
