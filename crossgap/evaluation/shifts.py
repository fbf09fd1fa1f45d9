"""The gap-shift curve of a cell: its tasks measured again with both clouds moved along the gap vector.

Source: Mind the Gap (Liang et al., NeurIPS 2022, arXiv 2203.02053, section 4.2); see `crossgap.metrics.gap.shifts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from crossgap.arrays import unit_rows
from crossgap.evaluation.cell import Cell
from crossgap.evaluation.gap import Sides, sides
from crossgap.evaluation.items import Items
from crossgap.evaluation.predictions import class_prompts, correct
from crossgap.evaluation.queries import Task, across, comparisons
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import retrieval
from crossgap.metrics.gap import centroid_distance, gap_vector, moved

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

SHIFTS = tuple(
    float(amount) for amount in np.arange(-4, 9) / 4
)  # of the gap: 0 as it is, 1 closed, 2 swapped
TEMPERATURE = 0.01  # CLIP's own at the end of its training
PAIRS = 2048  # that the loss is taken over, at most
COLUMNS = ["shift", "distance", "family", "task", "relevance", "metric", "value"]


_Mover = Callable[[Items], Items]


class Moved(Protocol):
    """What is done to either modality."""

    def images(self, items: Items) -> Items: ...

    def texts(self, items: Items) -> Items: ...


class Value(NamedTuple):
    """A number of a task."""

    family: str
    task: str
    relevance: str
    metric: str
    value: float


def over_shifts(work: Work) -> pd.DataFrame:
    """`COLUMNS`, a row a shift and number; without rows where the cell has no gap.

    The gap vector is that between the cell's `sides`, and so is `distance`, what the shift leaves of the distance of
    their means. All images move by one half of the shift, all captions and class prompts by the other. Then are
    measured: the contrastive loss of matching pairs (of at most `PAIRS`, as one batch), retrieval across the
    modalities and from image to image, and zero-shot classification.
    """
    found = sides(work.cell)
    if found is None:
        return pd.DataFrame(columns=COLUMNS)
    gap = cache(lambda: gap_vector(found.images.features, found.texts.features))
    points = {f"{shift:+.2f}": shift for shift in SHIFTS}
    return over_points(work, "shift", points, partial(_at, work, found, gap), COLUMNS, by=__name__)


def over_points(
    work: Work,
    family: str,
    points: Mapping[str, float],
    at: Callable[[Any, Reasons], pd.DataFrame],
    columns: list[str],
    *,
    by: str,
) -> pd.DataFrame:
    """The tables of `columns` that `at` makes of named points, one after the other; a point is a part by itself."""
    cell = work.cell
    tables = [
        work.part(
            family,
            name,
            partial(at, point),
            by=by,
            point=point,
            relevances=[[relevance.said for relevance in of.relevances] for of in comparisons(cell)],
            labellings=cell.labellings,
        )
        for name, point in points.items()
    ]
    tables = [table for table in tables if table is not None and len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _at(
    work: Work, found: Sides, gap: Callable[[], np.ndarray], shift: float, reasons: Reasons
) -> pd.DataFrame:
    at = _Shifted(-shift / 2 * gap(), shift / 2 * gap())
    images, texts = at.images(found.images), at.texts(found.texts)
    distance = centroid_distance(images.features, texts.features)
    values = []
    if found.paired:
        loss = contrastive_loss(images.sample(PAIRS).features, texts.sample(PAIRS).features)
        values.append(Value("loss", "image-text", "group", "contrastive", loss))
    for name, measure in measures(work, at):
        with reasons.of("shift", f"{name} at {shift:+.2f}"):
            values += measure()
    rows = [(shift, distance, *value) for value in values if not np.isnan(value.value)]
    return pd.DataFrame(rows, columns=COLUMNS)


def measures(work: Work, at: Moved) -> Iterator[tuple[str, Callable[[], list[Value]]]]:
    """The names of what is measured of moved features, and how; these are made when they are asked for."""
    cell = work.cell
    for task, metrics, movers in _retrievals(cell, at):
        yield task.words, partial(_retrieval, task, movers, metrics, work)
    images = cell.invertible(f"image/{cell.query}")
    if not images:
        return
    for labelling in cell.labellings_of(images):
        prompts = class_prompts(cell, labelling)
        if prompts is not None:
            yield f"image-text/{labelling}", partial(_classification, images, prompts, labelling, at)


def contrastive_loss(x: Real[np.ndarray, "n d"], y: Real[np.ndarray, "n d"]) -> float:
    """CLIP's loss of the matching rows of `x` and `y`, both `(n, d)`: the mean cross entropy of finding a row's partner
    among all rows of the other side by cosine / `TEMPERATURE`, over both ways. In float64.
    """
    logits = unit_rows(x, "x", np.float64) @ unit_rows(y, "y", np.float64).T / TEMPERATURE
    matching = logits.diagonal().mean()
    np.exp(logits, out=logits)  # logits from -100 to 100 neither overflow nor vanish
    return float(np.mean([np.log(logits.sum(axis=axis)).mean() for axis in (0, 1)]) - matching)


class _Shifted(NamedTuple):
    """By what either modality is moved."""

    images_by: Float64[np.ndarray, " d"]
    texts_by: Float64[np.ndarray, " d"]

    def images(self, items: Items) -> Items:
        return items.having(moved(items.features, self.images_by, "images"))

    def texts(self, items: Items) -> Items:
        return items.having(moved(items.features, self.texts_by, "texts"))


def _retrievals(cell: Cell, at: Moved) -> Iterator[tuple[Task, tuple[str, ...], tuple[_Mover, _Mover]]]:
    """recall@1 and mAP across the modalities, mAP from image to image by every relevance; and what moves each side."""
    for task in across(cell):
        sides = (at.texts, at.images) if task.name == "text-image" else (at.images, at.texts)
        yield task, ("recall@1", "mAP"), sides
    for comparison in comparisons(cell):
        if comparison.modality == "image":
            for relevance in comparison.relevances:
                task = Task(comparison.native, relevance, comparison.queries, comparison.gallery)
                yield task, ("mAP",), (at.images, at.images)


def _retrieval(
    task: Task, movers: tuple[_Mover, _Mover], metrics: tuple[str, ...], work: Work
) -> list[Value]:
    at = Task(task.name, task.relevance, movers[0](task.queries), movers[1](task.gallery))
    found = retrieval.summarise(at.table(work)[["ap", "recall@1", "relevant"]])
    return [Value("retrieval", task.name, task.relevance.name, metric, found[metric]) for metric in metrics]


def _classification(images: Items, prompts: Items, labelling: str, at: Moved) -> list[Value]:
    right = correct(at.images(images), images.labels[labelling], at.texts(prompts), labelling)
    return [Value("classification", "image-text", labelling, "accuracy", float(right.mean()))]
