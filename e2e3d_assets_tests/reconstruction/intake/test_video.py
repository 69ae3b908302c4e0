"""Frames of a video are chosen by what they show."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.intake.video import choose_frames, extract_frames
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import PhotosOptions
from e2e3d_assets.reconstruction.photo_set import PhotoSet
from e2e3d_assets.reconstruction.photos import prepare_photos

from ..photo_files import save_photos, textured


def pan(path: Path, starts: list[int]) -> Path:
    """A video that looks at a wide picture through a window at each of the given columns."""
    wide = np.asarray(textured(0, 1600, 240))[..., ::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (320, 240))
    for start in starts:
        writer.write(np.ascontiguousarray(wide[:, start : start + 320]))
    writer.release()
    return path


def test_a_resting_camera_adds_no_frames(tmp_path: Path):
    """Frames by the clock would give fifty equal photos while the camera rests, and too few while it moves."""
    video = pan(tmp_path / "pan.mp4", [*range(0, 400, 10), *[400] * 60, *range(400, 800, 10)])
    out = tmp_path / "frames"
    out.mkdir()
    frames = extract_frames(video, out, "pan.mp4", 0.12, 100, Monitor())
    numbers = [int(name.split("_")[1].split(".")[0]) for _, name in frames]
    assert all(file.is_file() for file, _ in frames)
    assert sum(45 < number < 95 for number in numbers) <= 1
    assert 15 <= len(numbers) <= 28  # 800 px at 0.12 * 320 px a step: 21


def test_the_sharpest_near_each_step_is_taken():
    """A shaken frame beside a crisp one must not be chosen."""
    moved = [0.0, *[0.02] * 40]
    sharpness = [1.0 if number % 3 == 0 else 0.1 for number in range(41)]
    chosen = choose_frames(moved, sharpness, 0.1, 100)
    assert all(number % 3 == 0 for number in chosen)
    assert chosen == sorted(set(chosen))
    shaken_at_its_moment = [0.1 if number in (9, 10, 11) else 1.0 for number in range(41)]
    chosen = choose_frames([0.0, *[0.03] * 40], shaken_at_its_moment, 0.1, 100)
    assert not {9, 10, 11} & set(chosen)
    assert max(np.diff(chosen)) <= 6


def test_frame_limit_widens_the_steps():
    """A long video cut off at the limit would lose its end."""
    chosen = choose_frames([0.0, *[0.05] * 400], [1.0] * 401, 0.05, 20)
    assert 15 <= len(chosen) <= 20
    assert chosen[-1] >= 370


def test_a_telephone_held_upright(tmp_path: Path):
    """Telephones write upright videos lying, with a note to turn them: unturned, up would point sideways."""
    video = pan(tmp_path / "pan.mp4", list(range(0, 400, 20)))
    data = video.read_bytes()
    matrix = data.index(b"tkhd") + 4 + 40
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    video.write_bytes(data[:matrix] + quarter + data[matrix + 36 :])
    frames = extract_frames(video, tmp_path, "pan.mp4", 0.2, 10, Monitor())
    upright = np.rot90(np.asarray(textured(0, 1600, 240))[:, :320].astype(float), -1)
    with Image.open(frames[0][0]) as frame:
        assert frame.size == (240, 320)
        assert np.abs(np.asarray(frame, float) - upright).mean() < 12


def test_frames_overlap_whatever_the_speed(tmp_path: Path):
    """Too far apart, two frames have nothing in common; by the clock a fast turn falls into a gap."""
    starts = [*range(0, 200, 4), *range(200, 900, 16)]
    frames = extract_frames(pan(tmp_path / "pan.mp4", starts), tmp_path, "pan.mp4", 0.12, 100, Monitor())
    numbers = [int(name.split("_")[1].split(".")[0]) for _, name in frames]
    steps = np.diff([starts[number] for number in numbers])
    assert steps.max() < 0.25 * 320
    assert np.median(steps) == pytest.approx(0.12 * 320, rel=0.35)


def test_a_long_rest_is_not_taken_for_a_hang(tmp_path: Path):
    """Between two chosen frames may lie minutes of rest: the decoder must say all the while that it lives."""
    video = pan(tmp_path / "pan.mp4", [*range(0, 200, 40), *[200] * 120, *range(200, 400, 40)])
    told: list[tuple[int, int, str]] = []
    extract_frames(video, tmp_path, "pan.mp4", 0.2, 10, Monitor(lambda *progress: told.append(progress)))
    assert sum(what.startswith("taking") for _, _, what in told) > 100


def test_unreadable_video_is_named(tmp_path: Path):
    """A cut-off download must read as such."""
    (tmp_path / "x.mp4").write_bytes(b"not a video")
    with pytest.raises(BadInput, match="cannot be read") as caught:
        extract_frames(tmp_path / "x.mp4", tmp_path, "x.mp4", 0.1, 10, Monitor())
    assert caught.value.files == ("x.mp4",)


def test_a_video_with_a_single_photo_beside_it(tmp_path: Path):
    """A cover picture beside the video made the video be left aside, and the set refused for having one photo."""
    upload, out = tmp_path / "upload", tmp_path / "out"
    upload.mkdir()
    out.mkdir()
    pan(upload / "walk.mp4", list(range(0, 400, 20)))
    save_photos(upload, ["cover.jpg"], first_seed=3)
    prepare_photos(upload, out, PhotosOptions(), Monitor())
    names = [photo.given_name for photo in PhotoSet.load(out).accepted]
    assert "cover.jpg" in names
    assert sum(name.startswith("walk.mp4#") for name in names) >= 5


def test_a_video_from_a_tripod_is_told_to_move(tmp_path: Path):
    """Only 1 of 1 photos is usable: that says nothing to somebody who filmed for a minute."""
    upload, out = tmp_path / "upload", tmp_path / "out"
    upload.mkdir()
    out.mkdir()
    pan(upload / "still.mp4", [100] * 30)
    with pytest.raises(BadInput, match=r"view of the video hardly moves.*Walk around"):
        prepare_photos(upload, out, PhotosOptions(), Monitor())
