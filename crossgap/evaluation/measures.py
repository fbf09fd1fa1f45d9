"""The gap of a cell, what its captions allow, and counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap.datasets.world_captions import UNSAID, recall_ceiling
from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell, Items
from crossgap.gap import explained_variance, gap_metrics

COMPONENTS = 256  # of the spectrum, at most


class Sides(NamedTuple):
    """What the gap is measured between; with `paired`, row i of both belongs together."""

    images: Items
    texts: Items
    paired: bool


def sides(cell: Cell) -> Sides | None:
    """The query images that have captions, and their first ones; without captions, all of them and the class prompts.

    None where the cell has no images or no texts.
    """
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    paired = captions is not None and captions.captions
    texts = captions if captions is not None else cell.items(CLASSES)
    if images is None or texts is None:
        return None
    if paired:
        texts = texts.where(texts.ranks == 0)
        index = pd.Index(texts.groups).get_indexer(images.groups)
        images, texts = images.where(index >= 0), texts.where(index[index >= 0])
    return Sides(images, texts, paired)


def gap(cell: Cell, seed: int) -> dict[str, float]:
    """Every measure of the gap between the cell's `sides`."""
    found = sides(cell)
    if found is None:
        return {}
    images, texts, paired = found
    measures = gap_metrics(images.features, texts.features, paired=paired, seed=seed)
    return {f"gap/{name}": value for name, value in measures.items()}


def spectrum(cell: Cell) -> pd.DataFrame:
    """How the variance of the cell's `sides` spreads: `modality`, `component`, from 1, `explained`, the share of the
    variance that the components up to this one have. No rows for features that are one point."""
    found = sides(cell)
    frames = [pd.DataFrame(columns=["modality", "component", "explained"])]
    for modality, items in zip(INVERSIONS, found[:2] if found else (), strict=False):
        shares = explained_variance(items.features)[:COMPONENTS]
        if not np.isnan(shares).any():
            columns = {"component": np.arange(1, len(shares) + 1), "explained": shares.cumsum()}
            frames.append(pd.DataFrame({"modality": modality, **columns}))
    return pd.concat(frames[1:] or frames, ignore_index=True)


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
