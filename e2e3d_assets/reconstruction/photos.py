"""Stage ``photos``: an upload of any shape becomes upright 8-bit sRGB photos, and every file given is accounted for.

What belongs here: finding the photos, names, judging and storing each, and the verdict on the whole. How files are
decoded, unpacked, compared or read for EXIF is in the modules beside.
"""

import re
import shutil
import tempfile
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from queue import LifoQueue
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput
from .georeference import control_points
from .intake import archives, calibrations, decoding, duplicates, panoramas, video
from .intake.masks import is_mask, keep_masks, mask_path
from .intake.sandbox import DecoderDied, Sandbox
from .intake.storing import StoredPhoto, measure_photo, store_photo
from .monitor import Figures, Monitor
from .native import thread_count
from .options import PhotosOptions
from .photo_set import PhotoRecord, PhotoSet
from .preview import contact_sheet, open_small, save_preview

IMAGES = "images"
_IGNORED_FOLDERS = frozenset(("__MACOSX",))
_PIXELS_IN_FLIGHT = 120_000_000
_PHOTOS_PER_SANDBOX = 8
_PREVIEW_PHOTOS = 24
_REMEDY = "Give at least {} sharp, overlapping photos (JPEG, PNG, WebP, TIFF, HEIC, raw) of one place or thing"


@dataclass(frozen=True)
class _Candidate:
    path: Path
    given_name: str
    name: str


def prepare_photos(upload: Path, out: Path, options: PhotosOptions, monitor: Monitor) -> Figures:
    """Verify, orient and store the photos of an upload.

    Args:
        upload: directory with photos (in folders too), or one video, or one zip or tar of photos. Folders ``masks``
            may hold masks, named like their photos and black where to ignore. Other files are ignored.
        out: empty directory; gets ``images/``, ``photos.json`` (:class:`PhotoSet`), ``preview.jpg``, and the upload's
            ``masks/<photo>.png``, ``cameras.json`` and ``gcp_list.txt`` where it has them.
        options: which photos are usable.
        monitor: progress and cancellation.

    Raises:
        BadInput: fewer usable photos than ``options.min_photos``, or an archive, video, calibration, mask
            or list of control points is broken.
    """
    (out / IMAGES).mkdir()
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=out) as unpacked:
        source, files, masks = _find_photos(upload, Path(unpacked), out, options, monitor)
        candidates = _name_candidates(files)
        records = _settle_duplicates(_judge_all(candidates, out / IMAGES, options, monitor))
        keep_masks(masks, records, out)
    for record, candidate in zip(records, candidates, strict=True):
        if record.name is None:
            (out / IMAGES / candidate.name).unlink(missing_ok=True)
            mask_path(out, candidate.name).unlink(missing_ok=True)
    photo_set = PhotoSet(source=source, photos=records)
    _require_enough(photo_set, options)
    photo_set.save(out)
    _draw_preview(photo_set, out)
    return _figures(photo_set, sum(mask_path(out, str(r.name)).is_file() for r in photo_set.accepted))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which IMG_9 comes before IMG_10."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part.lower()) for part in parts]


def safe_names(given_names: Sequence[str]) -> list[str]:
    """A unique ``.jpg`` file name for each given path: ordinary names keep their stem.

    Args:
        given_names: paths with forward slashes.

    Returns:
        names of letters, digits, dot, dash and underscore, different even where upper and lower case are the same.
    """
    taken: set[str] = set()
    names: list[str] = []
    for given_name in given_names:
        path = PurePosixPath(given_name)
        stem = _safe_stem(path.stem)
        if stem.lower() in taken and path.parent.name:
            stem = _safe_stem(f"{path.parent.name}_{path.stem}")
        unique, number = stem, 2
        while unique.lower() in taken:
            unique, number = f"{stem}_{number}", number + 1
        taken.add(unique.lower())
        names.append(f"{unique}.jpg")
    return names


def _safe_stem(stem: str) -> str:
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")[:80] or "photo"


def _find_photos(
    upload: Path, unpacked: Path, out: Path, options: PhotosOptions, monitor: Monitor
) -> tuple[Literal["photos", "video", "archive"], list[tuple[Path, str]], list[tuple[Path, str]]]:
    """(kind of upload, [(photo, given name)], [(mask, given name)]), unpacking what is packed."""
    files = [(path, path.relative_to(upload).as_posix()) for path in _regular_files(upload)]
    source: Literal["photos", "video", "archive"] = "photos"
    packed = [(path, name) for path, name in files if archives.is_archive(path)]
    for number, (path, name) in enumerate(packed):
        folder = unpacked / f"archive{number}"
        folder.mkdir()
        members = archives.unpack(path, folder, name, monitor)
        files += [(file, member) for file, member in members if not _is_ignored(PurePosixPath(member))]
        source = "archive"
    _keep_calibrations(files, out)
    _keep_control_points(files, out)
    pictures = [(path, name) for path, name in files if PurePosixPath(name).suffix.lower() in decoding.SUFFIXES]
    photos = [(path, name) for path, name in pictures if not is_mask(name)]
    masks = [(path, name) for path, name in pictures if is_mask(name)]
    videos = [(path, name) for path, name in files if PurePosixPath(name).suffix.lower() in video.SUFFIXES]
    if videos and not photos:
        source = "video"
        for number, (path, name) in enumerate(videos):
            folder = unpacked / f"video{number}"
            folder.mkdir()
            photos += video.extract_frames(path, folder, name, options.video_step, options.max_video_frames, monitor)
    photos = _split_panoramas(photos, unpacked, options, monitor)
    if not photos:
        remedy = _REMEDY.format(options.min_photos)
        raise BadInput("The upload holds no photos, video or archive of photos", remedy, [name for _, name in files])
    return source, sorted(photos, key=lambda photo: natural_key(photo[1])), masks


def _split_panoramas(
    photos: Sequence[tuple[Path, str]], unpacked: Path, options: PhotosOptions, monitor: Monitor
) -> list[tuple[Path, str]]:
    """Photos, with the views of each 360° panorama in its place; a broken one stays, to be refused with its reason."""
    split: list[tuple[Path, str]] = []
    for number, (path, name) in enumerate(photos):
        views = [(path, name)]
        if path.stat().st_size and decoding.is_jpeg(path) and panoramas.is_panorama(path):
            folder = unpacked / f"panorama{number}"
            folder.mkdir()
            monitor.progress(number, len(photos), f"splitting {name}")
            with suppress(decoding.UnusablePhoto):
                measure_photo(path, options.min_size, options.max_pixels, monitor)
                views = panoramas.split(path, folder, name, monitor)
        split += views
    return split


def _keep_calibrations(files: Sequence[tuple[Path, str]], out: Path) -> None:
    given = [path for path, name in files if PurePosixPath(name).name == calibrations.FILE_NAME]
    if given:
        calibrations.load_calibrations(given[0])
        shutil.copyfile(given[0], out / calibrations.FILE_NAME)


def _keep_control_points(files: Sequence[tuple[Path, str]], out: Path) -> None:
    given = [path for path, name in files if PurePosixPath(name).name == control_points.FILE_NAME]
    if given:
        control_points.load_control_points(given[0])
        shutil.copyfile(given[0], out / control_points.FILE_NAME)


def _regular_files(folder: Path) -> Iterable[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or any(parent.is_symlink() for parent in path.relative_to(folder).parents):
            continue
        if path.is_file() and not _is_ignored(PurePosixPath(path.relative_to(folder).as_posix())):
            yield path


def _is_ignored(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part in _IGNORED_FOLDERS for part in path.parts)


def _name_candidates(files: Sequence[tuple[Path, str]]) -> list[_Candidate]:
    names = safe_names([given_name for _, given_name in files])
    return [_Candidate(path, given_name, name) for (path, given_name), name in zip(files, names, strict=True)]


def _judge_all(
    candidates: Sequence[_Candidate], images: Path, options: PhotosOptions, monitor: Monitor
) -> list[StoredPhoto]:
    judged: list[StoredPhoto] = []
    with (
        closing(_Judge(images, options, len(candidates), monitor)) as judge,
        ThreadPoolExecutor(thread_count()) as pool,
    ):
        futures = [pool.submit(judge, candidate) for candidate in candidates]
        try:
            for done, future in enumerate(futures):
                judged.append(future.result())
                monitor.progress(done + 1, len(futures), candidates[done].given_name)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return judged


class _Judge:
    """Stores photos: JPEG here, and all else in child processes, which are few where the photos are.

    JPEG is what nearly all photos are, and its decoder has met every kind of damage.
    """

    def __init__(self, images: Path, options: PhotosOptions, photos: int, monitor: Monitor) -> None:
        self._images, self._options, self._monitor = images, options, monitor
        self._gate = _PixelGate(_PIXELS_IN_FLIGHT)
        self._sandboxes = [Sandbox() for _ in range(min(thread_count(), 1 + photos // _PHOTOS_PER_SANDBOX))]
        self._idle: LifoQueue[Sandbox] = LifoQueue()
        for sandbox in self._sandboxes:
            self._idle.put(sandbox)

    def __call__(self, candidate: _Candidate) -> StoredPhoto:
        """Decode one photo, store it, and note what it is."""
        self._monitor.check()
        try:
            if decoding.is_jpeg(candidate.path):
                return self._store(candidate, _call_here)
            sandbox = self._idle.get()
            try:
                return self._store(candidate, sandbox.call)
            finally:
                self._idle.put(sandbox)
        except (decoding.UnusablePhoto, DecoderDied) as unusable:
            return StoredPhoto(_rejected(candidate, str(unusable)))

    def _store(self, candidate: _Candidate, call: Callable[..., Any]) -> StoredPhoto:
        path, limits = candidate.path, (self._options.min_size, self._options.max_pixels)
        pixels = call(measure_photo, path, *limits, monitor=self._monitor)
        with self._gate.hold(pixels):
            target = self._images / candidate.name
            return call(store_photo, path, candidate.given_name, target, *limits, monitor=self._monitor)

    def close(self) -> None:
        """End the child processes."""
        for sandbox in self._sandboxes:
            sandbox.close()


def _call_here(function: Callable[..., Any], *arguments: Any, monitor: Monitor) -> Any:
    return function(*arguments, monitor)


def _rejected(candidate: _Candidate, reason: str) -> PhotoRecord:
    return PhotoRecord(given_name=candidate.given_name, status="rejected", reason=reason)


def _settle_duplicates(judged: Sequence[StoredPhoto]) -> list[PhotoRecord]:
    """Reject photos that equal one before them byte by byte or pixel by pixel; mark those that nearly do."""
    records = [one.record for one in judged]
    usable = [index for index, record in enumerate(records) if record.status == "accepted"]
    same_bytes = duplicates.first_equals([judged[index].digest for index in usable])
    same_pixels = duplicates.first_equals([judged[index].pixel_digest for index in usable])
    near = duplicates.first_near([judged[index].perceptual_hash for index in usable])
    for position, index in enumerate(usable):
        equal = same_bytes[position] if same_bytes[position] is not None else same_pixels[position]
        if equal is not None:
            first = records[usable[equal]].given_name
            records[index] = records[index].model_copy(
                update={
                    "status": "rejected",
                    "name": None,
                    "reason": f"it is the same photo as {first}",
                    "duplicate_of": first,
                }
            )
        elif (alike := near[position]) is not None:
            records[index] = records[index].model_copy(update={"duplicate_of": records[usable[alike]].given_name})
    return records


def _require_enough(photo_set: PhotoSet, options: PhotosOptions) -> None:
    usable = len(photo_set.accepted)
    if usable >= options.min_photos:
        return
    reasons = Counter(re.sub(r"same photo as .*", "same photo as another", r.reason or "") for r in photo_set.rejected)
    why = "; ".join(f"{count} left out because {reason}" for reason, count in reasons.most_common(5))
    given = len(photo_set.photos)
    problem = f"Only {usable} of {given} photos are usable, but {options.min_photos} are needed"
    raise BadInput(
        f"{problem}: {why}" if why else problem,
        _REMEDY.format(options.min_photos),
        [record.given_name for record in photo_set.rejected],
    )


def _draw_preview(photo_set: PhotoSet, out: Path) -> None:
    accepted = photo_set.accepted
    shown = accepted[:: max(1, -(-len(accepted) // _PREVIEW_PHOTOS))]
    save_preview(contact_sheet([open_small(out / IMAGES / str(record.name)) for record in shown]), out)


def _figures(photo_set: PhotoSet, masked: int) -> Figures:
    accepted = photo_set.accepted
    sharpness: NDArray[np.float64] = np.array([record.sharpness for record in accepted])
    return {
        "photos_given": len(photo_set.photos),
        "photos_accepted": len(accepted),
        "photos_rejected": len(photo_set.rejected),
        "photos_masked": masked,
        "near_duplicates": sum(record.duplicate_of is not None for record in accepted),
        "photos_with_focal_length": sum(record.camera.focal_px is not None for record in accepted),
        "photos_with_gps": sum(record.gps is not None for record in accepted),
        "median_sharpness": round(float(np.median(sharpness)), 3),
        "megapixels": round(sum((r.width or 0) * (r.height or 0) for r in accepted) / 1e6, 1),
        "source": photo_set.source,
    }


class _PixelGate:
    """Bounds the pixels that are decoded at one time, so that memory does not grow with threads times photo size."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = threading.Condition()

    def hold(self, pixels: int) -> "_Held":
        return _Held(self, pixels)

    def acquire(self, pixels: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + pixels <= self._limit)
            self._held += pixels

    def release(self, pixels: int) -> None:
        with self._changed:
            self._held -= pixels
            self._changed.notify_all()


class _Held:
    def __init__(self, gate: _PixelGate, pixels: int) -> None:
        self._gate, self._pixels = gate, pixels

    def __enter__(self) -> None:
        self._gate.acquire(self._pixels)

    def __exit__(self, *_: object) -> None:
        self._gate.release(self._pixels)
