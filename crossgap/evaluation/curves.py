"""Metrics over an inversion's steps: the step × token study (Cross the Gap), from the snapshots of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap import retrieval
from crossgap.evaluation.cell import INVERSIONS, Cell, Items
from crossgap.evaluation.tasks import Comparison, Task, comparisons
from crossgap.store import Store

POINT = ["task", "tokens", "relevance", "step"]
STEPS = [*POINT, "query", "ap", "recall@1"]
CURVES = [*POINT, "loss", "mAP", "recall@1", "baseline"]
_LENGTH = {"oti": "tokens", "ovi": "patches"}
DIGITS = 6  # of a metric


class Point(NamedTuple):
    """Inverted queries at one step of one inversion."""

    tokens: int
    step: int
    loss: float
    queries: Items
    main: bool  # the last step of the main inversion, which the cell's tasks are measured with


def over_steps(
    cell: Cell, tables: Mapping[tuple[str, str], pd.DataFrame], device: str = "cpu"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Retrieval with inverted queries at every snapshot and at the last step, of every inversion of the cell.

    Features are read a step at a time.

    Args:
        tables: of `Task.table`, by task and relevance, for the cell's tasks: they hold the baseline, and the last
            step of the main inversions.

    Returns:
        Per query `STEPS`, and their means `CURVES`: a row a `task`, `tokens` (R of OTI, P of OVI), `relevance` and
        `step`, with the mean `loss` 1 − cosine of the queries at that step, and `baseline`, the mAP of the native
        queries. Rows are in the order of these four columns.
    """
    steps, curves = [], []
    for comparison in comparisons(cell):
        for point in points(cell, comparison):
            for relevance in comparison.relevances:
                task = Task(comparison.inverted, relevance, point.queries, comparison.gallery)
                table = tables[task.name, relevance.name] if point.main else task.table(device)
                at = dict(zip(POINT, (task.name, point.tokens, relevance.name, point.step), strict=True))
                found = retrieval.summarise(table[["ap", "recall@1", "relevant"]])
                native = retrieval.summarise(tables[comparison.native, relevance.name][["ap", "relevant"]])
                means = {"loss": point.loss, "mAP": found["mAP"], "recall@1": found["recall@1"]}
                means["baseline"] = native["mAP"]
                curves.append(at | {name: round(value, DIGITS) for name, value in means.items()})
                steps.append(table.assign(**at)[STEPS])
    whole = pd.concat(steps) if steps else pd.DataFrame()
    return _sorted(whole, STEPS), _sorted(pd.DataFrame(curves), CURVES)


def best(cell: Cell, curves: pd.DataFrame) -> dict[str, float]:
    """The step of the highest mAP, the earliest of equals, per task and relevance of the main inversions."""
    metrics = {}
    for modality, inversion in INVERSIONS.items():
        if (store := cell.main(modality)) is None:
            continue
        of = curves[(curves["task"] == f"{inversion}-{modality}") & (curves["tokens"] == tokens_of(store))]
        for relevance, points in of.groupby("relevance"):
            if len(points) > 1 and points["mAP"].notna().any():
                peak = points.loc[points["mAP"].idxmax()]
                name = f"snapshots/{inversion}-{modality}/{relevance}"
                metrics |= {f"{name}/best_step": int(peak["step"]), f"{name}/best_mAP": float(peak["mAP"])}
    return metrics


def points(cell: Cell, comparison: Comparison) -> Iterator[Point]:
    """The queries at each step of each inversion that has them all, one inversion a number of tokens."""
    main, seen = cell.main(comparison.modality), set()
    for store in cell.inversions(comparison.modality):
        tokens, last = tokens_of(store), store.provenance["recipe"]["steps"]
        if tokens in seen or comparison.queries_of not in store:
            continue
        group = store[comparison.queries_of]
        rows = comparison.queries.places(group.ids)
        if rows is None:
            continue
        seen.add(tokens)
        for number, step in enumerate(group.steps if "step" in group else ()):
            if step != last:
                loss = group.snapshot_losses[rows, number]
                queries = comparison.queries.having(group.snapshot(number)[rows])
                yield Point(tokens, int(step), _mean(loss), queries, False)
        queries = comparison.queries.having(group.features[rows])
        yield Point(tokens, last, _mean(group.losses[rows]), queries, store is main)


def tokens_of(store: Store) -> int:
    """R or P, the number of pseudo-tokens that were optimised."""
    method = store.provenance["method"]
    return method[_LENGTH[method["name"]]]


def _mean(losses: np.ndarray) -> float:
    return float(losses.mean(dtype=np.float64))


def _sorted(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    whole = rows.reindex(columns=columns).astype({"tokens": "int64", "step": "int64"})
    return whole.sort_values(POINT, kind="stable", ignore_index=True)
