"""What is added to similarities before they are ranked: a number for each gallery item, for some of the queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap.errors import UnavailableError
from crossgap.metrics.exact import GRID, exact_of

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

LARGEST = 1 - 2.0**-10  # so that a similarity and its bias together stay below 2, where float64 is exact


class Bias(NamedTuple):
    """Ranked are similarities + `queries` × `gallery`.

    Attributes:
        queries: `(n,)` of bool, the queries that are ranked with the bias; the others are ranked without.
        gallery: `(m,)`, what is added for each gallery item.
    """

    queries: np.ndarray
    gallery: np.ndarray


def columns(
    bias: Bias, queries: int, gallery: int
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " m"]]:
    """One more column of the queries' and of the gallery's `exact_rows`, whose product is the bias.

    What a query adds to all items alike changes no rank, so the gallery's are first shifted to lie about 0. They are
    multiples of 2⁻²⁶ as all entries are, and below 1: each product is a multiple of 2⁻⁵² and each sum below 2, which
    float64 holds without rounding. So a ranking with a bias is as exact as one without.

    Raises:
        TypeError, ValueError: no `Bias`, another number of either, values that are not finite; `UnavailableError` for
            gallery biases that lie 2 apart or more, as far as two similarities can.
    """
    if not isinstance(bias, Bias):
        raise TypeError(f"bias is {type(bias).__name__}: give what the scoring of a correction gives, a Bias")
    flags, values = np.asarray(bias.queries), np.asarray(bias.gallery, np.float64)
    if flags.shape != (queries,) or flags.dtype != bool or values.shape != (gallery,):
        raise ValueError(
            f"bias has queries of shape {flags.shape} and {flags.dtype}, and gallery of shape {values.shape}: give a "
            f"bool for each of {queries} queries and a number for each of {gallery} items"
        )
    if not np.isfinite(values).all():
        raise ValueError("bias.gallery holds NaN or infinity: give a number for each item")
    values = np.rint((values - (values.min() + values.max()) / 2) * GRID) / GRID
    if np.abs(values).max() > LARGEST:
        raise UnavailableError(
            f"biases of the gallery lie {2 * np.abs(values).max():.3g} apart, and similarities at most 2: "
            "nothing but the bias would be ranked"
        )
    return flags.astype(np.float64), values


def with_column(
    features: Real[np.ndarray, "n d"],
    last: Float64[np.ndarray, " n"] | None,
    out: Float64[np.ndarray, "n width"] | None = None,
) -> Float64[np.ndarray, "n width"]:
    """`exact_of`, with one more column `last` (of `columns`) if there is one."""
    if out is None:
        out = np.empty((len(features), features.shape[1] + (last is not None)))
    exact_of(features, out)
    if last is not None:
        out[:, -1] = last
    return out
