"""Rankings of one gallery by many changes of the features, from one product: it and a few columns give them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap.metrics.exact import exact_rows
from crossgap.metrics.near import DIGITS, InDoubles, Rows, near_products
from crossgap.metrics.neighbours import blocks
from crossgap.metrics.retrieval.counting import STEPS
from crossgap.metrics.retrieval.ranking import Ranks
from crossgap.metrics.retrieval.relevance import JudgedPairs, RelevanceLists
from crossgap.metrics.threads import cores, each

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int64

SHORTEST = 2.0**-4  # a row that a change leaves shorter than this is ranked by its changed features alone
UNDECIDED_A_PAIR = 16  # in the mean, or a change is ranked by its changed features
PAIRS_AT_ONCE = 2**22  # times the width
COLUMNS = 8  # more of a change are multiplied by BLAS

FeaturesAt = Callable[[np.ndarray], np.ndarray]  # positions `(p,)` → features `(p, d)`


class Side(NamedTuple):
    """What a change makes of queries or of a gallery, by their unit rows.

    Attributes:
        columns: `(n, k)`, float64; products of a query's and an item's are added to that of their unit rows.
        norms: `(n,)`, the lengths of the changed unit rows.
        rows: the features of some items after the change, `(p, d)`, of any length.
    """

    columns: Float64[np.ndarray, "n k"]
    norms: Float64[np.ndarray, " n"]
    rows: FeaturesAt


class ChangedSides(NamedTuple):
    """After it the cosine is (u · v + columns · columns) / (norm · norm), u and v unit rows of queries and gallery."""

    queries: Side
    gallery: Side


def changed_ranks(
    queries: Float64[np.ndarray, "n d"],
    gallery: Float64[np.ndarray, "m d"],
    relevance: RelevanceLists,
    changes: Sequence[ChangedSides],
) -> list[Ranks | None]:
    """`ranking.relevant_ranks` of the features after each change, the same ranks; None where they are better made so.

    Cosines are computed in float32 from the product of the unit rows, and decide all but what lies within their error
    of a judged item (`_margins`): that is decided by `exact_rows` of the changed features.

    Args:
        queries: `(n, d)` of `unit_rows`, before the changes.
        gallery: `(m, d)`.
        relevance: of the n queries: few items for each, none of them ignored.
        changes: of either side.
    """
    pairs = relevance.pairs(slice(0, len(queries)))
    with ThreadPoolExecutor(cores()) as pool:
        near = near_products(Rows(queries), Rows(gallery), DIGITS, pool, otherwise=InDoubles)
        found = [
            _Found.of(change, pairs, queries.shape[1], near.margins)
            if min(change.queries.norms.min(), change.gallery.norms.min()) >= SHORTEST
            else None
            for change in changes
        ]
        for block in blocks(len(queries), len(gallery)):
            tile = near.tile(block)
            for one in found:
                if one is not None and not one.gives_up:
                    one.count(block, tile, pool)
    return [None if one is None else one.ranks(len(queries)) for one in found]


@dataclass
class _Found:
    """Of one change, the items ahead of each judged pair, as far as float32 tells, and what it doesn't tell."""

    change: ChangedSides
    pairs: JudgedPairs
    first: Int64[np.ndarray, " n1"]  # where a query's pairs begin, and where the last one's end
    left: Float32[np.ndarray, "n k"]
    right: Float32[np.ndarray, "k m"]
    scale: Float32[np.ndarray, " m"]
    margins: Float64[np.ndarray, " n"]
    ahead: Int64[np.ndarray, " p"]
    undecided: list[Int64[np.ndarray, "u 2"]]  # pairs, and items that may be ahead of them or not
    overflows: bool = False  # too many of them, in some part

    @classmethod
    def of(
        cls, change: ChangedSides, pairs: JudgedPairs, width: int, off: Float64[np.ndarray, " n"]
    ) -> _Found:
        scale = 1 / change.gallery.norms
        return cls(
            change,
            pairs,
            np.searchsorted(pairs.query, np.arange(len(change.queries.norms) + 1)),
            change.queries.columns.astype(np.float32),
            np.ascontiguousarray((change.gallery.columns * scale[:, None]).T, np.float32),
            scale.astype(np.float32),
            _margins(change, width, off),
            np.zeros(len(pairs.query), np.int64),
            [],
        )

    def count(self, block: slice, near: Float32[np.ndarray, "rows m"], pool: ThreadPoolExecutor) -> None:
        """Go through a block of queries by the products `near` of their unit rows with the gallery's."""
        from crossgap.metrics.kernels import tiles as kernels

        left, right = self.left[block], self.right
        more = np.empty((len(near), 0), np.float32)
        if len(right) > COLUMNS:
            more, left, right = left @ right, more, right[:0]

        def of_some(part: slice) -> None:
            rows = slice(block.start + part.start, block.start + part.stop)
            first, stop = self.first[rows.start], self.first[rows.stop]
            most = (stop - first) * min(4 * UNDECIDED_A_PAIR, self.right.shape[1])
            undecided = np.empty((most, 2), np.int64)
            count = kernels.count_changed(
                near[part], more[part], left[part], right, self.scale, self.first[rows.start : rows.stop + 1],
                self.pairs.item, self.margins[rows], self.ahead, undecided,
            )  # fmt: skip
            if count > most:
                self.overflows = True
            else:
                self.undecided.append(undecided[:count].copy())

        each(of_some, len(near), near.shape[1], pool)

    @property
    def gives_up(self) -> bool:
        """Whether so much is undecided that exact products are better made of everything."""
        return self.overflows or sum(map(len, self.undecided)) > UNDECIDED_A_PAIR * len(self.ahead)

    def ranks(self, queries: int) -> Ranks | None:
        """Of all queries; None where too much is undecided."""
        if self.gives_up:
            return None
        given, items = np.concatenate(self.undecided).T
        if len(given):
            own = self.pairs.item[given]
            steps, of_own = self._steps(self.pairs.query[given], items, own)
            is_ahead = (steps < of_own) | ((steps == of_own) & (items < own))
            self.ahead += np.bincount(given[is_ahead], minlength=len(self.ahead))
        order = np.lexsort([self.ahead, self.pairs.query])
        return Ranks(slice(0, queries), self.pairs.query[order], self.ahead[order], self.pairs.grade[order])

    def _steps(
        self, query: Int64[np.ndarray, " u"], *items: Int64[np.ndarray, " u"]
    ) -> Iterator[Int64[np.ndarray, " u"]]:
        """The negated similarities of queries and items after the change, exactly, in steps of 2⁻³⁰."""
        asked, at = np.unique(query, return_inverse=True)
        held, places = np.unique(np.concatenate(items), return_inverse=True)
        x, y = exact_rows(self.change.queries.rows(asked)), exact_rows(self.change.gallery.rows(held))
        step = max(1, PAIRS_AT_ONCE // x.shape[1])
        for of in np.split(places, len(items)):
            cuts = (slice(start, start + step) for start in range(0, len(at), step))
            products = [np.einsum("nd,nd->n", x[at[some]], y[of[some]]) for some in cuts]
            yield np.rint(np.concatenate(products) * -STEPS).astype(np.int64)


def _margins(change: ChangedSides, width: int, off: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """By how much the scores of two items of a query must differ to stand in the order of their exact steps, `(n,)`.

    A score is float32 of a · b / ‖b‖, with a = u + p and b = v + q changed unit rows, so ‖a‖ times the cosine. Let
    w = 1 / min ‖b‖ and c = 1 + ‖p's columns‖ max ‖q's columns‖, which bounds Σ |terms| of u · v + columns · columns.

    - The products of the unit rows are `off` `(n,)` from the exact ones at most, as they stand in float32: w `off`.
    - In float32, with u = 2⁻²⁴: the k columns' products, their sum and the scale are each rounded: w c (k + 7) u bounds
      their errors (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
    - Exact rows lie √d 2⁻²⁷ from the unit rows of the changed features, so exact cosines 2.01 √d 2⁻²⁷ from the cosine;
      steps round by 2⁻³¹; what float64 loses in unit rows, columns and norms of `SHORTEST` or more stays below
      2⁻²⁹ + d 2⁻⁴¹. All this counts ‖a‖ times.
    """
    left, right = change.queries.columns, change.gallery.columns
    total = 1 + np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1).max(initial=0)
    of_scores = (off + total * (left.shape[1] + 7) * 2.0**-24) / change.gallery.norms.min()
    of_rows = 2.01 * np.sqrt(width) * 2.0**-27 + 2.0**-31 + 2.0**-29 + width * 2.0**-41
    return 2 * (of_scores + of_rows * change.queries.norms)
