"""How the variance of a cloud of unit features spreads over its principal components."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features

ONE_POINT = 1e-14  # distances of unit rows to their mean below this are rounding


def explained_variance(x: Real[Features, "n d"]) -> Float64[np.ndarray, " components"]:
    """Share of the variance of the centred unit rows of `x` `(n, d)` by principal component, `(min(n, d),)`.

    Falling, of sum 1; all NaN where the rows are one point, which has no variance to share.
    """
    x = unit_rows(x, "x", np.float64)
    x -= x.mean(axis=0)
    total = np.square(x).sum()
    if total <= len(x) * ONE_POINT**2:
        return np.full(min(x.shape), math.nan)
    # The smaller of the two matrices that have the squared singular values as eigenvalues.
    products = x @ x.T if len(x) < x.shape[1] else x.T @ x
    variances = np.clip(np.linalg.eigvalsh(products)[::-1], 0, None)
    return variances / variances.sum()


def effective_rank(x: Real[Features, "n d"]) -> float:
    """exp of the entropy of `explained_variance`: over how many principal components the variance is spread.

    From 1, all on a line, to min(n - 1, d), spread evenly. NaN where the rows are one point.

    The effective rank of Roy and Vetterli (EUSIPCO 2007), which they define by the shares of the singular values,
    while the shares here are those of the variances, their squares, of the centred rows: large directions count for
    more, so the number is lower.
    """
    shares = explained_variance(x)
    shares = shares[shares != 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
