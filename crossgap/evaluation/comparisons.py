"""Methods compared on the same queries: differences, their intervals and their significance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.evaluation.work import Work, calling
from crossgap.metrics import significance

# by family, task and relevance: a value a query, by its id
Outcomes = Mapping[tuple[str, str, str], pd.Series]
COLUMNS = [
    "family", "task", "baseline", "relevance", "metric", "value", "baseline_value",
    "difference", "low", "high", "p", "p_adjusted", "queries",
]  # fmt: skip
METRIC = {"retrieval": "mAP", "classification": "accuracy", "hubness": "recall@1"}
_INTRA = {
    "retrieval": {
        "oti-image": "image-image", "oti-oti": "image-image", "ovi-text": "text-text", "ovi-ovi": "text-text",
    },
    "classification": {
        "oti-text": "image-text", "image-ovi": "image-text",
        "gda": "ncm", "knn_1": "ncm", "knn_5": "ncm", "logistic": "ncm",
    },
}  # fmt: skip


def baseline_of(family: str, task: str) -> str | None:
    """The task that another is compared with: the same without the correction, with native features, without text or by
    class means.
    """
    plain, plus, _ = task.partition("+")
    if plus:
        return plain
    if family == "classification":
        for ending in ("_text", "-gda"):
            if task.endswith(ending):
                return task.removesuffix(ending)
    return _INTRA.get(family, {}).get(task)


def compared(work: Work, outcomes: Outcomes, *, seed: int, resamples: int) -> pd.DataFrame:
    """Every task of `outcomes` against its baseline, over the queries that both have a value for.

    Returns:
        `COLUMNS`, a row a comparison: the mean of the metric, the baseline's, the difference with its 95 % interval,
        and p-values, the corrected ones by Holm over all comparisons with one baseline in one family.
    """
    tested: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}  # by family and relevance, by task
    for family, relevance in dict.fromkeys((family, relevance) for family, _, relevance in outcomes):
        values = {task: held for (of, task, by), held in outcomes.items() if (of, by) == (family, relevance)}
        against = {task: native for task in values if (native := baseline_of(family, task)) in values}
        if against:
            table = work.part(
                "comparisons",
                f"{family}/{relevance}",
                calling(_one_relevance, values, against, seed, resamples, relevance),
                by=__name__,
                seed=seed,
                resamples=resamples,
                values=_said(values, against) if work.parts.folder else None,
            )
            rows = [] if table is None else table.to_dict("records")
            tested[family, relevance] = {row["task"]: row for row in rows}
    found = []
    for family, baseline in dict.fromkeys((f, baseline_of(f, task)) for f, task, _ in outcomes):
        rivals = [key for key in outcomes if key[0] == family and baseline_of(family, key[1]) == baseline]
        held = [
            tested[family, relevance][task]
            for relevance in dict.fromkeys(relevance for *_, relevance in rivals)
            for _, task, of in rivals
            if of == relevance and task in tested.get((family, relevance), {})
        ]
        p = significance.holm(np.array([row["p"] for row in held], float))
        made_of = {"family": family, "baseline": baseline, "metric": METRIC[family]}
        found += [row | made_of | {"p_adjusted": value} for row, value in zip(held, p, strict=True)]
    return pd.DataFrame(found, columns=COLUMNS)


def _said(values: Mapping[str, pd.Series], against: Mapping[str, str | None]) -> list:
    """What is compared with what, by its content."""
    held = [
        [
            task,
            fingerprint.of_bytes("\0".join(map(str, of.index)).encode(), of.to_numpy(float).tobytes()),
        ]
        for task, of in values.items()
        if task in against or task in against.values()
    ]
    return [held, sorted(against.items())]


def _one_relevance(
    values: Mapping[str, pd.Series],
    against: Mapping[str, str],
    seed: int,
    resamples: int,
    relevance: str,
) -> pd.DataFrame:
    """A row a task and its baseline; those measured on the same queries share their resamples."""
    rows = []
    for task, baseline in against.items():
        sides = {"value": values[task], "baseline_value": values[baseline]}
        both = pd.concat(sides, axis=1, join="inner").dropna().sort_index()
        rows.append((task, both.astype(float)))
    tables: dict[str, dict[Any, Any]] = {}
    for queries in {tuple(both.index) for _, both in rows}:
        same = [(task, both) for task, both in rows if tuple(both.index) == queries]
        differences = pd.concat({task: both["value"] - both["baseline_value"] for task, both in same}, axis=1)
        tested = significance.paired(differences.to_numpy(), seed=seed, resamples=resamples)
        tables |= dict(zip(differences, tested.to_dict("records"), strict=True))
    return pd.DataFrame(
        [
            {"task": task, "relevance": relevance, **both.mean(), **tables[task], "queries": len(both)}
            for task, both in rows
        ]
    )
