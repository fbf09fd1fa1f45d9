"""Counting the items of a gallery that are ahead of given ones."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int32, Int64

STEPS = 2.0**30
STEP_BITS, PLACE_BITS = 32, 18  # of a key, above them the row
MOST_ROWS = 2 ** (63 - STEP_BITS - PLACE_BITS)
ITEMS_AT_ONCE = 2**17  # of a thread
WIDTH_AN_ITEM = 64  # of rows so wide, products in float32 save what deciding about one given item costs
UNDECIDED = 64  # a part of a block, 1 over this, costs as much as all its products in float64
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
    """Rankings on one device. Arrays of pairs are NumPy, `(p,)`, ordered by row, on any."""

    def put(self, rows: Float64[np.ndarray, "r d"]) -> Any:
        """Exact rows, on the device. Those of queries are multiplied by -2³⁰."""

    def steps_of(
        self, rows: Any, block: Any, row: Int64[np.ndarray, " p"], item: Int64[np.ndarray, " p"]
    ) -> Int64[np.ndarray, " p"]:
        """The rounded products of pairs: negated similarities in steps of 2⁻³⁰."""

    def ahead(
        self,
        rows: Any,
        block: Any,
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        """How many items of the block are ahead of each of the given ones. A `place` of -1 lies before the block, one
        of its length behind it.
        """


@dataclass(frozen=True)
class Rows:
    """Exact rows, `(r, d)`, and nearly the same in float32, made when first asked for."""

    exact: Float64[np.ndarray, "r d"]

    @cached_property
    def near(self) -> Float32[np.ndarray, "r d"]:
        return self.exact.astype(np.float32)

    @cached_property
    def lengths(self) -> Float64[np.ndarray, " r"]:
        return np.sqrt(np.einsum("rd,rd->r", self.exact, self.exact))

    def __len__(self) -> int:
        return len(self.exact)

    def __getitem__(self, some: slice | np.ndarray) -> Rows:
        return Rows(self.exact[some])


class NumpyCounter:
    """On the CPU; the threads of `pool` share the rows of a tile, `(r, g)`, of products of rows and a block.

    Rows with few given items have a tile in float32, which decides all but what lies within its error of one of these
    (`error_of_products`); exact products decide that. The others, and rows of which float32 leaves much undecided,
    have a tile in float64.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.tiles: dict[type, np.ndarray] = {}

    def put(self, rows: Float64[np.ndarray, "r d"]) -> Rows:
        return Rows(rows)

    def steps_of(
        self, rows: Rows, block: Rows, row: Int64[np.ndarray, " p"], item: Int64[np.ndarray, " p"]
    ) -> Int64[np.ndarray, " p"]:
        found = np.empty(len(row), np.int64)
        cuts = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
        for low, high in pairwise(cuts):
            if low < high:
                found[low:high] = _steps(rows.exact[row[low]], block.exact, item[low:high])
        return found

    def ahead(
        self,
        rows: Rows,
        block: Rows,
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        found = np.empty(len(row), np.int64)
        cuts = np.searchsorted(row, np.arange(len(rows) + 1))
        given = np.diff(cuts)
        is_open = given > 0
        margins = error_of_products(rows.exact.shape[1]) * rows.lengths * block.lengths.max() + 0.5

        def by_near(one: int, products: np.ndarray) -> None:
            some = slice(cuts[one], cuts[one + 1])
            ahead = _by_near(
                products, rows.exact[one], block.exact, step[some], place[some], float(margins[one])
            )
            if ahead is not None:
                found[some] = ahead
                is_open[one] = False

        def by_exact(one: int, products: np.ndarray) -> None:
            steps = np.empty((2, len(block) + 1), np.int32)
            np.rint(products, out=steps[0, :-1], casting="unsafe")
            some = slice(cuts[one], cuts[one + 1])
            found[some] = _ahead(steps, step[some], place[some])

        self._each(
            np.flatnonzero(is_open & (given <= rows.exact.shape[1] // WIDTH_AN_ITEM)),
            rows,
            block,
            by_near,
            near=True,
        )
        self._each(np.flatnonzero(is_open), rows, block, by_exact, near=False)
        return found

    def _each(
        self, which: Int64[np.ndarray, " s"], rows: Rows, block: Rows, count: Callable[..., None], near: bool
    ) -> None:
        """Call `count` with each of some rows' places and its products with the block."""
        if len(which) == 0:
            return
        some = rows if len(which) == len(rows) else rows[which]
        tile = self._tile(*((some.near, block.near) if near else (some.exact, block.exact)))
        height = max(1, ITEMS_AT_ONCE // len(block))

        def of_some(start: int) -> None:
            for at in range(start, min(start + height, len(which))):
                count(which[at], tile[at])

        list(self.pool.map(of_some, range(0, len(which), height)))

    def _tile(self, rows: np.ndarray, block: np.ndarray) -> np.ndarray:
        """The product, gone when the next one comes."""
        size = len(rows) * len(block)
        held = self.tiles.get(rows.dtype.type)
        if held is None or held.size < size:
            held = self.tiles[rows.dtype.type] = np.empty(size, rows.dtype)
        return np.matmul(rows, block.T, out=held[:size].reshape(len(rows), len(block)))


def error_of_products(width: int) -> float:
    """How far a product in float32 of two rows lies from the exact one at most, divided by both rows' lengths; ∞ where
    no bound is known.

    Let x and y be rows of `exact_rows` of d = `width` entries, the last of which may be of `bias.columns`, times powers
    of two; u = 2⁻²⁴ and S = Σ |xᵢ yᵢ|, which is at most ‖x‖ ‖y‖ by Cauchy and Schwarz. Rounding the entries to float32
    changes each xᵢ yᵢ by at most (2u + u²) |xᵢ yᵢ|. A sum of d products in any order, with or without fused
    multiplication and addition, in any number of partial sums, is off by at most γ = d u / (1 - d u) times the sum of
    their magnitudes, (1 + u)² S (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). Nothing underflows: a
    product of entries that isn't 0 is 2⁻⁵² or more. All in all ((1 + u)² γ + 2u + u²) S, which is below
    1.01 (d + 2) u S while d u ≤ 2⁻⁷, with room for the rounding of the lengths in float64.
    """
    return 1.01 * (width + 2) * 2.0**-24 if width <= 2**17 else float("inf")


def _by_near(
    products: Float32[np.ndarray, " g"],
    row: Float64[np.ndarray, " d"],
    block: Float64[np.ndarray, "g d"],
    step: Int64[np.ndarray, " p"],
    place: Int64[np.ndarray, " p"],
    margin: float,
) -> Int64[np.ndarray, " p"] | None:
    """`Counter.ahead` of one row by products in float32, which lie within `margin` of the steps; None if these leave
    much undecided.
    """
    least = np.nextafter((step - margin).astype(np.float32), np.float32(-np.inf))
    most = np.nextafter((step + margin).astype(np.float32), np.float32(np.inf))
    found, undecided = np.empty(len(step), np.int64), []
    for number, (low, high) in enumerate(zip(least, most, strict=True)):
        behind = products >= low
        found[number] = len(products) - np.count_nonzero(behind)
        behind &= products <= high
        undecided.append(np.flatnonzero(behind))
    items = np.concatenate(undecided)
    if len(items) > len(step) + len(products) // UNDECIDED:
        return None
    given = np.repeat(np.arange(len(step)), [len(some) for some in undecided])
    steps, own = _steps(row, block, items), step[given]
    is_ahead = (steps < own) | ((steps == own) & (items < place[given]))
    return found + np.bincount(given[is_ahead], minlength=len(step))


def _steps(
    row: Float64[np.ndarray, " d"], block: Float64[np.ndarray, "g d"], items: Int64[np.ndarray, " p"]
) -> Int64[np.ndarray, " p"]:
    """By einsum, as threads that call BLAS wait for each other."""
    return np.rint(np.einsum("pd,d->p", block[items], row)).astype(np.int64)


def _ahead(
    steps: Int32[np.ndarray, "2 g"], step: Int64[np.ndarray, " p"], place: Int64[np.ndarray, " p"]
) -> Int64[np.ndarray, " p"]:
    """`Counter.ahead` of one row by exact steps.

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
