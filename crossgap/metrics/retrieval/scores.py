"""Measures of each query's ranking, from the ranks of its relevant items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap.metrics.retrieval.ranking import Ranks

if TYPE_CHECKING:
    from jaxtyping import Int64, Real

DEPTH = 10  # of nDCG


def plain(ranks: Ranks, ks: Sequence[int]) -> pd.DataFrame:
    """The columns of `retrieval_metrics`, a row a query of the chunk."""
    query, rank, grade = ranks.query, ranks.rank, ranks.grade
    count = ranks.queries.stop - ranks.queries.start
    relevant = np.bincount(query, minlength=count)
    precision = (found_before(query, relevant) + 1) / (rank + 1)
    within = rank < relevant[query]

    def total(weights: np.ndarray) -> np.ndarray:
        return np.where(relevant > 0, np.bincount(query, weights, minlength=count), np.nan)

    def share(weights: np.ndarray) -> np.ndarray:
        return total(weights) / np.maximum(relevant, 1)

    columns = {"ap": share(precision), "ap_at_r": share(precision * within), "r_precision": share(within)}
    found = {k: np.where(relevant > 0, np.bincount(query[rank < k], minlength=count), np.nan) for k in ks}
    columns |= {f"recall@{k}": np.minimum(found[k], 1) for k in ks}
    columns |= {f"precision@{k}": found[k] / k for k in ks}
    best = grade if (grade == grade[:1]).all() else grade[np.lexsort([-grade, query])]
    ideal = _discounted(query, found_before(query, relevant), best, count)
    gain = _discounted(query, rank, grade, count)
    columns[f"ndcg@{DEPTH}"] = np.divide(gain, ideal, out=np.full(count, np.nan), where=relevant > 0)
    return pd.DataFrame(columns | {"relevant": relevant})


def found_before(
    query: Int64[np.ndarray, " r"], relevant: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " r"]:
    """How many relevant items of the same query stand ahead of each (r,), given how many each query has."""
    return np.arange(len(query)) - (np.cumsum(relevant) - relevant)[query]


def _discounted(
    query: Int64[np.ndarray, " r"], rank: Int64[np.ndarray, " r"], grade: Int64[np.ndarray, " r"], count: int
) -> Real[np.ndarray, " n"]:
    """Discounted cumulative gain of each query (n,)."""
    shallow = rank < DEPTH
    gain = grade[shallow] / np.log2(rank[shallow] + 2)
    return np.bincount(query[shallow], gain, minlength=count)
