"""Stage ``undistorted_photos``: what a pinhole camera would have seen, and the model that goes with it.

What belongs here: the calls for photos and masks, and their clean-up. Photos that are not in the model are left out.
"""

import shutil
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from .intake.masks import mask_path
from .mapping import SPARSE
from .monitor import Figures, Monitor
from .native import run_cancellable, thread_count
from .options import UndistortedPhotosOptions
from .photos import IMAGES
from .preview import contact_sheet, open_small, save_preview

JPEG_QUALITY = 95
_PREVIEW_PHOTOS = 12
_HALF_MASKED = 127


def undistort_photos(
    photos: Path, sparse_model: Path, out: Path, options: UndistortedPhotosOptions, monitor: Monitor
) -> Figures:
    """Write a COLMAP dense workspace.

    Args:
        photos: output of stage photos.
        sparse_model: output of stage sparse_model; its largest model is used.
        out: gets ``images/``, ``sparse/{cameras,images,points3D,...}.bin`` (PINHOLE), ``preview.jpg``, and
            ``masks/<photo>.png`` of the photos that have one: 255 to use, 0 to ignore.
        options: size of the photos at most.
        monitor: progress per photo.
    """
    model = pycolmap.Reconstruction(sparse_model / SPARSE / "0")
    camera_options = pycolmap.UndistortCameraOptions()
    camera_options.max_image_size = options.max_photo_size
    cameras = {image.name: model.camera(image.camera_id) for image in map(model.image, model.reg_image_ids())}
    names = sorted(cameras)
    monitor.progress(0, len(names), "undistorting")
    run_cancellable(
        lambda token: pycolmap.undistort_images(
            out, sparse_model / SPARSE / "0", photos / IMAGES, names, undistort_options=camera_options,
            jpeg_quality=JPEG_QUALITY, num_threads=thread_count(), cancellation_token=token,
        ),
        monitor,
    )  # fmt: skip
    for script in out.glob("run-colmap-*.sh"):
        script.unlink()
    shutil.rmtree(out / "stereo", ignore_errors=True)  # depth maps are a stage of their own
    for name in names:
        monitor.check()
        if mask_path(photos, name).exists():
            _undistort_mask(mask_path(photos, name), camera_options, cameras[name], mask_path(out, name))
    monitor.progress(len(names), len(names), "undistorting")
    shown = names[:: max(1, -(-len(names) // _PREVIEW_PHOTOS))]
    save_preview(contact_sheet([open_small(out / IMAGES / name) for name in shown]), out)
    undistorted = pycolmap.Reconstruction(out / SPARSE)
    return {
        "photos": len(names),
        "megapixels": round(sum(_megapixels(undistorted, i) for i in undistorted.reg_image_ids()), 1),
        "longest_side_px": max(max(camera.width, camera.height) for camera in undistorted.cameras.values()),
    }


def _undistort_mask(
    mask: Path, options: pycolmap.UndistortCameraOptions, camera: pycolmap.Camera, target: Path
) -> None:
    with Image.open(mask) as opened:
        distorted = pycolmap.Bitmap.from_array(np.asarray(opened))
    bitmap, _ = pycolmap.undistort_image(options, distorted, camera)
    target.parent.mkdir(exist_ok=True)
    Image.fromarray(np.where(bitmap.to_array() > _HALF_MASKED, np.uint8(255), np.uint8(0))).save(target)


def _megapixels(model: pycolmap.Reconstruction, image_id: int) -> float:
    camera = model.camera(model.image(image_id).camera_id)
    return camera.width * camera.height / 1e6
