"""Retrieval metrics of each query, from features and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap.arrays import check_widths, exact_rows, label_array, label_codes, listed
from crossgap.retrieval.ranking import relevant_ranks

if TYPE_CHECKING:
    from crossgap.arrays import Features

MEANS = {"ap": "mAP", "ap_at_r": "mAP@R", "r_precision": "R-precision"}


def retrieval_metrics(
    queries: Features,
    gallery: Features,
    query_labels: Sequence,
    gallery_labels: Sequence,
    exclude_self: bool = False,
    *,
    query_ids: Sequence | None = None,
    gallery_ids: Sequence | None = None,
    ks: Sequence[int] = (1, 5, 10),
    block_size: int | None = None,
) -> pd.DataFrame:
    """Rank the gallery by cosine similarity for each query and measure the rankings.

    With R relevant items, rel(i) = 1 where the i-th ranked item is relevant, P(i) the precision of the
    first i:

    - `ap`: average precision over the whole ranking, 1/R Σ P(i) rel(i);
    - `ap_at_r`: 1/R Σ_{i≤R} P(i) rel(i) (Musgrave et al., A Metric Learning Reality Check, 2020);
    - `r_precision`: the share of relevant items among the first R;
    - `recall@k`: 1 if any of the first k is relevant, else 0, as the image-retrieval and CLIP literature
      uses the word (a hit rate, not the share of the relevant items found); k may exceed the gallery;
    - `relevant`: R, counted after the exclusion.

    A query without a relevant item has R = 0 and NaN elsewhere. Ties are broken by the gallery's order.
    Similarities are compared in steps of 2⁻³⁰ (about 1e-9). No result depends on `block_size`.

    Args:
        queries: `(n, d)`, NumPy or torch, of any length: rows are normalised here.
        gallery: `(m, d)`.
        query_labels: `(n,)`, strings or integers; items are relevant to each other where labels are equal.
            None, NaN and "" are relevant to nothing.
        gallery_labels: `(m,)`.
        exclude_self: leave each query itself out of its gallery. Without ids, the queries and the gallery
            must be the same items in the same order (features may differ, as with inverted queries).
        query_ids: `(n,)`, with `gallery_ids`: `exclude_self` leaves out the gallery item of the query's id,
            in whatever order; a query whose id the gallery lacks has nothing left out.
        gallery_ids: `(m,)`, unique.
        ks: cut-offs of recall@k.
        block_size: queries ranked at a time, which bounds the memory; chosen from the gallery by default.

    Returns:
        One row a query, in the queries' order.

    Raises:
        TypeError, ValueError: features, labels, ids or cut-offs that cannot be used; the message says why.
    """
    query_rows, gallery_rows = exact_rows(queries, "queries"), exact_rows(gallery, "gallery")
    check_widths(query_rows, gallery_rows, ("queries", "gallery"))
    query_labels = label_array(query_labels, len(query_rows), "query_labels")
    gallery_labels = label_array(gallery_labels, len(gallery_rows), "gallery_labels")
    codes = label_codes(query_labels, gallery_labels, ("query_labels", "gallery_labels"))
    if bad := [k for k in ks if k != int(k) or k < 1]:
        raise ValueError(f"ks holds {listed(bad)}: a cut-off is a whole number from 1")
    if block_size is not None and block_size < 1:
        raise ValueError(f"block_size is {block_size}: give at least 1, or None to choose")
    if (query_ids is None) != (gallery_ids is None):
        raise ValueError("query_ids and gallery_ids belong together: give both or neither")
    left_out = None
    if exclude_self and query_ids is not None:
        left_out = _places(
            label_array(query_ids, len(query_rows), "query_ids"),
            label_array(gallery_ids, len(gallery_rows), "gallery_ids"),
        )
    elif exclude_self:
        _check_same_items(query_labels, gallery_labels)
        left_out = np.arange(len(query_rows))

    ranks = relevant_ranks(query_rows, gallery_rows, *codes, left_out, block_size)
    tables = [_metrics(row, rank, block.stop - block.start, ks) for block, row, rank in ranks]
    return pd.concat(tables, ignore_index=True)


def summarise(table: pd.DataFrame) -> dict[str, float | int]:
    """Means of a `retrieval_metrics` table over the queries that have a relevant item.

    Returns:
        `mAP`, `mAP@R`, `R-precision`, `recall@k` for each k of the table (NaN if no query counts),
        `queries` (those counted) and `queries_without_relevant` (those skipped).
    """
    counted = table[table["relevant"] > 0]
    names = {column: MEANS.get(column, column) for column in table.columns if column != "relevant"}
    means = {name: float(counted[column].mean()) for column, name in names.items()}
    return means | {"queries": len(counted), "queries_without_relevant": len(table) - len(counted)}


def _metrics(row: np.ndarray, rank: np.ndarray, count: int, ks: Sequence[int]) -> pd.DataFrame:
    """Metrics of `count` queries from their relevant pairs (r,), ordered by query and rank."""
    relevant = np.bincount(row, minlength=count)
    first = np.cumsum(relevant) - relevant
    precision = (np.arange(len(row)) - first[row] + 1) / (rank + 1)
    within = rank < relevant[row]
    best = np.full(count, np.nan)
    best[relevant > 0] = rank[first[relevant > 0]]

    def share(weights: np.ndarray) -> np.ndarray:
        total = np.bincount(row, weights, minlength=count)
        return np.divide(total, relevant, out=np.full(count, np.nan), where=relevant > 0)

    columns = {"ap": share(precision), "ap_at_r": share(precision * within), "r_precision": share(within)}
    columns |= {f"recall@{k}": np.where(relevant > 0, best < k, np.nan) for k in ks}
    return pd.DataFrame(columns | {"relevant": relevant})


def _places(query_ids: np.ndarray, gallery_ids: np.ndarray) -> np.ndarray:
    """The gallery's index of each query's id (n,), -1 where the gallery lacks it."""
    queries, gallery = label_codes(query_ids, gallery_ids, ("query_ids", "gallery_ids"))
    for name, codes in (("query_ids", queries), ("gallery_ids", gallery)):
        if (missing := np.flatnonzero(codes < 0)).size:
            raise ValueError(f"{name} lacks the id of items {listed(missing)}: give every item one")
    index = pd.Index(gallery)
    if not index.is_unique:
        repeated = dict.fromkeys(gallery_ids[index.duplicated()])
        raise ValueError(f"gallery_ids repeats {listed(repeated)}: an id names one item")
    return index.get_indexer(queries)


def _check_same_items(query_labels: np.ndarray, gallery_labels: np.ndarray) -> None:
    remedy = "give the same items in the same order, or query_ids and gallery_ids"
    if len(query_labels) != len(gallery_labels):
        raise ValueError(
            f"exclude_self with {len(query_labels)} queries and {len(gallery_labels)} gallery items: {remedy}"
        )
    if (differ := np.flatnonzero(query_labels != gallery_labels)).size:
        i = differ[0]
        raise ValueError(
            f"exclude_self, but item {i} is labelled {query_labels[i]!r} as a query "
            f"and {gallery_labels[i]!r} in the gallery: {remedy}"
        )
