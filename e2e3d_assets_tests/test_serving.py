"""``e2e3d dev``: the whole instance on one machine, started and stopped as its user does."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

pytestmark = [pytest.mark.slow, pytest.mark.integration]


def test_dev_serves_the_ui_with_the_code_and_stops_whole(settings, tmp_path):
    """Prevents a UI without its code location, stack traces as a greeting, and processes that outlive Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("e2e3d"))
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen([program, "dev", "--port", str(port)], start_new_session=True, stderr=said)
    try:
        deadline = time.monotonic() + 90
        while not loaded(port):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.5)
        assert requests.get(f"http://127.0.0.1:{port}/files/", timeout=30).ok
        assert "Stack Trace" not in (tmp_path / "said").read_text()
        family = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    assert status == 0
    assert [member for member in family if member.is_running()] == []


def loaded(port: int) -> bool:
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { location { name } } } } }"
    try:
        answer = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=30)
        return [node["location"]["name"] for node in answer.json()["data"]["repositoriesOrError"]["nodes"]] == ["e2e3d"]
    except (requests.RequestException, KeyError):
        return False
