"""Hubs: gallery items that are near to many queries, and scores that make up for them.

Similarities are exact (see `crossgap.metrics.exact.exact_rows`), in blocks: memory does not grow with the pairs.

Sources: N_k and its skewness, Radovanović, Nanopoulos and Ivanović (JMLR 2010); NNN, Nearest Neighbor Normalization
(Chowdhury et al., EMNLP 2024); inverted softmax, Smith et al. (ICLR 2017); DIS of QB-Norm (Bogolin et al., CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap.arrays import whole_number
from crossgap.errors import UnavailableError
from crossgap.metrics.exact import exact_pair
from crossgap.metrics.near import Rows, margins_of_scores, near_products
from crossgap.metrics.neighbours import blocks, most_similar
from crossgap.metrics.retrieval.counting import STEPS
from crossgap.metrics.threads import each, over_rows

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Real

    from crossgap.arrays import Features

NEIGHBOURS = 10
OfScores = Callable[[np.ndarray], np.ndarray]


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
    whole_number(k, "k", 1)
    x, y = exact_pair(queries, gallery, ("queries", "gallery"))
    least = k + (left_out is not None)
    if len(y) <= least:
        raise UnavailableError(
            f"the {k} nearest of {len(y)} gallery items are all of them: give more than {least}"
        )
    if added is not None:
        x, y = (
            np.concatenate([side, last[:, None]], axis=1) for side, last in zip((x, y), added, strict=True)
        )
    counts = np.zeros(len(y), np.int64)
    for _, found in most_similar(Rows(x), Rows(y), k, left_out):
        counts += np.bincount(found.ravel(), minlength=len(y))
    return counts


def hubs(counts: Int64[np.ndarray, " m"]) -> Hubs:
    """What `occurrences` `(m,)` say: skewness is m₃ / m₂^1.5 of population moments, NaN where all are equal."""
    apart = counts - counts.mean()
    spread = np.square(apart).mean()
    skewness = float((apart**3).mean() / spread**1.5) if spread > 0 else float("nan")
    return Hubs(skewness, int(counts.max()), float((counts == 0).mean()))


def of_bank(
    gallery: Real[Features, "m d"], bank: Real[Features, "b d"], rules: Sequence[OfScores]
) -> list[Float64[np.ndarray, " m"]]:
    """The bias of each gallery item by each of the rules, `(m,)` each, from one product.

    Args:
        gallery: `(m, d)`.
        bank: `(b, d)`, queries.
        rules: called with the similarities of some items to the bank, `(items, b)`, which they leave as they are.
    """
    y, bank = exact_pair(gallery, bank, ("gallery", "bank"))
    found = np.empty((len(rules), len(y)))
    for rows in blocks(len(y), len(bank)):
        scores, biases = y[rows] @ bank.T, found[:, rows]

        def of_some(part: slice, scores: np.ndarray = scores, biases: np.ndarray = biases) -> None:
            for rule, of_rule in zip(rules, biases, strict=True):
                of_rule[part] = rule(scores[part])

        each(of_some, len(scores), len(bank))
    return list(found)


def by_nearest(scores: Float64[np.ndarray, "m b"], k: int, alpha: float) -> Float64[np.ndarray, " m"]:
    """NNN's bias, `(m,)`: −α times the mean of the k greatest of an item's `scores` `(m, b)`; of fewer than k all
    count.
    """
    from crossgap.metrics.kernels import tiles as kernels

    greatest = np.empty((len(scores), min(k, scores.shape[1])))
    kernels.greatest_of(scores, greatest)
    return -alpha * np.ascontiguousarray(greatest[:, ::-1]).mean(axis=1)  # summed from the least


def by_softmax(scores: Float64[np.ndarray, "m b"], beta: float) -> Float64[np.ndarray, " m"]:
    """The inverted softmax's bias, `(m,)`: −ln Σ_b exp(β s(b, item)) / β over an item's `scores` `(m, b)`.

    s + bias ranks as exp(β s) / Σ_b exp(β s(b, item)) does.
    """
    scores = beta * scores
    peak = scores.max(axis=1)
    scores -= peak[:, None]
    return -(peak + np.log(np.exp(scores, out=scores).sum(axis=1))) / beta


def firsts(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    left_out: Int64[np.ndarray, " n"] | None = None,
) -> Int64[np.ndarray, " n"]:
    """The place of the most similar gallery item of each query, `(n,)`, the first of equals; as `occurrences`."""
    x, y = exact_pair(queries, gallery, ("queries", "gallery"))
    return firsts_of(Rows(x), Rows(y), left_out)


def firsts_of(x: Rows, y: Rows, left_out: Int64[np.ndarray, " n"] | None = None) -> Int64[np.ndarray, " n"]:
    """`firsts` of `exact_rows`."""
    return np.concatenate([found[:, 0] for _, found in most_similar(x, y, 1, left_out)])


def first_ranked(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    added: Sequence[Float64[np.ndarray, " m"]],
) -> list[Int64[np.ndarray, " n"]]:
    """The place of the gallery item that each query ranks first, `(n,)`, by each of several biases, from one product.

    As `retrieval_metrics` ranks: in steps of 2⁻³⁰, the first of equals. A bias is a whole number of steps, and an even
    one, so it may be added after rounding.

    Args:
        queries: `(n, d)`.
        gallery: `(m, d)`.
        added: the gallery's column as of `bias.columns`; −∞ leaves an item out, and one at least is left.
    """
    from crossgap.metrics.kernels import tiles as kernels

    asking, items = exact_pair(queries, gallery, ("queries", "gallery"))
    asking *= STEPS
    x, y = Rows(asking), Rows(items)
    near = near_products(x, y)
    margins = [
        margins_of_scores(near, x, y, np.full(len(x), STEPS), np.where(np.isinf(held), 0, held)) + 0.5
        for held in added
    ]
    found = np.empty((len(added), len(x)), np.int64)
    for rows in blocks(len(x), len(y) // 4):
        mine, tile = x.exact[rows], near.tile(rows)
        for held, margin, firsts in zip(added, margins, found, strict=True):
            of_rows = tile, mine, margin[rows], firsts[rows]
            over_rows(kernels.first_ranked, of_rows, (y.exact, STEPS * held))
    return list(found)
