"""Counting the items of a gallery that are ahead of given ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from crossgap.metrics.near import DIGITS, Near, Rows, near_products
from crossgap.metrics.threads import over_rows

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int64

STEPS = 2.0**30
STEP_BITS, PLACE_BITS = 32, 18  # of a key, above them the row
MOST_ROWS = 2 ** (63 - STEP_BITS - PLACE_BITS)
FOR_TWO_DIGITS = 8  # given items a row, at most: three decide more of them
UNDECIDED = 16  # a part of a block, 1 over this, costs as much as all its products in float64


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
        some: slice,
        block: Any,
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        """How many items of the block are ahead of each of the given ones, which are ordered by row, step and place. A
        `row` is counted from the start of `some` of the rows. A `place` in the block is of an item with this step; one
        of -1 lies before the block, one of its length behind it.
        """


class NumpyCounter:
    """On the CPU; the threads of `pool` share the rows of a tile, `(r, g)`, of products of rows and a block.

    A tile of near products decides all but what lies within its margins of a given item; exact products decide that.
    Where so much is given that this would be much, and for rows of which it turns out to be, there is a tile of exact
    products.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.tiles: dict[type, np.ndarray] = {}
        self.near: tuple[Rows, Rows, Near] | None = None

    def put(self, rows: Float64[np.ndarray, "r d"]) -> Rows:
        return Rows(rows)

    def steps_of(
        self, rows: Rows, block: Rows, row: Int64[np.ndarray, " p"], item: Int64[np.ndarray, " p"]
    ) -> Int64[np.ndarray, " p"]:
        from crossgap.metrics.kernels import tiles as kernels

        found = np.empty(len(row))
        kernels.products(row, item, found, rows.exact, block.exact)
        return np.rint(found).astype(np.int64)

    def ahead(
        self,
        rows: Rows,
        some: slice,
        block: Rows,
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        from crossgap.metrics.kernels import tiles as kernels

        exact = rows.exact[some]
        found = np.empty(len(row), np.int64)
        if len(row) == 0:
            return found
        cuts = np.searchsorted(row, np.arange(len(exact) + 1))
        is_open = np.diff(cuts) > 0

        def count(
            tile: np.ndarray, which: Int64[np.ndarray, " w"], least: np.ndarray, most: np.ndarray
        ) -> None:
            given = kernels.Given(step, place, least, most)
            shared = exact, block.exact, cuts, given, len(block) // UNDECIDED, found, is_open
            over_rows(kernels.count_ahead, (tile, which), shared, self.pool)

        # by the mean: a product in float64 of some rows alone takes nearly as long as that of many
        given_a_row = len(row) / is_open.sum()
        near = self._near(rows, block, given_a_row)
        margins = near.margins[some]
        lengths = rows.lengths[some].mean() * block.lengths.max()
        if given_a_row * margins.mean() <= near.most * lengths:
            which = np.flatnonzero(is_open)
            tile = near.tile(which + some.start, self._room(np.float32, len(which), len(block)))
            least, most = (step + sign * (margins + 0.5)[row] for sign in (-1, 1))
            count(tile, which, _rounded(least, -np.inf), _rounded(most, np.inf))
        if is_open.any():
            which = np.flatnonzero(is_open)
            tile = self._room(np.float64, len(which), len(block))
            np.matmul(exact if is_open.all() else exact[which], block.exact.T, out=tile)
            count(tile, which, step - 0.5, step + 0.5)
        return found

    def _near(self, rows: Rows, block: Rows, given_a_row: float) -> Near:
        """The last ones, while rows and block are the same."""
        x, y, near = self.near or (None, None, None)
        if near is None or x is not rows or y is not block:
            near = near_products(rows, block, 2 if given_a_row <= FOR_TWO_DIGITS else DIGITS, self.pool, near)
            self.near = rows, block, near
        return near

    def _room(self, kind: type, rows: int, items: int) -> np.ndarray:
        """For a tile, which is gone when the next one comes."""
        held = self.tiles.get(kind)
        if held is None or held.size < rows * items:
            held = self.tiles[kind] = np.empty(rows * items, kind)
        return held[: rows * items].reshape(rows, items)


def _rounded(bounds: Float64[np.ndarray, " p"], towards: float) -> Float32[np.ndarray, " p"]:
    """In float32, and beyond the bounds themselves."""
    return np.nextafter(bounds.astype(np.float32), np.float32(towards))
