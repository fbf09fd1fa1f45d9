"""A cell's tasks without the dimensions in which the means of the modalities differ most.

Source: Two Effects, One Trigger (Schrodi et al., ICLR 2025, arXiv 2404.07983); see `crossgap.metrics.gap.dimensions`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from crossgap.evaluation import changes
from crossgap.evaluation.changes import Curve, over_points
from crossgap.evaluation.gap import sides
from crossgap.evaluation.items import Items
from crossgap.evaluation.work import Work
from crossgap.metrics.gap.dimensions import by_mean_difference, without

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

COLUMNS = ["removed", *changes.COLUMNS]


def over_dimensions(work: Work) -> pd.DataFrame:
    """`COLUMNS`, a row a number of `removed` dimensions and measure; without rows where the cell has no gap.

    Dimensions go in the order of how far the means of the cell's `sides` differ in them: none, then 1, 2, 4 and so on
    to half of them. All features lose the same ones. Measured are the tasks of `shifts.over_shifts`; `distance` is that
    of the sides' means.
    """
    found = sides(work.cell)
    if found is None or not len(found.images) or not len(found.texts):
        return pd.DataFrame(columns=COLUMNS)
    counts = numbers(found.images.width)

    def cut() -> dict[float, _Cut]:
        order = by_mean_difference(found.images.features, found.texts.features)
        return {number: _Cut(order[:number]) for number in counts}

    points = {f"{number:05} removed": number for number in counts}
    return over_points(
        work, Curve("dimensions", "removed", points, "without {}", cache(cut), __name__), found
    )


def numbers(width: int) -> list[int]:
    """How many of so many dimensions are removed, a point after the other."""
    return [0, *(2**power for power in range(width.bit_length()) if 2**power <= width // 2)]


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
