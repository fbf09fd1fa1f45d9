"""Classification of a cell's images: zero-shot, by inverted features, by class means, with every correction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell, Items, Variant
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import classification

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


def classified(
    work: Work, rivals: Rivals, shots: Sequence[int], draws: int, seed: int
) -> Iterator[Predictions]:
    """By class prompts, and by the means of a support split's images where there is one, all of them or a few.

    What an inversion set aside is left out of the tasks by class prompts; a class of which no prompt is left keeps its
    native ones, and there is no `image-ovi` for its labelling.

    Args:
        shots: images a class behind `<k>-shot`.
        draws: of the few images; accuracies are means over them.
        seed: of the draws.
    """
    cell = work.cell
    images = cell.invertible(f"image/{cell.query}")
    if not images:
        return
    labellings = cell.labellings_of(images)
    inversions = [store for store in map(cell.main, INVERSIONS) if store]
    inversions += [variant.store for modality in INVERSIONS for variant in cell.variants(modality)]
    kinds: list[tuple[str, int | None, dict]] = [("image-text", None, {}), ("ncm", None, {})]
    kinds += [(f"{k}-shot", k, {"shots": k, "draws": draws, "seed": seed}) for k in shots]
    if _support(cell) is None:
        kinds = kinds[:1]
    found: dict[tuple[str, str], list[Predictions]] = {}
    for kind, k, settings in kinds:
        for variant in (None, *rivals.of_features):
            native = kind == "image-text" and variant is None

            def compute(
                reasons: Reasons, kind: str = kind, k: int | None = k, variant: str | None = variant
            ) -> pd.DataFrame:
                if kind == "image-text":
                    made = (_by_prompts(cell, rivals, images, name, variant, reasons) for name in labellings)
                else:
                    made = (
                        _by_means(cell, rivals, name, variant, k, draws, seed, reasons) for name in labellings
                    )
                return in_rows(one for of in made for one in of)

            table = work.part(
                "classification",
                _named(kind, variant),
                compute,
                by=__name__,
                rival=rivals.rival(variant) if variant else None,
                inversions=inversions if native else (),
                labellings=labellings,
                **settings,
                **({"fit": rivals.fitted_on} if variant else {}),
            )
            if table is not None:
                for one in _parted(table):
                    found.setdefault((one.labelling, kind), []).append(one)
    for labelling in labellings:
        for kind, *_ in kinds:
            yield from found.get((labelling, kind), ())


def _named(task: str, variant: str | None) -> str:
    return task if variant is None else f"{task}+{variant}"


def in_rows(classes: Iterable[Predictions]) -> pd.DataFrame:
    """A row an image: `task`, `labelling`, `image`, `correct`, `without_class`."""
    frames = [
        pd.DataFrame(
            {
                "task": one.task,
                "labelling": one.labelling,
                "image": one.correct.index,
                "correct": one.correct.to_numpy(),
                "without_class": one.without_class,
            }
        )
        for one in classes
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_COLUMNS)


def _parted(table: pd.DataFrame) -> Iterator[Predictions]:
    for (task, labelling), rows in table.groupby(["task", "labelling"], sort=False):
        correct = pd.Series(rows["correct"].to_numpy(), index=pd.Index(rows["image"], name=None))
        yield Predictions(task, labelling, correct, int(rows["without_class"].iloc[0]))


def class_prompts(cell: Cell, labelling: str) -> Items | None:
    """The prompts that stand for a labelling's classes; None where it has none."""
    prompts = cell.items(CLASSES)
    if prompts is None or labelling not in prompts.labels:
        return None
    every = prompts.where(prompts.labels[labelling].astype(bool))
    if not len(every):
        return None
    anchors = every.without(cell.unpaired(CLASSES))
    return anchors if set(anchors.labels[labelling]) == set(every.labels[labelling]) else every


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
        pairs = {_named("image-text", variant): lambda: rivals.pair(variant, "image-text", images, anchors)}
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


def _by_means(
    cell: Cell,
    rivals: Rivals,
    labelling: str,
    variant: str | None,
    shots: int | None,
    draws: int,
    seed: int,
    reasons: Reasons,
) -> Iterator[Predictions]:
    """Nearest class mean (`ncm`) over the support split, or over `<shots>-shot` draws of it."""
    images, support = cell.items(f"image/{cell.query}"), _support(cell)
    if images is None or support is None or labelling not in support.labels:
        return
    support = support.where(support.labels[labelling].astype(bool))
    if not len(support):
        return
    if shots is None:
        chosen = [np.arange(len(support))]
    else:
        largest = int(np.unique(support.labels[labelling].astype(str), return_counts=True)[1].max())
        if shots > largest:
            return
        chosen = [
            classification.few_shot(support.labels[labelling], support.ids, shots, seed=(seed, draw))
            for draw in range(draws)
        ]
    task = _named("ncm" if shots is None else f"{shots}-shot", variant)
    with reasons.of("classification", f"{task}/{labelling}"):
        pair = (images, support) if variant is None else rivals.pair(variant, "image-image", images, support)
        if pair is not None:
            queries, means_of = pair
            labels = images.labels[labelling]
            known = np.where(np.isin(labels, support.labels[labelling]), labels, "")
            outcomes = [correct(queries, known, means_of.where(few), labelling) for few in chosen]
            strangers = int((known != labels).sum())
            yield Predictions(task, labelling, pd.concat(outcomes, axis=1).mean(axis=1), strangers)


def _support(cell: Cell) -> Items | None:
    split = cell.support or (cell.gallery if cell.gallery != cell.query else None)
    return cell.items(f"image/{split}") if split else None


def correct(queries: Items, labels: np.ndarray, anchors: Items, labelling: str) -> pd.Series:
    """1 or 0 by image id: whether the nearest class mean of the anchors is that of `labels` `(n,)`; NaN without one."""
    prototypes, classes = classification.class_prototypes(anchors.features, anchors.labels[labelling])
    found = classification.zero_shot(queries.features, labels, prototypes, classes)["correct"]
    return pd.Series(found.to_numpy(float, na_value=np.nan), index=queries.ids)
