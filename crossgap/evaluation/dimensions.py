"""A cell's tasks without the dimensions in which the means of the modalities differ most.

Source: Two Effects, One Trigger (Schrodi et al., ICLR 2025, arXiv 2404.07983); see `crossgap.metrics.gap.dimensions`.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from crossgap.evaluation.gap import Sides, sides
from crossgap.evaluation.items import Items
from crossgap.evaluation.shifts import ChangeCurve, measures, over_points
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics.gap import centroid_distance
from crossgap.metrics.gap.dimensions import by_mean_difference, without

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

COLUMNS = ["removed", "distance", "family", "task", "relevance", "metric", "value"]


def over_dimensions(work: Work) -> pd.DataFrame:
    """`COLUMNS`, a row a number of `removed` dimensions and measure; without rows where the cell has no gap.

    Dimensions go in the order of how far the means of the cell's `sides` differ in them: none, then 1, 2, 4 and so on
    to half of them. All features lose the same ones. Measured are the tasks of `shifts.over_shifts`; `distance` is that
    of the sides' means.
    """
    found = sides(work.cell)
    if found is None or not len(found.images) or not len(found.texts):
        return pd.DataFrame(columns=COLUMNS)
    order = cache(lambda: by_mean_difference(found.images.features, found.texts.features))
    counts = numbers(found.images.width)
    changes = ChangeCurve(lambda: {number: _Cut(order()[:number]) for number in counts})
    points = {f"{number:05} removed": number for number in counts}
    return over_points(work, "dimensions", points, partial(_at, work, found, changes), COLUMNS, by=__name__)


def numbers(width: int) -> list[int]:
    """How many of so many dimensions are removed, a point after the other."""
    return [0, *(2**power for power in range(width.bit_length()) if 2**power <= width // 2)]


def _at(work: Work, found: Sides, changes: ChangeCurve, number: int, reasons: Reasons) -> pd.DataFrame:
    at = changes.of(number)
    distance = centroid_distance(at.images(found.images).features, at.texts(found.texts).features)
    values = []
    for name, measure in measures(work, changes, number):
        with reasons.of("dimensions", f"{name} without {number}"):
            values += measure()
    rows = [(number, distance, *value) for value in values if not np.isnan(value.value)]
    return pd.DataFrame(rows, columns=COLUMNS)


class _Cut(NamedTuple):
    """The dimensions that both modalities lose."""

    dimensions: Int64[np.ndarray, " k"]

    def images(self, items: Items) -> Items:
        return items.having(without(items.features, self.dimensions, "images"))

    def texts(self, items: Items) -> Items:
        return items.having(without(items.features, self.dimensions, "texts"))

    def columns(
        self, unit: Float64[np.ndarray, "n d"], modality: str, asks: bool
    ) -> tuple[Float64[np.ndarray, "n k"], Float64[np.ndarray, " n"]]:
        """What the removed dimensions add to a product is taken off it."""
        removed = unit[:, self.dimensions]
        return -removed if asks else removed, np.sqrt(np.clip(1 - np.square(removed).sum(axis=1), 0, None))
