"""What a plane costs, on a GPU: :mod:`.matching_cost` in tensors, sample by sample over many pixels at once.

What belongs here: the photos on the device, and costs of planes. What does not: which planes are tried
(:mod:`.torch_kernels`).
"""

from typing import NamedTuple

import numpy as np
import torch

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
from .propagation import GEOMETRIC_MOST

_FAR_BEHIND = 1e-6


class Photos(NamedTuple):
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
    def upload(cls, compared: Comparison, device: str) -> "Photos":
        """Bring photos and depth maps to the device."""

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


class Patches(NamedTuple):
    """Patches around some pixels of the reference: see :func:`.matching_cost.weigh_patch`."""

    photos: Photos
    x: torch.Tensor
    y: torch.Tensor
    rx: torch.Tensor
    ry: torch.Tensor
    weights: torch.Tensor
    centred: torch.Tensor
    variance: torch.Tensor

    @classmethod
    def of(cls, photos: Photos, width: int, pixels: torch.Tensor) -> "Patches":
        """Patches around pixels, given by their indices in a photo of this width."""
        x, y = pixels % width, pixels // width
        at = (y + PAD) * (width + 2 * PAD) + x + PAD
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
        most = float(GEOMETRIC_MOST)
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
