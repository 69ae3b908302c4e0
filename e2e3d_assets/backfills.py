"""Reconstructing many image sets again: which ones, each as it was made last, and how it went.

What belongs here: the choice of sets, the two ways to run one (here, or in the queue of the production instance), and
the summary. One failing set never stops the others.
"""

import time
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from .definitions import build_defs
from .jobs import QUIET_CONSOLE
from .partitions import image_sets
from .presets import Quality
from .runs import JOB, PARTITION_TAG, Choice, choice_of, problem_of

_POLL_SECONDS = 2.0
_LAUNCH = """
mutation($executionParams: ExecutionParams!) {
  launchRun(executionParams: $executionParams) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message }
    ... on InvalidSubsetError { message }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""


class UnknownSets(ValueError):
    """Image sets were named that do not exist."""


@dataclass(frozen=True)
class Outcome:
    """How it went with one image set."""

    image_set: str
    success: bool
    told: str
    """Seconds, or why it failed."""


class Runner(Protocol):
    """A way to run image sets."""

    def run(self, work: Sequence[tuple[str, Choice]], fresh: bool) -> Iterator[Outcome]:
        """Run each; an outcome comes as soon as it is known, whatever became of the others."""
        ...


def chosen_sets(known: Sequence[str], named: Sequence[str], *, everything: bool) -> list[str]:
    """The image sets that were asked for.

    Raises:
        UnknownSets: naming those that do not exist.
    """
    if unknown := sorted(set(named) - set(known)):
        raise UnknownSets(f"No such image set: {', '.join(unknown)}.")
    return list(known) if everything else list(dict.fromkeys(named))


def stale_sets(instance: dg.DagsterInstance, names: Sequence[str]) -> list[str]:
    """Those image sets of which some product is missing or was made by an older version of its stage's code."""
    graph = build_defs().resolve_asset_graph()
    stale: set[str] = set()
    for key in graph.materializable_asset_keys:
        left = [name for name in names if name not in stale]
        stale |= _stale(instance, key, graph.get(key).code_version, left)
    return [name for name in names if name in stale]


def _stale(instance: dg.DagsterInstance, key: dg.AssetKey, code_version: str | None, names: Iterable[str]) -> Set[str]:
    stale = set()
    for name in names:
        found = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[name]), limit=1).records
        tags = found[0].asset_materialization.tags or {} if found and found[0].asset_materialization else {}
        if tags.get("dagster/code_version") != code_version:
            stale.add(name)
    return stale


def plan(
    instance: dg.DagsterInstance, names: Sequence[str], quality: Quality | None, overrides: dict[str, dict[str, Any]]
) -> list[tuple[str, Choice]]:
    """Each image set with what it is to be made with: what is not asked for now is as it was last."""
    return [(name, choice_of(instance, name, quality, overrides)) for name in names]


def known_sets(instance: dg.DagsterInstance) -> list[str]:
    """All image sets, in the order in which they came."""
    return list(instance.get_dynamic_partitions(str(image_sets.name)))


@dataclass(frozen=True)
class RunHere:
    """Runs the image sets in this process, one after the other."""

    instance: dg.DagsterInstance

    def run(self, work: Sequence[tuple[str, Choice]], fresh: bool) -> Iterator[Outcome]:
        """See :class:`Runner`."""
        job = build_defs().resolve_job_def(JOB)
        for image_set, choice in work:
            began = time.monotonic()
            result = job.execute_in_process(
                instance=self.instance,
                partition_key=image_set,
                run_config={**choice.run_config(fresh=fresh), **QUIET_CONSOLE},
                raise_on_error=False,
            )
            told = f"{time.monotonic() - began:.0f} s" if result.success else _reason(self.instance, result.run_id)
            yield Outcome(image_set, result.success, told)


@dataclass(frozen=True)
class RunQueued:
    """Puts the image sets into the queue, through the GraphQL of the Dagster UI, and waits for them."""

    instance: dg.DagsterInstance
    ui_url: str
    location: str = "e2e3d"

    def run(self, work: Sequence[tuple[str, Choice]], fresh: bool) -> Iterator[Outcome]:
        """See :class:`Runner`."""
        waiting: dict[str, str] = {}
        for image_set, choice in work:
            try:
                waiting[self._launch(image_set, choice, fresh)] = image_set
            except (requests.RequestException, ValueError) as error:
                yield Outcome(image_set, False, f"not started: {error}")
        while waiting:
            time.sleep(_POLL_SECONDS)
            for record in self.instance.get_run_records(dg.RunsFilter(run_ids=list(waiting))):
                run = record.dagster_run
                if run.is_finished:
                    seconds = (record.end_time or 0) - (record.start_time or record.end_time or 0)
                    told = f"{seconds:.0f} s" if run.is_success else _reason(self.instance, run.run_id)
                    yield Outcome(waiting.pop(run.run_id), run.is_success, told)

    def _launch(self, image_set: str, choice: Choice, fresh: bool) -> str:
        parameters = {
            "selector": {
                "repositoryName": "__repository__",
                "repositoryLocationName": self.location,
                "pipelineName": JOB,
            },
            "runConfigData": choice.run_config(fresh=fresh),
            "mode": "default",
            "executionMetadata": {"tags": [{"key": PARTITION_TAG, "value": image_set}]},
        }
        answer = _persistent().post(
            f"{self.ui_url.rstrip('/')}/graphql",
            json={"query": _LAUNCH, "variables": {"executionParams": parameters}},
            timeout=60,
        )
        answer.raise_for_status()
        launched = answer.json()["data"]["launchRun"]
        if "run" not in launched:
            raise ValueError(launched.get("message") or launched.get("errors") or launched["__typename"])
        return launched["run"]["runId"]


def summary(outcomes: Sequence[Outcome]) -> str:
    """``7 of 9 image sets are ready. Not ready: fog, harbour.``"""
    failed = [outcome.image_set for outcome in outcomes if not outcome.success]
    told = f"{len(outcomes) - len(failed)} of {len(outcomes)} image sets are ready."
    return f"{told} Not ready: {', '.join(sorted(failed))}." if failed else told


def _persistent() -> requests.Session:
    """After a restart of its database, the UI answers 500 until it has dropped its old connections."""
    retries = Retry(total=5, backoff_factor=1, status_forcelist=[500, 502, 503], allowed_methods=None)
    session = requests.Session()
    session.mount("http", HTTPAdapter(max_retries=retries))
    return session


def _reason(instance: dg.DagsterInstance, run_id: str) -> str:
    stage, problem = problem_of(instance, run_id)
    return f"{stage}: {problem}" if stage else problem or "failed"
