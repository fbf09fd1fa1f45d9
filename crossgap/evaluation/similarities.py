"""Similarities of matching and of other pairs: within the images, across the modalities, and after inversion.

At each step of an inversion they show whether inverted features drift back to their native manifold (Cross the Gap, the
step x token study).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import numpy as np
import pandas as pd

from crossgap.evaluation.cell import CLASSES, Cell
from crossgap.evaluation.curves import points
from crossgap.evaluation.items import Items
from crossgap.evaluation.queries import IntraModalRetrieval, comparisons
from crossgap.evaluation.relevance import BY_GROUP, Labelled
from crossgap.evaluation.work import Work, calling
from crossgap.metrics.gap.similarities import BINS, Similarities, share_of_the_way, similarities

AT = ["pair", "relevance", "tokens", "step"]
MEASURED = [*AT, "matching", "other", "overlap", "mean", "share"]
HISTOGRAMS = [*AT, "matching", "left", "right", "density"]
QUERIES, GALLERY = 2000, 20_000  # at most, evenly spread: enough for a mean and a histogram


def similar(work: Work) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`MEASURED`, a row a pair of features, relevance and step, and their `HISTOGRAMS`.

    `text-image` is of class prompts and images, by `group` of all captions and images. `share` is how far inverted
    features have gone, in the mean over all pairs, from the similarities of captions and images (of class prompts and
    images, where there are no captions) to those of the native features; of a control on some classes, among its items.
    `tokens` and `step` are those of an inversion, NA for native features.
    """
    cell, seen = work.cell, set()
    tables: list[list[pd.DataFrame]] = [[], []]
    captioned = cache(partial(_captioned, cell))
    for comparison in comparisons(cell):
        for relevance in comparison.relevances:
            if not isinstance(relevance, Labelled):
                continue
            anew = relevance.name not in seen  # across the modalities it is the same from either side
            both = cache(
                lambda comparison=comparison, relevance=relevance, anew=anew: _tables(
                    list(_found(cell, comparison, relevance, anew, captioned))
                )
            )
            for number, (kind, held) in enumerate(zip(("means", "histograms"), tables, strict=True)):
                table = work.part(
                    "similarity",
                    f"{comparison.native}/{relevance.name}" + (f" {kind}" if number else ""),
                    calling(_nth, both, number),
                    by=__name__,
                    inversions=cell.inversions(comparison.modality),
                    relevance=relevance.said,
                    anew=anew,
                )
                if table is None:
                    break  # neither has the other
                if len(table):
                    held.append(table)
                    if not number and "text-image" in set(table["pair"]):
                        seen.add(relevance.name)
    measured, histograms = (
        pd.concat(held, ignore_index=True) if held else empty
        for held, empty in zip(tables, _tables([]), strict=True)
    )
    return measured, histograms


def _nth(tables: Callable[[], Sequence[pd.DataFrame]], number: int) -> pd.DataFrame:
    return tables()[number]


def _tables(found: list[tuple[dict[str, object], Similarities, float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    measured, histograms = [], []
    for at, one, share in found:
        numbers = {"matching": one.matching_mean, "other": one.other_mean, "mean": one.mean}
        measured.append(at | numbers | {"overlap": one.overlap, "share": share})
        histograms.append(_densities(one).assign(**at))
    whole = pd.concat(histograms) if histograms else pd.DataFrame()
    tables = pd.DataFrame(measured).reindex(columns=MEASURED), whole.reindex(columns=HISTOGRAMS)
    integers = {"tokens": "Int64", "step": "Int64"}
    first, second = (table.astype(integers).reset_index(drop=True) for table in tables)
    return first, second


def _found(
    cell: Cell,
    comparison: IntraModalRetrieval,
    relevance: Labelled,
    anew: bool,
    captions: Callable[..., Similarities | None],
) -> Iterator[tuple[dict[str, object], Similarities, float]]:
    native = _between(relevance, comparison.queries, comparison.gallery, within=True)
    if native is None:
        return
    captioned = captions() if relevance.classes is None else captions(relevance)
    across = captioned if relevance is BY_GROUP else _across(cell, comparison, relevance)
    start = captioned.mean if captioned else across.mean if across else float("nan")
    at = {"relevance": relevance.name, "tokens": pd.NA, "step": pd.NA}
    yield {"pair": comparison.native, **at}, native, float("nan")
    if across and anew:
        yield {"pair": "text-image", **at}, across, float("nan")
    for point in points(cell, comparison):
        if point.task != comparison.inverted:
            continue  # by φ
        found = _between(relevance, point.queries, comparison.gallery, within=True)
        if found is None:
            continue
        share = share_of_the_way(found.mean, start, native.mean)
        at = {"relevance": relevance.name, "tokens": point.tokens, "step": point.step}
        yield {"pair": comparison.inverted, **at}, found, share


def _captioned(cell: Cell, of: Labelled = BY_GROUP) -> Similarities | None:
    """Between captions and images, those that a control on some classes concerns."""
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if not images or not captions or not captions.captions:
        return None
    if of.classes is not None and of.labelling in images.labels:
        images = of.concerns(images)
        captions = captions.where(np.isin(captions.groups, images.groups))
    return _between(BY_GROUP, captions, images, within=False)


def _across(cell: Cell, comparison: IntraModalRetrieval, relevance: Labelled) -> Similarities | None:
    """Between class prompts and the images that they match by a labelling."""
    images = comparison.gallery if comparison.modality == "image" else cell.items(f"image/{cell.query}")
    texts = cell.items(CLASSES)
    if not images or not texts or not all(relevance.labelling in items.labels for items in (images, texts)):
        return None
    return _between(relevance, texts.where(relevance.labels(texts).astype(bool)), images, within=False)


def _between(relevance: Labelled, queries: Items, gallery: Items, within: bool) -> Similarities | None:
    """Of queries and gallery, a query apart from itself; None where one side has no items."""
    queries, gallery = relevance.concerns(queries), relevance.concerns(gallery)
    if not len(queries) or not len(gallery):
        return None
    queries, gallery = queries.sample(QUERIES), gallery.sample(GALLERY)
    codes, names = pd.factorize(np.concatenate([relevance.labels(queries), relevance.labels(gallery)]))
    codes = np.where(names[codes] == "", -1, codes)
    left_out = pd.Index(gallery.ids).get_indexer(queries.ids) if within else None
    at = len(queries)
    return similarities(queries.features, gallery.features, codes[:at], codes[at:], left_out)


def _densities(found: Similarities) -> pd.DataFrame:
    """The bins that hold pairs, as densities of area 1, of matching and of other pairs."""
    edges = np.linspace(-1, 1, BINS + 1).round(6)
    frames = []
    for matching, counts in ((True, found.matching), (False, found.other)):
        at = np.flatnonzero(counts)
        density = counts[at] / max(1, counts.sum()) * (BINS / 2)
        frames.append(
            pd.DataFrame(
                {"matching": matching, "left": edges[at], "right": edges[at + 1], "density": density}
            )
        )
    return pd.concat(frames, ignore_index=True)
