"""How well the model is covered by the photos and how well it reproduces them.

What belongs here: measurements with the delivered mesh and the undistorted photos, one photo in memory at a time. What
does not: pictures for the page and judgement.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..raycasting import Raycaster, TexturedRenderer
from ..stereo.photos import read_colour
from ..stereo.views import Camera, SparseScene
from ..textured_mesh import TexturedMesh
from .progress import Tick

_DEPTH_SIDE = 400  # longer side of the depth pictures that tell what a photo sees, pixels
_DEPTH_TOLERANCE = 0.015  # share of depth by which a seen vertex may lie behind the depth picture
_COMPARED_SIDE = 480
_LEAST_COVERAGE = 0.1  # of a photo, below which its likeness says nothing


@dataclass(frozen=True)
class Coverage:
    """What the photos see of a mesh.

    Attributes:
        views: (V,) photos that see each vertex.
        resolution: (V,) world units that a pixel of the nearest of them spans; infinite where none sees it.
        area: (V,) surface area around each vertex, world units squared.
    """

    views: NDArray[np.int32]
    resolution: NDArray[np.float64]
    area: NDArray[np.float64]

    def share_seen_by(self, photos: int) -> float:
        """Share of the surface that at least so many photos see."""
        return float(self.area[self.views >= photos].sum() / self.area.sum())

    def ground_sampling_distance(self) -> float | None:
        """World units that a pixel spans on the surface, for the middle of what is seen; None if nothing is."""
        seen = np.flatnonzero(self.views)
        if not len(seen):
            return None
        order = seen[np.argsort(self.resolution[seen])]
        cumulated = np.cumsum(self.area[order])
        return float(self.resolution[order[np.searchsorted(cumulated, cumulated[-1] / 2)]])


@dataclass(frozen=True)
class Likeness:
    """A photo against the rendering of the model from the same place.

    Attributes:
        name: of the photo.
        coverage: share of its pixels that show the model.
        psnr_db: peak signal-to-noise ratio over those pixels, after one gain for each colour channel, which takes the
            photo's exposure out. None where too little is covered.
        photo: (h, w, 3) RGB.
        rendering: (h, w, 3) RGB.
    """

    name: str
    coverage: float
    psnr_db: float | None
    photo: NDArray[np.uint8]
    rendering: NDArray[np.uint8]


def measure_coverage(mesh: TexturedMesh, cameras: Sequence[Camera], tick: Tick) -> Coverage:
    """Count for each vertex of a mesh the photos that see it."""
    raycaster = Raycaster(mesh.vertices, mesh.faces)
    views = np.zeros(len(mesh.vertices), np.int32)
    resolution = np.full(len(mesh.vertices), np.inf)
    for camera in cameras:
        tick("coverage")
        small = camera.limited(_DEPTH_SIDE)
        depth = raycaster.hits(small).depth
        in_camera = mesh.vertices @ small.R.T + small.t
        z = in_camera[:, 2]
        front = z > 0
        pixels = np.full((len(z), 2), -1.0)
        pixels[front] = (in_camera[front, :2] / z[front, None]) * np.diag(small.K)[:2] + small.K[:2, 2]
        columns, rows = np.rint(pixels).astype(np.int64).T
        inside = front & (columns >= 0) & (columns < small.width) & (rows >= 0) & (rows < small.height)
        seen = np.flatnonzero(inside)
        seen = seen[z[seen] <= depth[rows[seen], columns[seen]] * (1 + _DEPTH_TOLERANCE)]
        views[seen] += 1
        resolution[seen] = np.minimum(resolution[seen], z[seen] / camera.K[0, 0])
    return Coverage(views, resolution, _vertex_areas(mesh))


def _vertex_areas(mesh: TexturedMesh) -> NDArray[np.float64]:
    corners = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    return np.bincount(mesh.faces.reshape(-1), np.repeat(areas / 3, 3), len(mesh.vertices)).astype(np.float64)


def compare_with_photos(
    mesh: TexturedMesh, scene: SparseScene, undistorted: Path, most_photos: int, tick: Tick
) -> list[Likeness]:
    """Compare renderings with photos, for at most so many photos, spread evenly."""
    renderer = TexturedRenderer(mesh)
    raycaster = Raycaster(mesh.vertices, mesh.faces)
    step = max(1, math.ceil(len(scene.names) / most_photos))
    found: list[Likeness] = []
    for name, full in list(zip(scene.names, scene.cameras, strict=True))[::step]:
        tick(f"likeness of {name}")
        camera = full.limited(_COMPARED_SIDE)
        covered = raycaster.hits(camera).face >= 0
        # The rim of the model mixes with the background where rays are averaged.
        inner = cv2.erode(covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        photo = read_colour(undistorted, name, camera)
        rendering = renderer.picture(camera)
        psnr = _psnr(photo[inner], rendering[inner]) if inner.mean() >= _LEAST_COVERAGE else None
        found.append(Likeness(name, float(covered.mean()), psnr, photo, rendering))
    return found


def _psnr(photo: NDArray[np.uint8], rendering: NDArray[np.uint8]) -> float:
    """Of (N, 3) colours each."""
    seen, shown = photo.astype(np.float64), rendering.astype(np.float64)
    gain = (seen * shown).sum(axis=0) / np.maximum((shown * shown).sum(axis=0), 1)
    error = np.mean((shown * gain - seen) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-4)))
