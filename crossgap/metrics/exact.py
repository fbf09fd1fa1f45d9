"""Exact rows: unit rows whose inner products are one number, however they are added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import check_widths, checked_features

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features

GRID = 2.0**26
ENTRIES_AT_ONCE = 2**16  # in a core's cache
SQUARES = (2.0**-600, 2.0**600)  # sums of squares that are surely neither cut off nor infinite


def exact_rows(features: Real[Features, "n d"], name: str = "features") -> Float64[np.ndarray, "n d"]:
    """Unit rows in float64, rounded to multiples of 2⁻²⁶, so that their inner products are exact.

    A product of two entries is a multiple of 2⁻⁵² and every partial sum is below 2, so float64 holds each
    one without rounding. The inner product of two rows is then one number, whatever the order of summation:
    block size, threads and BLAS cannot change it, and equal rows tie exactly. An inner product of unit rows
    moves by about 1e-8, less than the rounding of a product in float32. A row's entries depend neither on the rows
    beside it nor on the processor.

    Args:
        features: `(n, d)`, NumPy or torch (any device), real numbers of any width.
        name: what the errors call the array.

    Raises:
        TypeError, ValueError: as of `crossgap.arrays.unit_rows`.
    """
    return exact_of(checked_features(features, name))


def exact_pair(
    x: Real[Features, "n d"], y: Real[Features, "m d"], names: tuple[str, str] = ("x", "y")
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]:
    """`exact_rows` of `x` `(n, d)` and `y` `(m, d)`, which are called `names`; ValueError unless of one width."""
    x, y = exact_rows(x, names[0]), exact_rows(y, names[1])
    check_widths(x, y, names)
    return x, y


def exact_of(
    features: Real[np.ndarray, "n d"], out: Float64[np.ndarray, "n width"] | None = None
) -> Float64[np.ndarray, "n width"]:
    """`exact_rows` of what `checked_features` gave, into the first columns of `out` if given."""
    from crossgap.metrics.kernels import rows as kernels

    out = np.empty(features.shape) if out is None else out
    kind = np.float32 if features.dtype == np.float32 else np.float64
    step = max(1, ENTRIES_AT_ONCE // features.shape[1])
    for start in range(0, len(features), step):
        rows = np.array(features[start : start + step], kind, order="C")
        squares = np.empty(len(rows))
        kernels.exact_rows(rows, squares, out[start : start + step])
        for row in np.flatnonzero(~((squares > SQUARES[0]) & (squares < SQUARES[1]))):
            _, exponent = np.frexp(np.abs(rows[row]).max())
            scaled = np.ldexp(rows[None, row].astype(np.float64), -exponent)
            kernels.exact_rows(scaled, squares[:1], out[start + row : start + row + 1])
    return out
