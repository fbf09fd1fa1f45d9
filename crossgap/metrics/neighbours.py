"""The nearest items of each row, exactly: ties are broken by the items' order, whatever the size of a block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from crossgap.metrics.retrieval.counting import Rows, error_of_products

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64

ENTRIES_IN_A_BLOCK = 2**22


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
    x: Float64[np.ndarray, "n d"],
    y: Float64[np.ndarray, "m d"],
    k: int,
    left_out: Int64[np.ndarray, " n"] | None = None,
) -> Iterator[tuple[slice, Int64[np.ndarray, "rows k"]]]:
    """`nearest` of the similarities of blocks of rows: the block and the places of its k items a row, ascending.

    Products in float32 lie within e of the exact ones, by `error_of_products` and the rows' lengths. Let t be the k-th
    greatest of a row's: k items are at t - e or above, so what is below t - 2e in float32 is none of the k greatest.
    Where as few as k are left, these are they; the other rows are multiplied again in float64.

    Args:
        x, y: of `exact_rows`, maybe with a column of `bias.columns`, times powers of two; k is at most m.
        left_out: `(n,)`, the place of the one item that is no candidate for a row, -1 for none.
    """
    asked, held = Rows(x), Rows(y)
    margins = 2 * error_of_products(x.shape[1]) * asked.lengths * held.lengths.max(initial=0)
    for rows in blocks(len(x), len(y)):
        out = None if left_out is None else left_out[rows]
        near = _without(asked.near[rows] @ held.near.T, out)
        kth = near.max(axis=1) if k == 1 else np.partition(near, -k, axis=1)[:, -k]
        least = np.nextafter((kth.astype(np.float64) - margins[rows]).astype(np.float32), np.float32(-np.inf))
        found = near >= least[:, None]
        again = np.flatnonzero(np.count_nonzero(found, axis=1) > k)
        if len(again):
            exact = _without(x[rows][again] @ y.T, None if out is None else out[again])
            found[again] = nearest(exact, k)
        yield rows, np.flatnonzero(found).reshape(-1, k) % len(y)


def _without(scores: np.ndarray, left_out: Int64[np.ndarray, " n"] | None) -> np.ndarray:
    if left_out is not None:
        some = np.flatnonzero(left_out >= 0)
        scores[some, left_out[some]] = -np.inf
    return scores
