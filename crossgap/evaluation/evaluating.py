"""Every measure of a cell, gathered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossgap import retrieval
from crossgap.evaluation import measures
from crossgap.evaluation.cell import Cell
from crossgap.evaluation.clouds import clouds as cloud_points
from crossgap.evaluation.curves import DIGITS, best, over_steps
from crossgap.evaluation.tasks import tasks

_SHOWN = ("mAP", "mAP@R", "R-precision", "recall@1", "recall@5", "recall@10")
_PER_QUERY = ["ap", "ap_at_r", "r_precision", "recall@1", "recall@5", "recall@10"]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        metrics: flat, `retrieval/<query>-<gallery>/<relevance>/<metric>` and the like; rates are fractions.
        queries: one row a task and query: `task`, `relevance`, `query`, `ap`, `ap_at_r`, `r_precision`, `recall@k`.
        clouds: the features on the first two principal components of images and texts: `x`, `y`, `modality`, `id`.
        steps: one row a task, number of tokens, relevance, step and query: `ap`, `recall@1`.
        curves: the means of `steps`, with the `loss` at the step and the native queries' mAP as `baseline`.
        set_aside: the items whose loss was not finite, by `inversion`, `group` and `id`. They are left out of every
            task that is compared with that inversion, of the native baseline too.
    """

    metrics: dict[str, float | int]
    queries: pd.DataFrame
    clouds: pd.DataFrame
    steps: pd.DataFrame
    curves: pd.DataFrame
    set_aside: pd.DataFrame


def evaluate(cell: Cell, *, seed: int = 0, clouds: int = 500) -> Evaluation:
    """Retrieval, classification and gap of a cell, and the retrieval over its inversions' steps.

    Args:
        seed: of the split behind linear separability.
        clouds: points a modality in `clouds`.
    """
    tables = {(task.name, task.relevance): task.table() for task in tasks(cell)}
    metrics: dict[str, float | int] = {}
    for (task, relevance), table in tables.items():
        for metric, value in retrieval.summarise(table[[*_PER_QUERY, "relevant"]]).items():
            if metric in _SHOWN or (metric == "queries_without_relevant" and value):
                metrics[f"retrieval/{task}/{relevance}/{metric}"] = value
    steps, curves = over_steps(cell, tables)
    metrics |= best(cell, curves) | measures.accuracies(cell) | measures.gap(cell, seed)
    metrics |= measures.ceiling(cell) | measures.counts(cell)
    queries = pd.concat(tables.values(), ignore_index=True) if tables else pd.DataFrame()
    return Evaluation(
        {name: round(value, DIGITS) for name, value in metrics.items() if not np.isnan(value)},
        queries.reindex(columns=["task", "relevance", "query", *_PER_QUERY, "relevant"]),
        cloud_points(cell, clouds),
        steps,
        curves,
        measures.set_aside(cell),
    )
