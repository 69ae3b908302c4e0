"""What an upload holds: photos, in folders, archives, videos and panoramas, and what lies beside them.

What belongs here: telling by their names which files are what, and unpacking until only photos are left. What does not:
whether a photo is any good.
"""

import math
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from ..errors import BadInput
from ..georeference import control_points
from ..monitor import Monitor
from ..options import PhotosOptions
from ..photo_set import PhotoRecord
from . import archives, calibrations, decoding, panoramas, raw, video
from .masks import is_mask
from .sandbox import DecoderDied, Sandbox, call_here

REMEDY = "Give at least {} sharp, overlapping photos (JPEG, PNG, WebP, TIFF, HEIC, raw) of one place or thing"
_MAX_DIGITS = 1000  # Python refuses numbers of more than 4300
_OURS = ("_COMPLETE", "e2e3d.json")  # with which an upload is marked
_NOT_BESIDE_PHOTOS = "a video is used only where there are no photos: upload it as a set of its own"
_COMPANIONS = {"raw": "it is the raw file of", "video": "it is the moving part of"}
_UNREAD: dict[str, str] = {
    **dict.fromkeys((".rar", ".7z", ".zst"), "archives of this kind are not read: pack it as zip"),
    **dict.fromkeys(
        (".gif", ".jp2", ".j2k", ".jxl", ".psd", ".exr", ".hdr", ".heics", ".x3f", ".raw", ".eps", ".svg"),
        "pictures of this kind are not read: export it as JPEG or TIFF",
    ),
    **dict.fromkeys(
        (".insp", ".insv", ".360"),
        "it is of a 360° camera, not yet put together: export it as a 2:1 panorama (JPEG) with the camera's program",
    ),
}
"""What people take for photos, by suffix, and why it is left out. All else beside the photos is no business of ours."""


@dataclass(frozen=True)
class FoundUpload:
    """Files with the names that the user knows them by, photos in natural order, and records of what is not used.

    What cameras write beside a photo, and is that photo once more, is ``beside``; what else is not used ``left_out``.
    """

    source: Literal["photos", "video", "archive"]
    photos: Sequence[tuple[Path, str]]
    masks: Sequence[tuple[Path, str]]
    left_out: Sequence[PhotoRecord] = field(default=())
    beside: Sequence[PhotoRecord] = field(default=())


def find_upload(
    upload: Path, unpacked: Path, out: Path, options: PhotosOptions, sandbox: Sandbox, monitor: Monitor
) -> FoundUpload:
    """Find all photos, and keep calibrations and control points.

    Args:
        upload: as the user gave it.
        unpacked: an existing directory for members of archives, frames of videos and views of panoramas.
        out: gets ``cameras.json`` and ``gcp_list.txt`` where there are any.
        options: how frames are taken, and the limits of photos.
        sandbox: for decoders.
        monitor: progress and cancellation.

    Raises:
        BadInput: there are no photos, or an archive, video, calibration or list of control points is broken.
    """
    given = [(path, _readable(path.relative_to(upload))) for path in _regular_files(upload)]
    members = _unpack_archives(given, unpacked, monitor)
    source: Literal["photos", "video", "archive"] = "archive" if members else "photos"
    files = [*given, *members]
    _keep_calibrations(files, out)
    _keep_control_points(files, out)
    pictures = [(path, name) for path, name in files if _suffix(name) in decoding.SUFFIXES]
    photos, beside = _without_companions([(path, name) for path, name in pictures if not is_mask(name)], files)
    masks = [(path, name) for path, name in pictures if is_mask(name)]
    moving = {record.given_name for record in beside}
    videos = [(path, name) for path, name in files if _suffix(name) in video.SUFFIXES and name not in moving]
    left_out = [_left_out(name, _UNREAD[suffix]) for _, name in files if (suffix := _suffix(name)) in _UNREAD]
    photos = _split_panoramas(photos, unpacked / "views", options, sandbox, monitor)
    if len(photos) >= options.min_photos:
        left_out += [_left_out(name, _NOT_BESIDE_PHOTOS) for _, name in videos]
    elif videos:
        source = "video"
        for number, (path, name) in enumerate(videos):
            folder = unpacked / f"video{number}"
            folder.mkdir()
            frames = video.extract_frames(path, folder, name, options.video_step, options.max_video_frames, monitor)
            photos += _split_panoramas(
                frames, folder / "views", options, sandbox, monitor, most=options.max_video_frames
            )
    if not photos:
        raise _nothing_found([name for _, name in files if name not in _OURS], left_out, options)
    return FoundUpload(source, sorted(photos, key=lambda photo: natural_key(photo[1])), masks, left_out, beside)


def _without_companions(
    photos: Sequence[tuple[Path, str]], files: Sequence[tuple[Path, str]]
) -> tuple[list[tuple[Path, str]], list[PhotoRecord]]:
    """Photos less the raw files that have a developed twin, and records of these and of telephones' moving photos."""
    developed = {_without_suffix(name): name for _, name in photos if _suffix(name) not in raw.SUFFIXES}
    beside = {
        name: _left_out(name, f"{_COMPANIONS[kind]} {developed[_without_suffix(name)]}, which is used")
        for kind, suffixes in (("raw", raw.SUFFIXES), ("video", video.SUFFIXES))
        for _, name in files
        if _suffix(name) in suffixes and _without_suffix(name) in developed
    }
    return [photo for photo in photos if photo[1] not in beside], list(beside.values())


def _without_suffix(name: str) -> str:
    return name[: len(name) - len(_suffix(name))].lower()


def _unpack_archives(given: Sequence[tuple[Path, str]], unpacked: Path, monitor: Monitor) -> Sequence[tuple[Path, str]]:
    """What the archives hold; where there is more than one archive, under its name: cameras' names come again."""
    packed = [(path, name) for path, name in given if archives.is_archive(path)]
    alone = len(packed) == 1 and not any(_suffix(name) in decoding.SUFFIXES for _, name in given)
    found: list[tuple[Path, str]] = []
    for number, (path, name) in enumerate(packed):
        folder = unpacked / f"archive{number}"
        folder.mkdir()
        for file, member in archives.unpack(path, folder, name, monitor):
            if not archives.is_hidden(PurePosixPath(member)):
                found.append((file, member if alone else f"{name}/{member}"))
    return found


def _left_out(name: str, reason: str) -> PhotoRecord:
    return PhotoRecord(given_name=name, status="rejected", reason=reason)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _nothing_found(names: Sequence[str], unread: Sequence[PhotoRecord], options: PhotosOptions) -> BadInput:
    if unread:
        return BadInput(
            f"Nothing in the upload can be read: {unread[0].reason}", REMEDY.format(options.min_photos), names
        )
    problem = "The upload holds no photos, video or archive of photos"
    return BadInput(problem, REMEDY.format(options.min_photos), names)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which IMG_9 comes before IMG_10."""
    parts = re.split(r"([0-9]+)", name)
    return [
        (0, int(part[:_MAX_DIGITS]), "") if part.isdecimal() and part.isascii() else (1, 0, part.lower())
        for part in parts
    ]


def _split_panoramas(
    photos: Sequence[tuple[Path, str]],
    out: Path,
    options: PhotosOptions,
    sandbox: Sandbox,
    monitor: Monitor,
    most: int | None = None,
) -> list[tuple[Path, str]]:
    """Photos, with the views of each 360° panorama in its place; a broken one stays, to be refused with its reason.

    Of a video's frames so many are taken, evenly, that they give ``most`` views.
    """
    limits = options.min_size, options.max_pixels
    callers = [call_here if decoding.is_jpeg(path) else sandbox.call for path, _ in photos]
    sightings: list[panoramas.Sighting | None] = []
    for (path, _), call in zip(photos, callers, strict=True):
        monitor.check()
        try:
            sightings.append(call(panoramas.look_at, path, *limits, monitor=monitor))
        except DecoderDied:
            sightings.append(None)
    found = panoramas.are_panoramas(sightings)
    every = 1 if most is None or not any(found) else max(1, math.ceil(len(photos) * len(panoramas.YAWS_DEG) / most))
    split: list[tuple[Path, str]] = []
    for number in range(0, len(photos), every):
        path, name = photos[number]
        views = [(path, name)]
        if found[number]:
            folder = out / str(number)
            folder.mkdir(parents=True)
            with suppress(decoding.UnusablePhoto, DecoderDied):
                views = callers[number](panoramas.split, path, folder, name, *limits, monitor=monitor)
        split += views
    return split


def _keep_calibrations(files: Sequence[tuple[Path, str]], out: Path) -> None:
    given = [path for path, name in files if PurePosixPath(name).name.lower() == calibrations.FILE_NAME]
    if given:
        calibrations.load_calibrations(given[0])
        shutil.copyfile(given[0], out / calibrations.FILE_NAME)


def _keep_control_points(files: Sequence[tuple[Path, str]], out: Path) -> None:
    given = [path for path, name in files if PurePosixPath(name).name.lower() == control_points.FILE_NAME]
    if given:
        control_points.load_control_points(given[0])
        shutil.copyfile(given[0], out / control_points.FILE_NAME)


def _readable(path: Path) -> str:
    """A path as text: older systems wrote names in encodings that nobody knows any more."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _regular_files(folder: Path) -> Iterable[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or any(parent.is_symlink() for parent in path.relative_to(folder).parents):
            continue
        if path.is_file() and not archives.is_hidden(PurePosixPath(path.relative_to(folder).as_posix())):
            yield path
