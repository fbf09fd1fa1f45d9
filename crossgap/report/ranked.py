"""Rankings as the page has them: items, methods and labels by number, and similarities as bars."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from crossgap import naming
from crossgap.report.clouds import SIGNS
from crossgap.report.explore import Line, method_title, task_title
from crossgap.report.rankings import Rankings, best
from crossgap.report.results import Results
from crossgap.report.sources import titles

WHYS = ("helped", "harmed", "random")
BARS = 32  # of a histogram, at most


def view(cell: Results, every: list[Rankings], known: dict[str, int]) -> list[dict[str, Any]]:
    corrections, made = titles(cell), []
    for of in every:
        methods: dict[str, int] = {}
        labels: dict[str, int] = {}
        of_item: dict[int, int] = {}
        queries = []
        for query, rows in of.queries.items():
            ways = []
            for row in rows:
                items = [known[str(item)] for item in row["items"]]
                for item, label in zip(items, row["labels"], strict=False):
                    of_item[item] = labels.setdefault(str(label), len(labels))
                ap = row["ap"]
                ways.append([
                    methods.setdefault(row["method"], len(methods)),
                    None if ap is None else round(1e4 * ap),
                    items,
                    "".join("1" if right else "0" for right in row["relevant"]),
                    [round(1e3 * float(score)) for score in row["scores"]],
                    *_bars(row),
                ])  # fmt: skip
            if rows[0]["label"]:
                of_item[known[query]] = labels.setdefault(rows[0]["label"], len(labels))
            queries.append([known[query], WHYS.index(rows[0]["why"]), ways])
        if not queries:
            continue
        named = [
            naming.called(
                method_title(Line("retrieval", of.task, method, of.labelling, {}, None), corrections),
                cell.modalities,
            )
            for method in methods
        ]
        made.append(
            {
                "title": naming.called(task_title("retrieval", of.task), cell.modalities),
                "labelling": of.labelling,
                "methods": named,
                "beside": methods.get(of.beside, -1),
                "best": methods.get(best(cell, of.labelling, methods), -1),
                "labels": list(labels),
                "of": [list(of_item), list(of_item.values())],
                "queries": queries,
            }
        )
    return made


def _bars(row: Mapping[str, Any]) -> list[Any]:
    """Lowest score and width of a bar in hundredths, numbers of relevant and of other items, and their bars.

    A bar is one of 64 heights; either histogram is of area 1.
    """
    counts = [list(map(int, row[name])) for name in ("matching", "other")]
    width = max(1, -(-len(counts[0]) // BARS))
    sums = [[sum(side[at : at + width]) for at in range(0, len(side), width)] for side in counts]
    totals = [sum(side) for side in sums]
    shares = [[n / (total or 1) for n in side] for side, total in zip(sums, totals, strict=True)]
    top = max([*shares[0], *shares[1], 0.0]) or 1.0
    bars = [
        "".join([SIGNS[min(63, ceil(63 * share / top))] if share else SIGNS[0] for share in side])
        for side in shares
    ]
    return [round(100 * row["lowest"]), width, *totals, *bars]
