"""The files of products beside the Dagster UI, asked for as a browser does."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import requests
import uvicorn
from starlette.applications import Starlette

from e2e3d_assets.product_files import mount
from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.store import ArtifactStore


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"), tmp_path / "scratch")


@pytest.fixture
def get(store) -> Iterator[Callable[[str], requests.Response]]:
    """Asks a running server for an address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = Starlette(routes=[mount("/files", store)])
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield lambda address: requests.get(f"http://127.0.0.1:{listener.getsockname()[1]}{address}", timeout=30)
        server.should_exit = True
        thread.join()


def commit(store: ArtifactStore, tmp_path, text: str) -> str:
    """Make a viewer and give its revision."""
    folder = tmp_path / text
    (folder / "pictures").mkdir(parents=True)
    (folder / "viewer.html").write_text(f"<p>{text}</p>")
    (folder / "pictures" / "a b#1.bin").write_bytes(b"\x00" * 3_000_000)
    return store.write(Artifact.from_directory(folder), "banana", "viewer", "run").revision or ""


def test_an_address_keeps_showing_the_same_product(store, get, tmp_path):
    """Prevents links in old metadata from showing a newer model, or nothing."""
    first, second = commit(store, tmp_path, "first"), commit(store, tmp_path, "second")
    assert get(f"/files/banana/viewer/{first}/viewer.html").text == "<p>first</p>"
    assert get(f"/files/banana/viewer/{second}/viewer.html").text == "<p>second</p>"
    assert get("/files/banana/viewer/latest/viewer.html").text == "<p>second</p>"


def test_lists_lead_to_every_file(store, get, tmp_path):
    """Prevents files that can only be reached by knowing their names."""
    commit(store, tmp_path, "first")
    for page, link in [
        ("/files/", "/files/banana/"),
        ("/files/banana/", "/files/banana/viewer/latest/"),
        ("/files/banana/viewer/latest/", "/files/banana/viewer/latest/pictures/a%20b%231.bin"),
    ]:
        assert f'href="{link}"' in get(page).text
    data = get(link)
    assert data.content == b"\x00" * 3_000_000
    assert data.headers["content-disposition"].startswith("attachment")


def test_what_is_gone_says_so(store, get, tmp_path):
    """Prevents a stack trace for a link to a revision that retention has removed."""
    commit(store, tmp_path, "first")
    for address in ("banana/viewer/20200101T000000000000Z-00000000/viewer.html", "banana/viewer/latest/x", "x/"):
        answer = get(f"/files/{address}")
        assert answer.status_code == 404
        assert answer.text


@pytest.mark.parametrize("address", ["..%2F..%2Fetc/x/latest/passwd", "banana/viewer/latest/..%2F..%2Fx", "%00/"])
def test_addresses_lead_nowhere_else(store, get, tmp_path, address):
    """Prevents reading the machine's own files."""
    commit(store, tmp_path, "first")
    assert get(f"/files/{address}").status_code == 404


def test_pages_run_outside_the_ui(store, get, tmp_path):
    """Prevents a page made of uploaded names from acting as the operator in the UI beside it."""
    commit(store, tmp_path, "first")
    policy = get("/files/banana/viewer/latest/viewer.html").headers["content-security-policy"]
    assert policy.startswith("sandbox")
    assert "allow-same-origin" not in policy
