"""The same inversion from other seeds: how much of a number is chance."""

from __future__ import annotations

import pandas as pd

from crossgap.evaluation.cell import INVERSIONS
from crossgap.evaluation.inversions import name_of
from crossgap.evaluation.queries import Tables, Task, comparisons
from crossgap.evaluation.work import Work, calling
from crossgap.metrics import retrieval

SEEDS = ["task", "relevance", "seed", "mAP"]


def over_seeds(work: Work, tables: Tables) -> pd.DataFrame:
    """`SEEDS`: retrieval with queries inverted by every seed, the main inversion's among them.

    Args:
        tables: of the cell's tasks: they hold the main inversion's.
    """
    cell, rows = work.cell, []
    for comparison in comparisons(cell):
        stores = cell.of_seeds(INVERSIONS[comparison.modality])
        main = cell.main(comparison.modality)
        for relevance in comparison.relevances if stores else ():
            found = {}
            for store in stores:
                queries = cell.inverted(comparison.queries, comparison.queries_of, store)
                if queries is not None:
                    task = Task(comparison.inverted, relevance, queries, comparison.gallery)
                    found[store.provenance["recipe"]["seed"]] = work.part(
                        "seeds",
                        f"{task.words} of {name_of(store)}",
                        calling(_means, task, work),
                        by=__name__,
                        inversions=[store],
                        relevance=relevance.said,
                    )
            table = tables.get((comparison.inverted, relevance.name))
            if main and table is not None and any(found.values()):
                found = {main.provenance["recipe"]["seed"]: {"mAP": _mean(table)}} | found
            for seed, means in found.items():
                if means is not None:
                    rows.append((comparison.inverted, relevance.name, seed, means["mAP"]))
    return pd.DataFrame(rows, columns=SEEDS)


def spread(seeds: pd.DataFrame) -> dict[str, float]:
    """Mean and standard deviation (n - 1) of mAP over the seeds."""
    metrics = {}
    for (task, relevance), found in seeds.groupby(["task", "relevance"], sort=False)["mAP"]:
        metrics[f"seeds/{task}/{relevance}/mAP_mean"] = float(found.mean())
        metrics[f"seeds/{task}/{relevance}/mAP_std"] = float(found.std())
    return metrics


def _means(task: Task, work: Work) -> dict[str, float]:
    return {"mAP": _mean(task.table(work))}


def _mean(table: pd.DataFrame) -> float:
    return retrieval.summarise(table[["ap", "relevant"]])["mAP"]
