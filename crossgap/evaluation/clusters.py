"""Clusters of a cell's features against its labellings, with and without every correction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.items import Items
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics.clustering import clustering_metrics
from crossgap.naming import with_correction

if TYPE_CHECKING:
    from jaxtyping import Real, Shaped


ITEMS = 10_000  # at most
CLASSES = 1000  # at most, so that of each there are ten items or all
RESTARTS = 4


def clusterings(work: Work, rivals: Rivals, seed: int) -> dict[str, float]:
    """`clustering/<what>/<labelling>/<measure>`: the query images by native, inverted and corrected features.

    `joint` clusters images and captions together: a gap between the modalities then splits the classes (ModGap, ICLR
    2026). A caption's label is the one that it mentions, where captions say which they mention; else its image's.

    Of a labelling with more than `CLASSES` so many are drawn, each with all its items: with few items a class, as many
    clusters as classes agree with any labelling. Of more than `ITEMS` items a class keeps its share.
    """
    cell = work.cell
    images = cell.items(f"image/{cell.query}")
    if images is None:
        return {}
    metrics: dict[str, float] = {}
    main = cell.main("image")
    for labelling in cell.labellings_of(images):
        for variant in (None, *rivals.of_features):
            found = work.part(
                "clustering",
                with_correction(labelling, variant),
                partial(_measured, work, rivals, labelling, variant, seed),
                by=__name__,
                inversions=[main] if main and not variant else (),
                seed=seed,
                **rivals.said(variant),
            )
            metrics |= found or {}
    return metrics


def _measured(
    work: Work, rivals: Rivals, labelling: str, variant: str | None, seed: int, reasons: Reasons
) -> dict[str, float]:
    metrics = {}
    for what, features in _sets(work, rivals, labelling, variant):
        with reasons.of("clustering", f"{what}/{labelling}"):
            values, labels = features()
            for measure, value in clustering_metrics(values, labels, seed=seed, restarts=RESTARTS).items():
                metrics[f"clustering/{what}/{labelling}/{measure}"] = value
    return metrics


def _sets(work: Work, rivals: Rivals, labelling: str, variant: str | None) -> Iterator[tuple]:
    """What is clustered, and a function that gives its features `(n, d)` and labels `(n,)`."""
    cell, name = work.cell, f"image/{work.cell.query}"
    every, captions = cell.invertible(name), cell.items(f"text/{cell.query}")
    if every is None:
        return
    texts = captions and labelled(captions, labelling, every)
    images = drawn(labelling, every)[0]
    if not len(images):
        return
    both = drawn(labelling, every, texts) if texts else []
    if variant is None:
        yield "image", lambda: (images.features, images.labels[labelling])
        turned = cell.inverted(images, name)
        if turned:
            yield "oti", lambda: (turned.features, turned.labels[labelling])
        if len(both) == 2 and len(both[1]):
            yield "joint", lambda: _joined(both, labelling)
        return
    correction = rivals.correction(variant)
    if correction.sides == "query":
        return
    corrected = rivals.corrected(variant, images, "image")
    if corrected is None:
        return
    yield f"image+{variant}", lambda: (corrected.features, images.labels[labelling])
    if len(both) == 2 and len(both[1]) and correction.handles("text"):
        sides = [rivals.corrected(variant, *side) for side in zip(both, ("image", "text"), strict=True)]
        made = [side for side in sides if side is not None and len(side)]
        if len(made) == 2:
            yield f"joint+{variant}", lambda: _joined(made, labelling)


def labelled(captions: Items, labelling: str, images: Items) -> Items | None:
    """Captions with the labels that they mention, or, where none of them says, with their images'; None without any.

    A text of no image keeps its own.
    """
    of_images, said = captions.groups.astype(bool), captions.labels.get(labelling)
    if said is not None and (not captions.captions or said[of_images].astype(bool).any()):
        return captions
    if not captions.captions:
        return None
    at = pd.Index(images.ids).get_indexer(captions.groups)
    found = np.where(at < 0, "" if said is None else said, images.labels[labelling].astype(object)[at])
    return replace(captions, labels={**captions.labels, labelling: found})


def drawn(labelling: str, *sets: Items) -> list[Items]:
    """What is clustered of sets of items: those with a label, of as many classes as may be, in order of their ids.

    Which classes are drawn follows from their names, which items from their ids: k-means depends on the order.
    """
    labelled = [items.where(items.labels[labelling].astype(bool)) for items in sets]
    classes = set().union(*(items.labels[labelling] for items in labelled))
    if len(classes) > CLASSES:
        kept = sorted(classes, key=lambda name: fingerprint.of_content(str(name).encode()))[:CLASSES]
        labelled = [items.where(np.isin(items.labels[labelling].astype(str), kept)) for items in labelled]
    return [_thinned(items, labelling) for items in labelled]


def _thinned(items: Items, labelling: str) -> Items:
    ids = items.ids.astype(str)
    if len(items) > ITEMS:
        by_class = items.where(np.lexsort([ids, items.labels[labelling].astype(str)])).sample(ITEMS)
        items, ids = by_class, by_class.ids.astype(str)
    return items.where(np.argsort(ids, kind="stable"))


def _joined(
    sides: Sequence[Items], labelling: str
) -> tuple[Real[np.ndarray, "n d"], Shaped[np.ndarray, " n"]]:
    features = np.concatenate([items.features for items in sides])
    return features, np.concatenate([items.labels[labelling] for items in sides])
