"""Products of exact rows in float32, each with a bound of how far it lies from the exact one: what lies further apart
than that is decided, and only the rest takes exact products.

Two ways lead there. BLAS multiplies in float32, whose order of summation nobody knows: the bound is that of the worst
one. A processor with tile instructions for bytes (AMX) multiplies those ten times as fast as floats: rows become three
digits of base 256, whose products are whole numbers and exact, and the bound is what the digits leave out.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from crossgap import machine
from crossgap.metrics.threads import cores, each

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int8, Int64

    Some = slice | Int64[np.ndarray, " r"]

DIGITS = 3
WIDEST = 2**15  # of which sums of products of digits fit 32 bits
WORK_FOR_DIGITS = 2**34  # multiplications
WORK_FOR_TORCH = 2**37  # in all, before it is loaded, which takes seconds
ROWS_OF_A_CENTRE = 2**10
ROWS_AT_ONCE, SUMS_AT_ONCE = 512, 2**20  # of a thread
ROUNDINGS = 6 * 2.0**-24  # of a product of digits, as it becomes float32

_work = 0  # so far


@dataclass(frozen=True)
class Rows:
    """Exact rows, `(r, d)`, and what is near them, made when first asked for."""

    exact: Float64[np.ndarray, "r d"]

    @cached_property
    def near(self) -> Float32[np.ndarray, "r d"]:
        return self.exact.astype(np.float32)

    @cached_property
    def lengths(self) -> Float64[np.ndarray, " r"]:
        return np.sqrt(np.einsum("rd,rd->r", self.exact, self.exact))

    @cached_property
    def digits(self) -> Digits:
        return Digits.of(self.exact, backwards=False)

    def __len__(self) -> int:
        return len(self.exact)


class Near(Protocol):
    """The products of rows x `(n, d)` and y `(m, d)`.

    Attributes:
        margins: `(n,)`, how far the products of each row of x lie from the exact ones at most.
        most: margins of unit rows, times the items that a row's others are compared with: where it is more, exact
            products of everything cost less.
    """

    margins: Float64[np.ndarray, " n"]
    most: float

    def tile(self, rows: Some, out: Float32[np.ndarray, "r m"] | None = None) -> Float32[np.ndarray, "r m"]:
        """Those of some rows of x, into `out` if given."""


def near_products(
    x: Rows,
    y: Rows,
    digits: int = 2,
    pool: ThreadPoolExecutor | None = None,
    last: Near | None = None,
    otherwise: type[InFloats] | type[InDoubles] | None = None,
) -> Near:
    """The faster way of this machine to the products of x and y.

    Args:
        digits: 2, or 3 where many products are wanted exactly.
        pool: its threads are used; by default new ones.
        last: what is used no more, and whose memory is taken.
        otherwise: the way where digits aren't faster; `InFloats`, if not given.
    """
    global _work
    width = x.exact.shape[1]
    work = len(x) * len(y) * width
    _work += work
    is_worth_it = work >= WORK_FOR_DIGITS and ("torch" in sys.modules or _work >= WORK_FOR_TORCH)
    if not is_worth_it or width > WIDEST or not _digits_are_exact():
        return (otherwise or InFloats)(x, y)
    size = len(y), DIGITS * width
    room = last.y.digits if isinstance(last, InDigits) and last.y.digits.shape == size else None
    return InDigits(x, y, digits, pool, room)


class InFloats:
    """`Near`, by BLAS in float32."""

    most = 2.0**-9

    def __init__(self, x: Rows, y: Rows) -> None:
        self.x, self.y = x, y
        self.margins = error_of_products(x.exact.shape[1]) * x.lengths * y.lengths.max(initial=0)

    def tile(self, rows: Some, out: Float32[np.ndarray, "r m"] | None = None) -> Float32[np.ndarray, "r m"]:
        # BLAS may look beyond small rows, and says so of what it finds there
        with np.errstate(invalid="ignore"):
            return np.matmul(self.x.near[rows], self.y.near.T, out=out)


class InDoubles:
    """`Near`, by BLAS in float64: where what float32 leaves undecided would cost more."""

    most = 2.0**-9

    def __init__(self, x: Rows, y: Rows) -> None:
        self.x, self.y = x, y
        self.margins = 2.0**-24 * x.lengths * y.lengths.max(initial=0)

    def tile(self, rows: Some, out: Float32[np.ndarray, "r m"] | None = None) -> Float32[np.ndarray, "r m"]:
        found = self.x.exact[rows] @ self.y.exact.T
        if out is None:
            return found.astype(np.float32)
        out[:] = found
        return out


class Digits(NamedTuple):
    """Rows less their centre, as whole numbers: s (d₀ + d₁ / 256 + d₂ / 65536) and a rest, of each row its own s.

    Attributes:
        centre: `(d,)`, the mean of some of the rows: any will do, and the nearer they lie to it the better.
        digits: `(r, 3 d)`, from -128 to 127: d₀, d₁ and d₂ of each row, or backwards d₂, d₁ and d₀.
        scales: `(r,)`, s.
        lengths: `(r, 4)`, of the vectors of each digit's part, and of the rest at most.
    """

    centre: Float64[np.ndarray, " d"]
    digits: Int8[np.ndarray, "r three_d"]
    scales: Float32[np.ndarray, " r"]
    lengths: Float64[np.ndarray, "r 4"]

    @classmethod
    def of(
        cls,
        rows: Float64[np.ndarray, "r d"],
        backwards: bool,
        room: Int8[np.ndarray, "r three_d"] | None = None,
    ) -> Digits:
        from crossgap.metrics.kernels import rows as kernels

        count, width = rows.shape
        made = cls(
            rows[:: -(-count // ROWS_OF_A_CENTRE)].mean(axis=0),
            np.empty((count, DIGITS * width), np.int8) if room is None else room,
            np.empty(count, np.float32),
            np.empty((count, DIGITS + 1)),
        )

        def fill(some: slice) -> None:
            of_rows = made.digits[some], made.scales[some], made.lengths[some]
            kernels.digits(rows[some], made.centre, backwards, *of_rows)

        each(fill, count, width)
        return made


class InDigits:
    """`Near`, by products of digits.

    Let x = μ + a₀ + a₁ + a₂ + e, of the rows' centre, its digits' parts and the rest, and y = ν + b₀ + b₁ + b₂ + f.
    Then x·y = x·ν + μ·(y - ν) + (x - μ)·(y - ν), of which the first two terms are computed in float64, and of the third
    the products aᵢ·bⱼ with i + j < D, the number of digits: they are whole numbers, those of one i + j added up without
    rounding. Left out are the other aᵢ·bⱼ, which are at most ‖aᵢ‖ ‖bⱼ‖ (Cauchy and Schwarz), and e·(y - ν) and
    (x - μ - e)·f. Each term is rounded six times at most, as it becomes float32, as the sums are added, twice, as both
    rows' scales are multiplied, as it is scaled, and as the other terms are added; each time by 2⁻²⁴ of
    Σ ‖aᵢ‖ Σ ‖bⱼ‖ + |x·ν| + |μ·(y - ν)|. Sums of d products in float64 are off by less than d 2⁻⁵² of the longest rows'
    lengths each, of which there are three, and all else is less than 1 %.
    """

    most = 2.0**-7

    def __init__(
        self,
        x: Rows,
        y: Rows,
        digits: int,
        pool: ThreadPoolExecutor | None = None,
        room: Int8[np.ndarray, "m three_d"] | None = None,
    ) -> None:
        self.count, self.width = digits, x.exact.shape[1]
        self.pool = ThreadPoolExecutor(cores()) if pool is None else pool
        self.x, self.y = x.digits, Digits.of(y.exact, backwards=True, room=room)
        of_rows = x.exact @ self.y.centre
        of_items = y.exact @ self.x.centre - self.y.centre @ self.x.centre
        self.of_rows, self.of_items = of_rows.astype(np.float32), of_items.astype(np.float32)
        a, b = self.x.lengths, self.y.lengths.max(axis=0, initial=0)
        left_out = sum(a[:, i] * b[digits - i if i < digits else 0 :].sum() for i in range(DIGITS + 1))
        size = a.sum(axis=1) * b.sum() + np.abs(of_rows) + np.abs(of_items).max(initial=0)
        longest = x.lengths.max(initial=0) * y.lengths.max(initial=0)
        self.margins = 1.01 * (left_out + ROUNDINGS * size) + 3 * self.width * 2.0**-52 * longest

    def tile(self, rows: Some, out: Float32[np.ndarray, "r m"] | None = None) -> Float32[np.ndarray, "r m"]:
        import torch

        from crossgap.metrics.kernels import rows as kernels

        asked, items = torch.from_numpy(self.x.digits[rows]), torch.from_numpy(self.y.digits)
        scales, of_rows = self.x.scales[rows], self.of_rows[rows]
        out = np.empty((len(asked), len(items)), np.float32) if out is None else out
        step = SUMS_AT_ONCE // max(1, min(len(asked), ROWS_AT_ONCE))

        def multiply(at: tuple[int, int]) -> None:
            some, block = slice(at[0], at[0] + ROWS_AT_ONCE), slice(at[1], at[1] + step)
            x, y = asked[some], items[block]
            sums = _sums(self.count, len(x), len(y))
            for order in range(self.count):
                first = (DIGITS - 1 - order) * self.width
                by = y[:, first : DIGITS * self.width].T
                torch._int_mm(x[:, : (order + 1) * self.width], by, out=sums[order])
            of_items = self.y.scales[block], self.of_items[block]
            kernels.put_together(sums.numpy(), scales[some], of_rows[some], *of_items, out[some], at[1])

        parts = [(i, j) for j in range(0, len(items), step) for i in range(0, len(asked), ROWS_AT_ONCE)]
        threads = torch.get_num_threads()
        try:
            list(self.pool.map(multiply, parts))
        finally:
            torch.set_num_threads(threads)
        return out


_thread = threading.local()


def _sums(orders: int, rows: int, items: int) -> Any:
    """Room `(orders, rows, items)` of int32, of a thread of its own, which from then on is one to torch."""
    import torch

    if not hasattr(_thread, "room"):
        torch.get_num_threads()  # which sets the number of a thread that never asked
        torch.set_num_threads(1)
        _thread.room = torch.empty(DIGITS * SUMS_AT_ONCE, dtype=torch.int32)
    return _thread.room[: orders * rows * items].view(orders, rows, items)


@cache
def _digits_are_exact() -> bool:
    """Whether this machine multiplies bytes in tiles, and torch adds up the products of all bytes without an error."""
    return machine.multiplies_bytes_in_tiles() and sums_of_bytes_are_exact()


def sums_of_bytes_are_exact() -> bool:
    import torch

    x, y = np.random.default_rng(0).integers(-128, 128, (2, 64, 512)).astype(np.int8)
    x[:8], y[:8] = 127, -128
    try:
        found = torch._int_mm(torch.from_numpy(x), torch.from_numpy(y).T).numpy()
    except (AttributeError, RuntimeError):  # a torch without it
        return False
    return np.array_equal(found, x.astype(np.int64) @ y.T.astype(np.int64))


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


def margins_of_scores(
    near: Near, x: Rows, y: Rows, asked: Float64[np.ndarray, " n"], held: Float64[np.ndarray, " m"]
) -> Float64[np.ndarray, " n"]:
    """How far products of x `(n, d)` and y `(m, d)` plus `asked` · `held`, rounded and added in float32, lie from the
    exact ones at most, `(n,)`: two roundings more than in `near.margins`.

    Raises:
        ValueError: columns of other lengths.
    """
    if asked.shape != (len(x),) or held.shape != (len(y),):
        raise ValueError(
            f"columns of shapes {asked.shape} and {held.shape} are added to {len(x)} queries and {len(y)} items: "
            "give a number for each"
        )
    size = x.lengths * y.lengths.max(initial=0) + np.abs(asked) * np.abs(held).max(initial=0)
    return 1.01 * (near.margins + 2.0**-23 * size)
