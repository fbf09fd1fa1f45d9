"""Clusters of a cell's features against its labellings, with and without every correction."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossgap.clustering import clustering_metrics
from crossgap.evaluation.cell import Cell, Items
from crossgap.evaluation.corrected import Rivals, apply

ITEMS = 10_000  # at most, evenly spread
RESTARTS = 4


def clusterings(cell: Cell, rivals: Rivals, seed: int) -> dict[str, float]:
    """`clustering/<what>/<labelling>/<measure>`: the query images by native, inverted and corrected features.

    `joint` clusters images and captions together where captions say which of the labels they mention: a gap between
    the modalities then splits the classes (ModGap, ICLR 2026).
    """
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if images is None:
        return {}
    metrics = {}
    for labelling in cell.labellings_of(images):
        for what, features, labels in _sets(cell, rivals, images, captions, labelling):
            for measure, value in clustering_metrics(features, labels, seed=seed, restarts=RESTARTS).items():
                metrics[f"clustering/{what}/{labelling}/{measure}"] = value
    return metrics


def _sets(
    cell: Cell, rivals: Rivals, images: Items, captions: Items | None, labelling: str
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    images = _labelled(images, labelling)
    labels = images.labels[labelling]
    yield "image", images.features, labels
    turned = cell.inverted(images.without(cell.set_aside(f"image/{cell.query}")), f"image/{cell.query}")
    if turned:
        yield "oti", turned.features, turned.labels[labelling]
    texts = _labelled(captions, labelling) if captions and labelling in captions.labels else None
    if texts:
        yield "joint", np.concatenate([images.features, texts.features]), _joined(images, texts, labelling)
    for name, correction in rivals.fitted.items():
        if correction.sides == "query":
            continue
        corrected = apply(correction, images, "image")
        if corrected is not None:
            yield f"image+{name}", corrected.features, labels
            against = apply(correction, texts, "text") if texts else None
            if against is not None:
                both = np.concatenate([corrected.features, against.features])
                yield f"joint+{name}", both, _joined(images, texts, labelling)


def _labelled(items: Items, labelling: str) -> Items:
    """Those with a label, by id: k-means depends on the order."""
    items = items.where(items.labels[labelling].astype(bool))
    return items.where(np.argsort(items.ids.astype(str), kind="stable")).sample(ITEMS)


def _joined(images: Items, texts: Items, labelling: str) -> np.ndarray:
    return np.concatenate([images.labels[labelling], texts.labels[labelling]])
