"""Distance of two clouds as if they were Gaussian: what their means and what their covariances add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap.metrics.gap.clouds import clouds

if TYPE_CHECKING:
    from jaxtyping import Real

    from crossgap.arrays import Features


class Frechet(NamedTuple):
    """Squared Fréchet distance in its two parts, and the traces of both covariances."""

    mean: float
    covariance: float
    trace_x: float
    trace_y: float

    @property
    def total(self) -> float:
        return self.mean + self.covariance


def frechet(x: Real[Features, "n d"], y: Real[Features, "m d"]) -> Frechet:
    """‖m_x − m_y‖² + tr(C_x + C_y − 2 (C_x C_y)^½) of the unit rows of `x` `(n, d)` and `y` `(m, d)`.

    Covariances are divided by n − 1 and m − 1 (Dowson and Landau, 1982). The trace of the root is the nuclear norm of
    the product of two factors of the covariances, so it needs no root of a matrix. Taking the means away leaves the
    covariance part as it is; making rows of unit length again changes it.

    Raises:
        UnavailableError: fewer than 2 rows on a side.
    """
    x, y = clouds(x, y, "covariance")
    apart = x.mean(axis=0) - y.mean(axis=0)
    factors = [np.linalg.qr(rows - rows.mean(axis=0), mode="r") / np.sqrt(len(rows) - 1) for rows in (x, y)]
    traces = [float(np.square(factor).sum()) for factor in factors]
    root = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    return Frechet(float(apart @ apart), float(max(sum(traces) - 2 * root, 0)), *traces)
