"""OpenSfM's lenses ``fisheye62`` and ``fisheye624`` as cameras that COLMAP has.

What belongs here: OpenSfM's formula, and the nearest camera. Both programs bend the angle by a polynomial (k) and add
tangential (p) and thin-prism terms (s). OpenSfM takes these of the angle itself. COLMAP's ``THIN_PRISM_FISHEYE`` does
so too, but has no k5, k6, s1, s3; its ``RAD_TAN_THIN_PRISM_FISHEYE`` has all, but takes p and s of the bent angle. So
one of them is the same lens where these are zero, and elsewhere the coefficients are fitted.
"""

import numpy as np
import pycolmap
from scipy.optimize import least_squares

MAX_ERROR_OF_SIZE = 3e-4
"""How far a point may fall from where OpenSfM puts it, in the longer side: half a pixel where depth is looked for."""
_ANGLES = np.linspace(0.02, 1.5, 75)
_AROUND = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
_LEAST_POINTS = 100


def nearest_camera(
    affine: np.ndarray, k: np.ndarray, p: np.ndarray, s: np.ndarray, height: float
) -> tuple[str, np.ndarray]:
    """COLMAP's camera that draws a photo as the given lens does.

    Args:
        affine: (4,) focal lengths and the principal point measured from the centre, in shares of the longer side.
        k: (6,) radial coefficients.
        p: (2,) tangential coefficients.
        s: (4,) thin-prism coefficients; zero for ``fisheye62``.
        height: of the photo, as a share of its width.

    Returns:
        name of the model, and its parameters with ``affine`` in front, unchanged.

    Raises:
        ValueError: neither model draws it so, or the lens shows hardly any of the photo.
    """
    directions = _directions(k)
    pixels = _bent(directions, k, p, s) * affine[:2] + affine[2:]
    half = np.array([1.0, height]) / (2.0 * max(1.0, height))
    shown = (np.abs(pixels) <= half).all(axis=1)
    if shown.sum() < _LEAST_POINTS:
        raise ValueError("with these coefficients the lens shows hardly any of the photo")
    fits = [
        _fit(name, affine, start, directions[shown], pixels[shown])
        for name, start in (
            ("THIN_PRISM_FISHEYE", np.array([k[0], k[1], p[0], p[1], k[2], k[3], s[0], s[2]])),
            ("RAD_TAN_THIN_PRISM_FISHEYE", np.array([*k, p[1], p[0], *s])),
        )
    ]
    error, name, params = min(fits, key=lambda fit: fit[0])
    if not error < MAX_ERROR_OF_SIZE:
        raise ValueError(f"no camera of COLMAP bends like this lens: {100 * error:.2f} % of the photo's size are left")
    return name, params


def _directions(k: np.ndarray) -> np.ndarray:
    """(N, 3) all around the axis, out to where the polynomial turns back."""
    turns_back = np.flatnonzero(np.diff(_ANGLES * _radial(_ANGLES**2, k)) <= 0)
    angles, around = np.meshgrid(_ANGLES[: turns_back[0] + 1] if len(turns_back) else _ANGLES, _AROUND)
    across = np.sin(angles)
    return np.stack([across * np.cos(around), across * np.sin(around), np.cos(angles)], axis=-1).reshape(-1, 3)


def _bent(directions: np.ndarray, k: np.ndarray, p: np.ndarray, s: np.ndarray) -> np.ndarray:
    """(N, 2) by the formulas in OpenSfM's documentation, with even powers of the angle as its code has them."""
    x, y, z = directions.T
    across = np.hypot(x, y)
    angle = np.arctan2(across, z)
    u, v, squared = angle * x / across, angle * y / across, angle**2
    radial = _radial(squared, k)
    return np.stack(
        [
            radial * u + 2 * p[0] * u * v + p[1] * (squared + 2 * u * u) + s[0] * squared + s[1] * squared**2,
            radial * v + 2 * p[1] * u * v + p[0] * (squared + 2 * v * v) + s[2] * squared + s[3] * squared**2,
        ],
        axis=1,
    )


def _radial(squared: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.polynomial.polynomial.polyval(squared, np.concatenate([[1.0], k]))


def _fit(
    name: str, affine: np.ndarray, start: np.ndarray, directions: np.ndarray, pixels: np.ndarray
) -> tuple[float, str, np.ndarray]:
    """The largest distance left, the model's name and its parameters."""

    def off(coefficients: np.ndarray) -> np.ndarray:
        params = np.concatenate([affine, coefficients])
        camera = pycolmap.Camera(model=name, width=1, height=1, params=params)
        return (np.asarray(camera.img_from_cam(directions)) - pixels).ravel()

    found = least_squares(off, start, x_scale="jac")
    error = np.linalg.norm(found.fun.reshape(-1, 2), axis=1).max()
    return float(error), name, np.concatenate([affine, found.x])
