"""The manifest, a revision's last file, and the pointer to the latest. Pure: no input or output here."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from .errors import Refused
from .names import check_component, check_path


def _path(value: str) -> str:
    try:
        return check_path(value)
    except Refused as error:
        raise ValueError(str(error)) from error


def _component(value: str) -> str:
    try:
        return check_component(value)
    except Refused as error:
        raise ValueError(str(error)) from error


Component = Annotated[str, AfterValidator(_component)]


class FileEntry(BaseModel):
    """One file of a product."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(_path)] = Field(description="relative POSIX path")
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Sealed(BaseModel):
    """A document whose bytes are canonical and carry a checksum of themselves: none of them can change unnoticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1

    def to_bytes(self) -> bytes:
        """JSON for people and programs; the last field is the checksum of the others."""
        document = self.model_dump(mode="json")
        return _encode(document | {"checksum": _sha256(_encode(document))})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: anything differs from what was written; the message says what.
        """
        try:
            document = json.loads(data)
        except ValueError as error:
            raise ValueError(f"text that is not JSON ({error})") from error
        if not isinstance(document, dict) or "checksum" not in document:
            raise ValueError("JSON that carries no checksum")
        if document.pop("checksum") != _sha256(_encode(document)):
            raise ValueError("contents that do not match their checksum")
        try:
            sealed = cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"a bad field {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        if sealed.to_bytes() != data:
            raise ValueError("bytes that do not match their checksum")
        return sealed


class Manifest(_Sealed):
    """What one revision of one asset of one image set holds."""

    image_set: Component
    asset: Component
    revision: Component
    created: AwareDatetime
    run_id: str
    meta: dict[str, JsonValue]
    files: tuple[FileEntry, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over paths and contents only, so that equal bytes made twice are the same version."""
        return digest_of(self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """Of the manifest's own bytes."""
        return _sha256(self.to_bytes())


class Pointer(_Sealed):
    """Which revision is the latest, and the digest of its manifest's bytes."""

    revision: Component
    manifest_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def digest_of(files: Iterable[FileEntry]) -> str:
    """SHA-256 over the sorted (path, sha256) pairs."""
    pairs = sorted((file.path, file.sha256) for file in files)
    return hashlib.sha256("".join(f"{path}\0{sha256}\n" for path, sha256 in pairs).encode()).hexdigest()


def plain_meta(meta: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Meta as JSON values: numbers of numpy become numbers.

    Raises:
        Refused: something in it is not JSON, NaN and infinity among them.
    """
    try:
        return json.loads(json.dumps(dict(meta), allow_nan=False, default=_scalar))
    except (TypeError, ValueError) as error:
        raise Refused(f"The product's meta data is not plain JSON: {error}.") from error


def _scalar(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _encode(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
