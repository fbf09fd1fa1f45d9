"""Classification of a cell's images by class prompts: zero-shot, by inverted features, with every correction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell, Variant
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.items import Items
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import classification
from crossgap.naming import with_correction

if TYPE_CHECKING:
    from jaxtyping import Shaped


_COLUMNS = ["task", "labelling", "image", "correct", "without_class"]


class Predictions(NamedTuple):
    """One way of classifying the query images by one labelling.

    Attributes:
        correct: by image id: 1 or 0, or the share of draws in which it was right; NaN where it could not be.
        without_class: images that have a label for which there is no class mean.
    """

    task: str
    labelling: str
    correct: pd.Series
    without_class: int = 0


def prompted(work: Work, rivals: Rivals) -> Iterator[Predictions]:
    """By class prompts.

    What an inversion set aside is left out; a class of which no prompt is left keeps its native ones, and there is no
    `image-ovi` for its labelling.
    """
    cell = work.cell
    images = cell.invertible(f"image/{cell.query}")
    if not images:
        return
    labellings = cell.labellings_of(images)
    for name in labellings:
        if only := _only_class(cell, name):
            why = (
                f"all prompts are of one class, {only}: give prompts of two or more, which can be told apart"
            )
            work.reasons.add([("classification", f"image-text/{name}", why)])
    inversions = [by.store for modality in INVERSIONS for by in cell.methods(modality)]
    found: dict[str, list[Predictions]] = {}
    for variant in (None, *rivals.of_features):

        def compute(reasons: Reasons, variant: str | None = variant) -> pd.DataFrame:
            made = (_by_prompts(cell, rivals, images, name, variant, reasons) for name in labellings)
            return in_rows(one for of in made for one in of)

        held = work.part(
            "classification",
            with_correction("image-text", variant),
            compute,
            by=__name__,
            inversions=() if variant else inversions,
            labellings=labellings,
            **rivals.said(variant),
        )
        for one in parted(held) if held is not None else ():
            found.setdefault(one.labelling, []).append(one)
    for labelling in labellings:
        yield from found.get(labelling, ())


def in_rows(classes: Iterable[Predictions]) -> pd.DataFrame:
    """A row an image: `task`, `labelling`, `image`, `correct`, `without_class`."""
    held = list(classes)
    if not held:
        return pd.DataFrame(columns=_COLUMNS)
    counts = [len(one.correct) for one in held]
    first, *others = [one.correct.index for one in held]
    return pd.DataFrame(
        {
            "task": pd.Index([one.task for one in held]).repeat(counts),
            "labelling": pd.Index([one.labelling for one in held]).repeat(counts),
            "image": first.append(others),
            "correct": np.concatenate([one.correct.to_numpy() for one in held]),
            "without_class": np.repeat([one.without_class for one in held], counts),
        }
    )


def parted(table: pd.DataFrame) -> Iterator[Predictions]:
    """What `in_rows` was made of."""
    for (task, labelling), rows in table.groupby(["task", "labelling"], sort=False):
        correct = pd.Series(rows["correct"].to_numpy(), index=pd.Index(rows["image"], name=None))
        yield Predictions(task, labelling, correct, int(rows["without_class"].iloc[0]))


def class_prompts(cell: Cell, labelling: str) -> Items | None:
    """The prompts that stand for a labelling's classes; None where it has none, or of one class alone."""
    every = _prompts(cell, labelling)
    if every is None or _only_class(cell, labelling):
        return None
    anchors = every.without(cell.unpaired(CLASSES))
    return anchors if set(anchors.labels[labelling]) == set(every.labels[labelling]) else every


def _prompts(cell: Cell, labelling: str) -> Items | None:
    prompts = cell.items(CLASSES)
    if prompts is None or labelling not in prompts.labels:
        return None
    every = prompts.where(prompts.labels[labelling].astype(bool))
    return every if len(every) else None


def _only_class(cell: Cell, labelling: str) -> str:
    """The class of all prompts where they have but one, from which any image would be told right; else empty."""
    every = _prompts(cell, labelling)
    classes = set() if every is None else set(every.labels[labelling])
    return str(*classes) if len(classes) == 1 else ""


def _by_prompts(
    cell: Cell, rivals: Rivals, images: Items, labelling: str, variant: str | None, reasons: Reasons
) -> Iterator[Predictions]:
    anchors = class_prompts(cell, labelling)
    if anchors is None:
        return
    if variant is None:
        pairs: dict[str, Callable[[], tuple[Items | None, Items | None] | None]] = {
            "image-text": lambda: (images, anchors),
            "oti-text": lambda: (cell.inverted(images, f"image/{cell.query}"), anchors),
            "image-ovi": lambda: (images, cell.inverted(anchors, CLASSES)),
        }
        pairs |= {
            f"{by.words}-text": partial(_inverted_images, cell, images, anchors, by)
            for by in cell.variants("image")
        }
        pairs |= {
            f"image-{by.words}": partial(_inverted_prompts, cell, images, anchors, by)
            for by in cell.variants("text")
        }
    else:
        task = with_correction("image-text", variant)
        pairs = {task: lambda: rivals.pair(variant, "image-text", images, anchors)}
    for task, pair in pairs.items():
        with reasons.of("classification", f"{task}/{labelling}"):
            queries, texts = pair() or (None, None)
            if queries is not None and texts is not None:
                yield Predictions(
                    task, labelling, correct(queries, queries.labels[labelling], texts, labelling)
                )


def _inverted_images(cell: Cell, images: Items, anchors: Items, by: Variant) -> tuple[Items | None, Items]:
    return cell.inverted(images, f"image/{cell.query}", by.store, by.step), anchors


def _inverted_prompts(cell: Cell, images: Items, anchors: Items, by: Variant) -> tuple[Items, Items | None]:
    return images, cell.inverted(anchors, CLASSES, by.store, by.step)


def correct(queries: Items, labels: Shaped[np.ndarray, " n"], anchors: Items, labelling: str) -> pd.Series:
    """1 or 0 by image id: whether the nearest class mean of the anchors is that of `labels` `(n,)`; NaN without one."""
    prototypes, classes = classification.class_prototypes(anchors.features, anchors.labels[labelling])
    found = classification.zero_shot(queries.features, labels, prototypes, classes)["correct"]
    return pd.Series(found.to_numpy(float, na_value=np.nan), index=queries.ids)
