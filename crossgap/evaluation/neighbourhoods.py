"""Measures of the gap that see more than the means: covariances, neighbours, the order of classes; also corrected.

`gap/<measure>`, and with a correction `gap/<measure>+<correction>`, of the cell's `sides`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from crossgap.evaluation.cell import Cell
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.gap import Sides, sides
from crossgap.evaluation.items import Items
from crossgap.evaluation.predictions import class_prompts
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics.classification import class_prototypes
from crossgap.metrics.gap.frechet import frechet
from crossgap.metrics.gap.measures import gap_measures
from crossgap.metrics.gap.neighbourhoods import (
    NEIGHBOURS,
    class_order_distance,
    modality_ranks,
    neighbour_overlap,
    require_classes,
    silhouette,
)
from crossgap.naming import with_correction

if TYPE_CHECKING:
    from jaxtyping import Real


ITEMS = 10_000  # of either side whose neighbours are looked at, at most, evenly spread
CLASSES = 1000  # of a labelling whose order is compared, at most
# without correction they are measured one by one; an extra regression for each correction costs more than it says
_NATIVE_ONLY = ("linear_separability",)
Measured = Iterator[tuple[str, Callable[[], dict[str, float]]]]


def neighbourhoods(work: Work, rivals: Rivals) -> dict[str, float]:
    """Of the cell's sides, natively and with every correction; with corrections the other measures of the gap too."""
    cell = work.cell
    found = sides(cell)
    metrics: dict[str, float] = {}
    for variant in (None, *rivals.of_features):
        metrics |= (
            work.part(
                "gap",
                with_correction("neighbourhoods", variant),
                partial(_measured, cell, rivals, found, variant),
                by=__name__,
                labellings=cell.labellings,
                **rivals.said(variant),
            )
            or {}
        )
    return metrics


def _measured(
    cell: Cell, rivals: Rivals, found: Sides | None, variant: str | None, reasons: Reasons
) -> dict[str, float]:
    metrics: dict[str, float] = {}
    ending = f"+{variant}" if variant else ""
    if found is not None:
        pair: tuple[Items, Items] | None = (found.images, found.texts)
        if variant and pair:
            pair = rivals.pair(variant, "image-text", *pair)
        if pair is not None:
            for name, measure in _of_clouds(*pair, found.paired, bool(variant)):
                with reasons.of("gap", f"{name}{ending}"):
                    metrics |= {f"gap/{key}{ending}": value for key, value in measure().items()}
    for labelling, order_of in _of_classes(cell, rivals, variant):
        with reasons.of("gap", f"class_order_distance{ending}/{labelling}"):
            order = order_of()
            if order is not None:
                metrics[f"gap/class_order_distance{ending}/{labelling}"] = float(order.mean())
    return metrics


def _of_clouds(images: Items, texts: Items, paired: bool, corrected: bool) -> Measured:
    """Names and measures of two sides; of corrected ones, those that `gap` measures natively as well."""
    if corrected:
        held = {"image": images, "text": texts}
        for name, (modalities, measure) in gap_measures(paired).items():
            if name not in _NATIVE_ONLY:
                yield name, partial(_one, name, measure, [held[side] for side in modalities])
    yield "frechet", lambda: _frechet(images.features, texts.features)
    yield "silhouette", lambda: {"silhouette": silhouette(images.features, texts.features)}
    images, texts = images.sample(ITEMS), texts.sample(ITEMS)
    yield "modality_ranks", lambda: _ranks(images.features, texts.features)
    if paired:
        yield f"nas@{NEIGHBOURS}", lambda: _overlap(images.features, texts.features)


def _one(name: str, measure: Callable[..., float], sides: list[Items]) -> dict[str, float]:
    return {name: measure(*(items.features for items in sides))}


def _frechet(images: Real[np.ndarray, "n d"], texts: Real[np.ndarray, "m d"]) -> dict[str, float]:
    found = frechet(images, texts)
    return {
        "frechet": found.total,
        "frechet_mean": found.mean,
        "frechet_covariance": found.covariance,
        "trace_image": found.trace_x,
        "trace_text": found.trace_y,
    }


def _ranks(images: Real[np.ndarray, "n d"], texts: Real[np.ndarray, "m d"]) -> dict[str, float]:
    """Rank 1 is a neighbour of the other modality; at equal similarity it counts as the nearest."""
    imr, tmr = modality_ranks(images, texts), modality_ranks(texts, images)
    return {
        "imr": float(imr.mean()),
        "imr_median": float(np.median(imr)),
        "tmr": float(tmr.mean()),
        "tmr_median": float(np.median(tmr)),
        "nearest_other_image": float((imr == 1).mean()),
        "nearest_other_text": float((tmr == 1).mean()),
        "nearest_other": float((np.concatenate([imr, tmr]) == 1).mean()),
    }


def _overlap(images: Real[np.ndarray, "n d"], texts: Real[np.ndarray, "n d"]) -> dict[str, float]:
    share = neighbour_overlap(images, texts)
    return {
        f"nas@{NEIGHBOURS}": float(share.mean()),
        f"nas_jaccard@{NEIGHBOURS}": float((share / (2 - share)).mean()),
    }


def _of_classes(
    cell: Cell, rivals: Rivals, variant: str | None
) -> Iterator[tuple[str, Callable[[], np.ndarray | None]]]:
    """Labellings that images and texts both have, and how differently these order the classes."""
    images = cell.items(f"image/{cell.query}")
    if not images:
        return
    for labelling in cell.labellings_of(images):
        texts = class_prompts(cell, labelling)
        if texts is None:
            captions = cell.items(f"text/{cell.query}")
            texts = captions if captions is not None and labelling in captions.labels else None
        if texts is not None:
            yield labelling, partial(_class_order, rivals, variant, images, texts, labelling)


def _class_order(
    rivals: Rivals, variant: str | None, images: Items, texts: Items, labelling: str
) -> np.ndarray | None:
    images, texts = (items.where(items.labels[labelling].astype(bool)) for items in (images, texts))
    shared = sorted(set(images.labels[labelling]) & set(texts.labels[labelling]))[:CLASSES]
    images, texts = (items.where(np.isin(items.labels[labelling], shared)) for items in (images, texts))
    require_classes(len(shared))
    pair = (images, texts) if variant is None else rivals.pair(variant, "image-text", images, texts)
    if pair is None:
        return None
    means = []
    for items in pair:
        prototypes, names = class_prototypes(items.features, items.labels[labelling])
        means.append(prototypes[np.argsort(np.asarray(names, str), kind="stable")])
    return class_order_distance(*means)
