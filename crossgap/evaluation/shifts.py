"""The gap-shift curve of a cell: its tasks measured again with both clouds moved along the gap vector.

Source: Mind the Gap (Liang et al., NeurIPS 2022, arXiv 2203.02053, section 4.2); see `crossgap.metrics.gap.shifts`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from crossgap.arrays import unit_rows
from crossgap.evaluation import changes
from crossgap.evaluation.changes import Curve, Value, over_points
from crossgap.evaluation.gap import sides
from crossgap.evaluation.items import Items
from crossgap.evaluation.work import Work
from crossgap.metrics.gap import gap_vector, moved

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

# of the gap: 0 as it is, 1 closed, 2 swapped
SHIFTS = tuple(float(amount) for amount in np.arange(-4, 9) / 4)
TEMPERATURE = 0.01  # CLIP's own at the end of its training
PAIRS = 2048  # that the loss is taken over, at most
COLUMNS = ["shift", *changes.COLUMNS]


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

    def shifted() -> dict[float, _Shifted]:
        gap = gap_vector(found.images.features, found.texts.features)
        return {shift: _Shifted(-shift / 2 * gap, shift / 2 * gap) for shift in SHIFTS}

    points = {f"{shift:+.2f}": shift for shift in SHIFTS}
    curve = Curve("shift", "shift", points, "at {:+.2f}", cache(shifted), __name__)
    return over_points(work, curve, found, _loss if found.paired else None)


def _loss(images: Items, texts: Items) -> list[Value]:
    loss = contrastive_loss(images.sample(PAIRS).features, texts.sample(PAIRS).features)
    return [Value("loss", "image-text", "group", "contrastive", loss)]


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
