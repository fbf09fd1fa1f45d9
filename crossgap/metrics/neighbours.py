"""The nearest items of each row, exactly: ties are broken by the items' order, whatever the size of a block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from crossgap.metrics.retrieval.counting import UNDECIDED, Rows, error_of_products

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Float64, Int64

ENTRIES_IN_A_BLOCK = 2**22
PAIRS_AT_ONCE = 2**17  # times the width: in a cache
GROUPS = 64  # times k, of a row's items


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Rows so many at a time that a block of `width` columns stays below `ENTRIES_IN_A_BLOCK`, but at least one."""
    step = max(1, ENTRIES_IN_A_BLOCK // max(width, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def nearest(scores: Float64[np.ndarray, "n m"], k: int) -> Bool[np.ndarray, "n m"]:
    """Which are the k greatest of each row of `scores` `(n, m)`, the first of equals: `(n, m)` of bool, k in each row.

    An item that is left out scores -inf.
    """
    last = scores.shape[1] - k
    if last <= 0:
        return np.ones(scores.shape, bool)
    least = np.partition(scores, last, axis=1)[:, last, None]
    found = scores >= least
    tied = np.flatnonzero(np.count_nonzero(found, axis=1) > k)
    if len(tied):
        above = scores[tied] > least[tied]
        equal = found[tied] & ~above
        missing = k - np.count_nonzero(above, axis=1)[:, None]
        found[tied] = above | (equal & (np.cumsum(equal, axis=1) <= missing))
    return found


def most_similar(
    x: Rows,
    y: Rows,
    k: int,
    left_out: Int64[np.ndarray, " n"] | None = None,
) -> Iterator[tuple[slice, Int64[np.ndarray, "rows k"]]]:
    """Blocks of rows of `x` and the places in `y` of the k most similar items of each, the nearest first, of equals the
    first.

    Products in float32 lie within e of the exact ones, by `error_of_products` and the rows' lengths. Let k items of a
    row be at t or above in float32: these are at t - e or above, and so are the k greatest. What is below t - 2e in
    float32 is none of them. Exact products order the others; where they are many, all of the row's are made.

    Args:
        x, y: of `exact_rows`, maybe with a column of `bias.columns`, times powers of two.
        k: at most the candidates of a row.
        left_out: `(n,)`, the place of the one item that is no candidate for a row, -1 for none.
    """
    margins = 2 * error_of_products(x.exact.shape[1]) * x.lengths * y.lengths.max(initial=0)
    buffer = None
    for rows in blocks(len(x), len(y) // 4):  # large ones, or the matrix product is slow
        out = None if left_out is None else left_out[rows]
        if buffer is None:
            buffer = np.empty((rows.stop, len(y)), np.float32)
        near = _without(np.matmul(x.near[rows], y.near.T, out=buffer[: rows.stop - rows.start]), out)
        least = np.nextafter((_reached(near, k) - margins[rows]).astype(np.float32), np.float32(-np.inf))
        found = near >= least[:, None]
        many = np.flatnonzero(np.count_nonzero(found, axis=1) > k + len(y) // UNDECIDED)
        if len(many):
            found[many] = nearest(
                _without(x.exact[rows][many] @ y.exact.T, None if out is None else out[many]), k
            )
        yield rows, _first(x.exact[rows], y.exact, found, k)


def _reached(scores: Float32[np.ndarray, "n m"], k: int) -> Float64[np.ndarray, " n"]:
    """What k of each row's `scores` reach, `(n,)`: about the k-th greatest, or in a short row that itself.

    Of the greatest of each of many groups it is the k-th, which takes one pass.
    """
    size = scores.shape[1] // (GROUPS * k)
    if size > 1:
        scores = scores[:, : size * GROUPS * k].reshape(len(scores), size, -1).max(axis=1)
    return np.partition(scores, -k, axis=1)[:, -k].astype(np.float64)


def _first(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"], found: Bool[np.ndarray, "n m"], k: int
) -> Int64[np.ndarray, "n k"]:
    """The places of the k most similar of the items `found` for each row, k or more, in their order."""
    row, place = np.divmod(np.flatnonzero(found), len(y))
    step = max(1, PAIRS_AT_ONCE // x.shape[1])
    cuts = [slice(start, start + step) for start in range(0, len(row), step)]
    similar = np.concatenate([np.einsum("nd,nd->n", x[row[some]], y[place[some]]) for some in cuts])
    order = np.lexsort([place, -similar, row])
    return place[order[np.searchsorted(row, np.arange(len(x)))[:, None] + np.arange(k)]]


def _without(scores: np.ndarray, left_out: Int64[np.ndarray, " n"] | None) -> np.ndarray:
    if left_out is not None:
        some = np.flatnonzero(left_out >= 0)
        scores[some, left_out[some]] = -np.inf
    return scores
