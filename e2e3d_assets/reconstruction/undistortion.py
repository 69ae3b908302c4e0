"""Stage ``undistorted_photos``: what a pinhole camera would have seen, and the model that goes with it.

What belongs here: the call and its clean-up. Photos that are not in the model are left out.
"""

import shutil
from pathlib import Path

import pycolmap

from .mapping import SPARSE
from .monitor import Figures, Monitor
from .native import run_cancellable, thread_count
from .options import UndistortedPhotosOptions
from .photos import IMAGES
from .preview import contact_sheet, open_small, save_preview

JPEG_QUALITY = 95
_PREVIEW_PHOTOS = 12


def undistort_photos(
    photos: Path, sparse_model: Path, out: Path, options: UndistortedPhotosOptions, monitor: Monitor
) -> Figures:
    """Write a COLMAP dense workspace.

    Args:
        photos: output of stage photos.
        sparse_model: output of stage sparse_model; its largest model is used.
        out: gets ``images/``, ``sparse/{cameras,images,points3D,...}.bin`` (PINHOLE) and ``preview.jpg``.
        options: size of the photos at most.
        monitor: progress per photo.
    """
    model = pycolmap.Reconstruction(sparse_model / SPARSE / "0")
    camera_options = pycolmap.UndistortCameraOptions()
    camera_options.max_image_size = options.max_photo_size
    names = sorted(model.image(image_id).name for image_id in model.reg_image_ids())
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
    monitor.progress(len(names), len(names), "undistorting")
    shown = names[:: max(1, -(-len(names) // _PREVIEW_PHOTOS))]
    save_preview(contact_sheet([open_small(out / IMAGES / name) for name in shown]), out)
    undistorted = pycolmap.Reconstruction(out / SPARSE)
    return {
        "photos": len(names),
        "megapixels": round(sum(_megapixels(undistorted, i) for i in undistorted.reg_image_ids()), 1),
        "longest_side_px": max(max(camera.width, camera.height) for camera in undistorted.cameras.values()),
    }


def _megapixels(model: pycolmap.Reconstruction, image_id: int) -> float:
    camera = model.camera(model.image(image_id).camera_id)
    return camera.width * camera.height / 1e6
