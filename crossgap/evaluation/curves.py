"""Metrics over an inversion's steps: the step × token study (Cross the Gap), from the snapshots of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap.evaluation.cell import INVERSIONS, Cell
from crossgap.evaluation.inversions import name_of
from crossgap.evaluation.items import Items
from crossgap.evaluation.queries import IntraModalRetrieval, Task, comparisons
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import retrieval
from crossgap.stores.store import Store

POINT = ["task", "tokens", "relevance", "step"]
STEPS = [*POINT, "query", "ap", "recall@1"]
CURVES = [*POINT, "loss", "mAP", "recall@1", "baseline", "loss_se", "mAP_se", "queries"]
_LENGTH = {"oti": "tokens", "ovi": "patches"}
DIGITS = 6  # of a metric


class Point(NamedTuple):
    """Inverted queries at one step of one inversion.

    Attributes:
        task: that they are the queries of.
        loss, loss_se: mean over the queries, and its standard error.
    """

    task: str
    tokens: int
    step: int
    loss: float
    loss_se: float
    queries: Items
    main: bool  # the last step of the main inversion, which the cell's tasks are measured with
    store: Store

    @property
    def words(self) -> str:
        """The task at this point, for a file's name and a reason."""
        return f"{self.task} of {name_of(self.store)} at step {self.step}"


def over_steps(
    work: Work, tables: Mapping[tuple[str, str], pd.DataFrame]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Retrieval with inverted queries at every snapshot and at the last step, of every inversion of the cell.

    Features are read a step at a time.

    Args:
        tables: of `Task.table`, by task and relevance, for the cell's tasks: they hold the baseline, and the last
            step of the main inversions.

    Returns:
        Per query `STEPS`, and their means `CURVES`: a row a `task`, `tokens` (R of OTI, P of OVI), `relevance` and
        `step`, with the mean `loss` 1 − cosine of the queries at that step, `baseline`, the mAP of the native
        queries, the standard errors `loss_se` and `mAP_se` of these means, and `queries`, the number of those with a
        match, which mAP is the mean of. Rows are in the order of these four columns.
    """
    cell, steps, curves = work.cell, [], []
    for comparison in comparisons(cell):
        for point in points(cell, comparison):
            found = tables if point.main else _measured(work, comparison, point)
            for relevance in comparison.relevances:
                name = point.task
                if (name, relevance.name) not in found or (comparison.native, relevance.name) not in tables:
                    continue  # `reasons` says why
                table = found[name, relevance.name]
                at = dict(zip(POINT, (name, point.tokens, relevance.name, point.step), strict=True))
                mean = retrieval.summarise(table[["ap", "recall@1", "relevant"]])
                native = retrieval.summarise(tables[comparison.native, relevance.name][["ap", "relevant"]])
                means = {"loss": point.loss, "mAP": mean["mAP"], "recall@1": mean["recall@1"]}
                asked = table.loc[table["relevant"] > 0, "ap"]
                means |= {"baseline": native["mAP"], "loss_se": point.loss_se, "mAP_se": float(asked.sem())}
                rounded = {name: round(value, DIGITS) for name, value in means.items()}
                curves.append(at | rounded | {"queries": len(asked)})
                steps.append(table.assign(**at)[STEPS])
    whole = pd.concat(steps) if steps else pd.DataFrame()
    return _sorted(whole, STEPS), _sorted(pd.DataFrame(curves), CURVES)


def _measured(
    work: Work, comparison: IntraModalRetrieval, point: Point
) -> dict[tuple[str, str], pd.DataFrame]:
    """By task and relevance, a row a query: all relevances at one point."""
    name = point.task
    kept = ["task", "relevance", "query", "ap", "recall@1", "relevant"]

    def compute(reasons: Reasons) -> pd.DataFrame:
        found = []
        for relevance in comparison.relevances:
            task = Task(name, relevance, point.queries, comparison.gallery)
            with reasons.of("snapshots", f"{point.words}/{relevance.name}"):
                found.append(task.table(work)[kept])
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=kept)

    table = work.part(
        "snapshots",
        point.words,
        compute,
        by=__name__,
        inversions=[point.store],
        at=[point.tokens, point.step],
        relevances=[relevance.said for relevance in comparison.relevances],
    )
    if table is None:
        return {}
    parts = table.groupby("relevance", sort=False)
    return {(name, relevance): part.reset_index(drop=True) for relevance, part in parts}


def best(cell: Cell, curves: pd.DataFrame) -> dict[str, float]:
    """The step of the highest mAP, the earliest of equals, per task and relevance of the main inversions."""
    metrics: dict[str, float] = {}
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


def points(cell: Cell, comparison: IntraModalRetrieval) -> Iterator[Point]:
    """The queries at each step of each inversion that has them all, one inversion a number of tokens.

    Of those by φ, whose step 0 is φ's own, those that go on from there.
    """
    main, seen = cell.main(comparison.modality), set()
    warm = {variant.store.path: variant.words for variant in cell.variants(comparison.modality)}
    for store in cell.inversions(comparison.modality):
        last, by_phi = store.provenance["recipe"]["steps"], warm.get(store.path)
        tokens, task = tokens_of(store), f"{by_phi}-{comparison.modality}" if by_phi else comparison.inverted
        if (task, tokens) in seen or (by_phi and not last) or comparison.queries_of not in store:
            continue
        group = store[comparison.queries_of]
        rows = comparison.queries.places(group.ids)
        if rows is None:
            continue
        seen.add((task, tokens))
        for number, step in enumerate(group.steps if "step" in group else ()):
            if step != last:
                loss = group.snapshot_losses[rows, number]
                queries = comparison.queries.read_from(group, rows, number)
                yield Point(task, tokens, int(step), *_over(loss), queries, False, store)
        queries = comparison.queries.read_from(group, rows)
        yield Point(task, tokens, last, *_over(group.losses[rows]), queries, store is main, store)


def tokens_of(store: Store) -> int:
    """R or P, the number of pseudo-tokens that were optimised."""
    method = store.provenance["method"]
    return method[_LENGTH[method["name"]]]


def _over(losses: np.ndarray) -> tuple[float, float]:
    """Mean and its standard error, which is NaN of a single one."""
    values = losses.astype(np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


def _sorted(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    whole = rows.reindex(columns=columns).astype({"tokens": "int64", "step": "int64"})
    return whole.sort_values(POINT, kind="stable", ignore_index=True)
