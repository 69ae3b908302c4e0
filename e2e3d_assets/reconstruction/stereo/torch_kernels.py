"""The search for planes on a GPU (CUDA, ROCm, MPS) by torch: what :mod:`.propagation` does on the CPU.

What belongs here: the same four functions with the same meaning, in tensors. What does not: when they are called
(:mod:`.estimation`), which device is chosen (:mod:`.devices`).

Costs are computed as in :mod:`.matching_cost`, sample by sample over many pixels at once. A sequential sweep would
leave a GPU idle, so planes spread over a chequerboard as in Galliani et al., "Massively Parallel Multiview
Stereopsis by Surface Normal Diffusion" (ICCV 2015): the white pixels take offers of the black ones, near and far, then
the other way round, a few rounds a sweep. Random numbers differ from the CPU's and so do last digits; the surfaces
agree.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from . import propagation
from .matching_cost import (
    LIKENESS,
    NOISE,
    OFFSET_X,
    OFFSET_Y,
    PAD,
    RADIUS,
    SAME_SURFACE,
    SAMPLES,
    SPATIAL_WEIGHT,
    WORST,
)
from .packing import Comparison
from .planes import GRAZING
from .propagation import Search, State

_ROUNDS = 3
_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-5, 0), (5, 0), (0, -5), (0, 5))
_ADJACENT = 4
_MOST_PIXELS = 1 << 20
_FEWEST_PIXELS = 1 << 14
_FAR_BEHIND = 1e-6
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
        self._uploaded: tuple[Comparison, _Photos] | None = None

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

    def _photos(self, compared: Comparison) -> "_Photos":
        if self._uploaded is None or self._uploaded[0] is not compared:
            self._uploaded = None
            self._uploaded = compared, _Photos.upload(compared, self.device)
        return self._uploaded[1]

    def _plane_costs(self, compared: Comparison, state: State) -> None:
        photos, fields = self._photos(compared), _Fields.upload(state, self.device)
        for pixels in self._chunks(fields.all_pixels()):
            patches = _Patches.of(photos, fields, pixels)
            fields.costs[pixels] = patches.cost(fields.planes[pixels], fields.views[pixels])
        state.costs[:] = fields.costs.reshape(state.costs.shape).cpu().numpy()
        state.costs[state.views == 0] = WORST

    def _choose_views(self, compared: Comparison, state: State, most_views: int) -> None:
        photos, fields = self._photos(compared), _Fields.upload(state, self.device)
        count = len(compared.geometry)
        costs = torch.zeros((count, fields.views.numel()), device=self.device)
        for pixels in self._chunks(fields.all_pixels()):
            patches = _Patches.of(photos, fields, pixels)
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


class _Photos(NamedTuple):
    """A :class:`.packing.Comparison` on the device."""

    reference: torch.Tensor
    offsets: torch.Tensor
    rays: tuple[float, float, float, float]
    packed: torch.Tensor
    bases: torch.Tensor
    geometry: torch.Tensor
    depths: torch.Tensor
    depth_bases: torch.Tensor
    back: torch.Tensor
    geometric_weight: float

    @classmethod
    def upload(cls, compared: Comparison, device: str) -> "_Photos":
        def there(values: np.ndarray) -> torch.Tensor:
            signed = values.view(np.int32) if values.dtype == np.uint32 else values
            return torch.from_numpy(np.ascontiguousarray(signed)).to(device)

        fx, fy, cx, cy = (float(value) for value in compared.rays)
        return cls(
            there(compared.reference),
            there(compared.offsets),
            (fx, fy, cx, cy),
            there(compared.packed),
            there(compared.bases),
            there(compared.geometry),
            there(compared.depths),
            there(compared.depth_bases),
            there(compared.back),
            float(compared.geometric_weight),
        )


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


class _Patches(NamedTuple):
    """Patches around some pixels of the reference: see :func:`.matching_cost.weigh_patch`."""

    photos: _Photos
    x: torch.Tensor
    y: torch.Tensor
    rx: torch.Tensor
    ry: torch.Tensor
    weights: torch.Tensor
    centred: torch.Tensor
    variance: torch.Tensor

    @classmethod
    def of(cls, photos: _Photos, fields: _Fields, pixels: torch.Tensor) -> "_Patches":
        x, y = pixels % fields.width, pixels // fields.width
        at = (y + PAD) * (fields.width + 2 * PAD) + x + PAD
        spatial = torch.from_numpy(SPATIAL_WEIGHT).to(pixels.device)
        values = (photos.reference[at[:, None] + photos.offsets] & 255).float()
        centre = (photos.reference[at] & 255).float()
        fall = 1 + float(LIKENESS) * (values - centre[:, None]) ** 2
        weights = spatial / (fall * fall)
        weights /= weights.sum(1, keepdim=True)
        deviation = values - (weights * values).sum(1, keepdim=True)
        centred = weights * deviation
        fx, fy, cx, cy = photos.rays
        return cls(
            photos,
            x.float(),
            y.float(),
            (x.float() - cx) / fx,
            (y.float() - cy) / fy,
            weights.T.contiguous(),
            centred.T.contiguous(),
            float(NOISE) + (centred * deviation).sum(1),
        )

    def cost(self, planes: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """Mean cost of (n, 4) planes over (n,) sets of views."""
        total = torch.zeros_like(self.variance)
        rest = views
        while bool((rest != 0).any()):
            lowest = rest & -rest
            there = lowest != 0
            index = torch.log2(lowest.clamp(min=1).float()).round().long()
            cost = self._photometric(planes, index)
            if self.photos.geometric_weight > 0:
                cost = cost + self.photos.geometric_weight * self._geometric(planes, index)
            total += torch.where(there, cost, 0.0)
            rest = rest & (rest - 1)
        count = sum(((views >> bit) & 1) for bit in range(len(self.photos.geometry)))
        return total / torch.as_tensor(count).clamp(min=1)

    def _project(self, planes: torch.Tensor, view: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        inverse = 1 / planes[:, 3]
        hz = view[6] * self.x + view[7] * self.y + view[8] + view[11] * inverse
        scale = 1 / hz.clamp(min=_FAR_BEHIND)
        u = (view[0] * self.x + view[1] * self.y + view[2] + view[9] * inverse) * scale
        v = (view[3] * self.x + view[4] * self.y + view[5] + view[10] * inverse) * scale
        return inverse, hz, scale, u, v

    def _photometric(self, planes: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        photos = self.photos
        view = list(photos.geometry[index].unbind(1))
        inverse, hz, scale, u, v = self._project(planes, view)
        fx, fy, _, _ = photos.rays
        along = inverse / (planes[:, 0] * self.rx + planes[:, 1] * self.ry + planes[:, 2])
        slope_x, slope_y = along * planes[:, 0] / fx, along * planes[:, 1] / fy
        zx, zy = view[6] + view[11] * slope_x, view[7] + view[11] * slope_y
        ux = (view[0] + view[9] * slope_x - u * zx) * scale
        uy = (view[1] + view[9] * slope_y - u * zy) * scale
        vx = (view[3] + view[10] * slope_x - v * zx) * scale
        vy = (view[4] + view[10] * slope_y - v * zy) * scale
        reach_u, reach_v = RADIUS * (ux.abs() + uy.abs()), RADIUS * (vx.abs() + vy.abs())
        last_u, last_v, pad = view[12] - 1, view[13] - 1, PAD - 1
        seen = (hz >= _FAR_BEHIND) & (ux * vy - uy * vx > 0)
        seen &= (u >= 0) & (v >= 0) & (u <= last_u) & (v <= last_v)
        seen &= (
            (u - reach_u > -pad) & (v - reach_v > -pad) & (u + reach_u < last_u + pad) & (v + reach_v < last_v + pad)
        )
        u, v = torch.where(seen, u, 0.0) + PAD, torch.where(seen, v, 0.0) + PAD
        ux, uy, vx, vy = (torch.where(seen, slope, 0.0) for slope in (ux, uy, vx, vy))
        base, stride = photos.bases[index], view[14].long()
        mean, square, product = torch.zeros_like(u), torch.zeros_like(u), torch.zeros_like(u)
        for i in range(SAMPLES):
            sx = u + ux * float(OFFSET_X[i]) + uy * float(OFFSET_Y[i])
            sy = v + vx * float(OFFSET_X[i]) + vy * float(OFFSET_Y[i])
            left, top = sx.floor(), sy.floor()
            word = photos.packed[base + top.long() * stride + left.long()]
            a, b, c, d = ((word >> shift & 255).float() for shift in (0, 8, 16, 24))
            above, below = torch.lerp(a, b, sx - left), torch.lerp(c, d, sx - left)
            value = torch.lerp(above, below, sy - top)
            weighted = self.weights[i] * value
            mean += weighted
            square += weighted * value
            product += self.centred[i] * value
        other_variance = (square - mean * mean).clamp(min=0) + float(NOISE)
        return torch.where(seen, 1 - product / (self.variance * other_variance).sqrt(), float(WORST))

    def _geometric(self, planes: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        photos = self.photos
        most = float(propagation.GEOMETRIC_MOST)
        view, back = list(photos.geometry[index].unbind(1)), list(photos.back[index].unbind(1))
        _, hz, _, u, v = self._project(planes, view)
        known = (hz >= _FAR_BEHIND) & (u > -0.5) & (v > -0.5) & (u < view[12] - 0.5) & (v < view[13] - 0.5)
        u, v = torch.where(known, u, 0.0), torch.where(known, v, 0.0)
        width, height = back[14].long(), back[15].long()
        x, y = (u + 0.5) * back[12] - 0.5, (v + 0.5) * back[13] - 0.5
        left = torch.minimum(x.floor().long().clamp(min=0), width - 2)
        top = torch.minimum(y.floor().long().clamp(min=0), height - 2)
        fx, fy = x - left, y - top
        at = photos.depth_bases[index] + top * width + left
        corners = torch.stack([photos.depths[at + step] for step in (0 * width, 0 * width + 1, width, width + 1)])
        least, largest = corners.amin(0), corners.amax(0)
        inverses = 1 / corners.clamp(min=1e-12)
        smooth = torch.lerp(torch.lerp(inverses[0], inverses[1], fx), torch.lerp(inverses[2], inverses[3], fx), fy)
        nearest = photos.depths[at + width * (fy + 0.5).long() + (fx + 0.5).long()]
        same = (least > 0) & (largest < float(SAME_SURFACE) * least)
        inverse = torch.where(same, smooth, 1 / nearest.clamp(min=1e-12))
        bz = back[6] * u + back[7] * v + back[8] + back[11] * inverse
        known &= (same | (nearest > 0)) & (bz >= _FAR_BEHIND)
        dx = (back[0] * u + back[1] * v + back[2] + back[9] * inverse) / bz - self.x
        dy = (back[3] * u + back[4] * v + back[5] + back[10] * inverse) / bz - self.y
        return torch.where(known, torch.hypot(dx, dy).clamp(max=most), most)


def _improve(photos: _Photos, fields: _Fields, pixels: torch.Tensor, search: Search, random: torch.Generator) -> None:
    """Offer some pixels better planes, once; the others stay as they are."""
    patches = _Patches.of(photos, fields, pixels)
    planes, costs, views = fields.planes[pixels], fields.costs[pixels], fields.views[pixels]
    others = [_neighbour(fields, pixels, dx, dy) for dx, dy in _NEIGHBOURS]
    adopted = _adopted_views(fields, costs, views, others[:_ADJACENT])
    fresh = adopted != 0
    views = torch.where(fresh, adopted, views)
    if bool(fresh.any()):
        costs = torch.where(fresh, patches.cost(planes, views), costs)

    def offer(trial: torch.Tensor, possible: torch.Tensor) -> None:
        nonlocal planes, costs
        nearest, farthest = float(search.nearest), float(search.farthest)
        possible = possible & (trial[:, 3] * nearest >= 1) & (trial[:, 3] * farthest <= 1)
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
    photos: _Photos, fields: _Fields, patches: _Patches, other: torch.Tensor, exists: torch.Tensor
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


def _random(patches: _Patches, search: Search, random: torch.Generator) -> torch.Tensor:
    a, b, share = _uniform(patches, random, 3)
    normals = torch.stack([2 * a - 1, 2 * b - 1, torch.full_like(a, -1)], 1)
    nearest, farthest = float(search.nearest), float(search.farthest)
    depth = 1 / (farthest + share * (nearest - farthest))
    return torch.cat([_facing(normals, patches), depth[:, None]], 1)


def _changed(
    patches: _Patches, planes: torch.Tensor, search: Search, random: torch.Generator, depth: bool, normal: bool
) -> torch.Tensor:
    normals, depths = planes[:, :3], planes[:, 3]
    share, sign, size, *direction = _uniform(patches, random, 6)
    if depth:
        least, log_ratio = (float(value) for value in propagation.STEP)
        fine = float(search.disparity) * least * torch.exp(share * log_ratio)
        change = share * float(search.widest) if search.widest > 0 else fine
        inverse = 1 / depths + torch.where(sign < 0.5, change, -change)
        depths = 1 / inverse.clamp(float(search.farthest), float(search.nearest))
    if normal:
        least, log_ratio = (float(value) for value in propagation.TILT)
        tilt = least * torch.exp(size * log_ratio)
        normals = _facing(normals + tilt[:, None] * (2 * torch.stack(direction, 1) - 1), patches)
    return torch.cat([normals, depths[:, None]], 1)


def _facing(normals: torch.Tensor, patches: _Patches) -> torch.Tensor:
    """Unit normals, mirrored where they look away from the camera."""
    rays = torch.stack([patches.rx, patches.ry, torch.ones_like(patches.rx)], 1)
    squared = (rays * rays).sum(1)
    most = float(GRAZING) * squared.sqrt()
    cosine = (normals * rays).sum(1)
    excess = torch.where(cosine > most, (cosine - 2 * most) / squared, 0.0)
    return torch.nn.functional.normalize(normals - excess[:, None] * rays, dim=1)


def _uniform(patches: _Patches, random: torch.Generator, count: int) -> list[torch.Tensor]:
    shape = (count, len(patches.x))
    return list(torch.rand(shape, generator=random, device=patches.x.device))
