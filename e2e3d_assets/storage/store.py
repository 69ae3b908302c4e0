"""`ArtifactStore`: revisions of products, each whole or not there.

``<image_set>/<asset>/<revision>/…files…``, then ``manifest.json`` in it, then the pointer
``<image_set>/<asset>/latest.json``.
What belongs here: the order of these steps, forwards and backwards. What does not: retention (``retention``),
how bytes move (``objects``), how files are read (``sources``).
"""

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .artifacts import Artifact, FileSource
from .cache import Cache
from .errors import CorruptArtifact, StoreError
from .hashing import checked_files
from .manifest import Manifest, Pointer
from .names import MANIFEST, POINTER, check_component
from .objects import BucketOptions, open_objects
from .parallel import ByteListener, Tally
from .sources import Cached, InPlace

_ATTEMPTS_TO_FOLLOW = 3
_REVISION_TIME = "%Y%m%dT%H%M%S%fZ"


class ArtifactStore:
    """Products by image set and asset. Safe to share between threads; processes may share the same URL.

    Args:
        url: a folder, ``file://…``, ``s3://bucket/prefix``, ``gs://…`` or ``az://…``.
        scratch: folder on this machine for copies of what is stored elsewhere.
        options: fields of :class:`~e2e3d_assets.storage.objects.BucketOptions`.
    """

    def __init__(self, url: str, scratch: Path, **options: Any) -> None:
        self.objects = open_objects(url, BucketOptions(**options))
        self.url = self.objects.url
        self.cache = Cache(scratch.absolute() / "cache")

    def prepare(self) -> None:
        """Create the folder or bucket if it does not exist."""
        self.objects.prepare()

    def write(
        self, artifact: Artifact, image_set: str, asset: str, run_id: str, on_bytes: ByteListener | None = None
    ) -> Artifact:
        """Commit a product as the latest revision of an asset; give it as committed (the same object if it was new).

        Files first, the manifest next, the pointer last: until then readers see the previous revision. A product that
        this store already holds under the same image set and asset is not written again.

        Args:
            artifact: the product.
            image_set: of which set.
            asset: of which asset.
            run_id: who made it.
            on_bytes: told how much is stored.

        Raises:
            Refused: a name is not one path segment.
            StoreUnavailable: the disk or the server failed; what had been written of the revision is removed.
        """
        check_component(image_set)
        check_component(asset)
        if artifact.manifest and artifact.uri == self._uri(f"{image_set}/{asset}/{artifact.manifest.revision}"):
            self._point(artifact.manifest)
            return artifact
        manifest = Manifest(
            image_set=image_set,
            asset=asset,
            revision=_new_revision(),
            created=datetime.now(UTC),
            run_id=run_id,
            meta=artifact.meta,
            files=artifact.files,
        )
        try:
            self._write_revision(artifact, manifest, Tally(manifest.size, on_bytes))
        except BaseException:
            self._discard(manifest)
            raise
        self._point(manifest)
        if artifact.manifest:
            return self._artifact(manifest)
        artifact.become_committed(manifest, self._uri(_prefix(manifest)), self._source(manifest))
        return artifact

    def latest(self, image_set: str, asset: str) -> Artifact | None:
        """The product that the pointer names; none if the asset was never written.

        Raises:
            CorruptArtifact: the pointer or the manifest is damaged, or the manifest is missing.
        """
        pointer = self._pointer(image_set, asset)
        for _ in range(_ATTEMPTS_TO_FOLLOW):
            if pointer is None:
                return None
            manifest = self._manifest(image_set, asset, pointer.revision, pointer.manifest_sha256)
            if manifest is not None:
                return self._artifact(manifest)
            newer = self._pointer(image_set, asset)
            if newer == pointer:
                break
            pointer = newer
        raise CorruptArtifact(image_set, asset, pointer.revision, MANIFEST, "a manifest", "none")

    def latest_revision(self, image_set: str, asset: str) -> str | None:
        """The revision that the pointer names, whether or not its files are there.

        Raises:
            CorruptArtifact: the pointer is damaged.
        """
        pointer = self._pointer(image_set, asset)
        return pointer.revision if pointer else None

    def get(self, image_set: str, asset: str, revision: str) -> Artifact | None:
        """One revision; none if there is no complete one of that name."""
        manifest = self._manifest(image_set, asset, revision)
        return self._artifact(manifest) if manifest else None

    def stream(self, artifact: Artifact, path: str) -> Iterator[bytes]:
        """The bytes of one file of a committed product, some MiB at a time, without a copy on this machine.

        Raises:
            FileNotFoundError: the product has no such file, or it is not kept any more.
        """
        return self.objects.stream(_file_key(artifact, path))

    def sign(self, artifact: Artifact, path: str, life: timedelta) -> str | None:
        """An address at which anybody may read a file of a committed product for so long; none on a disk.

        Raises:
            FileNotFoundError: the product has no such file.
        """
        return self.objects.sign(_file_key(artifact, path), life)

    def revisions(self, image_set: str, asset: str) -> list[str]:
        """Names of all revisions, complete or not, oldest first."""
        return self.objects.folders(f"{check_component(image_set)}/{check_component(asset)}")

    def assets(self, image_set: str) -> list[str]:
        """Names of the assets of a set that have revisions, sorted."""
        return self.objects.folders(check_component(image_set))

    def image_sets(self) -> list[str]:
        """Names of all image sets, sorted."""
        return self.objects.folders("")

    def usage(self, image_set: str) -> int:
        """Bytes that an image set takes, all revisions and what was never finished included."""
        return sum(info.size for info in self.objects.walk(check_component(image_set)))

    def delete(self, image_set: str, asset: str | None = None) -> None:
        """Remove an image set, or one asset of it, pointers first: readers see at once that it is gone.

        It can be repeated if cut off.
        """
        names = [image_set] if asset is None else [image_set, asset]
        keys = [info.key for info in self.objects.walk("/".join(map(check_component, names)))]
        for last_part in (POINTER, MANIFEST, ""):
            self.objects.delete([key for key in keys if key.rpartition("/")[2] == last_part or not last_part])

    def _write_revision(self, artifact: Artifact, manifest: Manifest, tally: Tally) -> None:
        root = artifact.path()
        prefix = _prefix(manifest)
        self.objects.put_files(
            [(root / file.path, f"{prefix}/{file.path}") for file in manifest.files], may_share=True, on_bytes=tally.add
        )
        self.objects.put_bytes(f"{prefix}/{MANIFEST}", manifest.to_bytes())
        self._keep_at_hand(root, manifest)

    def _keep_at_hand(self, root: Path, manifest: Manifest) -> None:
        """Spare the next stage on this machine a second look at bytes that were hashed a moment ago."""
        in_place = self.objects.local_path(_prefix(manifest))
        if in_place is None:
            self.cache.adopt(root, manifest.files)
            return
        for file in manifest.files:
            checked_files.remember(in_place / file.path, file.sha256)

    def _discard(self, manifest: Manifest) -> None:
        """Remove what there is of a revision that nobody can see yet."""
        with contextlib.suppress(StoreError):
            self.objects.delete([info.key for info in self.objects.walk(_prefix(manifest))])

    def _point(self, manifest: Manifest) -> None:
        """Make a complete revision the latest, if it is not already."""
        pointer = Pointer(revision=manifest.revision, manifest_sha256=manifest.sha256)
        with contextlib.suppress(CorruptArtifact):
            if self._pointer(manifest.image_set, manifest.asset) == pointer:
                return
        self.objects.put_bytes(_pointer_key(manifest.image_set, manifest.asset), pointer.to_bytes())

    def _pointer(self, image_set: str, asset: str) -> Pointer | None:
        key = _pointer_key(check_component(image_set), check_component(asset))
        try:
            return Pointer.from_bytes(self.objects.get_bytes(key))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise CorruptArtifact(image_set, asset, "latest", POINTER, "the name of a revision", str(error)) from error

    def _manifest(self, image_set: str, asset: str, revision: str, sha256: str | None = None) -> Manifest | None:
        """A revision's manifest, verified; none if it is missing."""
        prefix = "/".join(check_component(name) for name in (image_set, asset, revision))
        try:
            manifest = Manifest.from_bytes(self.objects.get_bytes(f"{prefix}/{MANIFEST}"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise CorruptArtifact(image_set, asset, revision, MANIFEST, "a manifest", str(error)) from error
        if sha256 not in (None, manifest.sha256):
            raise CorruptArtifact(image_set, asset, revision, MANIFEST, f"sha256 {sha256}", f"sha256 {manifest.sha256}")
        if _prefix(manifest) != prefix:
            raise CorruptArtifact(image_set, asset, revision, MANIFEST, f"that of {prefix}", _prefix(manifest))
        return manifest

    def _artifact(self, manifest: Manifest) -> Artifact:
        source, uri = self._source(manifest), self._uri(_prefix(manifest))
        return Artifact(manifest.files, manifest.meta, source, manifest, uri)

    def _source(self, manifest: Manifest) -> FileSource:
        prefix = _prefix(manifest)
        root = self.objects.local_path(prefix)
        return InPlace(manifest, root) if root else Cached(manifest, prefix, self.objects, self.cache)

    def _uri(self, prefix: str) -> str:
        return f"{self.url}/{prefix}"


def _new_revision() -> str:
    """Sorts by time, and is unique."""
    return f"{datetime.now(UTC):{_REVISION_TIME}}-{secrets.token_hex(4)}"


def started_at(revision: str) -> datetime | None:
    """When the writing of a revision began, by its name; none if it is no name of ours."""
    try:
        return datetime.strptime(revision.partition("-")[0], _REVISION_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _prefix(manifest: Manifest) -> str:
    return f"{manifest.image_set}/{manifest.asset}/{manifest.revision}"


def _file_key(artifact: Artifact, path: str) -> str:
    if artifact.manifest is None or artifact.file(path) is None:
        raise FileNotFoundError(f"{artifact} has no {path!r}.")
    return f"{_prefix(artifact.manifest)}/{path}"


def _pointer_key(image_set: str, asset: str) -> str:
    return f"{image_set}/{asset}/{POINTER}"
