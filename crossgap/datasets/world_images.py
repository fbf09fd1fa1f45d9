"""The images of the embedded world: one object on a ground, 32 × 32 pixels, drawn from signed distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossgap.datasets.hashing import hashed, uniform
from crossgap.datasets.world_captions import FACTORS

if TYPE_CHECKING:
    from jaxtyping import Int, UInt8, UInt64

SIDE = 32

# sRGB, by the values of FACTORS
_COLOURS = np.array(
    [
        (220, 30, 35),
        (250, 130, 15),
        (250, 225, 40),
        (40, 170, 50),
        (50, 215, 220),
        (35, 65, 225),
        (125, 40, 170),
        (250, 130, 190),
    ],
    np.float32,
)
_PLACES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)], np.float32)
_RADII = np.array([(7.0, 8.2), (10.6, 12.0)], np.float32)
# night, snow, sand, grass, sea: ground colour; strength of grain, waves and blades; share of pixels that glint
_GROUND = np.array([(22, 24, 42), (226, 230, 236), (186, 164, 124), (84, 104, 66), (72, 98, 116)], np.float32)
_GRAIN = np.array([0.1, 0.02, 0.16, 0.06, 0.03], np.float32)
_WAVES = np.array([0, 0.02, 0, 0, 0.16], np.float32)
_BLADES = np.array([0, 0, 0, 0.2, 0], np.float32)
_GLINT = np.array([0.02, 0, 0, 0, 0], np.float32)


def render(
    scenes: Int[np.ndarray, "n factors"], keys: UInt64[np.ndarray, " n"]
) -> UInt8[np.ndarray, "n side side 3"]:
    """Images of scenes, drawn with smooth edges: position, radius, angle, shades and noise vary with the key.

    Args:
        scenes: value numbers `(n, factors)`.
        keys: one 64-bit key an item `(n,)`.

    Returns:
        uint8 RGB `(n, 32, 32, 3)`.
    """
    shape, colour, size, texture, place, background = np.asarray(scenes).T
    draws = uniform(hashed(np.asarray(keys)[:, None], 2, np.arange(16))).astype(np.float32)
    jitter = 2 * draws - 1
    pixels = hashed(np.asarray(keys)[:, None], 3, np.arange(SIDE * SIDE)).reshape(-1, SIDE, SIDE)
    grain = uniform(pixels).astype(np.float32)
    shades = np.stack([(pixels >> np.uint64(s)) & np.uint64(255) for s in (0, 8, 16)], -1).astype(np.float32)

    def column(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32)[:, None, None]

    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) + 0.5
    waves = np.sin(y * column(1.1 + 0.2 * draws[:, 0]) + column(6.3 * draws[:, 1]) + 0.6 * np.sin(0.4 * x))
    blades = np.sin(x * column(1.9 + 0.3 * draws[:, 2]) + column(6.3 * draws[:, 3]) + 0.5 * np.sin(0.9 * y))
    light = 1 + column(_GRAIN[background]) * (2 * grain - 1) + column(_WAVES[background]) * waves
    light = (light + column(_BLADES[background]) * blades) * column(1 + 0.08 * jitter[:, 4])
    ground = _GROUND[background] + 8 * jitter[:, 5:8]
    image = light[..., None] * ground[:, None, None]
    image[grain < column(_GLINT[background])] = 200

    radius = _RADII[size, 0] + draws[:, 8] * (_RADII[size, 1] - _RADII[size, 0])
    centre = SIDE / 2 + 5.5 * _PLACES[place] + jitter[:, 9:11]
    angle = column(0.35 * jitter[:, 11])
    dx, dy = x - column(centre[:, 0]), y - column(centre[:, 1])
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    inside = np.empty_like(u)
    for number, name in enumerate(FACTORS["shape"]):
        of = shape == number
        r = column(radius[of])
        inside[of] = np.clip(0.5 - r * _SHAPES[name](u[of] / r, v[of] / r), 0, 1)
    dark = _pattern(texture, u + column(2 * jitter[:, 12]), v + column(2 * jitter[:, 13]))
    paint = (_COLOURS[colour] + 14 * jitter[:, [5, 7, 14]]) * (1 + 0.06 * jitter[:, [15]])
    body = paint[:, None, None] * (1 - 0.55 * dark)[..., None]
    image += inside[..., None] * (body - image)
    return np.clip(np.rint(image + (shades - 127.5) / 16), 0, 255).astype(np.uint8)


def _pattern(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """How dark the texture is at points in pixels: plain, striped, dotted, checkered."""
    dark, turn = np.zeros_like(u), np.float32(2 * np.pi)
    waves = (
        (1, lambda a, b: np.sin(turn * (a + b) / 6.5)),
        (2, lambda a, b: np.cos(turn * a / 5) + np.cos(turn * b / 5) - 0.7),
        (3, lambda a, b: np.sin(turn * a / 8) * np.sin(turn * b / 8) * 2),
    )
    for number, wave in waves:
        of = texture == number
        dark[of] = np.clip(0.5 + 2 * wave(u[of], v[of]), 0, 1)
    return dark


def _circle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u, v) - 0.95


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) - 0.82


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(v - 0.65, 0.866 * abs(u) - 0.5 * v - 0.55)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    sector = 2 * np.pi / 5
    turn = abs((np.arctan2(u, -v) + sector / 2) % sector - sector / 2)
    radius = np.hypot(u, v)
    tip, dent = np.array([1.15, 0.0]), 0.48 * np.array([np.cos(sector / 2), np.sin(sector / 2)])
    across = np.array([-(dent - tip)[1], (dent - tip)[0]]) / np.linalg.norm(dent - tip)
    a, b = (radius * np.cos(turn) - tip[0]), radius * np.sin(turn)
    return (-(a * across[0] + b * across[1])).astype(np.float32)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    long, short = np.maximum(abs(u), abs(v)), np.minimum(abs(u), abs(v))
    return np.maximum(long - 1, short - 0.32)


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u = abs(u)
    diamond = np.maximum(abs(u + v - 0.15), abs(u - v + 0.15)) * 0.707 - 0.6
    lobe = np.hypot(u - 0.424, v + 0.274) - 0.6
    return np.minimum(diamond, lobe)


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return abs(np.hypot(u, v) - 0.72) - 0.27


def _crescent(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(u, v) - 1.02, 0.82 - np.hypot(u - 0.5, v))


# Signed distances, in radii, at points in radii from the centre: below zero inside.
_SHAPES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "ring": _ring,
    "crescent": _crescent,
}
