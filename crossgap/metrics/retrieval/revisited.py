"""The protocol of ROxford and RParis (Radenovic et al., Revisiting Oxford and Paris, CVPR 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crossgap.arrays import require_columns
from crossgap.errors import listed
from crossgap.metrics.retrieval.ranking import Ranks
from crossgap.metrics.retrieval.scores import found_before, plain
from crossgap.prepared.judgements import IGNORED

GRADES = {
    "easy": {"easy": 1, "hard": IGNORED, "junk": IGNORED},
    "medium": {"easy": 1, "hard": 1, "junk": IGNORED},
    "hard": {"easy": IGNORED, "hard": 1, "junk": IGNORED},
}


def revisited_judgements(lists: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The judgements of a setting, for `judged_metrics` with `protocol="revisited"`.

    Args:
        lists: `query`, `item` and `list`, which is `easy`, `hard` or `junk`; other items are irrelevant.
        setting: `easy` (relevant: easy; ignored: hard, junk), `medium` (easy and hard; junk) or `hard` (hard;
            easy, junk).

    Returns:
        `query`, `item`, `grade`, in the order of `lists`.

    Raises:
        TypeError, ValueError: another setting or list, no table, or a missing column.
    """
    if setting not in GRADES:
        raise ValueError(f"setting is {setting!r}: give one of {listed(GRADES)}")
    require_columns(lists, "lists", ("query", "item", "list"))
    grades = lists["list"].astype(object).map(GRADES[setting])
    if (unknown := grades.isna()).any():
        names = listed(lists["list"][unknown].unique())
        raise ValueError(
            f"the column 'list' holds {names}: an item is in the list easy, hard or junk of a query"
        )
    return lists[["query", "item"]].assign(grade=grades.astype(np.int64))


def revisited(ranks: Ranks, ks: Sequence[int]) -> pd.DataFrame:
    """`plain`, with `ap` and `precision@k` as revisitop computes them.

    `ap` is the area under the precision-recall curve by the trapezoidal rule: a relevant item adds the mean of the
    precision before it (1 at the top) and at it. In `precision@k`, k is at most the position of the last relevant
    item, from 1.
    """
    query, rank = ranks.query, ranks.rank
    table = plain(ranks, ks)
    relevant = table["relevant"].to_numpy()
    before = found_before(query, relevant)
    ahead = np.divide(before, rank, out=np.ones(len(rank)), where=rank > 0)
    area = np.bincount(query, (ahead + (before + 1) / (rank + 1)) / 2, minlength=len(table))
    table["ap"] = np.where(relevant > 0, area, np.nan) / np.maximum(relevant, 1)
    last = np.zeros(len(table), dtype=np.int64)
    np.maximum.at(last, query, rank + 1)
    for k in ks:
        capped = np.clip(last, 1, k)
        found = np.bincount(query, rank < capped[query], minlength=len(table))
        table[f"precision@{k}"] = np.where(relevant > 0, found / capped, np.nan)
    return table
