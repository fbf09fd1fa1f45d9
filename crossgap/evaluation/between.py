"""Two cells compared query by query: what one backbone does better than another on the same items."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
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
    """An `Evaluation`, or as much of one as is compared."""

    @property
    def queries(self) -> pd.DataFrame: ...

    @property
    def predictions(self) -> pd.DataFrame: ...

    @property
    def set_aside(self) -> pd.DataFrame: ...

    @property
    def measured_on(self) -> Mapping[str, str]: ...


def compare(
    one: Measured,
    other: Measured,
    *,
    tasks: Collection[str] | None = None,
    metric: str = METRIC["retrieval"],
    seed: int = 0,
    resamples: int = significance.RESAMPLES,
) -> pd.DataFrame:
    """What `one` reaches and `other` doesn't, on the queries that both were measured on: two backbones on one dataset.

    Args:
        tasks: their names; `retrieval/image-text` and `classification/image-text` where both families have one of a
            name. All retrieval and zero-shot classification without corrections, if not given.
        metric: of retrieval, one of `METRICS`; of classification it is the accuracy.
        seed, resamples: as of `significance.paired`.

    Returns:
        A row a task and relevance, by `COLUMNS`: the metric of both, fractions; the difference, positive where `one` is
        better, with the 95 % interval of the bootstrap over queries, captions of one image together; the p-value of
        the paired permutation test, and corrected by Holm over all rows of the family.

    Raises:
        CrossgapError: no such metric or task; or they weren't measured on the same, as with another revision of the
            dataset, other class prompts or labels, or where an inversion of one alone set items aside.
        TypeError, ValueError: as of `significance.paired`.
    """
    whole_number(resamples, "resamples", 1)
    if metric not in METRICS:
        raise CrossgapError(
            f"there is no metric {metric!r}{like(metric, METRICS)}; there are {', '.join(METRICS)}"
        )
    _check_same(one, other)
    families = {
        "retrieval": (one.queries, other.queries, "relevance", "query", METRICS[metric]),
        "classification": (one.predictions, other.predictions, "labelling", "image", "correct"),
    }
    shared = {family: _shared(first, second) for family, (first, second, *_) in families.items()}
    wanted = _wanted(shared, tasks)
    found = []
    for family, (first, second, by, query, column) in families.items():
        of_family = [task for task in shared[family] if f"{family}/{task}" in wanted]
        ours, theirs = (_by_query(table, of_family, by, query) for table in (first, second))
        places = sorted(ours.keys() & theirs.keys(), key=lambda place: (of_family.index(place[0]), place[1]))
        pairs = {place: (_values(ours[place][column]), _values(theirs[place][column])) for place in places}
        pairs = {place: (a, b) for place, (a, b) in pairs.items() if a.index.isin(b.index).any()}
        if not pairs:
            continue
        groups = {place: ours[place]["group"] for place in pairs} if family == "retrieval" else {}
        rows = tested(pairs, groups, seed, resamples).rename(columns={"baseline_value": "other_value"})
        named = {"family": family, "metric": metric if family == "retrieval" else METRIC[family]}
        found.append(rows.assign(**named, p_adjusted=significance.holm(rows["p"].to_numpy())))
    if not found:
        raise CrossgapError("they have no task with a query in common: name others by `tasks`")
    return pd.concat(found, ignore_index=True)[COLUMNS]


def _wanted(shared: Mapping[str, list[str]], tasks: Collection[str] | None) -> set[str]:
    """Those of the tasks by family that are asked for, as `<family>/<task>`.

    Raises:
        CrossgapError: one that is asked for is none of them.
    """
    every = [f"{family}/{task}" for family, held in shared.items() for task in held]
    if tasks is None:
        return {name for name in every if _ACROSS.fullmatch(naming.plain(name.partition("/")[2]))}
    known = {task: {name for name in every if task in (name, name.partition("/")[2])} for task in tasks}
    if strangers := [task for task, names in known.items() if not names]:
        names = list(dict.fromkeys(task for held in shared.values() for task in held))
        corrected = [name for name in names if "+" in name]
        more = f", and {len(corrected)} with a correction, as {corrected[0]}" if corrected else ""
        raise CrossgapError(
            f"{strangers[0]!r} is no task that both have{like(strangers[0], names)}; both have "
            f"{', '.join(name for name in names if '+' not in name)}{more}"
        )
    return set().union(*known.values())


def _check_same(one: Measured, other: Measured) -> None:
    """CrossgapError unless both were measured on the same."""
    first, second = one.measured_on, other.measured_on
    if first["dataset"] != second["dataset"]:
        raise CrossgapError(
            f"one was measured on {first['dataset']}, the other on {second['dataset']}: compare two backbones on the "
            "same dataset; imports of one need the same --dataset"
        )
    if differ := sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)):
        raise CrossgapError(
            f"they were measured on other items: {', '.join(differ)} differ, by ids, labels or captions' images: "
            "evaluate both on the same revision of the dataset, with the same splits, class prompts and controls"
        )
    aside = [sorted(map(tuple, of.set_aside[["group", "id"]].to_numpy())) for of in (one, other)]
    if aside[0] != aside[1]:
        raise CrossgapError(
            f"their inversions set other items aside ({len(aside[0])} and {len(aside[1])}), which are left out of "
            "galleries too: invert both again, with a smaller lr, or without inversions"
        )


def _shared(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Tasks of both, in the order of the first."""
    theirs = set(other["task"])
    return [task for task in one["task"].unique() if task in theirs]


def _by_query(table: pd.DataFrame, tasks: Collection[str], by: str, query: str) -> dict[Place, pd.DataFrame]:
    """Of every task and relevance, a row a query."""
    of = table[table["task"].isin(tasks)].groupby(["task", by], sort=False)
    return {(str(task), str(relevance)): rows.set_index(query) for (task, relevance), rows in of}


def _values(column: pd.Series) -> pd.Series:
    """Of the queries that have one."""
    return column.dropna().sort_index().astype(float)
