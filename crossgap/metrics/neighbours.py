"""The nearest items of each row, exactly: ties are broken by the items' order, whatever the size of a block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64

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
    found, equal = scores > least, scores == least
    missing = k - found.sum(axis=1, keepdims=True)
    return found | (equal & (np.cumsum(equal, axis=1) <= missing))
