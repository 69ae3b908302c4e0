"""How long a person or a program waits until the first stage works: by a launch over GraphQL, and by an upload.

``python -m e2e3d_assets_tests.benchmarks.bench_latency [--rounds N]`` starts the production instance (Postgres, S3
server, code server, webserver, daemon) with stages that compute nothing, and says when, after the launch or after the
upload's marker was written, each step towards the first stage was taken. Medians, seconds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from e2e3d_assets.runs import JOB, PARTITION_TAG, Choice
from e2e3d_assets_tests.integration import ceph, postgres
from e2e3d_assets_tests.integration.production import Production, until

_STEPS = {
    "queued": "RUN_ENQUEUED",
    "taken from the queue": "RUN_DEQUEUED",
    "worker asked for": "RUN_STARTING",
    "worker loads": "ENGINE_EVENT",
    "run begins": "RUN_START",
    "first step begins": "STEP_START",
}
_LAUNCH = """mutation($launch: ExecutionParams!) { launchRun(executionParams: $launch) {
  __typename ... on PythonError { message } } }"""
_EVENTS = """query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection {
  events { ... on MessageEvent { timestamp eventType } } } } }"""


def measure(production: Production, name: str, begin: Callable[[str], float]) -> dict[str, float]:
    """Seconds from the beginning to each step towards the first stage of an image set's new run."""
    production.journal_path.unlink(missing_ok=True)
    before = {run["runId"] for run in production.runs(name)}
    began = begin(name)
    until(lambda: production.has_begun("photos"), 120, "the first stage works")
    worked = production.journal()[0]["time"]
    until(lambda: production.statuses(name)[-1:] == ["SUCCESS"], 120, "the run finishes")
    (run,) = (run for run in production.runs(name) if run["runId"] not in before)
    events = production.ask(_EVENTS, run=run["runId"])["logsForRun"]["events"]
    first = {event["eventType"]: int(event["timestamp"]) / 1000 - began for event in reversed(events) if event}
    steps = {step: first[event] for step, event in _STEPS.items() if event in first}
    return steps | {"first stage works": worked - began}


def main() -> None:
    """Print one line a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, ceph.serve(Path(folder, "s3")) as s3, postgres.serve() as database:
        production = Production(Path(folder, "production"), database, s3, "latency")
        try:
            production.start()
            by_upload = [measure(production, f"set{n}", lambda name: _upload(production, name)) for n in range(rounds)]
            by_launch = [measure(production, f"set{n}", lambda name: _launch(production, name)) for n in range(rounds)]
        finally:
            production.stop()
    for way, measured in (("launch", by_launch), ("upload", by_upload)):
        for step in measured[0]:
            seconds = sorted(one[step] for one in measured)
            print(f"{way:7} {step:22} {statistics.median(seconds):6.2f}  (of {', '.join(f'{s:.2f}' for s in seconds)})")


def _upload(production: Production, name: str) -> float:
    production.upload(name)
    return time.time()


def _launch(production: Production, name: str) -> float:
    selector = {"repositoryName": "__repository__", "repositoryLocationName": "e2e3d", "pipelineName": JOB}
    parameters = {
        "selector": selector,
        "runConfigData": Choice(quality="low").run_config(fresh=True),
        "mode": "default",
        "executionMetadata": {"tags": [{"key": PARTITION_TAG, "value": name}]},
    }
    began = time.time()
    launched = production.ask(_LAUNCH, launch=parameters)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return began


if __name__ == "__main__":
    main()
