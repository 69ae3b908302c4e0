"""Building models from one set of matches: attempts from strict to lenient, until most photos have a place.

What belongs here: the two mappers, their thresholds, and which of the models found are kept. Joining models that share
structure is in :mod:`~e2e3d_assets.reconstruction.sparse.merging`.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pycolmap

from ..intake.calibrations import COLMAP_MODELS as CALIBRATED_MODELS
from ..monitor import Monitor
from ..native import run_cancellable, thread_count
from ..options import SparseModelOptions
from .colmap_database import DATABASE
from .connectivity import leave_out_loose_pieces
from .initial_pair import widest_of_narrow
from .merging import merge_models
from .zooms import NOT_TOLD_APART, Zooms, give_cameras

MIN_PHOTOS = 3


@dataclass(frozen=True)
class _Thresholds:
    """What the incremental mapper asks of its first pair, and of each photo that it adds."""

    name: str
    init_inliers: int = 100
    init_angle_deg: float = 16.0
    pose_inliers: int = 30
    pose_inlier_share: float = 0.25
    init_pair: tuple[int, int] = (-1, -1)
    """Image ids; COLMAP looks for a pair itself where they are -1."""


_ATTEMPTS = (
    _Thresholds("usual thresholds"),
    _Thresholds("first pair with fewer points and a smaller angle", 50, 6.0, 20),
    _Thresholds("lowest thresholds", 25, 2.0, 15, 0.15),
)
_ADDING = _Thresholds("photos left over, with fewer points", pose_inliers=15, pose_inlier_share=0.12)
_SURE_OF_ANGLE = 0.7
_GOOD_ENOUGH = 0.6
_ONE_THREAD_UP_TO = 300


def solver_threads(photos: int) -> int:
    """One up to 300 photos: equal seeds then give equal bytes on any number of CPUs; beyond, all.

    Several threads add up residuals in the order in which they finish, which changes the last digits. Among 100 photos
    of 8,192 key points one thread took 31 CPU seconds where four took 34 (most adjustments are local, and too small for
    COLMAP to spread), and cameras differed by 1e-15 of their extent. So much is to be expected beyond 300 photos,
    unless a photo or a point is on the very edge of being taken.
    """
    return 1 if photos <= _ONE_THREAD_UP_TO else thread_count()


class Attempts:
    """Attempts at one set of matches; the inputs stay untouched.

    Args:
        zooms: which photos of one camera get several.
    """

    def __init__(
        self,
        images: Path,
        database: Path,
        scratch: Path,
        options: SparseModelOptions,
        monitor: Monitor,
        zooms: Zooms = NOT_TOLD_APART,
    ) -> None:
        self._images, self._scratch, self._options, self._monitor = images, scratch, options, monitor
        self._matches, self.zooms = database, zooms
        self.database = Path(shutil.copyfile(database, scratch / DATABASE))  # COLMAP writes a log beside what it opens
        self._runs = 0
        with pycolmap.Database.open(self.database) as opened:
            self.shared_cameras = {image.image_id: image.camera_id for image in opened.read_all_images()}
        give_cameras(self.database, zooms)
        with pycolmap.Database.open(self.database) as opened:
            cameras = opened.read_all_cameras()
        self._given = len(self.shared_cameras)
        self.threads = solver_threads(self._given)
        self.given_cameras = {
            camera.camera_id: list(camera.params) for camera in cameras if camera.model_name in CALIBRATED_MODELS
        }
        self.focal_priors = {  # a fisheye's may be made up
            camera.camera_id: float(camera.mean_focal_length())
            for camera in cameras
            if camera.has_prior_focal_length and camera.model_name == "SIMPLE_RADIAL"
        }

    def run(self, matched: int) -> tuple[list[pycolmap.Reconstruction], list[str]]:
        """Models, the largest first, and what was tried.

        Args:
            matched: photos that hang together by matches: what a model can hold at best.
        """
        if self._options.mapper == "global":
            models, joined = self._merged(ranked(self._global()))
            return models, ["global", *joined]
        models: list[pycolmap.Reconstruction] = []
        tried: list[str] = []
        for thresholds in self._attempts():
            models = ranked([*self._incremental(thresholds), *models])
            tried.append(thresholds.name)
            if models and models[0].num_reg_images() >= max(MIN_PHOTOS, _GOOD_ENOUGH * matched):
                break
        models, joined = self._merged(without_repetition(models))
        models, added = self._with_photos_left_over(models, matched)
        return without_repetition(models), [*tried, *joined, *added]

    def _attempts(self) -> Sequence[_Thresholds]:
        usual = _ATTEMPTS[0]
        found = widest_of_narrow(self.database, usual.init_angle_deg, self._options.seed)
        if found is None:
            return _ATTEMPTS
        pair, angle = found
        name = f"{usual.name}, begun with the widest of narrow pairs, {angle:.1f}°"
        narrow = replace(usual, name=name, init_pair=pair, init_angle_deg=_SURE_OF_ANGLE * angle)
        return [narrow, *_ATTEMPTS[1:]]

    def with_zooms(self, zooms: Zooms) -> "Attempts":
        """Attempts at the same matches with other cameras."""
        return Attempts(self._images, self._matches, self._next_folder(), self._options, self._monitor, zooms)

    def grow(self, posed: pycolmap.Reconstruction, matched: int) -> tuple[list[pycolmap.Reconstruction], list[str]]:
        """Like :meth:`run`, from photos whose poses are known: at most one model.

        Args:
            posed: all cameras and photos of the database, some of them posed; no points.
            matched: as for :meth:`run`.
        """
        options = self._pipeline_options(_ATTEMPTS[0])
        start = run_cancellable(
            lambda token: pycolmap.triangulate_points(
                posed, self.database, self._images, self._next_folder(), True, options, True, cancellation_token=token
            ),
            self._monitor,
        )
        models = ranked(self._incremental(_ATTEMPTS[0], start))
        models, added = self._with_photos_left_over(models, matched)
        return models[:1], ["photos added to those of the previous model", *added]

    def _with_photos_left_over(
        self, models: list[pycolmap.Reconstruction], matched: int
    ) -> tuple[list[pycolmap.Reconstruction], list[str]]:
        if not models or models[0].num_reg_images() >= matched:
            return models, []
        return ranked([*self._incremental(_ADDING, models[0]), *models]), [_ADDING.name]

    def _merged(self, models: Sequence[pycolmap.Reconstruction]) -> tuple[list[pycolmap.Reconstruction], list[str]]:
        options = self._pipeline_options(_ADDING)
        left = merge_models(models, self.database, self._images, options, self._next_folder, self._monitor)
        return ranked(left), ["models that share points joined"] if len(left) < len(models) else []

    def _global(self) -> list[pycolmap.Reconstruction]:
        options = pycolmap.GlobalPipelineOptions()
        options.num_threads = self.threads
        options.random_seed = self._options.seed
        options.min_model_size = MIN_PHOTOS
        found = run_cancellable(
            lambda _: pycolmap.global_mapping(self.database, self._images, self._next_folder(), options), self._monitor
        )
        for model in found.values():
            for camera_id, params in self.given_cameras.items():  # this mapper refines every camera: take it back
                if camera_id in model.cameras:
                    model.camera(camera_id).params = params
            model.update_point_3d_errors()
        return _whole(found.values())

    def _incremental(
        self, thresholds: _Thresholds, start: pycolmap.Reconstruction | None = None
    ) -> list[pycolmap.Reconstruction]:
        options = self._pipeline_options(thresholds)
        options.multiple_models = start is None
        begin: Path | str = ""
        registered = 0
        if start is not None:
            begin = self._next_folder()
            start.write_binary(begin)
            registered = start.num_reg_images()

        def another(count: int = 1) -> None:
            nonlocal registered
            registered += count
            if not self._monitor.cancelled.is_set():
                self._monitor.progress(min(registered, self._given), self._given, "photos registered")

        found = run_cancellable(
            lambda token: pycolmap.incremental_mapping(
                self.database, self._images, self._next_folder(), options, begin,
                lambda: another(2), another, cancellation_token=token,
            ),
            self._monitor,
        )  # fmt: skip
        return _whole(found.values())

    def _pipeline_options(self, thresholds: _Thresholds) -> pycolmap.IncrementalPipelineOptions:
        options = pycolmap.IncrementalPipelineOptions()
        options.min_model_size = MIN_PHOTOS
        options.num_threads = self.threads
        options.random_seed = self._options.seed
        options.constant_cameras = set(self.given_cameras)
        options.init_image_id1, options.init_image_id2 = thresholds.init_pair
        options.mapper.init_min_num_inliers = thresholds.init_inliers
        options.mapper.init_min_tri_angle = thresholds.init_angle_deg
        options.mapper.abs_pose_min_num_inliers = thresholds.pose_inliers
        options.mapper.abs_pose_min_inlier_ratio = thresholds.pose_inlier_share
        return options

    def _next_folder(self) -> Path:
        self._runs += 1
        folder = self._scratch / f"run{self._runs}"
        folder.mkdir()
        return folder


def _whole(models: Iterable[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    """Of each model what is of one piece, if it is large enough."""
    kept = list(models)
    for model in kept:
        leave_out_loose_pieces(model)
    return [model for model in kept if model.num_reg_images() >= MIN_PHOTOS]


def ranked(models: Sequence[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    """Most registered photos first; of equals the one with more points."""
    return sorted(models, key=lambda model: (model.num_reg_images(), model.num_points3D()), reverse=True)


def without_repetition(models: Sequence[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    """Ranked models less those whose photos are mostly in the ones before."""
    kept: list[pycolmap.Reconstruction] = []
    seen: set[str] = set()
    for model in models:
        names = {model.image(image_id).name for image_id in model.reg_image_ids()}
        if len(names - seen) >= MIN_PHOTOS or not kept:
            kept.append(model)
            seen |= names
    return kept
