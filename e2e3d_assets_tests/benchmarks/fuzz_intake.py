"""Thousands of damaged files through the intake: no crash of the process, no hang, no memory without bounds.

``python -m e2e3d_assets_tests.benchmarks.fuzz_intake [--files 10000] [--first 0] [--keep DIRECTORY]``. Anything
but an accepted photo, a rejected photo or ``BadInput`` is a failure of all files of the upload; ``--first N --files 1``
repeats the one with number N.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import PhotosOptions
from e2e3d_assets.reconstruction.photo_set import PhotoSet
from e2e3d_assets.reconstruction.photos import prepare_photos

from ..reconstruction.intake.mutations import mutated
from ..reconstruction.photo_files import save_photos

HANG_SECONDS = 30.0
MEMORY_BYTES = 2 * 2**30
_POLL_SECONDS = 0.02
_TOGETHER = 12
_ALONE = (".zip", ".tar", ".gz", ".mp4", ".avi")


@dataclass
class Findings:
    """What a run of damaged files came to."""

    fates: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    slowest_seconds: float = 0.0
    peak_bytes: int = 0


def main() -> None:
    """Run, print what was found, and exit with 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="directory for the files that failed")
    arguments = parser.parse_args()
    started = time.perf_counter()
    findings = fuzz(range(arguments.first, arguments.first + arguments.files))
    for number, name, what in findings.failures:
        print(f"FAILED {number} {name}: {what}")
        if arguments.keep is not None:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / f"{number}-{name}").write_bytes(mutated(number)[1])
    print(f"{arguments.files} files in {time.perf_counter() - started:.0f} s: {len(findings.failures)} failures")
    print(", ".join(f"{count} {fate}" for fate, count in findings.fates.most_common()))
    print(f"slowest {findings.slowest_seconds:.1f} s, memory at most {findings.peak_bytes / 1e6:.0f} MB")
    sys.exit(bool(findings.failures))


def fuzz(numbers: range) -> Findings:
    """Put each damaged file through the intake in a process that is watched, and replaced when it dies."""
    findings = Findings()
    left = uploads_of(numbers)
    while left:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, left), daemon=False)
        process.start()
        theirs.close()
        left = left[_watch(process.pid or 0, ours, left, findings) :]
        process.kill()
        process.join()
    return findings


def uploads_of(numbers: range) -> list[list[int]]:
    """Photos by the dozen; an archive or a video alone, which may refuse the upload as a whole."""
    names = {number: mutated(number)[0] for number in numbers}
    photos = [number for number, name in names.items() if not name.endswith(_ALONE)]
    dozens = [photos[start : start + _TOGETHER] for start in range(0, len(photos), _TOGETHER)]
    return dozens + [[number] for number, name in names.items() if name.endswith(_ALONE)]


def _watch(pid: int, reports: Connection, uploads: list[list[int]], findings: Findings) -> int:
    """How many uploads were dealt with when the process ended or had to be ended."""
    assert reports.poll(120), "the process does not start"
    for done, upload in enumerate(uploads):
        heard, fates = time.perf_counter(), None
        while fates is None:
            if reports.poll(_POLL_SECONDS):
                try:
                    fates = reports.recv()
                except EOFError:
                    return _failed(findings, upload, "the process crashed", done)
                findings.slowest_seconds = max(findings.slowest_seconds, time.perf_counter() - heard)
                heard = time.perf_counter()
            findings.peak_bytes = max(findings.peak_bytes, memory := _memory(pid))
            if memory > MEMORY_BYTES:
                return _failed(findings, upload, f"took {memory / 1e6:.0f} MB", done)
            if time.perf_counter() - heard > HANG_SECONDS:
                return _failed(findings, upload, "hangs", done)
        if isinstance(fates, str):
            _failed(findings, upload, fates, done)
        else:
            findings.fates.update(fates)
    return len(uploads)


def _failed(findings: Findings, upload: list[int], what: str, done: int) -> int:
    findings.failures += [(number, mutated(number)[0], what) for number in upload]
    return done + 1


def _memory(pid: int) -> int:
    """Bytes that the process and its children hold."""
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _work(reports: Connection, uploads: list[list[int]]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders write a line for each broken file
    reports.send(None)
    for upload in uploads:
        with tempfile.TemporaryDirectory() as folder:
            reports.send(outcome(upload, Path(folder), Monitor(lambda *_: reports.send(None))))


def outcome(numbers: list[int], folder: Path, monitor: Monitor) -> list[str] | str:
    """What the intake makes of each damaged file, or what went wrong."""
    upload, out = folder / "upload", folder / "out"
    upload.mkdir()
    out.mkdir()
    names = {}
    for number in numbers:
        name, data = mutated(number)
        names[f"{number}-{name}"] = name.partition(".")[2]
        (upload / f"{number}-{name}").write_bytes(data)
    if not any(suffix in ("mp4", "avi") for suffix in names.values()):
        save_photos(upload, ["whole1.jpg", "whole2.jpg"], first_seed=100)
    try:
        prepare_photos(upload, out, PhotosOptions(min_photos=2), monitor)
    except BadInput:
        return [f"{suffix} refused" for suffix in names.values()]
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    fates = {photo.given_name: photo.status for photo in PhotoSet.load(out).photos}
    return [f"{suffix} {fates.get(name, 'taken')}" for name, suffix in names.items()]


if __name__ == "__main__":
    main()
