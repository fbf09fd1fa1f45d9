"""The single queries of a cell: of each retrieval, what every method ranks first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from crossgap.report.results import Results, check_columns
from crossgap.report.tables import present

COLUMNS = (
    "task", "relevance", "beside", "turn", "turns", "why", "query", "label", "method", "ap", "lowest", "items",
    "relevant", "scores", "labels", "matching", "other",
)  # fmt: skip
Rows = list[dict[str, Any]]


class Rankings(NamedTuple):
    """One task and labelling: query → its rows, a method each, the native one first; of so many queries in all."""

    task: str
    labelling: str
    beside: str
    turns: int
    queries: dict[str, Rows]


def retrievals(cell: Results, kept: int, few: bool) -> list[Rankings]:
    held = cell.looked_at
    if held is None:
        return []
    frame = held(kept) if callable(held) else held
    if frame.empty:
        return []
    check_columns("looked_at", frame, COLUMNS)
    frame = frame[frame["turn"] < kept]
    if few:
        wanted = {}  # by task and labelling
        for at, of in frame.groupby(["task", "relevance"], sort=False):
            task, labelling = at
            own = [name for name in of["method"].unique() if name.partition("+")[0] == task]
            wanted[at] = {task, of["beside"].iloc[0], best(cell, labelling, own)}
        asked = zip(frame["task"], frame["relevance"], frame["method"], strict=True)
        frame = frame[[method in wanted[task, labelling] for task, labelling, method in asked]]
    found: dict[tuple[str, str], Rankings] = {}
    for row in replace(cell, looked_at=frame).rows("looked_at", COLUMNS):
        at = row["task"], row["relevance"]
        of_task = found.setdefault(at, Rankings(*at, row["beside"], row["turns"], {}))
        of_task.queries.setdefault(row["query"], []).append(row)
    return list(found.values())


def first(every: Iterable[list[Rankings]], kept: int) -> Iterator[tuple[int, str, Rows]]:
    """Number of the cell, query and rows: the first query of all retrievals, then their second ones, …"""
    every = list(every)
    lists = [(number, list(of.queries.items())) for number, held in enumerate(every) for of in held]
    for turn in range(kept):
        for number, queries in lists:
            if turn < len(queries):
                yield (number, *queries[turn])


def best(cell: Results, labelling: str, methods: Iterable[str]) -> str:
    """The correction with the highest mAP; empty without any."""
    keys = {name: f"retrieval/{name}/{labelling}/mAP" for name in methods if "+" in name}
    found = {name: value for name, key in keys.items() if present(value := cell.metrics.get(key))}
    return max(found, key=found.__getitem__) if found else ""
