"""The embedded world: small captioned images whose factors are known.

Eight shapes, eight colours, two sizes, four textures, five places, five backgrounds: 12,800 combinations, of which
a fixed, hashed fifth is seen in the test split only (so another seed doesn't show the embedded backbone's training
combinations as held-out ones). An item is a function of (seed, split, index) and of nothing else, so
a larger split contains the smaller one. Scenes are rows of value numbers in the order of `FACTORS`.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from PIL import Image

from crossgap import fingerprint
from crossgap.datasets.hashing import hashed
from crossgap.datasets.world_captions import (
    CAPTIONS_PER_IMAGE,
    FACTORS,
    SYNONYMS,
    UNSAID,
    captions,
    class_prompts,
)
from crossgap.datasets.world_images import SIDE, render
from crossgap.prepared.manifest import CLASSES, COLUMNS, LABEL

if TYPE_CHECKING:
    from jaxtyping import Bool, Int, Integer, UInt64

__all__ = [
    "CAPTIONS_PER_IMAGE",
    "FACTORS",
    "SIDE",
    "SYNONYMS",
    "UNSAID",
    "captions",
    "class_prompts",
    "combinations",
    "held_out",
    "item_keys",
    "labelled",
    "render",
    "scenes",
    "values",
    "write",
]

HELD_OUT = 0.2
_BLOCK = 512
_SIZES = tuple(len(values) for values in FACTORS.values())


@lru_cache(maxsize=8)
def combinations(split: str, seed: int) -> Int[np.ndarray, "combinations factors"]:
    """The scenes of a split in a seeded order, each combination once: `(combinations, factors)`.

    Raises:
        ValueError: the split is neither `train` nor `test`.
    """
    if split not in ("train", "test"):
        raise ValueError(f"the embedded world has no split {split!r}; use 'train' or 'test'")
    table = np.indices(_SIZES).reshape(len(_SIZES), -1).T.copy()
    table = table[held_out(table) == (split == "test")]
    table = table[np.argsort(hashed(seed, split, "order", np.arange(len(table))), kind="stable")]
    table.setflags(write=False)
    return table


def held_out(scenes: Integer[np.ndarray, "*shape factors"]) -> Bool[np.ndarray, "*shape"]:
    """Whether the combinations `(…, factors)` are held out for the test split, `(…,)`, whatever the world's seed."""
    return _held_out()[tuple(np.moveaxis(np.asarray(scenes), -1, 0))]


@lru_cache(maxsize=1)
def _held_out() -> np.ndarray:
    order = np.argsort(hashed("held out", np.arange(np.prod(_SIZES))), kind="stable")
    mask = np.zeros(len(order), bool)
    mask[order[: round(HELD_OUT * len(order))]] = True
    return mask.reshape(_SIZES)


def scenes(
    split: str, indices: Sequence[int] | Int[np.ndarray, " n"], seed: int
) -> Int[np.ndarray, "n factors"]:
    """The scenes `(n, factors)` of a split's items: its combinations one by one, over again once all have come."""
    table = combinations(split, seed)
    return table[np.asarray(indices) % len(table)]


def item_keys(
    split: str, indices: Sequence[int] | Int[np.ndarray, " n"], seed: int
) -> UInt64[np.ndarray, " n"]:
    """The 64-bit keys `(n,)` of a split's items: all that is random about an item is a function of its key."""
    return hashed(seed, split, np.asarray(indices))


def values(labels: pd.DataFrame) -> Int[np.ndarray, "n factors"]:
    """The value numbers `(n, factors)` of a manifest's `label.<factor>` columns, `UNSAID` where null."""
    columns = [pd.Categorical(labels[LABEL + factor], categories=FACTORS[factor]).codes for factor in FACTORS]
    return np.stack(columns, axis=1).astype(int)


def write(folder: Path, seed: int, sizes: Mapping[Literal["train", "test"], int]) -> pd.DataFrame:
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
        row = {"id": f"{CLASSES}/{factor}/{value}#{k}", "modality": "text", "split": CLASSES, "text": text}
        rows.append(
            {**row, "rank": 0, "digest": fingerprint.of_content(text.encode()), LABEL + factor: value}
        )
    manifest = pd.DataFrame(rows, columns=[*COLUMNS, *(LABEL + factor for factor in FACTORS)])
    return manifest.astype(object).where(manifest.notna(), None).astype({"rank": int})


def labelled(seed: int, sizes: Mapping[Literal["train", "test"], int]) -> pd.DataFrame:
    """The rows of the images that `write` renders, without what needs rendering."""
    rows = [
        {"id": f"{split}/{index:06d}", "modality": "image", "split": split, **_labels(scene)}
        for split, size in sizes.items()
        for index, scene in enumerate(scenes(split, np.arange(size), seed))
    ]
    return pd.DataFrame(rows, dtype=object)


def _block(
    archive: tarfile.TarFile, split: str, indices: Int[np.ndarray, " n"], seed: int
) -> list[dict[str, object]]:
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
        rows.append(
            {
                **common,
                "id": item,
                "modality": "image",
                "path": f"images.tar/{item}.png",
                "rank": 0,
                "digest": fingerprint.of_content(data.getvalue()),
                **_labels(scene),
            }
        )
        for k, (text, mention) in enumerate(zip(said, saying, strict=True)):
            rows.append(
                {
                    **common,
                    "id": f"{item}#{k}",
                    "modality": "text",
                    "text": text,
                    "rank": k,
                    "digest": fingerprint.of_content(text.encode()),
                    **_labels(mention),
                }
            )
    return rows


def _labels(scene: Int[np.ndarray, " factors"]) -> dict[str, str]:
    named = zip(FACTORS.items(), scene.tolist(), strict=True)
    return {LABEL + factor: names[number] for (factor, names), number in named if number != UNSAID}
