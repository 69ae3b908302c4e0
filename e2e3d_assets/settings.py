"""Where things are and how much of the machine may be used: every setting that comes from the environment.

What belongs here: names, defaults and validation of ``E2E3D_…`` variables. They are read when a resource or command
starts, never at import.
"""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one process, from ``E2E3D_<NAME>`` variables; a wrong value is refused by its name."""

    model_config = SettingsConfigDict(env_prefix="E2E3D_", frozen=True)

    home: Path = Field(
        default_factory=lambda: Path.home() / ".e2e3d", description="Everything local: products, uploads, run history."
    )
    artifacts: str | None = Field(
        default=None, description="URL of the product store; default: a folder in E2E3D_HOME."
    )
    uploads: str | None = Field(default=None, description="URL of the uploads; default: a folder in E2E3D_HOME.")
    scratch_dir: Path | None = Field(default=None, description="Folder for work in progress; default: in E2E3D_HOME.")

    @field_validator("home", "scratch_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

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
