"""Counting the items of a gallery that are ahead of given ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from crossgap.metrics.threads import over_rows

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int64

STEPS = 2.0**30
STEP_BITS, PLACE_BITS = 32, 18  # of a key, above them the row
MOST_ROWS = 2 ** (63 - STEP_BITS - PLACE_BITS)
GIVEN_TIMES_WIDTH = 2**15  # of more given items a row, products in float32 leave too much undecided
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
        block: Any,
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        """How many items of the block are ahead of each of the given ones, which are ordered by row, step and place. A
        `place` of -1 lies before the block, one of its length behind it.
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

    Where few items are given, a tile in float32 decides all but what lies within its error of one of these
    (`error_of_products`); exact products decide that. Rows with many, or of which float32 leaves much undecided, have a
    tile in float64.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.tiles: dict[type, np.ndarray] = {}

    def put(self, rows: Float64[np.ndarray, "r d"]) -> Rows:
        return Rows(rows)

    def steps_of(
        self, rows: Rows, block: Rows, row: Int64[np.ndarray, " p"], item: Int64[np.ndarray, " p"]
    ) -> Int64[np.ndarray, " p"]:
        from crossgap.metrics import kernels

        found = np.empty(len(row))
        kernels.products(row, item, found, rows.exact, block.exact)
        return np.rint(found).astype(np.int64)

    def ahead(
        self,
        rows: Rows,
        block: Rows,
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        from crossgap.metrics import kernels

        found = np.empty(len(row), np.int64)
        cuts = np.searchsorted(row, np.arange(len(rows) + 1))
        is_open = np.diff(cuts) > 0

        def count(which: Int64[np.ndarray, " w"], least: np.ndarray, most: np.ndarray) -> None:
            if len(which) == 0:
                return
            some = rows if len(which) == len(rows) else rows[which]
            near = least.dtype == np.float32
            tile = self._tile(*((some.near, block.near) if near else (some.exact, block.exact)))
            limit = len(block) // UNDECIDED
            given = kernels.Given(step, place, least, most)
            shared = rows.exact, block.exact, cuts, given, limit, found, is_open
            over_rows(kernels.count_ahead, (tile, which), shared, self.pool)

        # by the mean: a product in float64 of some rows alone takes nearly as long as that of many
        if len(row) * rows.exact.shape[1] <= GIVEN_TIMES_WIDTH * is_open.sum():
            margins = error_of_products(rows.exact.shape[1]) * rows.lengths * block.lengths.max() + 0.5
            least, most = (step + sign * margins[row] for sign in (-1, 1))
            count(np.flatnonzero(is_open), _rounded(least, -np.inf), _rounded(most, np.inf))
        count(np.flatnonzero(is_open), step - 0.5, step + 0.5)
        return found

    def _tile(self, rows: np.ndarray, block: np.ndarray) -> np.ndarray:
        """The product, gone when the next one comes."""
        size = len(rows) * len(block)
        held = self.tiles.get(rows.dtype.type)
        if held is None or held.size < size:
            held = self.tiles[rows.dtype.type] = np.empty(size, rows.dtype)
        return np.matmul(rows, block.T, out=held[:size].reshape(len(rows), len(block)))


def _rounded(bounds: Float64[np.ndarray, " p"], towards: float) -> Float32[np.ndarray, " p"]:
    """In float32, and beyond the bounds themselves."""
    return np.nextafter(bounds.astype(np.float32), np.float32(towards))


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


def error_of_scores(
    x: Rows, y: Rows, asked: Float64[np.ndarray, " n"], held: Float64[np.ndarray, " m"]
) -> Float64[np.ndarray, " n"]:
    """How far products in float32 of each row of `x` `(n, d)` with rows of `y` `(m, d)`, plus `asked` · `held`, rounded
    and added up in float32, lie from the exact ones at most, `(n,)`: two terms more in `error_of_products`.
    """
    most = y.lengths.max() * x.lengths + np.abs(held).max() * np.abs(asked)
    return error_of_products(x.exact.shape[1] + 2) * most
