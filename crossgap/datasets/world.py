"""The embedded world: small captioned images whose factors are known.

Eight shapes, eight colours, two sizes, four textures, five places, five backgrounds: 12,800 combinations, of which
a fixed, hashed fifth is seen in the test split only (so another seed doesn't show the embedded backbone's training
combinations as held-out ones). An item is a function of (seed, split, index) and of nothing else, so
a larger split contains the smaller one. Scenes are rows of value numbers in the order of `FACTORS`.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from crossgap.datasets.hashing import hashed, uniform
from crossgap.datasets.world_captions import (
    CAPTIONS_PER_IMAGE,
    FACTORS,
    SYNONYMS,
    UNSAID,
    captions,
    class_prompts,
    recall_ceiling,
)

__all__ = ["CAPTIONS_PER_IMAGE", "FACTORS", "SIDE", "SYNONYMS", "UNSAID", "captions", "class_prompts", "combinations", "held_out", "item_keys",
           "recall_ceiling", "render", "scenes", "values", "write"]

SIDE = 32
HELD_OUT = 0.2
_BLOCK = 512
_SIZES = tuple(len(values) for values in FACTORS.values())

# sRGB, by the values of FACTORS
_COLOURS = np.array([(220, 30, 35), (250, 130, 15), (250, 225, 40), (40, 170, 50), (50, 215, 220), (35, 65, 225),
                     (125, 40, 170), (250, 130, 190)], np.float32)
_PLACES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)], np.float32)
_RADII = np.array([(7.0, 8.2), (10.6, 12.0)], np.float32)
# night, snow, sand, grass, sea: ground colour; strength of grain, waves and blades; share of pixels that glint
_GROUND = np.array([(22, 24, 42), (226, 230, 236), (186, 164, 124), (84, 104, 66), (72, 98, 116)], np.float32)
_GRAIN = np.array([0.1, 0.02, 0.16, 0.06, 0.03], np.float32)
_WAVES = np.array([0, 0.02, 0, 0, 0.16], np.float32)
_BLADES = np.array([0, 0, 0, 0.2, 0], np.float32)
_GLINT = np.array([0.02, 0, 0, 0, 0], np.float32)


@lru_cache(maxsize=8)
def combinations(split: str, seed: int) -> np.ndarray:
    """The scenes of a split in a seeded order, each combination once: `(combinations, factors)`.

    Raises:
        ValueError: the split is neither `train` nor `test`.
    """
    if split not in ("train", "test"):
        raise ValueError(f"the embedded world has no split {split!r}; use 'train' or 'test'")
    table = np.stack(np.indices(_SIZES).reshape(len(_SIZES), -1), axis=1)
    table = table[held_out(table) == (split == "test")]
    table = table[np.argsort(hashed(seed, split, "order", np.arange(len(table))), kind="stable")]
    table.setflags(write=False)
    return table


def held_out(scenes: np.ndarray) -> np.ndarray:
    """Whether the combinations `(…, factors)` are held out for the test split, `(…,)`, whatever the world's seed."""
    return _held_out()[tuple(np.moveaxis(np.asarray(scenes), -1, 0))]


@lru_cache(maxsize=1)
def _held_out() -> np.ndarray:
    order = np.argsort(hashed("held out", np.arange(np.prod(_SIZES))), kind="stable")
    mask = np.zeros(len(order), bool)
    mask[order[: round(HELD_OUT * len(order))]] = True
    return mask.reshape(_SIZES)


def scenes(split: str, indices: np.ndarray, seed: int) -> np.ndarray:
    """The scenes `(n, factors)` of a split's items: its combinations one by one, over again once all have come."""
    table = combinations(split, seed)
    return table[np.asarray(indices) % len(table)]


def item_keys(split: str, indices: np.ndarray, seed: int) -> np.ndarray:
    """The 64-bit keys `(n,)` of a split's items: all that is random about an item is a function of its key."""
    return hashed(seed, split, np.asarray(indices))


def render(scenes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Images of scenes `(n, factors)`: uint8 RGB `(n, 32, 32, 3)`; position, radius, angle, shades and noise vary with the key."""
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


def values(labels: pd.DataFrame) -> np.ndarray:
    """The value numbers `(n, factors)` of a manifest's `label.<factor>` columns, `UNSAID` where null."""
    columns = [pd.Categorical(labels[f"label.{factor}"], categories=FACTORS[factor]).codes for factor in FACTORS]
    return np.stack(columns, axis=1).astype(int)


def write(folder: Path, seed: int, sizes: Mapping[str, int]) -> pd.DataFrame:
    """Render splits into one uncompressed `images.tar` in a folder, the same bytes for the same seed and sizes.

    Args:
        folder: existing folder that the archive goes to.
        seed: of the world.
        sizes: split (`train`, `test`) -> number of images.

    Returns:
        The manifest: images, captions and class prompts. A caption is labelled with what it mentions.

    Raises:
        ValueError: a split is neither `train` nor `test`.
    """
    rows: list[dict[str, object]] = []
    with tarfile.open(Path(folder) / "images.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for split, size in sizes.items():
            for start in range(0, size, _BLOCK):
                indices = np.arange(start, min(start + _BLOCK, size))
                rows += _block(archive, split, indices, seed)
    for factor, value, k, text in class_prompts():
        row = {"id": f"classes/{factor}/{value}#{k}", "modality": "text", "split": "classes", "text": text}
        rows.append({**row, "rank": 0, "digest": _digest(text.encode()), f"label.{factor}": value})
    columns = ["id", "modality", "split", "path", "text", "group", "rank", "digest"]
    manifest = pd.DataFrame(rows, columns=[*columns, *(f"label.{factor}" for factor in FACTORS)])
    return manifest.astype(object).where(manifest.notna(), None).astype({"rank": int})


def _block(archive: tarfile.TarFile, split: str, indices: np.ndarray, seed: int) -> list[dict[str, object]]:
    """Add the images of a block of items to the archive; their rows, each image before its captions."""
    keys = item_keys(split, indices, seed)
    chosen = scenes(split, indices, seed)
    texts, mentions = captions(chosen, keys)
    rows: list[dict[str, object]] = []
    for index, scene, pixels, said, saying in zip(
        indices, chosen, render(chosen, keys), texts, mentions, strict=True
    ):
        item = f"{split}/{index:06d}"
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        member = tarfile.TarInfo(f"{item}.png")
        member.size = data.tell()
        data.seek(0)
        archive.addfile(member, data)
        common = {"split": split, "group": item}
        rows.append({**common, "id": item, "modality": "image", "path": f"images.tar/{item}.png", "rank": 0,
                     "digest": _digest(data.getvalue()), **_labels(scene)})
        for k, (text, mention) in enumerate(zip(said, saying, strict=True)):
            rows.append({**common, "id": f"{item}#{k}", "modality": "text", "text": text, "rank": k,
                         "digest": _digest(text.encode()), **_labels(mention)})
    return rows


def _labels(scene: np.ndarray) -> dict[str, str]:
    named = zip(FACTORS.items(), scene.tolist(), strict=True)
    return {f"label.{factor}": names[number] for (factor, names), number in named if number != UNSAID}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


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
_SHAPES = {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross,
           "heart": _heart, "ring": _ring, "crescent": _crescent}
