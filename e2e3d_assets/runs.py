"""What runs say of themselves, and what the instance remembers by it: tags, configuration, versions of uploads.

What belongs here: the vocabulary that the sensors, the command line and backfills share, so that none of them starts
work that another has started. What does not: when to start runs.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .presets import Quality, options_for
from .workers import obituary, stage_at_work

UPLOAD_TAG = "e2e3d/upload"
"""Run tag and run key: which version of which upload the run works on, as :class:`UploadVersion` writes it."""
PARTITION_TAG = "dagster/partition"
JOB = "reconstruct_job"

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

_SAYS_NOTHING = "marked as failed from outside"  # Dagster's words for a worker that was killed
_FINGERPRINT_DIGITS = 32
_RUNS_LOOKED_BACK = 25


class UploadVersion(NamedTuple):
    """The n-th state in which an image set's upload was given to a run.

    The number tells a set that was changed and changed back from one that was never changed.
    """

    image_set: str
    number: int
    fingerprint: str

    @property
    def tag(self) -> str:
        """``banana:2:3fa9c2…``."""
        return f"{self.image_set}:{self.number}:{self.fingerprint}"

    @classmethod
    def of_tag(cls, tag: str) -> "UploadVersion | None":
        """Read a tag; none if something else has written it."""
        image_set, _, rest = tag.partition(":")
        number, _, fingerprint = rest.partition(":")
        return cls(image_set, int(number), fingerprint) if number.isdecimal() else None

    def is_of(self, fingerprint: str) -> bool:
        """Whether it is this state of the upload."""
        return self.fingerprint == fingerprint[:_FINGERPRINT_DIGITS]


def next_version(image_set: str, fingerprint: str, latest: UploadVersion | None) -> UploadVersion:
    """The version that an upload is: the latest one if nothing has changed since."""
    if latest is not None and latest.is_of(fingerprint):
        return latest
    return UploadVersion(image_set, latest.number + 1 if latest else 1, fingerprint[:_FINGERPRINT_DIGITS])


def latest_versions(instance: dg.DagsterInstance, image_set: str | None = None) -> dict[str, UploadVersion]:
    """The last version of each upload, or of one, that a run was started for: one query for any number of sets."""
    found: dict[str, UploadVersion] = {}
    prefix = None if image_set is None else f"{image_set}:"
    for _, tags in instance.get_run_tags([UPLOAD_TAG], value_prefix=prefix):
        for version in filter(None, map(UploadVersion.of_tag, tags)):
            found[version.image_set] = max(version, found.get(version.image_set, version))
    return found


class Choice(BaseModel):
    """How an image set shall be reconstructed; also the contents of an upload's ``e2e3d.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quality: Quality = "medium"
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @classmethod
    def of_json(cls, text: bytes) -> "Choice":
        """Read ``e2e3d.json``.

        Raises:
            ValueError: it is not what it should be; says what, in one line.
        """
        try:
            choice = cls.model_validate_json(text)
            options_for(choice.quality, choice.overrides)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}") from error
        return choice

    def run_config(self, *, fresh: bool = False) -> dict[str, Any]:
        """The run configuration of ``reconstruct_job``."""
        config = {"quality": self.quality, "overrides": self.overrides, "fresh": fresh}
        return {"resources": {"stages": {"config": config}}}

    @classmethod
    def of_run_config(cls, run_config: Mapping[str, Any]) -> "Choice | None":
        """What a run was configured with; none if it left the quality open."""
        config = run_config.get("resources", {}).get("stages", {}).get("config", {})
        try:
            return cls(quality=config.get("quality"), overrides=config.get("overrides", {}))
        except ValidationError:
            return None


def last_choice(instance: dg.DagsterInstance, image_set: str) -> Choice | None:
    """What the last run of an image set that was asked for something was asked for."""
    for record in instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: image_set}), limit=_RUNS_LOOKED_BACK):
        if choice := Choice.of_run_config(record.dagster_run.run_config):
            return choice
    return None


def choice_of(
    instance: dg.DagsterInstance, image_set: str, quality: Quality | None, overrides: dict[str, dict[str, Any]]
) -> Choice:
    """What a run is asked for; where it leaves the quality open, it repeats the image set's last choice."""
    if quality is not None:
        return Choice(quality=quality, overrides=overrides)
    last = last_choice(instance, image_set) or Choice()
    return Choice(quality=last.quality, overrides=overrides or last.overrides)


def problem_of(instance: dg.DagsterInstance, run_id: str) -> tuple[str | None, str | None]:
    """The stage that failed and why, in the words of its own failure where it has some."""
    failures = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1).records
    if not failures:
        crashes = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE, limit=1).records
        if not crashes:
            return None, None
        told = crashes[0].event_log_entry.message
        return stage_at_work(instance, run_id), obituary(instance, run_id) if _SAYS_NOTHING in told else told
    event = failures[0].event_log_entry.get_dagster_event()
    failed = event.step_failure_data
    if failed.user_failure_data and failed.user_failure_data.description:
        return event.step_key, failed.user_failure_data.description
    error = failed.error
    while error is not None and error.cause is not None:
        error = error.cause
    return event.step_key, error.message.strip() if error else failed.error_display_string
