"""Methods compared on the same queries: differences, their intervals and their significance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.evaluation.together import together
from crossgap.evaluation.work import Work, calling
from crossgap.metrics import significance
from crossgap.naming import ALPHA, baseline_of

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

Place = tuple[str, str]  # a task and a relevance
# by family, task and relevance: a value a query, by its id
Outcomes = Mapping[tuple[str, str, str], pd.Series]
COLUMNS = [
    "family", "task", "baseline", "relevance", "metric", "value", "baseline_value",
    "difference", "low", "high", "p", "p_adjusted", "queries",
]  # fmt: skip
METRIC = {
    "retrieval": "mAP", "classification": "accuracy", "hubness": "recall@1", "mixed": "recall@1", "robustness": "stays",
    "composed": "mAP",
}  # fmt: skip


def compared(work: Work, outcomes: Outcomes, *, seed: int, resamples: int) -> pd.DataFrame:
    """Every task of `outcomes` against its baseline, over the queries that both have a value for.

    Returns:
        `COLUMNS`, a row a comparison: the mean of the metric, the baseline's, the difference with its 95 % interval,
        and p-values, the corrected ones by Holm over all comparisons with one baseline in one family.
    """
    of_family: dict[str, dict[Place, dict[str, Any]]] = {}
    group_of = together(work.cell)
    for family in dict.fromkeys(family for family, *_ in outcomes):
        values = {(task, relevance): held for (of, task, relevance), held in outcomes.items() if of == family}
        against = {
            place: (baseline, place[1])
            for place in values
            if (baseline := baseline_of(family, place[0])) and (baseline, place[1]) in values
        }
        if against:
            groups = {place: of for place in against if (of := group_of(family, place[0])) is not None}
            table = work.part(
                "comparisons",
                family,
                calling(_tested, values, against, groups, seed, resamples),
                by=__name__,
                seed=seed,
                resamples=resamples,
                values=_said(values, against) if work.parts.folder else None,
            )
            rows = [] if table is None else table.to_dict("records")
            of_family[family] = {(row["task"], row["relevance"]): row for row in rows}
    found = []
    for family, baseline in dict.fromkeys((f, baseline_of(f, task)) for f, task, _ in outcomes):
        rivals = [key for key in outcomes if key[0] == family and baseline_of(family, key[1]) == baseline]
        held = [
            of_family[family][task, relevance]
            for relevance in dict.fromkeys(relevance for *_, relevance in rivals)
            for _, task, of in rivals
            if of == relevance and (task, relevance) in of_family.get(family, {})
        ]
        if why := too_few(len(held), resamples):
            work.reasons.add(
                [("significance", f"{family}/{baseline}", f"{len(held)} comparisons with it: {why}")]
            )
        p = significance.holm(np.array([row["p"] for row in held], float))
        made_of = {"family": family, "baseline": baseline, "metric": METRIC[family]}
        found += [row | made_of | {"p_adjusted": value} for row, value in zip(held, p, strict=True)]
    return pd.DataFrame(found, columns=COLUMNS)


def too_few(comparisons: int, resamples: int) -> str | None:
    """Why none of so many comparisons can be significant; None where one can."""
    if comparisons < ALPHA * (resamples + 1):
        return None
    return (
        f"by {resamples} resamples none can have p below {ALPHA} after Holm's correction; give resamples "
        f"of {round(comparisons / ALPHA)} or more"
    )


def _said(values: Mapping[Place, pd.Series], against: Mapping[Place, Place]) -> list:
    """What is compared with what, by its content; which queries belong together the native store says."""
    compared = {*against, *against.values()}
    held = [
        [*place, fingerprint.of_bytes("\0".join(map(str, of.index)).encode(), of.to_numpy(float).tobytes())]
        for place, of in values.items()
        if place in compared
    ]
    return [held, sorted([*place, *baseline] for place, baseline in against.items())]


def _tested(
    values: Mapping[Place, pd.Series],
    against: Mapping[Place, Place],
    groups: Mapping[Place, pd.Series],
    seed: int,
    resamples: int,
) -> pd.DataFrame:
    """`tested`, of every task and its baseline."""
    held = {
        place: values[place].dropna().sort_index().astype(float) for place in {*against, *against.values()}
    }
    return tested({place: (held[place], held[of]) for place, of in against.items()}, groups, seed, resamples)


def tested(
    pairs: Mapping[Place, tuple[pd.Series, pd.Series]],
    groups: Mapping[Place, pd.Series],
    seed: int,
    resamples: int,
) -> pd.DataFrame:
    """What the first of each pair has more than the second, over the queries that both have.

    Args:
        pairs: a value a query, by its id, in ids' order and none missing. Those of the same queries share their
            resamples.
        groups: of places whose queries belong together in groups: a query's, by its id, "" for none.

    Returns:
        A row a pair: `task`, `relevance`, `value` and `baseline_value`, the means of both; `difference`, `low`, `high`
        and `p` of `significance.paired`; `queries`, their number.
    """
    sides: dict[Place, tuple[np.ndarray, np.ndarray]] = {}
    by_queries: dict[tuple, list[Place]] = {}
    for place, (value, other) in pairs.items():
        if not value.index.equals(other.index):
            value, other = value.align(other, join="inner")
        sides[place] = value.to_numpy(), other.to_numpy()
        of = _grouped(value.index, groups.get(place))
        by_queries.setdefault((tuple(value.index), tuple(of)), []).append(place)
    tables: dict[Place, dict[Any, Any]] = {}
    for (_, of_same), same in by_queries.items():
        differences = np.stack([value - other for value, other in (sides[place] for place in same)], axis=1)
        rows = significance.paired(
            differences, groups=np.array(of_same, int), seed=seed, resamples=resamples
        ).to_dict("records")
        tables |= dict(zip(same, rows, strict=True))
    return pd.DataFrame(
        [
            {
                "task": task,
                "relevance": relevance,
                "value": _mean(value),
                "baseline_value": _mean(other),
                **tables[task, relevance],
                "queries": len(value),
            }
            for (task, relevance), (value, other) in sides.items()
        ]
    )


def _grouped(queries: pd.Index, groups: pd.Series | None) -> Int64[np.ndarray, " n"]:
    """A number for each group, in the queries' order; those without one stand alone."""
    if groups is None:
        return np.arange(len(queries))
    of = groups.reindex(queries).fillna("").to_numpy(object)
    alone = of == ""
    numbers = pd.factorize(of)[0]
    numbers[alone] = len(of) + np.arange(np.count_nonzero(alone))
    return numbers


def _mean(values: Float64[np.ndarray, " n"]) -> float:
    return float(values.mean()) if len(values) else float("nan")
