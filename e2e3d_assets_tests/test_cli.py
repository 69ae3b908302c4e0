"""The command line: usage errors, exit codes and messages; once in a process of its own as people start it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from e2e3d_assets.cli import EXIT_NO_MODEL, EXIT_USAGE, app
from e2e3d_assets.terminal import summary


class Done(NamedTuple):
    """How a command ended and what it said, on one line each."""

    status: int
    out: str
    err: str


@pytest.fixture
def e2e3d(capfd) -> Callable[..., Done]:
    """Runs a command in this process."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as ended:
            app(list(map(str, arguments)))
        said = capfd.readouterr()
        return Done(int(ended.value.code or 0), said.out.replace("\n", " "), said.err.replace("\n", " "))

    return run


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("run", "e2e3d run photos/"),
        ("dev", "e2e3d dev --sample photos/"),
        ("backfill", "e2e3d backfill --all"),
        ("link", "e2e3d link banana report.html"),
    ],
)
def test_help_has_examples(e2e3d, command, example):
    """Prevents a newcomer from having to guess."""
    assert example in e2e3d(command, "--help").out


def test_missing_photos_is_a_usage_error(e2e3d, tmp_path):
    """Prevents a stack trace for a typing error."""
    done = e2e3d("run", tmp_path / "nowhere")
    assert done.status == EXIT_USAGE
    assert "nowhere does not exist" in done.err


@pytest.mark.parametrize("assignment", ["mesh.max_faces", "max_faces=1", "mesh.max_face=5000", "mesh.max_faces=no"])
def test_wrong_override_is_a_usage_error(e2e3d, tmp_path, assignment):
    """Prevents an override from being ignored, or found wrong after an hour."""
    done = e2e3d("run", tmp_path, "--set", assignment)
    assert done.status == EXIT_USAGE
    assert "--set" in done.err


def test_unwritable_output_is_found_before_the_work(e2e3d, tmp_path):
    """Prevents hours of work that cannot be saved."""
    (tmp_path / "file").write_text("")
    done = e2e3d("run", tmp_path, "--name", "x", "--output", tmp_path / "file" / "model")
    assert done.status == EXIT_USAGE
    assert "cannot be written" in done.err


def test_empty_folder_cannot_give_a_model(e2e3d, tmp_path):
    """Prevents an empty folder from ending in anything but a plain message."""
    (tmp_path / "photos").mkdir()
    done = e2e3d("run", tmp_path / "photos", "--output", tmp_path / "model")
    assert done.status == EXIT_NO_MODEL, done.err
    assert "Traceback" not in done.err + done.out


def test_text_files_cannot_give_a_model(e2e3d, tmp_path):
    """Prevents a stack trace for files that only look like photos, and for two runs that make a new home at once."""
    for number in range(4):
        (tmp_path / f"photo{number}.jpg").write_text("not a photo")
    program = Path(sys.executable).with_name("e2e3d")
    commands = [[program, "run", tmp_path, "--name", name, "--output", tmp_path / name] for name in ("text", "texts")]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    for run in runs:
        out, err = run.communicate(timeout=300)
        assert run.returncode == EXIT_NO_MODEL, err
        assert "photo0.jpg" in err
        assert "Traceback" not in err + out
    assert e2e3d("sets").out.count("failed") == len(runs)


def test_export_of_an_unknown_set_is_a_usage_error(e2e3d, tmp_path):
    """Prevents an empty folder that looks like a model."""
    done = e2e3d("export", "nothing", tmp_path / "model")
    assert done.status == EXIT_USAGE
    assert "no finished model" in done.err
    assert not (tmp_path / "model").exists()


def test_doctor_finds_everything_here(e2e3d):
    """Prevents a doctor that cries wolf, or says nothing."""
    done = e2e3d("doctor")
    assert done.status == 0, done.out
    assert "artifact store" in done.out


def test_doctor_names_a_wrong_setting(e2e3d, monkeypatch):
    """Prevents an unreachable store from being found by the first failing run."""
    monkeypatch.setenv("E2E3D_ARTIFACTS", "nonsense://nowhere")
    done = e2e3d("doctor")
    assert done.status == 1
    assert "nonsense" in done.out


def test_summary_shows_words_and_few_figures():
    """Prevents a line per stage that nobody reads."""
    text = summary({"photos": 16, "mean_error_px": 0.6123, "watertight": False, "mapper": "global", "a": 1, "b": 2})
    assert text == "16 photos, 0.612 mean error px, not watertight, mapper global, 1 a"
