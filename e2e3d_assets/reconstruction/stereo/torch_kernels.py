"""The search for planes on a GPU (CUDA, ROCm, MPS) by torch: what :mod:`.propagation` does on the CPU.

What belongs here: the same four functions with the same meaning, in tensors. What does not: costs
(:mod:`.torch_cost`), when these are called (:mod:`.estimation`), which device is chosen (:mod:`.devices`).

A sequential sweep would leave a GPU idle, so planes spread over a chequerboard as in Galliani et al., "Massively
Parallel Multiview Stereopsis by Surface Normal Diffusion" (ICCV 2015): the white pixels take offers of the black ones,
near and far, then the other way round, a few rounds a sweep. Random numbers differ from the CPU's and so do last
digits; the surfaces agree.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from . import propagation
from .matching_cost import WORST
from .packing import Comparison
from .planes import GRAZING
from .propagation import Search, State
from .torch_cost import Patches, Photos

_ROUNDS = 3
_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-5, 0), (5, 0), (0, -5), (0, 5))
_ADJACENT = 4
_MOST_PIXELS = 1 << 20
_FEWEST_PIXELS = 1 << 14
_NEVER = 1e9


class TorchKernels:
    """:class:`.estimation.Kernels` on one torch device.

    Where the device's memory does not suffice, fewer pixels are worked on at once; where that does not help either,
    the CPU's kernels take over for good.

    Attributes:
        device: where it works, for people.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._pixels = _MOST_PIXELS
        self._uploaded: tuple[Comparison, Photos] | None = None

    def random_planes(self, compared: Comparison, state: State, search: Search) -> None:
        """As :func:`.propagation.random_planes`; cheap, so the CPU does it."""
        propagation.random_planes(compared, state, search)

    def plane_costs(self, compared: Comparison, state: State) -> None:
        """As :func:`.propagation.plane_costs`."""
        self._run(propagation.plane_costs, self._plane_costs, compared, state)

    def choose_views(self, compared: Comparison, state: State, most_views: int) -> None:
        """As :func:`.propagation.choose_views`."""
        self._run(propagation.choose_views, self._choose_views, compared, state, most_views)

    def sweep(self, compared: Comparison, state: State, search: Search) -> None:
        """As :func:`.propagation.sweep`; the direction does not matter here."""
        self._run(propagation.sweep, self._sweep, compared, state, search)

    def _run(self, on_cpu: Callable[..., None], here: Callable[..., None], *arguments: Any) -> None:
        while self._pixels >= _FEWEST_PIXELS:
            try:
                return here(*arguments)
            except RuntimeError as error:
                if not (isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)):
                    raise
                self._pixels //= 2
                self._uploaded = None
                torch.cuda.empty_cache()
        self.device = "cpu, for want of memory on the GPU"
        return on_cpu(*arguments)

    def _photos(self, compared: Comparison) -> "Photos":
        if self._uploaded is None or self._uploaded[0] is not compared:
            self._uploaded = None
            self._uploaded = compared, Photos.upload(compared, self.device)
        return self._uploaded[1]

    def _plane_costs(self, compared: Comparison, state: State) -> None:
        photos, fields = self._photos(compared), _Fields.upload(state, self.device)
        for pixels in self._chunks(fields.all_pixels()):
            patches = Patches.of(photos, fields.width, pixels)
            fields.costs[pixels] = patches.cost(fields.planes[pixels], fields.views[pixels])
        state.costs[:] = fields.costs.reshape(state.costs.shape).cpu().numpy()
        state.costs[state.views == 0] = WORST

    def _choose_views(self, compared: Comparison, state: State, most_views: int) -> None:
        photos, fields = self._photos(compared), _Fields.upload(state, self.device)
        count = len(compared.geometry)
        costs = torch.zeros((count, fields.views.numel()), device=self.device)
        for pixels in self._chunks(fields.all_pixels()):
            patches = Patches.of(photos, fields.width, pixels)
            for view in range(count):
                only = torch.full_like(fields.views[pixels], 1 << view)
                costs[view, pixels] = patches.cost(fields.planes[pixels], only).clamp(0, float(WORST))
        units = (costs * 127).to(torch.uint8).reshape(count, *state.views.shape).cpu().numpy()
        propagation.choose_views_by(np.ascontiguousarray(units), state, most_views)

    def _sweep(self, compared: Comparison, state: State, search: Search) -> None:
        photos, fields = self._photos(compared), _Fields.upload(state, self.device)
        random = torch.Generator(self.device).manual_seed(search.seed)
        for _ in range(_ROUNDS):
            for colour in (0, 1):
                chosen = fields.all_pixels()
                chosen = chosen[(chosen // fields.width + chosen % fields.width) % 2 == colour]
                for pixels in self._chunks(chosen):
                    _improve(photos, fields, pixels, search, random)
        for ours, theirs in zip(state, (fields.planes, fields.costs, fields.views), strict=True):
            ours[:] = theirs.reshape(ours.shape).cpu().numpy().astype(ours.dtype)

    def _chunks(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return pixels.split(self._pixels)


class _Fields(NamedTuple):
    """A :class:`.propagation.State` on the device, flat; views as int64."""

    planes: torch.Tensor
    costs: torch.Tensor
    views: torch.Tensor
    width: int
    height: int

    @classmethod
    def upload(cls, state: State, device: str) -> "_Fields":
        height, width = state.views.shape
        return cls(
            torch.from_numpy(state.planes.reshape(-1, 4)).to(device, copy=True),
            torch.from_numpy(state.costs.ravel()).to(device, copy=True),
            torch.from_numpy(state.views.astype(np.int64).ravel()).to(device, copy=True),
            width,
            height,
        )

    def all_pixels(self) -> torch.Tensor:
        """Indices of the pixels that are estimated."""
        return torch.nonzero(self.views).flatten()


def _improve(photos: Photos, fields: _Fields, pixels: torch.Tensor, search: Search, random: torch.Generator) -> None:
    """Offer some pixels better planes, once; the others stay as they are."""
    patches = Patches.of(photos, fields.width, pixels)
    planes, costs, views = fields.planes[pixels], fields.costs[pixels], fields.views[pixels]
    others = [_neighbour(fields, pixels, dx, dy) for dx, dy in _NEIGHBOURS]
    adopted = _adopted_views(fields, costs, views, others[:_ADJACENT])
    fresh = adopted != 0
    views = torch.where(fresh, adopted, views)
    if bool(fresh.any()):
        costs = torch.where(fresh, patches.cost(planes, views), costs)

    def offer(trial: torch.Tensor, possible: torch.Tensor) -> None:
        nonlocal planes, costs
        possible = possible & (trial[:, 3] * float(search.most) >= 1) & (trial[:, 3] * float(search.least) <= 1)
        trial = torch.where(possible[:, None], trial, planes)
        trial_costs = torch.where(possible, patches.cost(trial, views), _NEVER)
        better = trial_costs < costs
        planes = torch.where(better[:, None], trial, planes)
        costs = torch.where(better, trial_costs, costs)

    for other, exists in others:
        offer(*_continued(photos, fields, patches, other, exists))
    for _ in range(2):
        offer(_random(patches, search, random), fresh)
    for depth, normal in ((True, False), (False, True), (True, True)):
        offer(_changed(patches, planes, search, random, depth, normal), torch.ones_like(fresh))
    fields.planes[pixels], fields.costs[pixels], fields.views[pixels] = planes, costs, views


def _neighbour(fields: _Fields, pixels: torch.Tensor, dx: int, dy: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Each pixel's neighbour, and whether there is one."""
    x, y = pixels % fields.width + dx, pixels // fields.width + dy
    inside = (x >= 0) & (y >= 0) & (x < fields.width) & (y < fields.height)
    other = torch.where(inside, y * fields.width + x, pixels)
    return other, inside & (fields.views[other] != 0)


def _adopted_views(
    fields: _Fields, costs: torch.Tensor, views: torch.Tensor, others: list[tuple[torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """The views of the best neighbour that does much better, where the pixel does badly; else 0."""
    bound = torch.where(costs > float(propagation.DOING_BADLY), float(propagation.MUCH_BETTER) * costs, -1.0)
    adopted = torch.zeros_like(views)
    for other, exists in others:
        better = exists & (fields.costs[other] < bound)
        adopted = torch.where(better, fields.views[other], adopted)
        bound = torch.where(better, fields.costs[other], bound)
    return adopted


def _continued(
    photos: Photos, fields: _Fields, patches: Patches, other: torch.Tensor, exists: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Other pixels' planes, continued to these."""
    planes = fields.planes[other]
    fx, fy, cx, cy = photos.rays
    ox, oy = (other % fields.width - cx) / fx, (other // fields.width - cy) / fy
    slant = planes[:, 0] * patches.rx + planes[:, 1] * patches.ry + planes[:, 2]
    possible = exists & (slant < float(GRAZING))
    depth = planes[:, 3] * (planes[:, 0] * ox + planes[:, 1] * oy + planes[:, 2]) / slant
    depth = torch.where(possible, depth, planes[:, 3])
    return torch.cat([planes[:, :3], depth[:, None]], 1), possible


def _random(patches: Patches, search: Search, random: torch.Generator) -> torch.Tensor:
    a, b, share = _uniform(patches, random, 3)
    normals = torch.stack([2 * a - 1, 2 * b - 1, torch.full_like(a, -1)], 1)
    nearest, farthest = float(search.nearest), float(search.farthest)
    depth = 1 / (farthest + share * (nearest - farthest))
    return torch.cat([_facing(normals, patches), depth[:, None]], 1)


def _changed(
    patches: Patches, planes: torch.Tensor, search: Search, random: torch.Generator, depth: bool, normal: bool
) -> torch.Tensor:
    normals, depths = planes[:, :3], planes[:, 3]
    share, sign, size, *direction = _uniform(patches, random, 6)
    if depth:
        least, log_ratio = (float(value) for value in propagation.STEP)
        fine = float(search.disparity) * least * torch.exp(share * log_ratio)
        change = share * float(search.widest) if search.widest > 0 else fine
        inverse = 1 / depths + torch.where(sign < 0.5, change, -change)
        depths = 1 / inverse.clamp(float(search.least), float(search.most))
    if normal:
        least, log_ratio = (float(value) for value in propagation.TILT)
        tilt = least * torch.exp(size * log_ratio)
        normals = _facing(normals + tilt[:, None] * (2 * torch.stack(direction, 1) - 1), patches)
    return torch.cat([normals, depths[:, None]], 1)


def _facing(normals: torch.Tensor, patches: Patches) -> torch.Tensor:
    """Unit normals, mirrored where they look away from the camera."""
    rays = torch.stack([patches.rx, patches.ry, torch.ones_like(patches.rx)], 1)
    squared = (rays * rays).sum(1)
    most = float(GRAZING) * squared.sqrt()
    cosine = (normals * rays).sum(1)
    excess = torch.where(cosine > most, (cosine - 2 * most) / squared, 0.0)
    return torch.nn.functional.normalize(normals - excess[:, None] * rays, dim=1)


def _uniform(patches: Patches, random: torch.Generator, count: int) -> list[torch.Tensor]:
    shape = (count, len(patches.x))
    return list(torch.rand(shape, generator=random, device=patches.x.device))
