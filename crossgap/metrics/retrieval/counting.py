"""Counting, in a tile of similarities, the items that are ahead of given ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

STEPS = 2.0**30
STEP_BITS, PLACE_BITS = 32, 18  # of a key, above them the row
MOST_ROWS = 2 ** (63 - STEP_BITS - PLACE_BITS)
ITEMS_AT_ONCE = 2**17
BINS_AT_ONCE = 2**16


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
        self.scratch = _Scratch()

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
        height = max(1, ITEMS_AT_ONCE // scores.shape[1])
        starts = np.arange(0, len(scores), height)
        cuts = np.searchsorted(row, [*starts, len(scores)])

        def count(start: int, low: int, high: int) -> np.ndarray:
            rows, some = scores[start : start + height], slice(low, high)
            return _ahead(rows, row[some] - start, step[some], place[some], self.scratch)

        return np.concatenate(list(self.pool.map(count, starts, cuts, cuts[1:])))


class _Scratch(threading.local):
    """Arrays that a thread uses again: fresh ones cost more, in page faults, than what is computed in them."""

    def __init__(self) -> None:
        self.arrays = np.empty(0, np.int32), np.empty(0, np.intp), np.empty(0, bool)

    def __call__(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if len(self.arrays[0]) < size:
            self.arrays = np.empty(size, np.int32), np.empty(size, np.intp), np.empty(size, bool)
        first, second, third = self.arrays
        return first[:size], second[:size], third[:size]


def _ahead(
    scores: Float64[np.ndarray, "r g"],
    row: Int64[np.ndarray, " p"],
    step: Int64[np.ndarray, " p"],
    place: Int64[np.ndarray, " p"],
    scratch: _Scratch,
) -> Int64[np.ndarray, " p"]:
    """`Counter.ahead` of a few rows, whose scores are rounded in place.

    Steps fall into bins, more similar ones first, whose sizes are counted. Only the items in a bin that holds
    one of the given ones are compared exactly: their keys are sorted.
    """
    if len(row) == 0:
        return np.empty(0, dtype=np.int64)
    height, length = scores.shape
    bins = max(4, BINS_AT_ONCE // height)
    shift = max(1, int(step.max() - step.min()) // (bins - 3)).bit_length()
    offset = np.arange(0, height * bins, bins) + 1 - (int(step.min()) >> shift)
    given = (step >> shift) + offset[row]

    steps, bin_of, is_mixed = scratch(scores.size)
    np.rint(scores, out=scores)
    np.copyto(steps.reshape(scores.shape), scores, casting="unsafe")
    steps >>= shift
    np.clip(steps, -offset[0], bins - 1 - offset[0], out=steps)
    np.add(steps.reshape(scores.shape), offset[:, None], out=bin_of.reshape(scores.shape))

    sizes = np.bincount(bin_of, minlength=height * bins)
    mixed = np.zeros(height * bins, dtype=bool)
    mixed[given] = True
    sizes[mixed] = 0
    items = np.flatnonzero(mixed.take(bin_of, out=is_mixed, mode="clip"))
    its_row = items // length
    candidates = keys(its_row, scores.ravel()[items].astype(np.int64), items - its_row * length)
    candidates.sort()
    # Both counts hold all items of the rows before.
    np.cumsum(sizes, out=sizes)
    return sizes[given] + np.searchsorted(candidates, keys(row, step, place)) - row * length
