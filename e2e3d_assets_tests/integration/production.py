"""The production instance as plain processes: the commands and configuration files of deployment/, on 127.0.0.1."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import requests

from e2e3d_assets.storage.store import ArtifactStore
from e2e3d_assets.storage.uploads import UploadStore
from e2e3d_assets_tests.fake_science import BEHAVIOUR, JOURNAL, journal

from .ceph import S3Server
from .postgres import Postgres

PROJECT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "e2e3d"}


class Production:
    """Code server, webserver and daemon on a Postgres and an S3 server; the definitions are those of a module."""

    module = "e2e3d_assets_tests.fake_definitions"

    def __init__(self, folder: Path, database: Postgres, s3: S3Server, bucket: str, **variables: str) -> None:
        self.folder = folder
        self.journal_path = folder / "journal"
        self.ports = {name: _free_port() for name in ("code-server", "webserver")}
        self.ui = f"http://127.0.0.1:{self.ports['webserver']}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.home = folder / "dagster"
        self.home.mkdir(parents=True)
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copyfile(PROJECT / "deployment" / name, self.home / name)
        self.variables = {
            "E2E3D_HOME": str(folder / "e2e3d"),
            "E2E3D_ARTIFACTS": f"s3://{bucket}/artifacts",
            "E2E3D_UPLOADS": f"s3://{bucket}/uploads",
            "E2E3D_LOGS_BUCKET": f"{bucket}-logs",
            "E2E3D_S3_ENDPOINT": s3.endpoint,
            "E2E3D_S3_REGION": "us-east-1",
            "E2E3D_S3_ALLOW_HTTP": "true",
            "E2E3D_POSTGRES_HOST": "127.0.0.1",
            "E2E3D_POSTGRES_PORT": str(database.port),
            "E2E3D_POSTGRES_USER": database.user,
            "E2E3D_POSTGRES_PASSWORD": database.password,
            "E2E3D_POSTGRES_DATABASE": database.database,
            "E2E3D_CODE_SERVER_HOST": "127.0.0.1",
            "E2E3D_CODE_SERVER_PORT": str(self.ports["code-server"]),
            "E2E3D_UI_URL": self.ui,
            "AWS_ACCESS_KEY_ID": s3.access_key_id,
            "AWS_SECRET_ACCESS_KEY": s3.secret_access_key,
            "AWS_REGION": "us-east-1",
            "DAGSTER_HOME": str(self.home),
            **variables,
        }
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **self.variables,
            "PYTHONPATH": str(PROJECT),
            JOURNAL: str(self.journal_path),
        }

    # The processes

    def start(self, *names: str) -> None:
        """Start those processes, or all, and wait until they answer."""
        commands = {
            "code-server": [
                "e2e3d", "code-server", "--port", str(self.ports["code-server"]),
                "--module", self.module,
            ],
            "webserver": [
                "e2e3d", "webserver", "-h", "127.0.0.1", "-p", str(self.ports["webserver"]), "-w", "workspace.yaml",
            ],
            "daemon": ["dagster-daemon", "run", "-w", "workspace.yaml"],
        }  # fmt: skip
        for name in names or commands:
            program, *arguments = commands[name]
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [str(_BIN / program), *arguments], cwd=self.home, env=self.environment, stdout=log, stderr=log
                )
            if name in self.ports:
                until(lambda name=name: _listens(self.ports[name]), 90, f"{name} listens", self._is_alive(name))
        until(self._is_loaded, 90, "the code location is loaded")

    def stop(self) -> None:
        """Stop everything, in the order that loses least; what does not listen is killed, orphans too."""
        for name in ("daemon", "webserver", "code-server"):
            if process := self.processes.pop(name, None):
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait()

    def kill(self, name: str) -> None:
        """kill -9 of one process; its children live on."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def family(self) -> list[psutil.Process]:
        """Every living process that was started for this instance, also those whose parents are dead."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                ours = process.environ().get(JOURNAL) == str(self.journal_path)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def command(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run ``e2e3d …`` as an operator on this instance."""
        return subprocess.run(
            [str(_BIN / "e2e3d"), *arguments], env=self.environment, capture_output=True, text=True, timeout=timeout
        )

    # The stores

    @property
    def uploads(self) -> UploadStore:
        """The upload store."""
        return UploadStore(self.variables["E2E3D_UPLOADS"], self.folder / "tests", **self._options())

    @property
    def artifacts(self) -> ArtifactStore:
        """The artifact store."""
        return ArtifactStore(self.variables["E2E3D_ARTIFACTS"], self.folder / "tests", **self._options())

    def upload(self, image_set: str, photos: int = 3, text: str = "", **behaviour: Any) -> None:
        """Upload an image set, marker last."""
        folder = self.folder / "to-upload" / image_set
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for number in range(photos):
            (folder / f"photo{number}.jpg").write_text(f"{image_set} {number} {text}")
        if behaviour:
            (folder / BEHAVIOUR).write_text(json.dumps(behaviour))
        self.uploads.replace(image_set, folder)

    def journal(self) -> list[dict[str, Any]]:
        """What the stages wrote down."""
        return journal(self.journal_path)

    def has_begun(self, stage: str, times: int = 1) -> bool:
        """Whether a stage has begun so many times since the journal was emptied."""
        return sum(line["stage"] == stage and line["event"] == "began" for line in self.journal()) >= times

    def scratch_left(self) -> list[str]:
        """Work in progress on this machine's disk."""
        scratch = self.folder / "e2e3d" / "scratch"
        return [path.name for path in scratch.glob("*") if path.name != "cache"] if scratch.exists() else []

    # GraphQL

    def ask(self, query: str, **variables: Any) -> Any:
        """Data of a GraphQL answer."""
        request = {"query": query, "variables": variables}
        answer = requests.post(f"{self.ui}/graphql", json=request, timeout=60)
        for _ in range(4):  # after a restart of the database, old connections fail once each
            if answer.ok:
                break
            time.sleep(0.5)
            answer = requests.post(f"{self.ui}/graphql", json=request, timeout=60)
        if not answer.ok:
            raise requests.HTTPError(answer.text[:2000], response=answer)
        return answer.json()["data"]

    def runs(self, image_set: str | None = None) -> list[dict[str, Any]]:
        """Runs, the newest first: runId, status, tags."""
        chosen = {"tags": [{"key": "dagster/partition", "value": image_set}]} if image_set else {}
        found = self.ask(
            "query($filter: RunsFilter) { runsOrError(filter: $filter, limit: 2000) { ... on Runs { results "
            "{ runId status startTime endTime creationTime tags { key value } } } } }",
            filter=chosen,
        )["runsOrError"]["results"]
        return [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]

    def statuses(self, image_set: str) -> list[str]:
        """Statuses of the runs of a set, the oldest first."""
        return [run["status"] for run in reversed(self.runs(image_set))]

    def terminate(self, run_id: str) -> None:
        """Cancel a run, as the UI does."""
        self.ask(
            "mutation($runIds: [String!]!) { terminateRuns(runIds: $runIds, terminatePolicy: SAFE_TERMINATE) "
            "{ __typename } }",
            runIds=[run_id],
        )

    def reexecute_from_failure(self, run_id: str) -> None:
        """Re-execute a run from its failure, as the UI does."""
        launched = self.ask(
            "mutation($p: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $p) { __typename "
            "... on PythonError { message } } }",
            p={"parentRunId": run_id, "strategy": "FROM_FAILURE"},
        )["launchRunReexecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched

    def widen_pool(self, pool: str, slots: int) -> None:
        """Let so many stages of a pool work at once, as an operator of a bigger machine does."""
        self.ask(
            "mutation($pool: String!, $slots: Int!) { setConcurrencyLimit(concurrencyKey: $pool, limit: $slots) }",
            pool=pool,
            slots=slots,
        )

    def slots_taken(self) -> int:
        """Pool slots in use."""
        limits = self.ask("{ instance { concurrencyLimits { activeSlotCount pendingStepCount } } }")
        return sum(limit["activeSlotCount"] for limit in limits["instance"]["concurrencyLimits"])

    def _is_loaded(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            entry = self.ask(
                "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename "
                "... on PythonError { message } } } } } }"
            )["workspaceOrError"]["locationEntries"]
            return [each["locationOrLoadError"]["__typename"] for each in entry] == ["RepositoryLocation"]
        return False

    def _is_alive(self, name: str) -> Callable[[], str]:
        def problem() -> str:
            died = self.processes[name].poll() is not None
            return (self.folder / f"{name}.log").read_text()[-3000:] if died else ""

        return problem

    def _options(self) -> dict[str, Any]:
        return {
            "endpoint": self.variables["E2E3D_S3_ENDPOINT"],
            "region": "us-east-1",
            "allow_http": True,
            "access_key_id": self.variables["AWS_ACCESS_KEY_ID"],
            "secret_access_key": self.variables["AWS_SECRET_ACCESS_KEY"],
        }


def until(condition: Callable[[], Any], seconds: float, what: str, problem: Callable[[], str] = lambda: "") -> Any:
    """Wait for a condition; the value that fulfilled it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if (told := problem()) or time.monotonic() > deadline:
            raise AssertionError(f"It never came to pass that {what}. {told}")
        time.sleep(0.1)
    return value


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
