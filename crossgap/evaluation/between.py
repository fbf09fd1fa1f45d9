"""Two cells compared query by query: what one backbone does better than another on the same items."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Protocol

import pandas as pd

from crossgap import naming
from crossgap.arrays import whole_number
from crossgap.errors import CrossgapError, like
from crossgap.evaluation.comparisons import METRIC, Place, tested
from crossgap.evaluation.queries import PER_QUERY
from crossgap.metrics import significance
from crossgap.metrics.retrieval.queries import MEANS

COLUMNS = [
    "family", "task", "relevance", "metric", "value", "other_value", "difference", "low", "high", "p", "p_adjusted",
    "queries",
]  # fmt: skip
METRICS = {MEANS.get(column, column): column for column in PER_QUERY}  # of retrieval, by the tables' columns
_ACROSS = re.compile(f"{naming.MODALITY}-{naming.MODALITY}")


class Measured(Protocol):
    """An `Evaluation`, or as much of one: its tables `queries` and `predictions`, a row a task and query."""

    @property
    def queries(self) -> pd.DataFrame: ...

    @property
    def predictions(self) -> pd.DataFrame: ...


def compare(
    one: Measured,
    other: Measured,
    *,
    tasks: Collection[str] | None = None,
    metric: str = "mAP",
    seed: int = 0,
    resamples: int = significance.RESAMPLES,
) -> pd.DataFrame:
    """What `one` reaches and `other` doesn't, on the queries that both were measured on: two backbones on one dataset.

    Args:
        tasks: their names, of retrieval and of classification; all retrieval and zero-shot classification without
            corrections, if not given.
        metric: of retrieval, one of `METRICS`; of classification it is the accuracy.
        seed, resamples: as of `significance.paired`.

    Returns:
        A row a task and relevance, by `COLUMNS`: the metric of both, fractions; the difference, positive where `one` is
        better, with the 95 % interval of the bootstrap over queries; the p-value of the paired permutation test, and
        corrected by Holm over all rows of the family.

    Raises:
        CrossgapError: no such metric or task, no query in common, or galleries that differ, as those of different
            revisions of a dataset do.
        TypeError, ValueError: as of `significance.paired`.
    """
    whole_number(resamples, "resamples", 1)
    if metric not in METRICS:
        raise CrossgapError(
            f"there is no metric {metric!r}{like(metric, METRICS)}; there are {', '.join(METRICS)}"
        )
    families = {
        "retrieval": (one.queries, other.queries, "relevance", "query", METRICS[metric]),
        "classification": (one.predictions, other.predictions, "labelling", "image", "correct"),
    }
    shared = {family: _shared(first, second) for family, (first, second, *_) in families.items()}
    every = [task for held in shared.values() for task in held]
    if tasks is None:
        tasks = [task for task in every if _ACROSS.fullmatch(naming.plain(task))]
    elif strangers := [task for task in tasks if task not in every]:
        raise CrossgapError(
            f"{strangers[0]!r} is no task that both have{like(strangers[0], every)}; both have {', '.join(every)}"
        )
    found = []
    for family, (first, second, by, query, column) in families.items():
        wanted = [task for task in shared[family] if task in tasks]
        if family == "retrieval":
            _check_same_galleries(first, second, wanted)
        sides = [dict(_values(table, wanted, by, query, column)) for table in (first, second)]
        places = sorted(
            sides[0].keys() & sides[1].keys(), key=lambda place: (wanted.index(place[0]), place[1])
        )
        pairs = {place: (sides[0][place], sides[1][place]) for place in places}
        if not pairs:
            continue
        rows = tested(pairs, seed, resamples).rename(columns={"baseline_value": "other_value"})
        rows = rows[rows["queries"] > 0]
        named = {"family": family, "metric": metric if family == "retrieval" else METRIC[family]}
        found.append(rows.assign(**named, p_adjusted=significance.holm(rows["p"].to_numpy())))
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)
    if table.empty:
        raise CrossgapError(
            "they have no query in common: compare two backbones on the same dataset and split"
        )
    return table[COLUMNS]


def _shared(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Tasks of both, in the order of the first."""
    theirs = set(other["task"])
    return [task for task in one["task"].unique() if task in theirs]


def _values(
    table: pd.DataFrame, tasks: Collection[str], by: str, query: str, column: str
) -> Iterator[tuple[Place, pd.Series]]:
    """Of every task and relevance, a value a query that has one."""
    for (task, relevance), rows in table[table["task"].isin(tasks)].groupby(["task", by], sort=False):
        yield (
            (str(task), str(relevance)),
            rows.set_index(query)[column].dropna().sort_index().astype(float),
        )


def _check_same_galleries(one: pd.DataFrame, other: pd.DataFrame, tasks: Collection[str]) -> None:
    """By the number of items that each query could find."""
    keys = ["task", "relevance", "query"]
    held = [table.loc[table["task"].isin(tasks), [*keys, "relevant"]] for table in (one, other)]
    both = held[0].merge(held[1], on=keys, suffixes=("", "_other"))
    differ = both[both["relevant"] != both["relevant_other"]]
    if len(differ):
        first = differ.iloc[0]
        raise CrossgapError(
            f"their galleries differ: in {first['task']} by {first['relevance']}, {first['query']} has "
            f"{first['relevant']} relevant items in one and {first['relevant_other']} in the other: evaluate both on "
            "the same revision of the dataset; an inversion that set items aside leaves them out of the gallery too"
        )
