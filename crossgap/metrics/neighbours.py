"""The nearest items of each row, exactly: ties are broken by the items' order, whatever the size of a block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import places_of
from crossgap.metrics.near import Rows, near_products
from crossgap.metrics.threads import over_rows

if TYPE_CHECKING:
    from jaxtyping import Int64

ENTRIES_IN_A_BLOCK = 2**22


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Rows so many at a time that a block of `width` columns stays below `ENTRIES_IN_A_BLOCK`, but at least one."""
    step = max(1, ENTRIES_IN_A_BLOCK // max(width, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def most_similar(
    x: Rows,
    y: Rows,
    k: int,
    left_out: Int64[np.ndarray, " n"] | None = None,
) -> Iterator[tuple[slice, Int64[np.ndarray, "rows k"]]]:
    """Blocks of rows of `x` and the places in `y` of the k most similar items of each, the nearest first, of equals the
    first.

    Near products lie within e of the exact ones. Let k items of a row be at t or above by these: exactly they are at
    t - e or above, and so are the k greatest. What is below t - 2e is none of them. Exact products order the others.

    Args:
        x, y: of `exact_rows`, maybe with a column of `bias.columns`, times powers of two.
        k: at most the candidates of a row.
        left_out: `(n,)`, the place of the one item that is no candidate for a row, -1 for none.

    Raises:
        TypeError, ValueError: places that are none.
    """
    from crossgap.metrics.kernels import tiles as kernels

    if left_out is not None:
        left_out = places_of(left_out, "left_out", len(x), len(y), least=-1)
    near = near_products(x, y)
    buffer = None
    for rows in blocks(len(x), len(y) // 4):  # large ones, or the matrix product is slow
        count = rows.stop - rows.start
        if buffer is None:
            buffer = np.empty((count, len(y)), np.float32)
        tile = near.tile(rows, buffer[:count])
        if left_out is not None:
            some = np.flatnonzero(left_out[rows] >= 0)
            tile[some, left_out[rows][some]] = -np.inf
        found = np.empty((count, k), np.int64)
        over_rows(kernels.most_similar, (tile, x.exact[rows], 2 * near.margins[rows], found), (y.exact,))
        yield rows, found
