"""The gap of a cell, what its captions allow, and counts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crossgap.datasets.world_captions import UNSAID, recall_ceiling
from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell
from crossgap.gap import gap_metrics


def gap(cell: Cell, seed: int) -> dict[str, float]:
    """The gap between query images and their first captions; without captions, the class prompts."""
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    paired = captions is not None and captions.captions
    texts = captions if captions is not None else cell.items(CLASSES)
    if images is None or texts is None:
        return {}
    if paired:
        texts = texts.where(texts.ranks == 0)
        index = pd.Index(texts.groups).get_indexer(images.groups)
        images, texts = images.where(index >= 0), texts.where(index[index >= 0])
    measures = gap_metrics(images.features, texts.features, paired=paired, seed=seed)
    return {f"gap/{name}": value for name, value in measures.items()}


def ceiling(cell: Cell) -> dict[str, float]:
    """The best text-to-image recall@1 to expect where captions say which of their image's labels they mention."""
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if images is None or captions is None:
        return {}
    shared = [name for name in images.labels if name in captions.labels]
    if not shared:
        return {}
    both = [np.concatenate([images.labels[name], captions.labels[name]]) for name in shared]
    codes = np.stack([pd.factorize(labels)[0] for labels in both], axis=1)
    silent = np.stack([captions.labels[name] == "" for name in shared], axis=1)
    try:
        best = recall_ceiling(codes[: len(images)], np.where(silent, UNSAID, codes[len(images) :]))
    except ValueError:  # a caption that agrees with no image: its labels are not what it mentions
        return {}
    return {"retrieval_ceiling/text-image/group/recall@1": best}


def counts(cell: Cell) -> dict[str, float]:
    """Items, truncated ones, and those inverted and set aside, with the mean loss of their inversion."""
    found: dict[str, float] = {}
    aside = set_aside(cell)["inversion"].value_counts()
    for name in cell.native.groups:
        group = cell.native[name]
        found[f"items/{name}"] = len(group)
        if "truncated" in group:
            found[f"items/{name}/truncated"] = int(group["truncated"].sum())
    for modality, method in INVERSIONS.items():
        if (store := cell.main(modality)) is not None:
            losses = np.concatenate([store[name].losses for name in store.groups])
            found[f"inversion/{method}/items"] = len(losses)
            found[f"inversion/{method}/loss"] = float(losses.mean())
        if cell.inversions(modality):
            found[f"inversion/{method}/set_aside"] = int(aside.get(method, 0))
    return found


def set_aside(cell: Cell) -> pd.DataFrame:
    """A row an item that an inversion set aside: `inversion`, `group`, `id`."""
    rows = [
        (method, name, item)
        for modality, method in INVERSIONS.items()
        for name in cell.native.groups
        if name.startswith(f"{modality}/")
        for item in cell.set_aside(name)
    ]
    return pd.DataFrame(rows, columns=["inversion", "group", "id"])
