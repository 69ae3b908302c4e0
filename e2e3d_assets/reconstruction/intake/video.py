"""A video's frames as photos: chosen by what they show and how sharp they are, not by the clock.

What belongs here: choosing and writing frames. A new frame is due when the picture has moved on by a share of its
width since the last one (so that neighbours overlap, and a camera at rest gives one frame); among the frames around
that moment the sharpest is taken, and if all of them are blurred, one from further away.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike

from ..errors import BadInput
from ..monitor import Monitor
from .sandbox import DecoderDied, Sandbox
from .sharpness import sharpness_of

SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv")
)
_FLOW_WIDTH = 320
_SEARCH_SHARES = (0.4, 0.8)  # of a step: how far from its moment the sharpest frame may lie, and if it is blurred
_BLURRED_SHARE = 0.85  # of the video's median sharpness
_MAX_TRACKED = 300
_LOOKED_AT_PER_SECOND = 10.0
_MAX_RATE = 1000.0  # more is a clock's rate, which some files with a varying frame rate give
_MIN_SURVIVING_SHARE = 0.3
_THREADS = 4  # each holds frames: with one for every core of a large machine, 8K would not fit
_TAKING = "taking frames from the video"
_REMEDY = "Upload it as MP4 with H.264, or photos"
JPEG_QUALITY = 95


@dataclass(frozen=True)
class _Seen:
    index: int
    moved: float
    sharpness: float


def extract_frames(
    video: Path, out: Path, given_name: str, step: float, max_frames: int, monitor: Monitor
) -> list[tuple[Path, str]]:
    """Write the chosen frames of a video as JPEG files; the decoder runs in a process of its own.

    Args:
        video: the file.
        out: an existing directory.
        given_name: the video's name as the user knows it.
        step: share of the picture's width that the view moves between two chosen frames.
        max_frames: most frames; if more are due, the step is widened evenly.

    Returns:
        (file, ``video#frame-number``) of each frame, in time order.

    Raises:
        BadInput: the video cannot be read.
    """
    with closing(Sandbox()) as sandbox:
        try:
            return sandbox.call(_extract_here, video, out, given_name, step, max_frames, monitor=monitor)
        except DecoderDied as death:
            raise BadInput(f"The video cannot be read: {death}", _REMEDY, [given_name]) from death


def _extract_here(
    video: Path, out: Path, given_name: str, step: float, max_frames: int, monitor: Monitor
) -> list[tuple[Path, str]]:
    seen = _look_through(video, given_name, monitor)
    chosen = choose_frames([frame.moved for frame in seen], [frame.sharpness for frame in seen], step, max_frames)
    return _write_frames(video, out, given_name, [seen[position].index for position in chosen], monitor)


def choose_frames(moved: list[float], sharpness: list[float], step: float, max_frames: int) -> list[int]:
    """Positions of the frames to keep, ascending.

    Args:
        moved: for each frame how far the view moved since the frame before it, in picture widths.
        sharpness: of each frame.
        step: wanted distance between two kept frames.
        max_frames: most frames kept.
    """
    if not moved:
        return []
    travelled = np.cumsum(moved)
    step = max(step, float(travelled[-1]) / max(1, max_frames - 1))
    sharp = np.asarray(sharpness)
    blurred = _BLURRED_SHARE * float(np.median(sharp))
    chosen: list[int] = []
    for due in np.arange(travelled[0], travelled[-1] + 1e-9, step):
        away = np.abs(travelled - due)
        best = int(np.argmin(away))
        for share in _SEARCH_SHARES:
            near = np.flatnonzero(away <= share * step)
            best = int(near[np.argmax(sharp[near])]) if near.size else best
            if sharp[best] >= blurred:
                break
        if not chosen or best > chosen[-1]:
            chosen.append(best)
    return chosen[:max_frames]


def _look_through(video: Path, given_name: str, monitor: Monitor) -> list[_Seen]:
    reader = _open(video, given_name)
    total = max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT)))
    rate = reader.get(cv2.CAP_PROP_FPS)
    every = max(1, round((rate if 1.0 <= rate <= _MAX_RATE else 30.0) / _LOOKED_AT_PER_SECOND))
    seen: list[_Seen] = []
    before: MatLike | None = None
    index = 0
    while reader.grab():
        monitor.progress(min(index, total), total, "looking through the video")
        if index % every == 0:
            readable, frame = reader.retrieve()
            if readable:
                grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
                small = cv2.resize(grey, (_FLOW_WIDTH, max(16, _FLOW_WIDTH * grey.shape[0] // grey.shape[1])))
                moved = 0.0 if before is None else _movement(before, small)
                seen.append(_Seen(index, moved, sharpness_of(grey)))
                before = small
        index += 1
    reader.release()
    if not seen:
        raise BadInput("The video holds no readable frame", _REMEDY, [given_name])
    return seen


def _movement(before: MatLike, after: MatLike) -> float:
    """Median movement of tracked corners between two frames, in picture widths."""
    corners = cv2.goodFeaturesToTrack(before, _MAX_TRACKED, 0.01, 5)
    if corners is None:
        return 0.0
    tracked, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners))
    kept = found.ravel() == 1
    if kept.mean() < _MIN_SURVIVING_SHARE:
        return 1.0  # a cut, or too fast to follow: wholly new
    return float(np.median(np.linalg.norm((tracked - corners)[kept].reshape(-1, 2), axis=1))) / before.shape[1]


def _write_frames(
    video: Path, out: Path, given_name: str, wanted: list[int], monitor: Monitor
) -> list[tuple[Path, str]]:
    reader = _open(video, given_name)
    files: list[tuple[Path, str]] = []
    index = 0
    for number in wanted:
        while index < number and reader.grab():
            index += 1
            monitor.progress(len(files), len(wanted), _TAKING)  # between two frames a camera may rest for minutes
        readable, frame = reader.read()
        index += 1
        if not readable:
            break
        file = out / f"frame_{number:06d}.jpg"
        if not cv2.imwrite(str(file), frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise OSError(f"cannot write {file.name}")
        files.append((file, f"{given_name}#frame_{number:06d}.jpg"))
        monitor.progress(len(files), len(wanted), _TAKING)
    reader.release()
    return files


def _open(video: Path, given_name: str) -> cv2.VideoCapture:
    reader = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, _THREADS])
    if not reader.isOpened():
        raise BadInput("The video cannot be read", _REMEDY, [given_name])
    return reader
