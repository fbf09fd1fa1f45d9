"""Retrieval metrics of each query, from features and what is relevant to what."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crossgap.arrays import check_widths, checked_features, cut_offs, flag, label_array, label_codes
from crossgap.errors import listed
from crossgap.metrics.retrieval.bias import Bias, columns
from crossgap.metrics.retrieval.ranking import relevant_ranks
from crossgap.metrics.retrieval.relevance import (
    RelevanceLists,
    by_judgements,
    by_labels,
    check_unique,
    places,
)
from crossgap.metrics.retrieval.revisited import revisited
from crossgap.metrics.retrieval.scores import plain

if TYPE_CHECKING:
    from jaxtyping import Real, Shaped

    from crossgap.arrays import Features, Labels

MEANS = {"ap": "mAP", "ap_at_r": "mAP@R", "r_precision": "R-precision", "ndcg@10": "nDCG@10"}
PROTOCOLS = {"plain": plain, "revisited": revisited}


def retrieval_metrics(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    query_labels: Labels,
    gallery_labels: Labels,
    exclude_self: bool = False,
    *,
    query_ids: Labels | None = None,
    gallery_ids: Labels | None = None,
    ks: Sequence[int] = (1, 5, 10),
    block_size: int | None = None,
    device: str = "cpu",
    bias: Bias | None = None,
) -> pd.DataFrame:
    """Rank the gallery by cosine similarity for each query and measure the rankings.

    With R relevant items, rel(i) = 1 where the i-th ranked item is relevant, P(i) the precision of the
    first i:

    - `ap`: average precision over the whole ranking, 1/R Σ P(i) rel(i);
    - `ap_at_r`: 1/R Σ_{i≤R} P(i) rel(i) (Musgrave et al., A Metric Learning Reality Check, 2020);
    - `r_precision`: the share of relevant items among the first R;
    - `recall@k`: 1 if any of the first k is relevant, else 0, as the image-retrieval and CLIP literature
      uses the word (a hit rate, not the share of the relevant items found);
    - `precision@k`: the relevant items among the first k, divided by k. k may exceed the gallery, here and in
      `recall@k`, and is the divisor all the same;
    - `ndcg@10`: Σ_{i≤10} gain / log₂(i + 1), over the same sum of the best ranking; the gain of a relevant item
      is 1;
    - `relevant`: R, counted after the exclusion.

    A query without a relevant item has R = 0 and NaN elsewhere. Ties are broken by the gallery's order.
    Similarities are those of unit rows rounded to multiples of 2⁻²⁶, which moves them by about 1e-8, and are compared
    in steps of 2⁻³⁰: equal rows tie. No result depends on `block_size` or `device`.

    Args:
        queries: `(n, d)`, NumPy (also a memmap) or torch, of any length: rows are normalised here.
        gallery: `(m, d)`. Beyond both, memory is bounded, by about 2 GB.
        query_labels: `(n,)`, strings or integers; items are relevant to each other where labels are equal.
            None, NaN and "" are relevant to nothing.
        gallery_labels: `(m,)`.
        exclude_self: leave each query itself out of its gallery. Without ids, the queries and the gallery
            must be the same items in the same order (features may differ, as with inverted queries).
        query_ids: `(n,)`, with `gallery_ids`: `exclude_self` leaves out the gallery item of the query's id,
            in whatever order; a query whose id the gallery lacks has nothing left out.
        gallery_ids: `(m,)`, unique.
        ks: cut-offs of recall@k and precision@k.
        block_size: queries ranked at a time, at most; chosen from the relevant items by default.
        device: `cpu`, `cuda`, `cuda:N`, or `auto`: a GPU if there is one and the work is worth it.
        bias: added to the similarities before they are ranked, in steps of 2⁻²⁶.

    Returns:
        One row a query, in the queries' order.

    Raises:
        TypeError, ValueError: features, labels, ids, cut-offs or a device that cannot be used; the message says
            why.
    """
    queries, gallery = _features(queries, gallery)
    sizes = len(queries), len(gallery)
    relevance = labelled(sizes, query_labels, gallery_labels, exclude_self, query_ids, gallery_ids)
    return _table(queries, gallery, relevance, "plain", ks, block_size, device, bias)


def judged_metrics(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    judgements: pd.DataFrame,
    *,
    query_ids: Labels,
    gallery_ids: Labels,
    ks: Sequence[int] = (1, 5, 10),
    protocol: str = "plain",
    block_size: int | None = None,
    device: str = "cpu",
    bias: Bias | None = None,
) -> pd.DataFrame:
    """`retrieval_metrics` where relevance is a list a query: relevance judgements (qrels), graded or not.

    The gain of a relevant item in `ndcg@10` is its grade, as in trec_eval; everywhere else grades above 0 are
    alike. R counts the relevant items that are not ignored.

    Args:
        queries: `(n, d)`, NumPy or torch.
        gallery: `(m, d)`.
        judgements: `query`, `item` (ids) and `grade`, a whole number: above 0 relevant, 0 irrelevant like the items
            not judged, -1 ignored, which takes the item out of the query's ranking. A query's own id is ignored
            in any case.
        query_ids: `(n,)`, unique.
        gallery_ids: `(m,)`, unique.
        ks: cut-offs of recall@k and precision@k.
        protocol: `plain`, or `revisited` for ROxford and RParis, where `ap` and `precision@k` are
            those of `crossgap.metrics.retrieval.revisited`; `revisited_judgements` makes the judgements of a setting.
        block_size, device, bias: as of `retrieval_metrics`.

    Returns:
        The columns of `retrieval_metrics`, one row a query, in the queries' order.

    Raises:
        TypeError, ValueError: features, judgements, ids, cut-offs, a protocol or a device that cannot be used; the
            message says why.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}: give one of {listed(PROTOCOLS)}")
    queries, gallery = _features(queries, gallery)
    relevance = judged((len(queries), len(gallery)), judgements, query_ids, gallery_ids)
    return _table(queries, gallery, relevance, protocol, ks, block_size, device, bias)


def labelled(
    sizes: tuple[int, int],
    query_labels: Labels,
    gallery_labels: Labels,
    exclude_self: bool = False,
    query_ids: Labels | None = None,
    gallery_ids: Labels | None = None,
) -> RelevanceLists:
    """What is relevant to what by labels, and what is left out, as of `retrieval_metrics`; of n queries and m items.

    Raises:
        TypeError, ValueError: labels or ids that cannot be used.
    """
    n, m = sizes
    flag(exclude_self, "exclude_self")
    query_labels = label_array(query_labels, n, "query_labels")
    gallery_labels = label_array(gallery_labels, m, "gallery_labels")
    codes = label_codes(query_labels, gallery_labels, ("query_labels", "gallery_labels"))
    if (query_ids is None) != (gallery_ids is None):
        raise ValueError("query_ids and gallery_ids belong together: give both or neither")
    left_out = np.full(n, -1)
    if exclude_self and query_ids is not None:
        left_out = places(label_array(query_ids, n, "query_ids"), label_array(gallery_ids, m, "gallery_ids"))
    elif exclude_self:
        _check_same_items(query_labels, gallery_labels)
        left_out = np.arange(n)
    return by_labels(*codes, left_out)


def judged(
    sizes: tuple[int, int], judgements: pd.DataFrame, query_ids: Labels, gallery_ids: Labels
) -> RelevanceLists:
    """What is relevant to what by judgements, as of `judged_metrics`; of n queries and m items.

    Raises:
        TypeError, ValueError: judgements or ids that cannot be used.
    """
    query_ids = label_array(query_ids, sizes[0], "query_ids")
    gallery_ids = label_array(gallery_ids, sizes[1], "gallery_ids")
    check_unique(query_ids, "query_ids")
    return by_judgements(judgements, query_ids, gallery_ids)


def summarise(table: pd.DataFrame) -> dict[str, float | int]:
    """Means of a `retrieval_metrics` or `judged_metrics` table over the queries that have a relevant item.

    Returns:
        `mAP`, `mAP@R`, `R-precision`, `nDCG@10`, and `recall@k` and `precision@k` for each k, as far as the table
        has them (NaN if no query counts), `queries` (those counted) and `queries_without_relevant` (those skipped).
    """
    counted = table[table["relevant"] > 0]
    names = {column: MEANS.get(column, column) for column in table.columns if column != "relevant"}
    means = {name: float(counted[column].mean()) for column, name in names.items()}
    return means | {"queries": len(counted), "queries_without_relevant": len(table) - len(counted)}


def _features(
    queries: Real[Features, "n d"], gallery: Real[Features, "m d"]
) -> tuple[Real[np.ndarray, "n d"], Real[np.ndarray, "m d"]]:
    found = checked_features(queries, "queries"), checked_features(gallery, "gallery")
    check_widths(*found, ("queries", "gallery"))
    return found


def _table(
    queries: Real[np.ndarray, "n d"],
    gallery: Real[np.ndarray, "m d"],
    relevance: RelevanceLists,
    protocol: str,
    ks: Sequence[Any],
    block_size: int | None,
    device: str,
    bias: Bias | None,
) -> pd.DataFrame:
    measure = partial(PROTOCOLS[protocol], ks=cut_offs(ks, "ks"))
    added = None if bias is None else columns(bias, len(queries), len(gallery))
    ranks = relevant_ranks(queries, gallery, relevance, block_size, device, added)
    return pd.concat(map(measure, ranks), ignore_index=True)


def _check_same_items(
    query_labels: Shaped[np.ndarray, " n"], gallery_labels: Shaped[np.ndarray, " n"]
) -> None:
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
