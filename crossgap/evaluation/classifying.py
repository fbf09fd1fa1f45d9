"""Classification of a cell's images: zero-shot, by inverted features, by class means, with every correction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap import classification
from crossgap.evaluation.cell import CLASSES, Cell, Items
from crossgap.evaluation.corrected import Rivals


class Classified(NamedTuple):
    """One way of classifying the query images by one labelling.

    Attributes:
        correct: by image id: 1 or 0, or the share of draws in which it was right; NaN where it could not be.
        without_class: images that have a label for which there is no class mean.
    """

    task: str
    labelling: str
    correct: pd.Series
    without_class: int = 0


def classified(
    cell: Cell, rivals: Rivals, shots: Sequence[int], draws: int, seed: int
) -> Iterator[Classified]:
    """By class prompts, and by the means of a support split's images where there is one, all of them or a few.

    What an inversion set aside is left out of the tasks by class prompts; a class of which no prompt is left keeps its
    native ones, and there is no `image-ovi` for its labelling.

    Args:
        shots: images a class behind `<k>-shot`.
        draws: of the few images; accuracies are means over them.
        seed: of the draws.
    """
    images = cell.invertible(f"image/{cell.query}")
    if not images:
        return
    for labelling in cell.labellings_of(images):
        yield from _by_prompts(cell, rivals, images, labelling)
        yield from _by_means(cell, rivals, labelling, shots, draws, seed)


def class_prompts(cell: Cell, labelling: str) -> Items | None:
    """The prompts that stand for a labelling's classes; None where it has none."""
    prompts = cell.items(CLASSES)
    if prompts is None or labelling not in prompts.labels:
        return None
    every = prompts.where(prompts.labels[labelling].astype(bool))
    if not len(every):
        return None
    anchors = every.without(cell.set_aside(CLASSES))
    return anchors if set(anchors.labels[labelling]) == set(every.labels[labelling]) else every


def _by_prompts(cell: Cell, rivals: Rivals, images: Items, labelling: str) -> Iterator[Classified]:
    anchors = class_prompts(cell, labelling)
    if anchors is None:
        return
    pairs = [
        ("image-text", images, anchors),
        ("oti-text", cell.inverted(images, f"image/{cell.query}"), anchors),
        ("image-ovi", images, cell.inverted(anchors, CLASSES)),
        *((f"image-text+{name}", *both) for name, *both in rivals.pairs("image-text", images, anchors)),
    ]
    for task, queries, texts in pairs:
        if queries is not None and texts is not None:
            yield Classified(task, labelling, correct(queries, queries.labels[labelling], texts, labelling))


def _by_means(
    cell: Cell, rivals: Rivals, labelling: str, shots: Sequence[int], draws: int, seed: int
) -> Iterator[Classified]:
    """Nearest class mean (`ncm`) over the support split, and over `<k>-shot` draws of it."""
    images, support = cell.items(f"image/{cell.query}"), _support(cell)
    if support is None or labelling not in support.labels:
        return
    support = support.where(support.labels[labelling].astype(bool))
    if not len(support):
        return
    largest = int(np.unique(support.labels[labelling].astype(str), return_counts=True)[1].max())
    chosen = {"ncm": [np.arange(len(support))]}
    for k in shots:
        if k <= largest:
            chosen[f"{k}-shot"] = [
                classification.few_shot(support.labels[labelling], support.ids, k, seed=(seed, draw))
                for draw in range(draws)
            ]
    variants = [("", images, support)]
    variants += [(f"+{name}", *both) for name, *both in rivals.pairs("image-image", images, support)]
    labels = images.labels[labelling]
    known = np.where(np.isin(labels, support.labels[labelling]), labels, "")
    strangers = int((known != labels).sum())
    for task, rows in chosen.items():
        for name, queries, means_of in variants:
            outcomes = [correct(queries, known, means_of.where(few), labelling) for few in rows]
            yield Classified(task + name, labelling, pd.concat(outcomes, axis=1).mean(axis=1), strangers)


def _support(cell: Cell) -> Items | None:
    split = cell.support or (cell.gallery if cell.gallery != cell.query else None)
    return cell.items(f"image/{split}") if split else None


def correct(queries: Items, labels: np.ndarray, anchors: Items, labelling: str) -> pd.Series:
    """1 or 0 by image id: whether the nearest class mean of the anchors is that of `labels` `(n,)`; NaN without one."""
    prototypes, classes = classification.class_prototypes(anchors.features, anchors.labels[labelling])
    found = classification.zero_shot(queries.features, labels, prototypes, classes)["correct"]
    return pd.Series(found.to_numpy(float, na_value=np.nan), index=queries.ids)
