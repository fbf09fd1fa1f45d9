"""Methods compared on the same queries: differences, their intervals and their significance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crossgap import fingerprint, naming
from crossgap.evaluation.work import Work, calling
from crossgap.metrics import significance

# by family, task and relevance: a value a query, by its id
Outcomes = Mapping[tuple[str, str, str], pd.Series]
COLUMNS = [
    "family", "task", "baseline", "relevance", "metric", "value", "baseline_value",
    "difference", "low", "high", "p", "p_adjusted", "queries",
]  # fmt: skip
METRIC = {"retrieval": "mAP", "classification": "accuracy", "hubness": "recall@1", "mixed": "recall@1"}
_INTRA = {
    "retrieval": {
        "oti-image": "image-image", "oti-oti": "image-image", "ovi-text": "text-text", "ovi-ovi": "text-text",
    },
    "classification": {"oti-text": "image-text", "image-ovi": "image-text"},
}  # fmt: skip


def baseline_of(family: str, task: str) -> str | None:
    """The task that another is compared with: the same without the correction, or with native features."""
    plain, plus, _ = task.partition("+")
    return plain if plus else _INTRA.get(family, {}).get(naming.plain(task))


def compared(work: Work, outcomes: Outcomes, *, seed: int, resamples: int) -> pd.DataFrame:
    """Every task of `outcomes` against its baseline, over the queries that both have a value for.

    Returns:
        `COLUMNS`, a row a comparison: the mean of the metric, the baseline's, the difference with its 95 % interval,
        and p-values, the corrected ones by Holm over all comparisons with one baseline in one family.
    """
    found = []
    for family, baseline in dict.fromkeys((f, baseline_of(f, task)) for f, task, _ in outcomes):
        rivals = [key for key in outcomes if key[0] == family and baseline_of(family, key[1]) == baseline]
        table: list[dict[str, Any]] = []
        for relevance in dict.fromkeys(relevance for *_, relevance in rivals):
            native = None if baseline is None else outcomes.get((family, baseline, relevance))
            if native is not None:
                against = {task: outcomes[family, task, of] for _, task, of in rivals if of == relevance}
                found_here = work.part(
                    "comparisons",
                    f"{family}/{baseline}/{relevance}",
                    calling(_one_relevance, native, against, seed, resamples, relevance),
                    by=__name__,
                    seed=seed,
                    resamples=resamples,
                    values=_said(native, against) if work.parts.folder else None,
                )
                table += [] if found_here is None else found_here.to_dict("records")
        p = significance.holm(np.array([row["p"] for row in table], float))
        made_of = {"family": family, "baseline": baseline, "metric": METRIC[family]}
        found += [row | made_of | {"p_adjusted": value} for row, value in zip(table, p, strict=True)]
    return pd.DataFrame(found, columns=COLUMNS)


def _said(native: pd.Series, against: Mapping[str, pd.Series]) -> list:
    """What is compared, by its content."""
    return [
        [
            task,
            fingerprint.of_bytes(
                "\0".join(map(str, values.index)).encode(), values.to_numpy(float).tobytes()
            ),
        ]
        for task, values in [("", native), *against.items()]
    ]


def _one_relevance(
    native: pd.Series, rivals: Mapping[str, pd.Series], seed: int, resamples: int, relevance: str
) -> pd.DataFrame:
    """A row a rival; those measured on the same queries share their resamples."""
    rows = []
    for task, values in rivals.items():
        both = (
            pd.concat({"value": values, "baseline_value": native}, axis=1, join="inner").dropna().sort_index()
        )
        rows.append((task, both.astype(float)))
    tables: dict[str, dict[str, Any]] = {}
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
