"""Clouds moved along the vector that separates them.

Source: Mind the Gap (Liang et al., NeurIPS 2022, arXiv 2203.02053, section 4.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import check_widths, real_array, real_number, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features


def gap_vector(x: Real[Features, "n d"], y: Real[Features, "m d"]) -> Float64[np.ndarray, " d"]:
    """mean x − mean y of the unit rows of `x` `(n, d)` and `y` `(m, d)`, `(d,)`."""
    x, y = unit_rows(x, "x", np.float64), unit_rows(y, "y", np.float64)
    check_widths(x, y, ("x", "y"))
    return x.mean(axis=0) - y.mean(axis=0)


def moved(x: Real[Features, "n d"], by: Real[Features, " d"], name: str = "x") -> Float64[np.ndarray, "n d"]:
    """The unit rows of `x` `(n, d)` moved by a vector `(d,)`, each to unit length again.

    Raises:
        TypeError, ValueError: features or a vector that cannot be used, or a row that ends at the origin, where it has
            no direction.
    """
    rows, by = unit_rows(x, name, np.float64), real_array(by, "by", "(d,)")
    if by.shape != rows.shape[1:]:
        raise ValueError(f"by has shape {by.shape}: give one entry a column of {name}, {rows.shape[1:]}")
    return unit_rows(rows + by, f"{name}, moved,")


def shifted(
    x: Real[Features, "n d"], y: Real[Features, "m d"], amount: float
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]:
    """Both clouds moved along their gap vector Δ: unit rows x − amount/2 · Δ and y + amount/2 · Δ.

    An amount of 0 leaves them, 1 closes the gap (before rows are made unit length again, the means coincide), 2 swaps
    the sides and -1 doubles the gap. The paper moves by λΔ on either side: its λ is half the amount.

    Args:
        x: `(n, d)`.
        y: `(m, d)`.
        amount: of the gap.

    Raises:
        TypeError, ValueError: features or an amount that cannot be used, or a row that ends at the origin.
    """
    real_number(amount, "amount")
    half = amount / 2 * gap_vector(x, y)
    return moved(x, -half, "x"), moved(y, half, "y")
