"""docker-compose.yml and the Dockerfile, as far as they can be checked without an engine."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from e2e3d_assets.settings import DEPLOYMENT_NAMES, Settings

PROJECT = Path(__file__).parents[2]
OURS = ("code-server", "webserver", "daemon")


@pytest.fixture
def services() -> dict[str, dict]:
    return yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]


def run(program: str, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_compose_file_follows_the_schema():
    """Prevents a key that Compose refuses or ignores."""
    done = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", PROJECT / "docker-compose.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfile_is_clean():
    """Prevents an image that runs as root or drags its build tools along."""
    done = run("hadolint", PROJECT / "deployment" / "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_webserver_is_published_and_only_here(services):
    """Prevents a database, a bucket or a UI without login on a public address."""
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"webserver": ["127.0.0.1:3000:3000"]}


def test_every_service_is_checked_and_pinned(services):
    """Prevents dependents of a service that does not answer, and images that change by themselves."""
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert service["image"] == "e2e3d" or ":" in service["image"].replace(":latest", ""), name


def test_code_server_outlives_the_longest_run(services):
    """Prevents an update from killing a run that is almost done."""
    hours = int(services["code-server"]["stop_grace_period"].removesuffix("h"))
    assert hours > Settings().longest_run_hours
    dagster = yaml.safe_load((PROJECT / "deployment" / "dagster.yaml").read_text())
    assert dagster["run_monitoring"]["max_runtime_seconds"] <= hours * 3600


def test_ours_run_without_privileges(services):
    """Prevents a broken decoder from becoming root."""
    for name in OURS:
        assert services[name]["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in services[name]["security_opt"]
    users = [
        line for line in (PROJECT / "deployment" / "Dockerfile").read_text().splitlines() if line.startswith("USER")
    ]
    assert users == ["USER 10001"]


def test_commands_exist(services):
    """Prevents a service that ends with a usage error."""
    for name in OURS:
        program, *arguments = services[name]["command"]
        subcommand = [argument for argument in arguments[:1] if not argument.startswith("-")]
        told = run(program, *subcommand, "--help").stdout
        options = [argument for argument in arguments if argument.startswith("--")]
        assert options
        assert [option for option in options if option not in told] == [], name


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "deployment").mkdir()
    shutil.copy(PROJECT / "deployment" / "new-env.sh", tmp_path / "deployment")
    return tmp_path


def new_env(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([project / "deployment" / "new-env.sh"], capture_output=True, text=True, check=False)


def variables(project: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (project / ".env").read_text().splitlines())


def test_env_file_has_all_that_is_needed_and_secrets_of_its_own(project, services, monkeypatch):
    """Prevents a password that everybody knows, and a file that others can read."""
    assert new_env(project).returncode == 0
    first = variables(project)
    assert stat.S_IMODE(os.stat(project / ".env").st_mode) == 0o600
    assert first.keys() >= DEPLOYMENT_NAMES | {"E2E3D_S3_ENDPOINT", "E2E3D_LOGS_BUCKET"}
    assert first["E2E3D_CODE_SERVER_HOST"] in services
    assert first["E2E3D_POSTGRES_HOST"] in services
    (project / ".env").unlink()
    assert new_env(project).returncode == 0
    second = variables(project)
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"E2E3D_POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert len(second["E2E3D_POSTGRES_PASSWORD"]) == 32
    assert len(second["AWS_SECRET_ACCESS_KEY"]) == 40
    for name, value in second.items():
        monkeypatch.setenv(name, value)
    Settings()


def test_env_file_is_never_overwritten(project):
    """Prevents secrets from being lost that open the volumes."""
    new_env(project)
    before = variables(project)
    assert new_env(project).returncode != 0
    assert variables(project) == before


def test_compose_itself_takes_the_files(project):
    """Prevents what a schema cannot see: variables that .env does not give, anchors that merge wrongly."""
    client = shutil.which("docker-compose")
    if client is None or " version 1." in subprocess.run([client, "version"], capture_output=True, text=True).stdout:
        pytest.skip("no docker-compose 2 here")
    shutil.copy(PROJECT / "docker-compose.yml", project)
    command = [client, "--project-directory", project, "config", "--quiet"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "run deployment/new-env.sh first" in refused.stderr
    new_env(project)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
