"""Plots of the report, as SVG text that takes its colours from the page's style sheet.

What belongs here: drawing numbers. Hand-written SVG rather than matplotlib: no dependency, a tenth of the bytes,
sharp in print, it follows the reader's light or dark theme, and names appear under the pointer.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_WIDTH, _HEIGHT = 460, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 42
_PLAN_SIDE = 520
_MOST_PLAN_POINTS = 4000
_MOST_EDGES = 1500


@dataclass(frozen=True)
class PlanCamera:
    """A camera seen from above.

    Attributes:
        number: in the table of photos.
        name: of the photo.
        position: (x, y), world frame.
        forward: (x, y) of the viewing direction.
        doubtful: whether it is drawn as one to take again.
    """

    number: int
    name: str
    position: tuple[float, float]
    forward: tuple[float, float]
    doubtful: bool = False


def round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values between two bounds, ``about`` so many."""
    step = round_up((high - low) / about)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def histogram(
    values: NDArray, edges: NDArray, x_label: str, y_label: str, marker: tuple[float, str] | None = None
) -> str:
    """Bars of how many values lie between neighbouring edges; what lies outside counts to the outermost bars.

    Args:
        values: (N,).
        edges: (B + 1,) rising.
        x_label: with unit.
        y_label: what is counted.
        marker: a value that gets a line, and its label.
    """
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    top = max(1, int(counts.max(initial=1)))
    x = _scale(float(edges[0]), float(edges[-1]), _LEFT, _WIDTH - _RIGHT)
    y = _scale(0, top * 1.06, _HEIGHT - _BOTTOM, _TOP)
    parts = [_axes(x, y, nice_ticks(edges[0], edges[-1]), nice_ticks(0, top, 4), x_label, y_label)]
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        tip = f"{left:.3g} to {right:.3g}: {count:,}"
        width = max(x(right) - x(left) - 1, 0.5)
        bar = f'x="{x(left):.1f}" y="{y(count):.1f}" width="{width:.1f}" height="{y(0) - y(count):.1f}"'
        parts.append(f'<rect class="bar" {bar}><title>{tip}</title></rect>')
    if marker is not None:
        at = x(min(max(marker[0], edges[0]), edges[-1]))
        anchor, shift = ("end", -5) if at > _WIDTH * 0.7 else ("start", 5)
        parts.append(f'<line class="marker" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{y(0):.1f}"/>')
        text = f'<text class="strong" x="{at + shift:.1f}" y="{_TOP + 11}" text-anchor="{anchor}">'
        parts.append(f"{text}{escape(marker[1])}</text>")
    return _svg(_WIDTH, _HEIGHT, f"{y_label} by {x_label}", parts)


def plan(
    cameras: Sequence[PlanCamera],
    points: NDArray,
    edges: Sequence[tuple[int, int, int]],
    *,
    metric: bool,
) -> str:
    """Cameras and sparse points from above, y (north where known) up the page.

    Args:
        cameras: the registered ones.
        points: (N, 2).
        edges: pairs of indices into ``cameras``, and how many matches join them.
        metric: whether the unit is the metre; draws a scale bar.
    """
    positions = np.array([camera.position for camera in cameras])
    core = _core(points) if len(points) else points
    shown = np.concatenate([positions, core]) if len(core) else positions
    low, high = shown.min(axis=0), shown.max(axis=0)
    center, side = (low + high) / 2, max(float((high - low).max()) * 1.12, 1e-9)
    factor = _PLAN_SIDE / side

    def at(point: Sequence[float] | NDArray) -> tuple[float, float]:
        return (
            _PLAN_SIDE / 2 + float(point[0] - center[0]) * factor,
            _PLAN_SIDE / 2 - float(point[1] - center[1]) * factor,
        )

    parts = [_plan_points(core, at), *_plan_edges(positions, edges, at)]
    parts += [_plan_camera(camera, at) for camera in cameras]
    if metric:
        parts.append(_scale_bar(factor))
    return _svg(_PLAN_SIDE, _PLAN_SIDE, "cameras from above", parts, "plan")


def match_matrix(names: Sequence[str], pairs: Sequence[tuple[int, int, int]]) -> str:
    """How many verified matches each pair of photos has: dark is many, on a logarithmic scale.

    Args:
        names: of the photos, in the order of the axes.
        pairs: indices into ``names``, and the number of inliers.
    """
    count = max(1, len(names))
    strength = np.zeros((count, count))
    for a, b, inliers in pairs:
        strength[a, b] = strength[b, a] = math.log10(1 + inliers)
    alpha = np.uint8(np.round(255 * strength / max(strength.max(), 1e-9)))
    pixels = np.zeros((count, count, 4), np.uint8)
    pixels[...] = (47, 111, 191, 0)
    pixels[..., 3] = alpha
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    picture = base64.b64encode(data.getvalue()).decode()
    side = _PLAN_SIDE - 40
    cell = side / count
    parts = [
        f'<rect class="frame" x="34" y="6" width="{side}" height="{side}"/>',
        f'<image x="34" y="6" width="{side}" height="{side}" href="data:image/png;base64,{picture}" '
        f'style="image-rendering:pixelated"/>',
    ]
    for i in range(0, count, max(1, math.ceil(count / 24))):
        middle = (i + 0.5) * cell
        label = f"<title>{escape(names[i])}</title>{i + 1}" if names else ""
        parts.append(f'<text class="tick" x="28" y="{6 + middle + 4:.1f}" text-anchor="end">{label}</text>')
        parts.append(f'<text class="tick" x="{34 + middle:.1f}" y="{side + 22}" text-anchor="middle">{label}</text>')
    return _svg(_PLAN_SIDE, _PLAN_SIDE, "matches between photos", parts)


def _core(points: NDArray) -> NDArray:
    """Points without the far outliers that would make the plan tiny; at most as many as a plan can show."""
    middle = np.median(points, axis=0)
    distance = np.linalg.norm(points - middle, axis=1)
    near = points[distance <= 3 * np.quantile(distance, 0.8)]
    return near[:: max(1, math.ceil(len(near) / _MOST_PLAN_POINTS))]


def _plan_points(points: NDArray, at) -> str:
    dots = "".join("M{:.0f} {:.0f}h0".format(*at(point)) for point in points)
    return f'<path class="dots" d="{dots}"/>'


def _plan_edges(positions: NDArray, edges: Sequence[tuple[int, int, int]], at) -> list[str]:
    strongest = sorted(edges, key=lambda edge: -edge[2])[:_MOST_EDGES]
    most = math.log10(1 + max((edge[2] for edge in strongest), default=1))
    lines = []
    for a, b, inliers in reversed(strongest):
        (x1, y1), (x2, y2) = at(positions[a]), at(positions[b])
        opacity = 0.1 + 0.6 * (math.log10(1 + inliers) / most) ** 3
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        lines.append(f'<line class="edge" {ends} stroke-opacity="{opacity:.2f}"/>')
    return lines


def _plan_camera(camera: PlanCamera, at) -> str:
    x, y = at(camera.position)
    dx, dy = camera.forward[0], -camera.forward[1]
    length = math.hypot(dx, dy)
    kind = "camera doubtful" if camera.doubtful else "camera"
    tip = f"<title>{camera.number}: {escape(camera.name)}</title>"
    if length < 0.15:  # it looks down
        shape = f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5">{tip}</circle>'
        return f'{shape}<text class="number" x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{camera.number}</text>'
    dx, dy = dx / length, dy / length
    left, right = (x + 15 * dx + 7 * dy, y + 15 * dy - 7 * dx), (x + 15 * dx - 7 * dy, y + 15 * dy + 7 * dx)
    corners = f"{x:.1f},{y:.1f} {left[0]:.1f},{left[1]:.1f} {right[0]:.1f},{right[1]:.1f}"
    label = f'x="{x - 9 * dx:.1f}" y="{y - 9 * dy + 4:.1f}" text-anchor="middle"'
    return (
        f'<polygon class="{kind}" points="{corners}">{tip}</polygon><text class="number" {label}>{camera.number}</text>'
    )


def _scale_bar(pixels_per_metre: float) -> str:
    metres = round_up(60 / pixels_per_metre)
    end = 16 + metres * pixels_per_metre
    label = f"{metres:g} m" if metres >= 1 else f"{metres * 100:g} cm"
    return (
        f'<path class="axis" d="M16 {_PLAN_SIDE - 22}v6H{end:.1f}v-6"/>'
        f'<text class="strong" x="{(16 + end) / 2:.1f}" y="{_PLAN_SIDE - 24}" text-anchor="middle">{label}</text>'
    )


def _scale(low: float, high: float, start: float, end: float):
    return lambda value: start + (float(value) - low) / (high - low) * (end - start)


def _axes(x, y, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>' for t in y_ticks]
    parts += [
        f'<text class="tick" x="{_LEFT - 6}" y="{y(t) + 4:.1f}" text-anchor="end">{_compact(t)}</text>' for t in y_ticks
    ]
    parts += [f'<text class="tick" x="{x(t):.1f}" y="{bottom + 16}" text-anchor="middle">{t:g}</text>' for t in x_ticks]
    parts.append(f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>')
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text class="label" x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    height = (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 12 {height:.0f})" x="12" y="{height:.0f}" text-anchor="middle"'
    parts.append(f'<text class="label" {turned}>{escape(y_label)}</text>')
    return "".join(parts)


def _compact(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e4 else f"{value:g}"


def _svg(width: int, height: int, title: str, parts: Sequence[str], extra_class: str = "") -> str:
    opening = f'<svg class="plot {extra_class}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    return f"{opening}{''.join(parts)}</svg>"
