"""What a plane costs, on a GPU: :mod:`.matching_cost` in tensors.

What belongs here: the photos on the device, and costs of planes. What does not: which planes are tried
(:mod:`.torch_kernels`).

Pixels with different sets of views are worked on together as pairs of a pixel and a view, each a row of tensors, views
one after the other: no pair is computed in vain, and the device's own bilinear sampling takes all patches of a view.
The number of pairs is another one each time, so operations are avoided that torch 2.13 compiles, and keeps, for every
shape on MPS, such as matrix products and ``addcmul``.
"""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch.nn.functional import grid_sample

from .matching_cost import (
    LIKENESS,
    NOISE,
    OFFSET_X,
    OFFSET_Y,
    PAD,
    RADIUS,
    SAME_SURFACE,
    SPATIAL_WEIGHT,
    WORST,
)
from .packing import Comparison
from .propagation import GEOMETRIC_MOST

_FAR_BEHIND = 1e-6


class Photos(NamedTuple):
    """A :class:`.packing.Comparison` on the device.

    Attributes:
        reference, offsets, depths, depth_bases, geometric_weight: as there, but for ``reference``, which is uint8.
        rays: as there.
        images: of each view its grey values, (1, 1, height, width) float32, edges repeated.
        geometry, back: as there, but (16, views).
        units: (views, 2), a pixel in x and y in the coordinates of :func:`torch.nn.functional.grid_sample`.
        bits: (views, 1) int32, each view's place in a set.
        offset_x, offset_y, spatial: (SAMPLES,), a patch's samples and their weights.
    """

    reference: torch.Tensor
    offsets: torch.Tensor
    rays: tuple[float, float, float, float]
    images: tuple[torch.Tensor, ...]
    geometry: torch.Tensor
    units: torch.Tensor
    bits: torch.Tensor
    offset_x: torch.Tensor
    offset_y: torch.Tensor
    spatial: torch.Tensor
    depths: torch.Tensor
    depth_bases: torch.Tensor
    back: torch.Tensor
    geometric_weight: float

    @classmethod
    def upload(cls, compared: Comparison, device: str) -> Self:
        """Bring photos and depth maps to the device."""

        def there(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        def grey(packed: np.ndarray) -> torch.Tensor:
            return there(packed.astype(np.uint8))  # its lowest byte

        fx, fy, cx, cy = (float(value) for value in compared.rays)
        widths = compared.geometry[:, 14].astype(int)
        heights = compared.geometry[:, 13].astype(int) + 2 * PAD
        images = [
            grey(compared.packed[base : base + height * width]).float().view(1, 1, height, width)
            for base, height, width in zip(compared.bases, heights, widths, strict=True)
        ]
        return cls(
            grey(compared.reference),
            there(compared.offsets),
            (fx, fy, cx, cy),
            tuple(images),
            there(compared.geometry.T),
            there((2 / (np.stack([widths, heights], 1) - 1)).astype(np.float32)),
            there(np.arange(len(widths), dtype=np.int32)[:, None]),
            there(OFFSET_X),
            there(OFFSET_Y),
            there(SPATIAL_WEIGHT),
            there(compared.depths),
            there(compared.depth_bases),
            there(compared.back.T),
            float(compared.geometric_weight),
        )


class Patches(NamedTuple):
    """Patches of the reference, a row each: see :func:`.matching_cost.weigh_patch`.

    Attributes:
        x, y, rx, ry: the pixel and its ray (rx, ry, 1).
        weights, centred: (patches, SAMPLES).
        variance: of the patch.
    """

    x: torch.Tensor
    y: torch.Tensor
    rx: torch.Tensor
    ry: torch.Tensor
    weights: torch.Tensor
    centred: torch.Tensor
    variance: torch.Tensor

    @classmethod
    def of(cls, photos: Photos, width: int, pixels: torch.Tensor) -> Self:
        """Patches around pixels, given by their indices in a photo of this width."""
        x, y = pixels % width, pixels // width
        at = (y + PAD) * (width + 2 * PAD) + x + PAD
        values = photos.reference[at[:, None] + photos.offsets].float()
        fall = 1 + float(LIKENESS) * (values - photos.reference[at][:, None]) ** 2
        weights = photos.spatial / (fall * fall)
        weights /= weights.sum(1, keepdim=True)
        deviation = values - (weights * values).sum(1, keepdim=True)
        centred = weights * deviation
        fx, fy, cx, cy = photos.rays
        return cls(
            x.float(),
            y.float(),
            (x - cx) / fx,
            (y - cy) / fy,
            weights,
            centred,
            float(NOISE) + (centred * deviation).sum(1),
        )


class Pairs(NamedTuple):
    """Patches, each as often as it has views, and the view that it is compared in; ordered by view.

    Attributes:
        photos: the views.
        patches: one a pair.
        pixel, view: (pairs,) int64, which pixel and view each pair is of.
        of_view: pairs of each view.
        of_pixel: (pixels,) pairs of each pixel.
    """

    photos: Photos
    patches: Patches
    pixel: torch.Tensor
    view: torch.Tensor
    of_view: list[int]
    of_pixel: torch.Tensor

    @classmethod
    def of(cls, photos: Photos, patches: Patches, views: torch.Tensor) -> Self:
        """Pairs of patches with their (patches,) sets of views."""
        members = (views >> photos.bits) & 1
        view, pixel = members.nonzero(as_tuple=True)
        at_pairs = Patches(*(values[pixel] for values in patches))
        return cls(photos, at_pairs, pixel, view, members.sum(1).cpu().tolist(), members.sum(0))

    def cost(self, planes: torch.Tensor) -> torch.Tensor:
        """Mean cost of each pixel's plane, (pixels, 4), over its views; 0 where there are none."""
        if not len(self.pixel):
            return planes.new_zeros(len(planes))
        nx, ny, nz, depth = planes[self.pixel].unbind(1)
        inverse = 1 / depth
        cost = self._photometric(nx, ny, nz, inverse)
        if self.photos.geometric_weight > 0:
            cost = cost + self.photos.geometric_weight * self._geometric(inverse)
        table = cost.new_zeros((len(self.of_view), len(planes)))
        table[self.view, self.pixel] = cost
        return table.sum(0) / self.of_pixel.clamp(min=1)

    def _project(self, view: torch.Tensor, inverse: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, y = self.patches.x, self.patches.y
        hz = view[6] * x + view[7] * y + view[8] + view[11] * inverse
        scale = 1 / hz.clamp(min=_FAR_BEHIND)
        u = (view[0] * x + view[1] * y + view[2] + view[9] * inverse) * scale
        v = (view[3] * x + view[4] * y + view[5] + view[10] * inverse) * scale
        return hz, scale, u, v

    def _photometric(self, nx: torch.Tensor, ny: torch.Tensor, nz: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
        patches, view = self.patches, self.photos.geometry[:, self.view]
        hz, scale, u, v = self._project(view, inverse)
        fx, fy, _, _ = self.photos.rays
        along = inverse / (nx * patches.rx + ny * patches.ry + nz)
        slope_x, slope_y = along * nx / fx, along * ny / fy
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
        affine = torch.stack([u + PAD, ux, uy, v + PAD, vx, vy], 1)
        values = self._sampled(torch.where(seen[:, None], affine, 0.0))
        weighted = patches.weights * values
        mean = weighted.sum(1)
        other_variance = ((weighted * values).sum(1) - mean * mean).clamp(min=0) + float(NOISE)
        product = (patches.centred * values).sum(1)
        return torch.where(seen, 1 - product / (patches.variance * other_variance).sqrt(), float(WORST))

    def _sampled(self, affine: torch.Tensor) -> torch.Tensor:
        """Grey values of the views, (pairs, SAMPLES).

        Args:
            affine: (pairs, 6), where a patch's centre lies in its padded view and what a step along x and along y of
                the patch is there: u, its two changes, v, its two changes.
        """
        centre, along_x, along_y = (affine.view(-1, 2, 3) * self.photos.units[self.view][:, :, None]).split(1, 2)
        samples = along_x * self.photos.offset_x
        samples += along_y * self.photos.offset_y
        samples += centre - 1
        grid = samples.mT[None]
        by_view = zip(self.photos.images, grid.split(self.of_view, 1), strict=True)
        return torch.cat([grid_sample(image, its, align_corners=True)[0, 0] for image, its in by_view if its.numel()])

    def _geometric(self, inverse: torch.Tensor) -> torch.Tensor:
        photos = self.photos
        most = float(GEOMETRIC_MOST)
        view, back = photos.geometry[:, self.view], photos.back[:, self.view]
        hz, _, u, v = self._project(view, inverse)
        known = (hz >= _FAR_BEHIND) & (u > -0.5) & (v > -0.5) & (u < view[12] - 0.5) & (v < view[13] - 0.5)
        u, v = torch.where(known, u, 0.0), torch.where(known, v, 0.0)
        width, height = back[14].long(), back[15].long()
        x, y = (u + 0.5) * back[12] - 0.5, (v + 0.5) * back[13] - 0.5
        left = torch.minimum(x.floor().long().clamp(min=0), width - 2)
        top = torch.minimum(y.floor().long().clamp(min=0), height - 2)
        fx, fy = x - left, y - top
        at = photos.depth_bases[self.view] + top * width + left
        a, b, c, d = corners = [photos.depths[at + step] for step in (0, 1, width, width + 1)]
        least = torch.minimum(torch.minimum(a, b), torch.minimum(c, d))
        largest = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
        a, b, c, d = (1 / corner.clamp(min=1e-12) for corner in corners)
        smooth = torch.lerp(torch.lerp(a, b, fx), torch.lerp(c, d, fx), fy)
        nearest = photos.depths[at + width * (fy + 0.5).long() + (fx + 0.5).long()]
        same = (least > 0) & (largest < float(SAME_SURFACE) * least)
        inverse = torch.where(same, smooth, 1 / nearest.clamp(min=1e-12))
        bz = back[6] * u + back[7] * v + back[8] + back[11] * inverse
        known &= (same | (nearest > 0)) & (bz >= _FAR_BEHIND)
        dx = (back[0] * u + back[1] * v + back[2] + back[9] * inverse) / bz - self.patches.x
        dy = (back[3] * u + back[4] * v + back[5] + back[10] * inverse) / bz - self.patches.y
        return torch.where(known, (dx * dx + dy * dy).sqrt().clamp(max=most), most)
