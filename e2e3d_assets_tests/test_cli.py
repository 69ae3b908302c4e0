"""The command line: usage errors, exit codes and messages, in processes of their own as people start them."""

import subprocess
import sys
from pathlib import Path

import pytest

from e2e3d_assets.cli import EXIT_NO_MODEL, EXIT_USAGE
from e2e3d_assets.terminal import summary


def e2e3d(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    program = Path(sys.executable).with_name("e2e3d")
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd, timeout=300
    )


def test_help_has_examples():
    """Prevents a newcomer from having to guess."""
    told = e2e3d("run", "--help").stdout
    assert "e2e3d run photos/" in told
    assert "Exit codes" in told


def test_missing_photos_is_a_usage_error(tmp_path):
    """Prevents a stack trace for a typing error."""
    done = e2e3d("run", tmp_path / "nowhere")
    assert done.returncode == EXIT_USAGE
    assert "nowhere does not exist" in done.stderr.replace("\n", "")


@pytest.mark.parametrize("assignment", ["mesh.max_faces", "max_faces=1", "mesh.max_face=5000", "mesh.max_faces=no"])
def test_wrong_override_is_a_usage_error(tmp_path, assignment):
    """Prevents an override from being ignored, or found wrong after an hour."""
    done = e2e3d("run", tmp_path, "--set", assignment)
    assert done.returncode == EXIT_USAGE
    assert "--set" in done.stderr


def test_unwritable_output_is_found_before_the_work(tmp_path):
    """Prevents hours of work that cannot be saved."""
    (tmp_path / "file").write_text("")
    done = e2e3d("run", tmp_path, "--name", "x", "--output", tmp_path / "file" / "model")
    assert done.returncode == EXIT_USAGE
    assert "cannot be written" in done.stderr


def test_empty_folder_cannot_give_a_model(tmp_path):
    """Prevents an empty folder from ending in anything but a plain message."""
    (tmp_path / "photos").mkdir()
    done = e2e3d("run", tmp_path / "photos", "--output", tmp_path / "model")
    assert done.returncode == EXIT_NO_MODEL, done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_text_files_cannot_give_a_model(tmp_path):
    """Prevents files that only look like photos from ending in anything but a plain message."""
    for number in range(4):
        (tmp_path / f"photo{number}.jpg").write_text("not a photo")
    done = e2e3d("run", tmp_path, "--name", "texts", "--output", tmp_path / "model")
    assert done.returncode == EXIT_NO_MODEL, done.stderr
    assert "photo0.jpg" in done.stderr
    assert "failed" in e2e3d("sets").stdout


def test_export_of_an_unknown_set_is_a_usage_error(tmp_path):
    """Prevents an empty folder that looks like a model."""
    done = e2e3d("export", "nothing", tmp_path / "model")
    assert done.returncode == EXIT_USAGE
    assert "no finished model" in done.stderr.replace("\n", " ")
    assert not (tmp_path / "model").exists()


def test_doctor_finds_everything_here():
    """Prevents a doctor that cries wolf, or says nothing."""
    done = e2e3d("doctor")
    assert done.returncode == 0, done.stdout
    assert "artifact store" in done.stdout


def test_doctor_names_a_wrong_setting(monkeypatch):
    """Prevents an unreachable store from being found by the first failing run."""
    monkeypatch.setenv("E2E3D_ARTIFACTS", "nonsense://nowhere")
    done = e2e3d("doctor")
    assert done.returncode == 1
    assert "nonsense" in done.stdout


def test_summary_shows_words_and_few_figures():
    """Prevents a line per stage that nobody reads."""
    text = summary({"photos": 16, "mean_error_px": 0.6123, "watertight": False, "mapper": "global", "a": 1, "b": 2})
    assert text == "16 photos, 0.612 mean error px, not watertight, mapper global, 1 a"
