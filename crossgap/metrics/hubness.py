"""Hubs: gallery items that are near to many queries, and scores that make up for them.

Similarities are exact (see `crossgap.arrays.exact_rows`), in blocks: memory does not grow with the pairs.

Sources: N_k and its skewness, Radovanović, Nanopoulos and Ivanović (JMLR 2010); NNN, Nearest Neighbor Normalization
(Chowdhury et al., EMNLP 2024); inverted softmax, Smith et al. (ICLR 2017); DIS of QB-Norm (Bogolin et al., CVPR 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap.arrays import check_widths, exact_rows
from crossgap.errors import UnavailableError
from crossgap.metrics.neighbours import blocks, nearest

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Real

    from crossgap.arrays import Features

NEIGHBOURS = 10


class Hubs(NamedTuple):
    """How unevenly the first places are shared out among a gallery's items.

    Attributes:
        skewness: of N_k over all items, 0 included: 0 or below for even shares, large where few items are hubs.
        largest: the largest N_k.
        never_found: share of items with N_k = 0.
    """

    skewness: float
    largest: int
    never_found: float


def occurrences(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    k: int = NEIGHBOURS,
    *,
    left_out: Int64[np.ndarray, " n"] | None = None,
    added: tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " m"]] | None = None,
) -> Int64[np.ndarray, " m"]:
    """N_k of each gallery item, `(m,)`: for how many queries it is among the k most similar items.

    Args:
        queries: `(n, d)`.
        gallery: `(m, d)`. Of equal similarities the first items count.
        left_out: `(n,)`, the place of the one gallery item that is no candidate for a query, -1 for none.
        added: columns as of `bias.columns`: what is added to the similarities.

    Raises:
        TypeError, ValueError: features that cannot be used; `UnavailableError` for a gallery all of which is found.
    """
    x, y = _pair(queries, gallery, ("queries", "gallery"))
    least = k + (left_out is not None)
    if len(y) <= least:
        raise UnavailableError(
            f"the {k} nearest of {len(y)} gallery items are all of them: give more than {least}"
        )
    counts = np.zeros(len(y), np.int64)
    for rows in blocks(len(x), len(y)):
        scores = x[rows] @ y.T
        if added is not None:
            scores += added[0][rows, None] * added[1]
        if left_out is not None:
            some = np.flatnonzero(left_out[rows] >= 0)
            scores[some, left_out[rows][some]] = -np.inf
        counts += nearest(scores, k).sum(axis=0)
    return counts


def hubs(counts: Int64[np.ndarray, " m"]) -> Hubs:
    """What `occurrences` `(m,)` say: skewness is m₃ / m₂^1.5 of population moments, NaN where all are equal."""
    apart = counts - counts.mean()
    spread = np.square(apart).mean()
    skewness = float((apart**3).mean() / spread**1.5) if spread > 0 else float("nan")
    return Hubs(skewness, int(counts.max()), float((counts == 0).mean()))


def nearest_bank(
    gallery: Real[Features, "m d"], bank: Real[Features, "b d"], k: int, alpha: float
) -> Float64[np.ndarray, " m"]:
    """NNN's bias of each gallery item, `(m,)`: −α times its mean similarity to the k most similar rows of the bank.

    Args:
        gallery: `(m, d)`.
        bank: `(b, d)`, queries; of fewer than k all count.
    """
    y, bank = _pair(gallery, bank, ("gallery", "bank"))
    k = min(k, len(bank))
    found = np.empty(len(y))
    for rows in blocks(len(y), len(bank)):
        scores = y[rows] @ bank.T
        greatest = np.partition(scores, len(bank) - k, axis=1)[:, len(bank) - k :]
        greatest.sort(axis=1)  # sums in one order
        found[rows] = greatest.mean(axis=1)
    return -alpha * found


def softmax_bank(
    gallery: Real[Features, "m d"], bank: Real[Features, "b d"], beta: float
) -> Float64[np.ndarray, " m"]:
    """The inverted softmax's bias of each gallery item, `(m,)`: −ln Σ_b exp(β s(b, item)) / β over the bank `(b, d)`.

    s + bias ranks as exp(β s) / Σ_b exp(β s(b, item)) does.
    """
    y, bank = _pair(gallery, bank, ("gallery", "bank"))
    found = np.empty(len(y))
    for rows in blocks(len(y), len(bank)):
        scores = beta * (y[rows] @ bank.T)
        peak = scores.max(axis=1)
        found[rows] = peak + np.log(np.exp(scores - peak[:, None]).sum(axis=1))
    return -found / beta


def firsts(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    left_out: Int64[np.ndarray, " n"] | None = None,
) -> Int64[np.ndarray, " n"]:
    """The place of the most similar gallery item of each query, `(n,)`, the first of equals; as `occurrences`."""
    x, y = _pair(queries, gallery, ("queries", "gallery"))
    found = np.empty(len(x), np.int64)
    for rows in blocks(len(x), len(y)):
        scores = x[rows] @ y.T
        if left_out is not None:
            some = np.flatnonzero(left_out[rows] >= 0)
            scores[some, left_out[rows][some]] = -np.inf
        found[rows] = scores.argmax(axis=1)
    return found


def _pair(
    x: Real[Features, "n d"], y: Real[Features, "m d"], names: tuple[str, str]
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]:
    x, y = exact_rows(x, names[0]), exact_rows(y, names[1])
    check_widths(x, y, names)
    return x, y
