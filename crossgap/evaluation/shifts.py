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
from crossgap.metrics.retrieval.changed import ChangedSides, Side, changed_ranks
from crossgap.metrics.retrieval.scores import plain

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

# of the gap: 0 as it is, 1 closed, 2 swapped
SHIFTS = tuple(float(amount) for amount in np.arange(-4, 9) / 4)
TEMPERATURE = 0.01  # CLIP's own at the end of its training
PAIRS = 2048  # that the loss is taken over, at most
COLUMNS = ["shift", "distance", "family", "task", "relevance", "metric", "value"]


_Mover = Callable[[Items], Items]


class Moved(Protocol):
    """What is done to either modality."""

    def images(self, items: Items) -> Items: ...

    def texts(self, items: Items) -> Items: ...

    def columns(
        self, unit: Float64[np.ndarray, "n d"], modality: str, asks: bool
    ) -> tuple[Float64[np.ndarray, "n k"], Float64[np.ndarray, " n"]]:
        """`changed.Side.columns` and `norms` of the unit rows of queries (`asks`) or of a gallery."""
        ...


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
    changes = ChangeCurve(
        lambda: {shift: _Shifted(-shift / 2 * gap(), shift / 2 * gap()) for shift in SHIFTS}
    )
    points = {f"{shift:+.2f}": shift for shift in SHIFTS}
    return over_points(work, "shift", points, partial(_at, work, found, changes), COLUMNS, by=__name__)


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


def _at(work: Work, found: Sides, changes: ChangeCurve, shift: float, reasons: Reasons) -> pd.DataFrame:
    at = changes.of(shift)
    images, texts = at.images(found.images), at.texts(found.texts)
    distance = centroid_distance(images.features, texts.features)
    values = []
    if found.paired:
        loss = contrastive_loss(images.sample(PAIRS).features, texts.sample(PAIRS).features)
        values.append(Value("loss", "image-text", "group", "contrastive", loss))
    for name, measure in measures(work, changes, shift):
        with reasons.of("shift", f"{name} at {shift:+.2f}"):
            values += measure()
    rows = [(shift, distance, *value) for value in values if not np.isnan(value.value)]
    return pd.DataFrame(rows, columns=COLUMNS)


def measures(
    work: Work, changes: ChangeCurve, point: float
) -> Iterator[tuple[str, Callable[[], list[Value]]]]:
    """The names of what is measured of moved features, and how; these are made when they are asked for."""
    cell, at = work.cell, changes.of(point)
    for task, metrics, movers in _retrievals(cell, at):
        yield task.words, partial(_retrieval, task, movers, metrics, work, changes, point)
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


class ChangeCurve:
    """What is done at each of the points of a curve, and retrievals across the modalities at all of them at once.

    Args:
        at: gives them, once one is asked for.
    """

    def __init__(self, at: Callable[[], Mapping[float, Moved]]) -> None:
        self._at = cache(at)
        self._tables: dict[str, dict[float, pd.DataFrame | None]] = {}

    def of(self, point: float) -> Moved:
        return self._at()[point]

    def table(self, task: Task, point: float) -> pd.DataFrame | None:
        """The metrics of each query of a task across the modalities; None where the features are to be changed."""
        if len(task.gallery) < 2:
            return None  # `Task.table` says why there are none
        if task.name not in self._tables:
            sides = (task.queries, task.gallery)
            unit = [unit_rows(side.features, dtype=np.float64) for side in sides]
            changes = [
                ChangedSides(*map(partial(_side, at), task.name.split("-"), sides, unit, (True, False)))
                for at in self._at().values()
            ]
            lists = task.relevance.lists(*sides, exclude_self=False)
            ranks = changed_ranks(unit[0], unit[1], lists, changes)
            tables = [None if held is None else plain(held, ks=(1,)) for held in ranks]
            self._tables[task.name] = dict(zip(self._at(), tables, strict=True))
        return self._tables[task.name][point]


def _side(at: Moved, modality: str, items: Items, unit: Float64[np.ndarray, "n d"], asks: bool) -> Side:
    mover = at.images if modality == "image" else at.texts
    features = items.having(items.features)
    return Side(*at.columns(unit, modality, asks), rows=lambda some: mover(features.where(some)).features)


class _Shifted(NamedTuple):
    """By what either modality is moved."""

    images_by: Float64[np.ndarray, " d"]
    texts_by: Float64[np.ndarray, " d"]

    def images(self, items: Items) -> Items:
        return items.having(moved(items.features, self.images_by, "images"))

    def texts(self, items: Items) -> Items:
        return items.having(moved(items.features, self.texts_by, "texts"))

    def columns(
        self, unit: Float64[np.ndarray, "n d"], modality: str, asks: bool
    ) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, " n"]]:
        """(u + a) · (v + b) = u · v + (u · b + a · b / 2) + (v · a + a · b / 2)."""
        own, other = (
            (self.images_by, self.texts_by) if modality == "image" else (self.texts_by, self.images_by)
        )
        added, ones = unit @ other + own @ other / 2, np.ones(len(unit))
        norms = np.sqrt(np.clip(1 + 2 * (unit @ own) + own @ own, 0, None))
        return np.stack([added, ones] if asks else [ones, added], axis=1), norms


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
    task: Task,
    movers: tuple[_Mover, _Mover],
    metrics: tuple[str, ...],
    work: Work,
    changes: ChangeCurve,
    point: float,
) -> list[Value]:
    table = None if task.within else changes.table(task, point)
    if table is None:
        at = Task(task.name, task.relevance, movers[0](task.queries), movers[1](task.gallery))
        table = at.table(work)
    found = retrieval.summarise(table[["ap", "recall@1", "relevant"]])
    return [Value("retrieval", task.name, task.relevance.name, metric, found[metric]) for metric in metrics]


def _classification(images: Items, prompts: Items, labelling: str, at: Moved) -> list[Value]:
    right = correct(at.images(images), images.labels[labelling], at.texts(prompts), labelling)
    return [Value("classification", "image-text", labelling, "accuracy", float(right.mean()))]
