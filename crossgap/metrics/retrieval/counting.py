"""Counting, in a tile of similarities, the items that are ahead of given ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64, Int32, Int64

STEPS = 2.0**30
STEP_BITS, PLACE_BITS = 32, 18  # of a key, above them the row
MOST_ROWS = 2 ** (63 - STEP_BITS - PLACE_BITS)
ITEMS_AT_ONCE = 2**17  # of a thread
ITEMS_TO_SORT = 2**12  # cost as much as comparing all items of a block, some 50,000, to one of them


def keys(row: Any, step: Any, place: Any) -> Any:
    """One integer an item, NumPy or torch: ordered by row, then by rank.

    Args:
        row: below `MOST_ROWS`.
        step: the negated similarity in steps of 2⁻³⁰, int64.
        place: in the block, from -1 and below 2¹⁸ - 1: items of one similarity stand in the gallery's order.
    """
    return (row << (STEP_BITS + PLACE_BITS)) | (step + 2 ** (STEP_BITS - 1) << PLACE_BITS) | (place + 1)


class Counter(Protocol):
    """Tiles on one device. Arrays of pairs are NumPy, `(p,)`, on any."""

    def put(self, rows: Float64[np.ndarray, "r d"]) -> Any:
        """Exact rows, on the device."""

    def scores(self, rows: Any, block: Any) -> Any:
        """The tile `(r, g)` of `rows`, negated similarities × 2³⁰, and a block; gone when the next one comes."""

    def steps_of(
        self, scores: Any, row: Int64[np.ndarray, " p"], item: Int64[np.ndarray, " p"]
    ) -> Int64[np.ndarray, " p"]:
        """The rounded scores of pairs in a tile."""

    def steps_between(
        self, rows: Any, block: Any, row: Int64[np.ndarray, " p"], item: Int64[np.ndarray, " p"]
    ) -> Int64[np.ndarray, " p"]:
        """The same without a tile."""

    def ahead(
        self,
        scores: Any,
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        """How many items of the tile are ahead of each of the given ones, which are ordered by row. A `place`
        of -1 lies before the block, one of g behind it.
        """


class NumpyCounter:
    """On the CPU; the threads of `pool` share the rows of a tile."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.tile = np.empty(0)

    def put(self, rows: Float64[np.ndarray, "r d"]) -> Float64[np.ndarray, "r d"]:
        return rows

    def scores(
        self, rows: Float64[np.ndarray, "r d"], block: Float64[np.ndarray, "g d"]
    ) -> Float64[np.ndarray, "r g"]:
        size = len(rows) * len(block)
        if self.tile.size < size:
            self.tile = np.empty(size)
        return np.matmul(rows, block.T, out=self.tile[:size].reshape(len(rows), len(block)))

    def steps_of(
        self, scores: Float64[np.ndarray, "r g"], row: Int64[np.ndarray, " p"], item: Int64[np.ndarray, " p"]
    ) -> Int64[np.ndarray, " p"]:
        return np.rint(scores[row, item]).astype(np.int64)

    def steps_between(
        self,
        rows: Float64[np.ndarray, "r d"],
        block: Float64[np.ndarray, "g d"],
        row: Int64[np.ndarray, " p"],
        item: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        return np.rint(np.einsum("pd,pd->p", rows[row], block[item])).astype(np.int64)

    def ahead(
        self,
        scores: Float64[np.ndarray, "r g"],
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        found = np.empty(len(row), dtype=np.int64)
        cuts = np.searchsorted(row, np.arange(len(scores) + 1)).tolist()
        height = max(1, ITEMS_AT_ONCE // scores.shape[1])

        def count(start: int) -> None:
            steps = np.empty((2, scores.shape[1] + 1), np.int32)
            for one in range(start, min(start + height, len(scores))):
                some = slice(cuts[one], cuts[one + 1])
                if some.start < some.stop:
                    np.rint(scores[one], out=steps[0, :-1], casting="unsafe")
                    found[some] = _ahead(steps, step[some], place[some])

        list(self.pool.map(count, range(0, len(scores), height)))
        return found


def _ahead(
    steps: Int32[np.ndarray, "2 g"], step: Int64[np.ndarray, " p"], place: Int64[np.ndarray, " p"]
) -> Int64[np.ndarray, " p"]:
    """`Counter.ahead` of one row.

    All items are compared to each of a few given ones; for more, they are sorted, and compared only to those that
    share their step with another item.

    Args:
        steps: in its first row the items', but for the last entry, which is overwritten as its second row is.
    """
    items, ordered = steps[0, :-1], steps[1]
    few = 1 + len(items) // ITEMS_TO_SORT
    if len(step) <= few:
        return _compared(items, step, place)
    np.copyto(ordered[:-1], items)
    ordered[:-1].sort()
    ordered[-1] = np.iinfo(np.int32).max  # no item's: similarities and their biases stay below 2
    wanted = step.astype(np.int32)
    found = ordered[:-1].searchsorted(wanted)
    is_inside = (place >= 0) & (place < len(items))
    tied = np.flatnonzero(ordered[found + is_inside] == wanted)
    if len(tied) <= few:
        found[tied] = _compared(items, step[tied], place[tied])
    else:
        every = keys(0, items.astype(np.int64), np.arange(len(items)))
        every.sort()
        found[tied] = every.searchsorted(keys(0, step[tied], place[tied]))
    return found


def _compared(
    items: Int32[np.ndarray, " g"], step: Int64[np.ndarray, " p"], place: Int64[np.ndarray, " p"]
) -> Int64[np.ndarray, " p"]:
    """Items of one step stand in the gallery's order: those before an item's place are ahead of it."""
    found = [
        np.count_nonzero(items[: max(at, 0)] <= own) + np.count_nonzero(items[max(at, 0) :] < own)
        for own, at in zip(step.astype(np.int32), place.tolist(), strict=True)
    ]
    return np.array(found, np.int64)
