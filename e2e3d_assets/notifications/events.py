"""What is told of a run: the documented contents of the webhook. Nothing else belongs here."""

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Kind: TypeAlias = Literal["run.succeeded", "run.failed", "run.cancelled", "run.stuck"]


class RunEvent(BaseModel):
    """One thing that happened to one run."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    kind: Kind
    run_id: str
    job: str
    image_set: str | None = Field(description="None for a run that belongs to no image set.")
    started: AwareDatetime | None
    ended: AwareDatetime | None
    stage: str | None = Field(default=None, description="The stage that failed.")
    problem: str | None = Field(default=None, description="Why, in words.")
    url: str = Field(description="The run in the Dagster UI.")

    @property
    def id(self) -> str:
        """The same for every attempt to tell it, so that receivers can ignore repetitions."""
        return f"{self.run_id}-{self.kind}"

    @property
    def seconds(self) -> float | None:
        """How long the run took; none if it never began or has not ended."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None
