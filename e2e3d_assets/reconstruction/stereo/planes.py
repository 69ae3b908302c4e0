"""Planes and random numbers inside kernels.

What belongs here: making and changing one plane. What does not: judging it (:mod:`.matching_cost`), choosing which to
try (:mod:`.propagation`).

A plane at a pixel is a unit normal in the camera frame, facing the camera, and the depth z at the pixel's centre; a ray
is (rx, ry, 1). Random numbers are a linear congruential generator's high bits: a uint64 that each function takes and
gives back advanced.
"""

import numpy as np

from .compiled import inlined

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_TWO = np.float32(2)
GRAZING = np.float32(-0.08)
"""Cosine between normal and ray beyond which a plane counts as seen from its edge."""

_MULTIPLIER = np.uint64(6364136223846793005)
_INCREMENT = np.uint64(1442695040888963407)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(29)
_HIGH_BITS = np.uint64(40)
_UNIT = np.float32(1 / (1 << 24))


@inlined
def seeded(seed, row):
    """A generator for one row of one sweep."""
    state = (np.uint64(seed) * _MIX + np.uint64(row)) * _MULTIPLIER + _INCREMENT
    return (state ^ (state >> _FOLD)) * _MULTIPLIER + _INCREMENT


@inlined
def uniform(state):
    """The next number in 0…1."""
    state = state * _MULTIPLIER + _INCREMENT
    return state, np.float32(np.int64(state >> _HIGH_BITS)) * _UNIT


@inlined
def _unit(nx, ny, nz):
    scale = _ONE / np.sqrt(nx * nx + ny * ny + nz * nz)
    return nx * scale, ny * scale, nz * scale


@inlined
def _facing(nx, ny, nz, rx, ry):
    """A unit normal, mirrored where it looks away from the camera."""
    squared = rx * rx + ry * ry + _ONE
    most = GRAZING * np.sqrt(squared)
    cosine = nx * rx + ny * ry + nz
    if cosine > most:
        excess = (cosine - _TWO * most) / squared
        nx -= excess * rx
        ny -= excess * ry
        nz -= excess
    return _unit(nx, ny, nz)


@inlined
def random_normal(state, rx, ry):
    """A normal up to about 55 degrees from the viewing axis."""
    state, a = uniform(state)
    state, b = uniform(state)
    nx, ny, nz = _unit(_TWO * a - _ONE, _TWO * b - _ONE, -_ONE)
    nx, ny, nz = _facing(nx, ny, nz, rx, ry)
    return state, nx, ny, nz


@inlined
def log_uniform(state, least, log_ratio):
    """A number in least … least * exp(log_ratio), each order of magnitude as likely."""
    state, share = uniform(state)
    return state, least * np.exp(share * log_ratio)


@inlined
def signed(state, size):
    """Plus or minus ``size``."""
    state, coin = uniform(state)
    return state, size if coin < _HALF else -size


@inlined
def tilted(state, nx, ny, nz, size, rx, ry):
    """A normal changed by at most ``size`` in each coordinate."""
    state, a = uniform(state)
    state, b = uniform(state)
    state, c = uniform(state)
    nx += size * (_TWO * a - _ONE)
    ny += size * (_TWO * b - _ONE)
    nz += size * (_TWO * c - _ONE)
    nx, ny, nz = _facing(nx, ny, nz, rx, ry)
    return state, nx, ny, nz
