"""The search for planes on a GPU (CUDA, ROCm, MPS) by torch: what :mod:`.propagation` does on the CPU.

What belongs here: the same four functions with the same meaning, in tensors. What does not: costs
(:mod:`.torch_cost`), when these are called (:mod:`.estimation`), which device is chosen (:mod:`.devices`).

A sequential sweep would leave a GPU idle, so planes spread over a chequerboard as in Galliani et al., "Massively
Parallel Multiview Stereopsis by Surface Normal Diffusion" (ICCV 2015): the white pixels take offers of the black ones,
near and far, then the other way round, a few rounds a sweep. Random numbers differ from the CPU's and so do last
digits; the surfaces agree.
"""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from . import propagation, view_choice
from .matching_cost import WORST
from .packing import Comparison
from .planes import GRAZING
from .propagation import Search, State
from .torch_cost import Pairs, Patches, Photos

_ROUNDS = 2
_DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))
_NEAR, _FAR = 1, 5
_MOST_PIXELS = 1 << 19
_FEWEST_PIXELS = 1 << 14
_NEVER = 1e9


class TorchKernels:
    """:class:`.estimation.Kernels` on one torch device.

    Where the device's memory does not suffice, fewer pixels are worked on at once; where that does not help either,
    the CPU's kernels take over for good. Calls from several Python threads queue up; each thread has its photos there.

    Attributes:
        device: where it works, for people.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._pixels = _MOST_PIXELS
        self._one_at_a_time = threading.Lock()
        self._of_thread = threading.local()

    def random_planes(self, compared: Comparison, state: State, search: Search) -> None:
        """As :func:`.propagation.random_planes`; cheap, so the CPU does it."""
        propagation.random_planes(compared, state, search)

    def plane_costs(self, compared: Comparison, state: State) -> None:
        """As :func:`.propagation.plane_costs`."""
        self._run(propagation.plane_costs, self._plane_costs, compared, state)

    def choose_views(self, compared: Comparison, state: State, most_views: int) -> None:
        """As :func:`.view_choice.choose_views`."""
        self._run(view_choice.choose_views, self._choose_views, compared, state, most_views)

    def sweep(self, compared: Comparison, state: State, search: Search) -> None:
        """As :func:`.propagation.sweep`; the direction does not matter here."""
        self._run(propagation.sweep, self._sweep, compared, state, search)

    def _run(self, on_cpu: Callable[..., None], here: Callable[..., None], *arguments: Any) -> None:
        with self._one_at_a_time:
            while self._pixels >= _FEWEST_PIXELS:
                try:
                    return here(*arguments)
                except RuntimeError as error:
                    if not (isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)):
                        raise
                # only now: the error's frames held the tensors
                self._of_thread.photos = None
                (torch.mps if self.device == "mps" else torch.cuda).empty_cache()
                self._pixels //= 2
            self.device = "cpu, for want of memory on the GPU"
        return on_cpu(*arguments)

    def _photos(self, compared: Comparison) -> Photos:
        mine = self._of_thread
        if getattr(mine, "photos", None) is None or mine.compared is not compared:
            mine.photos = None
            mine.compared, mine.photos = compared, Photos.upload(compared, self.device)
        return mine.photos

    def _plane_costs(self, compared: Comparison, state: State) -> None:
        photos, fields = self._photos(compared), _Fields.upload(state, self.device)
        for pixels in self._chunks(fields.all_pixels()):
            patches = Patches.of(photos, fields.width, pixels)
            fields.costs[pixels] = Pairs.of(photos, patches, fields.views[pixels]).cost(fields.planes[pixels])
        state.costs[:] = fields.costs.reshape(state.costs.shape).cpu().numpy()
        state.costs[state.views == 0] = WORST

    def _choose_views(self, compared: Comparison, state: State, most_views: int) -> None:
        photos, fields = self._photos(compared), _Fields.upload(state, self.device)
        count = len(compared.geometry)
        costs = torch.zeros((count, fields.views.numel()), device=self.device)
        for pixels in self._chunks(fields.all_pixels()):
            patches, planes = Patches.of(photos, fields.width, pixels), fields.planes[pixels]
            for view in range(count):
                only = Pairs.of(photos, patches, torch.full_like(pixels, 1 << view))
                costs[view, pixels] = only.cost(planes).clamp(0, float(WORST))
        units = (costs * float(view_choice.COST_UNITS)).to(torch.uint8).reshape(count, *state.views.shape).cpu().numpy()
        view_choice.choose_views_by(np.ascontiguousarray(units), state, most_views)

    def _sweep(self, compared: Comparison, state: State, search: Search) -> None:
        photos, fields = self._photos(compared), _Fields.upload(state, self.device)
        random = torch.Generator(self.device).manual_seed(search.seed)
        pixels = fields.all_pixels()
        colour = (pixels // fields.width + pixels % fields.width) % 2
        for chosen in (pixels[colour == 0], pixels[colour == 1]) * _ROUNDS:
            for piece in self._chunks(chosen):
                _improve(photos, fields, piece, search, random)
        for ours, theirs in zip(state, (fields.planes, fields.costs, fields.views), strict=True):
            ours[:] = theirs.reshape(ours.shape).cpu().numpy().astype(ours.dtype)

    def _chunks(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return pixels.split(self._pixels) if len(pixels) else ()


class _Fields(NamedTuple):
    """A :class:`.propagation.State` on the device, flat; views as int32."""

    planes: torch.Tensor
    costs: torch.Tensor
    views: torch.Tensor
    width: int
    height: int

    @classmethod
    def upload(cls, state: State, device: str) -> "_Fields":
        height, width = state.views.shape

        def there(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values).to(device, copy=True)

        views = state.views.view(np.int32).ravel()
        return cls(there(state.planes.reshape(-1, 4)), there(state.costs.ravel()), there(views), width, height)

    def all_pixels(self) -> torch.Tensor:
        """Indices of the pixels that are estimated."""
        return torch.nonzero(self.views).flatten()


def _improve(photos: Photos, fields: _Fields, pixels: torch.Tensor, search: Search, random: torch.Generator) -> None:
    """Offer some pixels better planes, once; the others stay as they are."""
    patches = Patches.of(photos, fields.width, pixels)
    planes, costs, views = fields.planes[pixels], fields.costs[pixels], fields.views[pixels]
    near, their_costs = _neighbours(fields, pixels, _NEAR)
    far, far_costs = _neighbours(fields, pixels, _FAR)
    adopted = _adopted_views(fields, costs, near, their_costs)
    fresh = adopted != 0
    views = torch.where(fresh, adopted, views)
    pairs = Pairs.of(photos, patches, views)
    fresh_pairs = Pairs.of(photos, patches, adopted)
    costs = torch.where(fresh, fresh_pairs.cost(planes), costs)

    def offer(trial: torch.Tensor, possible: torch.Tensor, pairs: Pairs = pairs) -> None:
        nonlocal planes, costs
        possible = possible & (trial[:, 3] * float(search.most) >= 1) & (trial[:, 3] * float(search.least) <= 1)
        trial = torch.where(possible[:, None], trial, planes)
        trial_costs = torch.where(possible, pairs.cost(trial), _NEVER)
        better = trial_costs < costs
        planes = torch.where(better[:, None], trial, planes)
        costs = torch.where(better, trial_costs, costs)

    cheaper = torch.where(far_costs < their_costs, far, near)
    for other, its_cost in zip(cheaper, torch.minimum(far_costs, their_costs), strict=True):
        offer(*_continued(photos, fields, patches, other, its_cost < _NEVER))
    for _ in range(2):
        offer(_random(patches, search, random), fresh, fresh_pairs)
    for depth, normal in ((True, False), (False, True), (True, True)):
        offer(_changed(patches, planes, search, random, depth, normal), torch.ones_like(fresh))
    fields.planes[pixels], fields.costs[pixels], fields.views[pixels] = planes, costs, views


def _neighbours(fields: _Fields, pixels: torch.Tensor, distance: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Each pixel's neighbours in four directions, (4, pixels), and their costs, _NEVER where there is none."""
    x, y = pixels % fields.width, pixels // fields.width
    others, costs = [], []
    for dx, dy in _DIRECTIONS:
        its_x, its_y = x + distance * dx, y + distance * dy
        inside = (its_x >= 0) & (its_y >= 0) & (its_x < fields.width) & (its_y < fields.height)
        other = torch.where(inside, its_y * fields.width + its_x, pixels)
        exists = inside & (fields.views[other] != 0)
        others.append(other)
        costs.append(torch.where(exists, fields.costs[other], _NEVER))
    return torch.stack(others), torch.stack(costs)


def _adopted_views(
    fields: _Fields, costs: torch.Tensor, others: torch.Tensor, their_costs: torch.Tensor
) -> torch.Tensor:
    """The views of the best neighbour that does much better, where the pixel does badly; else 0."""
    bound = torch.where(costs > float(propagation.DOING_BADLY), float(propagation.MUCH_BETTER) * costs, -1.0)
    adopted = torch.zeros_like(others[0], dtype=torch.int32)
    for other, its_cost in zip(others, their_costs, strict=True):
        better = its_cost < bound
        adopted = torch.where(better, fields.views[other], adopted)
        bound = torch.where(better, its_cost, bound)
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
    normals = normals - excess[:, None] * rays
    return normals / (normals * normals).sum(1, keepdim=True).sqrt()


def _uniform(patches: Patches, random: torch.Generator, count: int) -> list[torch.Tensor]:
    shape = (count, len(patches.x))
    return list(torch.rand(shape, generator=random, device=patches.x.device))
