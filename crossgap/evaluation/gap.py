"""The gap of a cell, what its captions allow, and counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from crossgap.arrays import unit_rows
from crossgap.errors import UnavailableError
from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell
from crossgap.evaluation.items import Items
from crossgap.evaluation.work import Work, calling
from crossgap.metrics.gap import explained_variance
from crossgap.metrics.gap.measures import gap_measures
from crossgap.metrics.retrieval.ceiling import recall_ceiling

SPECTRUM = ["modality", "component", "explained"]
COMPONENTS = 256  # of the spectrum, at most


class Sides(NamedTuple):
    """What the gap is measured between; with `paired`, row i of both belongs together."""

    images: Items
    texts: Items
    paired: bool


def sides(cell: Cell) -> Sides | None:
    """The query images that have captions, and their first ones; without captions, all of them and the class prompts.

    None where the cell has no images or no texts, or no image's first caption.
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
        if not len(images):
            return None
    return Sides(images, texts, paired)


def gap(work: Work, seed: int) -> dict[str, float]:
    """Every measure of the gap between the cell's `sides`."""
    found = sides(work.cell)
    if found is None:
        return {}
    held = dict(zip(INVERSIONS, found[:2], strict=True))
    unit = cache(lambda side: unit_rows(held[side].features, f"{side}_features", np.float64))
    metrics: dict[str, float] = {}

    def measured(name: str, modalities: tuple[str, ...], measure: Callable[..., float]) -> dict[str, float]:
        return {f"gap/{name}": measure(*map(unit, modalities))}

    for name, (modalities, measure) in gap_measures(found.paired, seed).items():
        settings: dict[str, Any] = {"seed": seed} if name == "linear_separability" else {}
        value = work.part(
            "gap",
            name,
            calling(measured, name, modalities, measure),
            by=__name__,
            **settings,
        )
        metrics |= value or {}
    return metrics


def spectrum(work: Work) -> pd.DataFrame:
    """How the variance of the cell's `sides` spreads: `modality`, `component`, from 1, `explained`, the share of the
    variance that the components up to this one have. No rows for features that are one point.
    """
    found = sides(work.cell)
    frames = []
    for modality, items in zip(INVERSIONS, found[:2] if found else (), strict=False):
        frames.append(work.part("spectrum", modality, calling(_spectrum, modality, items), by=__name__))
    frames = [frame for frame in frames if frame is not None and len(frame)]
    return pd.concat(frames or [pd.DataFrame(columns=SPECTRUM)], ignore_index=True)


def _spectrum(modality: str, items: Items) -> pd.DataFrame:
    shares = explained_variance(items.features)[:COMPONENTS]
    if np.isnan(shares).any():
        return pd.DataFrame(columns=SPECTRUM)
    columns = {"component": np.arange(1, len(shares) + 1), "explained": shares.cumsum()}
    return pd.DataFrame({"modality": modality, **columns})


def ceiling(work: Work) -> dict[str, float]:
    """The best text-to-image recall@1 to expect where captions say which of their image's labels they mention.

    They do so if one has a label, and one leaves out a label that its image has. Where each has all of them, as CUB's
    have the class of their bird, a label is no mention.
    """
    return work.part("ceiling", "text-image", lambda _: _ceiling(work.cell), by=__name__) or {}


def _ceiling(cell: Cell) -> dict[str, float]:
    images, texts = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if images is None or texts is None:
        return {}
    own = pd.Index(images.ids).get_indexer(texts.groups)
    captions, own = texts.where(own >= 0), own[own >= 0]
    shared = [name for name in images.labels if name in captions.labels]
    if not shared:
        return {}
    both = [np.concatenate([images.labels[name], captions.labels[name]]) for name in shared]
    codes = np.stack([pd.factorize(labels)[0] for labels in both], axis=1)
    has, said = (np.stack([of.labels[name] != "" for name in shared], axis=1) for of in (images, captions))
    left_out = has[own] & ~said
    if not said.any() or not left_out.any():
        return {}
    try:
        best = recall_ceiling(codes[: len(images)], codes[len(images) :], said)
    except UnavailableError:  # a caption that agrees with no image: its labels are not what it mentions
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
        for by in cell.methods(modality):
            held = [by.losses(name) for name in by.store.groups if len(by.store[name])]
            found[f"inversion/{by.words}/items"] = sum(map(len, held))
            if held:
                found[f"inversion/{by.words}/loss"] = float(np.concatenate(held).mean())
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
