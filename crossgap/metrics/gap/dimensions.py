"""Clouds without the dimensions in which their means differ most.

Source: Two Effects, One Trigger (Schrodi et al., ICLR 2025, arXiv 2404.07983): few embedding dimensions carry most of
the distance of the means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import in_numpy, places_of, unit_rows
from crossgap.metrics.gap.shifts import gap_vector

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, Real

    from crossgap.arrays import Features


def by_mean_difference(x: Real[Features, "n d"], y: Real[Features, "m d"]) -> Int64[np.ndarray, " d"]:
    """The dimensions of `x` `(n, d)` and `y` `(m, d)`, `(d,)`, those of the largest differences of means first."""
    return np.argsort(-np.abs(gap_vector(x, y)), kind="stable")


def without(
    x: Real[Features, "n d"], dimensions: Int64[np.ndarray, " k"], name: str = "x"
) -> Float[np.ndarray, "n left"]:
    """The unit rows of `x` `(n, d)` with some of the d `dimensions` taken out, of unit length again: `(n, d − k)`.

    Raises:
        TypeError, ValueError: features or dimensions that cannot be used.
    """
    rows, dimensions = unit_rows(x, name, np.float64), in_numpy(dimensions)
    dimensions = places_of(dimensions, "dimensions", dimensions.size, rows.shape[1])
    return unit_rows(np.delete(rows, dimensions, axis=1), f"{name}, cut,")
