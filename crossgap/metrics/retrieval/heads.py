"""The first items of a query's ranking, and how its similarities to right and to other items are distributed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap.metrics.retrieval.bias import Bias, columns, with_column
from crossgap.metrics.retrieval.counting import PLACE_BITS, STEPS
from crossgap.metrics.retrieval.relevance import RelevanceLists
from crossgap.prepared.judgements import IGNORED

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64, Real

LOWEST, BINS = -2.0, 400  # steps of 0.01, for cosines with a bias too
QUERIES_AT_ONCE, ITEMS_AT_ONCE = 256, 2**12  # items are made exact once for all queries of a chunk
_LAST = np.iinfo(np.int64).max


class Head(NamedTuple):
    """Of one query.

    Attributes:
        items: `(k,)`, places in the gallery, the nearest first; fewer where the gallery has no more.
        relevant: `(k,)`.
        scores: `(k,)`, cosine similarities, with their bias where there is one.
        matching, other: `(BINS,)`, relevant and other items of the gallery by their score, in equal steps from LOWEST.
    """

    items: Int64[np.ndarray, " k"]
    relevant: Bool[np.ndarray, " k"]
    scores: Float64[np.ndarray, " k"]
    matching: Int64[np.ndarray, " bins"]
    other: Int64[np.ndarray, " bins"]


def heads(
    queries: Real[np.ndarray, "n d"],
    gallery: Real[np.ndarray, "m d"],
    relevance: RelevanceLists,
    k: int,
    bias: Bias | None = None,
) -> Iterator[Head]:
    """A head for each query, ranked as by `retrieval_metrics`; ignored items are in none.

    Args:
        queries: `(n, d)`, NumPy, few: each block of them goes over the whole gallery.
        gallery: `(m, d)`.
        relevance: of the n queries.
        k: items in a head, at most.
        bias: as of `retrieval_metrics`.

    Raises:
        ValueError: features or a bias that cannot be used.
    """
    asked, held = (None, None) if bias is None else columns(bias, len(queries), len(gallery))
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        chunk = slice(start, min(start + QUERIES_AT_ONCE, len(queries)))
        rows = with_column(queries[chunk], None if asked is None else asked[chunk])
        yield from _of_chunk(rows, gallery, held, relevance, chunk, k)


def _of_chunk(
    rows: Float64[np.ndarray, "n width"],
    gallery: Real[np.ndarray, "m d"],
    held: Float64[np.ndarray, " m"] | None,
    relevance: RelevanceLists,
    chunk: slice,
    k: int,
) -> Iterator[Head]:
    count, pairs = len(rows), relevance.pairs(chunk)
    first = np.full((count, k), _LAST), np.zeros((count, k), np.int64)  # steps and places, the nearest first
    matching, every = np.zeros((2, count * BINS), np.int64)
    for start in range(0, len(gallery), ITEMS_AT_ONCE):
        block = slice(start, start + ITEMS_AT_ONCE)
        scores = rows @ with_column(gallery[block], None if held is None else held[block]).T
        inside = (pairs.item >= start) & (pairs.item < start + scores.shape[1])
        query, place, grade = pairs.query[inside], pairs.item[inside] - start, pairs.grade[inside]
        bins = np.clip(((scores - LOWEST) * 100).astype(np.int64), 0, BINS - 1)
        bins += np.arange(0, count * BINS, BINS)[:, None]
        at = bins[query, place]
        every += np.bincount(bins.ravel(), minlength=count * BINS)
        every -= np.bincount(at[grade == IGNORED], minlength=count * BINS)
        matching += np.bincount(at[grade != IGNORED], minlength=count * BINS)
        steps = np.rint(scores * -STEPS).astype(np.int64)
        keys = (steps << PLACE_BITS) + np.arange(scores.shape[1])
        keys[query[grade == IGNORED], place[grade == IGNORED]] = _LAST
        if k < keys.shape[1]:
            keys = np.partition(keys, k - 1, axis=1)[:, :k]
        first = _merged(first, keys, start, k)
    relevant = {(q, i) for q, i, g in zip(*map(np.ndarray.tolist, pairs), strict=True) if g != IGNORED}
    for row in range(count):
        there = first[0][row] != _LAST
        items = first[1][row][there]
        own = slice(row * BINS, (row + 1) * BINS)
        yield Head(
            items,
            np.array([(row, item) in relevant for item in items.tolist()], bool),
            first[0][row][there] / -STEPS,
            matching[own],
            every[own] - matching[own],
        )


def _merged(
    first: tuple[np.ndarray, np.ndarray], keys: np.ndarray, start: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first k of what was found before and of a block's keys `(n, j)`, whose places count from `start`."""
    gone = keys == _LAST
    steps = np.concatenate([first[0], np.where(gone, _LAST, keys >> PLACE_BITS)], axis=1)
    places = np.concatenate([first[1], (keys & ((1 << PLACE_BITS) - 1)) + start], axis=1)
    order = np.lexsort([places, steps], axis=1)[:, :k]
    return np.take_along_axis(steps, order, axis=1), np.take_along_axis(places, order, axis=1)
