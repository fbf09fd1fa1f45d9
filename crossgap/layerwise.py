"""The gap after each block of both towers.

Ours; no source is known to us. A tower is ended after its k-th block (`backbones.depths`): what that block gives is
pooled, normed and projected as the last block's output is. So the features of all depths lie in the space that both
towers share, and the last row is the backbone itself. A projection was trained for the last block alone: an earlier
row says what it makes of that block, as the logit lens does with language models.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from crossgap.backbones import depths
from crossgap.backbones.batches import rows_at_once
from crossgap.backbones.settings import own_settings
from crossgap.encode import Images
from crossgap.errors import DatasetError
from crossgap.metrics.gap import gap_metrics
from crossgap.prepared.manifest import select
from crossgap.progress import Bar

if TYPE_CHECKING:
    from torch import Tensor

    from crossgap.backbones import Backbone

BLOCKS = ("image_block", "text_block")


@own_settings()
def layerwise(
    manifest: pd.DataFrame,
    root: Path,
    backbone: Backbone,
    split: str,
    *,
    count: int = 500,
    batch_size: int = 128,
) -> pd.DataFrame:
    """The measures of the gap, `gap_metrics`, after each block.

    Row k of L, the number of blocks of the deeper tower, is after block ⌈k · blocks / L⌉ of each tower.

    Args:
        root: what the manifest's image paths are relative to.
        count: of the split's images that have a caption, so many at most, evenly spread over the order of their ids;
            each with its first caption.

    Raises:
        BackboneError: a tower without blocks, or no text tower.
        DatasetError: the split has fewer than two captioned images.
    """
    blocks = [depths.depth(backbone, modality) for modality in ("image", "text")]
    images, texts = pairs(manifest, split, count)
    loader = Images(images, root, backbone.transform)
    ids = backbone.tokenize(texts["text"].tolist())[0]
    size = rows_at_once(batch_size, backbone.device)
    found: dict[str, list[list[Tensor]]] = {"image": [], "text": []}
    for start in Bar(range(0, len(images), size), desc="layers", unit="batch", delay=2):
        rows = range(start, min(start + size, len(images)))
        pixels = torch.stack([loader[row] for row in rows])
        found["image"].append(_of_depths(backbone, "image", pixels, blocks[0]))
        found["text"].append(_of_depths(backbone, "text", ids[start : start + size], blocks[1]))
    features = {
        modality: [torch.cat(parts).numpy() for parts in zip(*batches, strict=True)]
        for modality, batches in found.items()
    }
    table = []
    for row in range(1, max(blocks) + 1):
        at = [math.ceil(row * number / max(blocks)) for number in blocks]
        image, text = features["image"][at[0] - 1], features["text"][at[1] - 1]
        table.append({**dict(zip(BLOCKS, at, strict=True)), **gap_metrics(image, text)})
    return pd.DataFrame(table)


def pairs(manifest: pd.DataFrame, split: str, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Captioned images of a split and the first caption of each, row by row."""
    images, texts = select(manifest, "image", split), select(manifest, "text", split)
    texts = texts[texts["group"].isin(images["id"])].sort_values(["group", "rank"], kind="stable")
    texts = texts.drop_duplicates("group").reset_index(drop=True)
    if len(texts) < 2:
        captioned = manifest[
            manifest["group"].isin(select(manifest, "image")["id"]) & (manifest["modality"] == "text")
        ]
        held = sorted(set(captioned["split"]) - {split})
        remedy = f"name another split, {', '.join(held)}" if held else "name a dataset with captions"
        raise DatasetError(
            f"split {split!r} has {len(texts)} captioned images, and pairs are measured: {remedy}"
        )
    if len(texts) > count:
        texts = texts.iloc[np.linspace(0, len(texts) - 1, count).astype(int)].reset_index(drop=True)
    return images.set_index("id", drop=False).loc[texts["group"]].reset_index(drop=True), texts


def _of_depths(backbone: Backbone, modality: str, batch: Tensor, blocks: int) -> list[Tensor]:
    """Features `(n, d)` after each block."""
    encode = backbone.encode_images if modality == "image" else backbone.encode_texts
    found = []
    for block in range(1, blocks + 1):
        with depths.ending_after(backbone, modality, block):
            found.append(encode(batch).features.cpu())
    return found
