"""A cell's tasks measured again at every point of a curve of changes, which are made to both modalities at once.

A point is a part of the evaluation by itself, but for retrieval across the modalities: one product gives that at all
points, so a task is a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pandas as pd

from crossgap.arrays import unit_rows
from crossgap.evaluation.gap import Sides
from crossgap.evaluation.items import Items
from crossgap.evaluation.predictions import class_prompts, correct
from crossgap.evaluation.queries import Task, across, comparisons
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import retrieval
from crossgap.metrics.gap import centroid_distance
from crossgap.metrics.retrieval.changed import ChangedSides, Side, changed_ranks
from crossgap.metrics.retrieval.scores import plain

if TYPE_CHECKING:
    from jaxtyping import Float64

COLUMNS = ["distance", "family", "task", "relevance", "metric", "value"]  # behind the points'
DISTANCE = "distance"  # the family of a part's row that says it
FAMILIES = ("loss", "retrieval", "classification")  # as the rows of a point are ordered


class ChangeOfBoth(Protocol):
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


class Curve(NamedTuple):
    """What is changed, point by point.

    Attributes:
        family: of its parts.
        column: that the points make in its table.
        points: by the names of their parts.
        at: words behind a task at a point, such as `at {:+.2f}`.
        changes: gives the change at each point, once one is asked for.
        by: the module whose curve it is.
    """

    family: str
    column: str
    points: Mapping[str, float]
    at: str
    changes: Callable[[], Mapping[float, ChangeOfBoth]]
    by: str


def over_points(
    work: Work, curve: Curve, found: Sides, of_sides: Callable[[Items, Items], list[Value]] | None = None
) -> pd.DataFrame:
    """The curve's column and `COLUMNS`, a row a point and number.

    Measured are retrieval across the modalities and from image to image, and zero-shot classification.

    Args:
        found: the sides whose means are `distance` apart after the change.
        of_sides: what is measured of the changed sides as well.
    """
    cell = work.cell
    retrieved = [
        work.part(
            curve.family,
            f"{task.name} at all points",
            partial(_across, work, curve, task),
            by=curve.by,
            points=list(curve.points.values()),
        )
        for task in across(cell)
    ]
    tables = []
    for name, point in curve.points.items():
        others = work.part(
            curve.family,
            name,
            partial(_at, work, curve, found, of_sides, point),
            by=curve.by,
            point=point,
            relevances=[[relevance.said for relevance in of.relevances] for of in comparisons(cell)],
            labellings=cell.labellings,
        )
        if others is not None:
            tables.append(_together(point, [table for table in retrieved if table is not None], others))
    tables = [table for table in tables if len(table)]
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["point", *COLUMNS])
    return whole.rename(columns={"point": curve.column})


def _together(point: float, retrieved: list[pd.DataFrame], others: pd.DataFrame) -> pd.DataFrame:
    is_distance = others["family"] == DISTANCE
    tables = [*(table[table["point"] == point] for table in retrieved), others[~is_distance]]
    names = list(Value._fields)
    values = [value for table in tables for value in table[names].itertuples(index=False, name=None)]
    rows = pd.DataFrame(values, columns=names).dropna(subset="value")
    rows = rows.sort_values("family", key=lambda family: family.map(FAMILIES.index), kind="stable")
    return rows.assign(point=point, distance=others.loc[is_distance, "value"].item())[["point", *COLUMNS]]


def _at(
    work: Work,
    curve: Curve,
    found: Sides,
    of_sides: Callable[[Items, Items], list[Value]] | None,
    point: float,
    reasons: Reasons,
) -> pd.DataFrame:
    """All but retrieval across the modalities, and how far the sides' means are apart."""
    change = curve.changes()[point]
    images, texts = change.images(found.images), change.texts(found.texts)
    values = [Value(DISTANCE, "", "", "", centroid_distance(images.features, texts.features))]
    if of_sides is not None:
        values += of_sides(images, texts)
    for name, measure in _measures(work, change):
        with reasons.of(curve.family, f"{name} {curve.at.format(point)}"):
            values += measure()
    return pd.DataFrame(values, columns=list(Value._fields))


def _measures(work: Work, change: ChangeOfBoth) -> Iterator[tuple[str, Callable[[], list[Value]]]]:
    """The names of what is measured within the images and by classes, and how."""
    cell = work.cell
    for comparison in comparisons(cell):
        if comparison.modality == "image":
            for relevance in comparison.relevances:
                task = Task(comparison.native, relevance, comparison.queries, comparison.gallery)
                yield task.words, partial(_retrieved, work, task, change, ("mAP",))
    images = cell.invertible(f"image/{cell.query}")
    if not images:
        return
    for labelling in cell.labellings_of(images):
        prompts = class_prompts(cell, labelling)
        if prompts is not None:
            yield f"image-text/{labelling}", partial(_classification, images, prompts, labelling, change)


def _retrieved(work: Work, task: Task, change: ChangeOfBoth, metrics: tuple[str, ...]) -> list[Value]:
    modalities = task.name.split("-")
    sides = (
        _of(change, modality)(items)
        for modality, items in zip(modalities, (task.queries, task.gallery), strict=True)
    )
    return _values(task, Task(task.name, task.relevance, *sides).table(work), metrics)


def _classification(images: Items, prompts: Items, labelling: str, change: ChangeOfBoth) -> list[Value]:
    right = correct(change.images(images), images.labels[labelling], change.texts(prompts), labelling)
    return [Value("classification", "image-text", labelling, "accuracy", float(right.mean()))]


def _across(work: Work, curve: Curve, task: Task, reasons: Reasons) -> pd.DataFrame:
    """recall@1 and mAP of a task across the modalities, with the `point`."""
    changes = curve.changes()
    tables, metrics = _tables(task, changes), ("recall@1", "mAP")
    rows = []
    for point, change in changes.items():
        with reasons.of(curve.family, f"{task.words} {curve.at.format(point)}"):
            if point in tables:
                values = _values(task, tables[point], metrics)
            else:
                values = _retrieved(work, task, change, metrics)
            rows += [(point, *value) for value in values]
    return pd.DataFrame(rows, columns=["point", *Value._fields])


def _tables(task: Task, changes: Mapping[float, ChangeOfBoth]) -> dict[float, pd.DataFrame]:
    """The metrics of each query by point; not of points whose features are to be changed, one by one."""
    sides = (task.queries, task.gallery)
    if len(task.gallery) < 2:
        return {}  # `Task.table` says why there are none
    unit = [unit_rows(side.features, dtype=np.float64) for side in sides]
    asked = [
        ChangedSides(*map(partial(side_of, change), task.name.split("-"), sides, unit, (True, False)))
        for change in changes.values()
    ]
    lists = task.relevance.lists(*sides, exclude_self=False)
    ranks = changed_ranks(unit[0], unit[1], lists, asked)
    return {
        point: plain(held, ks=(1,)) for point, held in zip(changes, ranks, strict=True) if held is not None
    }


def side_of(
    change: ChangeOfBoth, modality: str, items: Items, unit: Float64[np.ndarray, "n d"], asks: bool
) -> Side:
    """Queries (`asks`) or a gallery of a modality, and their unit rows `(n, d)`, as `changed_ranks` takes them."""
    features = items.having(items.features)
    return Side(
        *change.columns(unit, modality, asks),
        rows=lambda some: _of(change, modality)(features.where(some)).features,
    )


def _of(change: ChangeOfBoth, modality: str) -> Callable[[Items], Items]:
    return change.images if modality == "image" else change.texts


def _values(task: Task, table: pd.DataFrame, metrics: tuple[str, ...]) -> list[Value]:
    found = retrieval.summarise(table[["ap", "recall@1", "relevant"]])
    return [Value("retrieval", task.name, task.relevance.name, metric, found[metric]) for metric in metrics]
