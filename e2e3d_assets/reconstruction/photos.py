"""Stage ``photos``: an upload of any shape becomes upright 8-bit sRGB photos, and every file given is accounted for.

What belongs here: names, judging and storing each photo, and the verdict on the whole. How photos are found, decoded,
compared or read for EXIF is in :mod:`.intake`.
"""

import re
import tempfile
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from queue import LifoQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput
from .intake import calibrations, decoding, duplicates
from .intake.finding import REMEDY, find_upload
from .intake.masks import keep_masks, mask_path
from .intake.sandbox import DecoderDied, Sandbox, call_here
from .intake.storing import StoredPhoto, measure_photo, store_photo
from .monitor import Figures, Monitor
from .native import thread_count
from .options import PhotosOptions
from .photo_set import PhotoRecord, PhotoSet
from .preview import contact_sheet, open_small, save_preview

IMAGES = "images"
_PIXELS_IN_FLIGHT = 120_000_000
_PHOTOS_PER_SANDBOX = 8
_PREVIEW_PHOTOS = 24


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
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=out) as unpacked, closing(Sandbox()) as sandbox:
        found = find_upload(upload, Path(unpacked), out, options, sandbox, monitor)
        candidates = _name_candidates(found.photos)
        records = _settle_duplicates(_judge_all(candidates, out / IMAGES, options, sandbox, monitor))
        keep_masks(found.masks, records, out)
    for record, candidate in zip(records, candidates, strict=True):
        if record.name is None:
            (out / IMAGES / candidate.name).unlink(missing_ok=True)
            mask_path(out, candidate.name).unlink(missing_ok=True)
    photo_set = PhotoSet(source=found.source, photos=[*records, *found.left_out, *found.beside])
    _require_enough(photo_set, options)
    calibrations.require_use(calibrations.load_calibrations(out / calibrations.FILE_NAME), photo_set.accepted)
    photo_set.save(out)
    _draw_preview(photo_set, out)
    masked = sum(mask_path(out, str(record.name)).is_file() for record in photo_set.accepted)
    return _figures(photo_set, len(found.beside), masked)


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


def _name_candidates(files: Sequence[tuple[Path, str]]) -> list[_Candidate]:
    names = safe_names([given_name for _, given_name in files])
    return [_Candidate(path, given_name, name) for (path, given_name), name in zip(files, names, strict=True)]


def _judge_all(
    candidates: Sequence[_Candidate], images: Path, options: PhotosOptions, sandbox: Sandbox, monitor: Monitor
) -> list[StoredPhoto]:
    judged: list[StoredPhoto] = []
    with (
        closing(_Judge(images, options, sandbox, len(candidates), monitor)) as judge,
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

    def __init__(self, images: Path, options: PhotosOptions, sandbox: Sandbox, photos: int, monitor: Monitor) -> None:
        self._images, self._options, self._monitor = images, options, monitor
        self._gate = _PixelGate(_PIXELS_IN_FLIGHT)
        more = min(thread_count(), 1 + photos // _PHOTOS_PER_SANDBOX) - 1
        self._sandboxes = [*(Sandbox() for _ in range(more)), sandbox]
        self._idle: LifoQueue[Sandbox] = LifoQueue()
        for sandbox in self._sandboxes:
            self._idle.put(sandbox)

    def __call__(self, candidate: _Candidate) -> StoredPhoto:
        """Decode one photo, store it, and note what it is."""
        self._monitor.check()
        try:
            if decoding.is_jpeg(candidate.path):
                return self._store(candidate, call_here)
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
    given = f"{usable} of {len(photo_set.photos)} photos are usable" if why else f"{usable} photos were given"
    problem = f"Only {given}, but {options.min_photos} are needed"
    remedy = REMEDY.format(options.min_photos)
    if photo_set.source == "video":
        problem = (
            f"The view of the video hardly moves: it gives {usable} different photos, {options.min_photos} are needed"
        )
        remedy = "Walk around the thing while filming, slowly"
    raise BadInput(
        f"{problem}: {why}" if why else problem, remedy, [record.given_name for record in photo_set.rejected]
    )


def _draw_preview(photo_set: PhotoSet, out: Path) -> None:
    accepted = photo_set.accepted
    shown = accepted[:: max(1, -(-len(accepted) // _PREVIEW_PHOTOS))]
    save_preview(contact_sheet([open_small(out / IMAGES / str(record.name)) for record in shown]), out)


def _figures(photo_set: PhotoSet, beside: int, masked: int) -> Figures:
    """Without what cameras write beside a photo: of raw files and JPEGs together, half would count as rejected."""
    accepted = photo_set.accepted
    sharpness: NDArray[np.float64] = np.array([record.sharpness for record in accepted])
    return {
        "photos_given": len(photo_set.photos) - beside,
        "photos_accepted": len(accepted),
        "photos_rejected": len(photo_set.rejected) - beside,
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
