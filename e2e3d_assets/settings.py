"""Where things are and how much of the machine may be used: every setting that comes from the environment.

What belongs here: names, defaults and validation of ``E2E3D_…`` variables. They are read when a resource or command
starts, never at import. What Dagster itself reads (Postgres, code server, logs) stands in ``deployment/dagster.yaml``.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "E2E3D_"
_STORE_SCHEMES = ("", "file", "s3", "gs", "az")

DEPLOYMENT_NAMES = frozenset(
    f"{_PREFIX}{name}"
    for name in (
        "POSTGRES_HOST",
        "POSTGRES_PORT",
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
        "POSTGRES_DATABASE",
        "CODE_SERVER_HOST",
        "CODE_SERVER_PORT",
    )
)
"""Variables that ``deployment/dagster.yaml`` and ``deployment/workspace.yaml`` read, not :class:`Settings`."""


class WrongSettings(ValueError):
    """One or more variables have impossible values; the message names each of them."""


class Settings(BaseSettings):
    """Settings of one process, from ``E2E3D_<NAME>`` variables.

    Credentials of a bucket are not among them: they come from the usual ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``, or from the role of the machine.

    Raises:
        WrongSettings: naming each wrong variable.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, frozen=True)

    home: Path = Field(
        default_factory=lambda: Path.home() / ".e2e3d", description="Everything local: products, uploads, run history."
    )
    artifacts: str | None = Field(
        default=None, description="URL of the product store; default: a folder in E2E3D_HOME."
    )
    uploads: str | None = Field(default=None, description="URL of the uploads; default: a folder in E2E3D_HOME.")
    scratch_dir: Path | None = Field(default=None, description="Folder for work in progress; default: in E2E3D_HOME.")

    cache_gb: float = Field(
        default=50, ge=0, description="What local copies of a bucket's products may take after the night, GB."
    )

    s3_endpoint: str | None = Field(default=None, description="URL of the S3 server; default: Amazon's.")
    s3_public_endpoint: str | None = Field(
        default=None,
        description="The S3 server as others reach it, for `e2e3d link`; default: E2E3D_S3_ENDPOINT.",
    )
    s3_region: str | None = Field(default=None, description="Region that S3 requests are signed for.")
    s3_path_style: bool = Field(default=True, description="Whether the bucket stands in the path, not the host name.")
    s3_allow_http: bool = Field(default=False, description="Whether an S3 server without TLS is accepted.")
    s3_ca_file: Path | None = Field(
        default=None, description="PEM file of the authority that signed the S3 server's certificate."
    )
    s3_server_side_encryption: Literal["AES256", "aws:kms"] | None = Field(
        default=None, description="How the S3 server encrypts what it stores."
    )
    s3_sse_kms_key_id: str | None = Field(default=None, description="Key for aws:kms.")
    s3_retry_seconds: float = Field(
        default=60, ge=0, description="How long a failing S3 request is repeated before the stage fails."
    )

    link_hours: float = Field(
        default=24, gt=0, le=168, description="How long an address made by `e2e3d link` opens a file of a bucket."
    )

    logs_bucket: str | None = Field(
        default=None, description="Bucket of what runs print; `deployment/dagster.yaml` reads it too."
    )

    upload_quiet_seconds: float = Field(
        default=60, ge=1, description="An upload without _COMPLETE counts as complete after this long without a change."
    )
    upload_runs_per_tick: int = Field(
        default=20, ge=1, le=500, description="Runs that the upload sensor requests at once; the rest follows."
    )

    depth_chunk_photos: int = Field(
        default=48,
        ge=1,
        description="Photos whose depth is estimated in one step; bigger sets are split, and go on after what is done.",
    )

    keep_revisions: int = Field(default=3, ge=1, description="Finished revisions kept of each product.")
    keep_run_days: float = Field(default=90, ge=1, description="Age at which old run records are removed.")
    longest_run_hours: float = Field(
        default=12,
        gt=0,
        description="No run takes longer; what is younger is never cleaned up, what is older is stuck.",
    )

    webhook_urls: SecretStr = Field(
        default=SecretStr(""), description="Addresses that are told of finished runs, separated by blanks."
    )
    webhook_secret: SecretStr | None = Field(default=None, description="Signs what is sent to webhook_urls.")
    slack_webhook_url: SecretStr | None = Field(default=None, description="Incoming webhook that takes Slack's JSON.")
    smtp_host: str | None = Field(default=None, description="Mail server for reports of failed runs.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(default="starttls", description="How mail is encrypted.")
    smtp_user: str | None = Field(default=None, description="Login at the mail server; default: none.")
    smtp_password: SecretStr | None = Field(default=None, description="Its password.")
    mail_from: str = Field(default="e2e3d@localhost", description="Sender of mail.")
    mail_to: str = Field(default="", description="Receivers of mail, separated by blanks; default: no mail.")
    ui_url: str = Field(
        default="http://127.0.0.1:3000", description="Address of the Dagster UI, for links in messages."
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise WrongSettings(_in_words(error)) from error

    @field_validator("home", "scratch_dir", "s3_ca_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

    @field_validator("artifacts", "uploads")
    @classmethod
    def _known_store(cls, url: str | None) -> str | None:
        if url and urlsplit(url).scheme not in _STORE_SCHEMES:
            raise ValueError("no store. Give a folder, file://…, s3://bucket/prefix, gs://… or az://…")
        return url

    @field_validator("s3_endpoint", "s3_public_endpoint", "ui_url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("no http:// or https:// address")
        return url

    @field_validator("webhook_urls")
    @classmethod
    def _all_http(cls, urls: SecretStr) -> SecretStr:
        for url in urls.get_secret_value().split():
            cls._http(url)
        return urls

    @property
    def artifacts_url(self) -> str:
        """URL of the artifact store."""
        return self.artifacts or (self.home / "artifacts").as_uri()

    @property
    def uploads_url(self) -> str:
        """URL of the upload store."""
        return self.uploads or (self.home / "uploads").as_uri()

    @property
    def scratch(self) -> Path:
        """Folder for work in progress; on the store's file system a product is moved instead of copied."""
        return self.scratch_dir or self.home / "scratch"

    @property
    def dagster_home(self) -> Path:
        """Folder of the embedded Dagster instance: run history, event log, schedules."""
        return self.home / "dagster"

    @property
    def bucket_options(self) -> dict[str, Any]:
        """How to reach a bucket: fields of :class:`~e2e3d_assets.storage.objects.BucketOptions`."""
        return {
            "endpoint": self.s3_endpoint,
            "public_endpoint": self.s3_public_endpoint,
            "region": self.s3_region,
            "path_style": self.s3_path_style,
            "allow_http": self.s3_allow_http,
            "ca_certificate": self.s3_ca_file.read_text() if self.s3_ca_file else None,
            "server_side_encryption": self.s3_server_side_encryption,
            "sse_kms_key_id": self.s3_sse_kms_key_id,
            "retry_seconds": self.s3_retry_seconds,
        }


def unknown_names(environment: Mapping[str, str] = os.environ) -> list[str]:
    """``E2E3D_…`` variables that nothing reads: most likely typing errors."""
    known = DEPLOYMENT_NAMES | {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)


def _in_words(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        secret = "Secret" in str(Settings.model_fields[field].annotation) if field in Settings.model_fields else False
        given = "" if secret else f", not {problem['input']!r}"
        lines.append(f"{_PREFIX}{field.upper()}: {problem['msg'].removeprefix('Value error, ')}{given}")
    return "\n".join(lines)
