"""The page's parts on the gap-shift curve and on the spectrum of either modality."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from crossgap.report import blocks
from crossgap.report.blocks import Block, Series
from crossgap.report.explore import task_title
from crossgap.report.results import Results
from crossgap.report.tables import decimal
from crossgap.report.tables import title as title_of

COLUMNS = ("shift", "distance", "family", "task", "relevance", "metric", "value")
SPECTRUM = ("modality", "component", "explained")
DISTANCE = "centroid distance"
SHARES = (0.5, 0.8, 0.9, 0.95)
HEADS = ("modality", "effective rank", *(f"{share:.0%}".replace("%", " %") for share in SHARES))
_ACROSS = ("text-image", "image-text")


def shifts(cell: Results) -> list[Block]:
    """The gap-shift curve of a cell; nothing without one.

    Raises CrossgapError if the table lacks a column.
    """
    caption = (
        "Tasks measured again with both clouds moved towards each other along the line between their means, and "
        "features made unit length again. Shift 0 is the cell as it is, 1 closes the gap, 2 swaps the sides, −1 "
        "doubles the gap."
    )
    return over(cell.rows("shifts", COLUMNS), "shift", caption, {0: "as it is", 1: "gap closed"})


def over(
    rows: list[dict[str, Any]], amount: str, caption: str, marks: Mapping[float, str] | None = None
) -> list[Block]:
    """A figure of a table like `COLUMNS`, whatever its first column, `amount`, is; nothing without rows.

    A panel a family, metric and kind of task; the distance that is left is the last.
    """
    if not rows:
        return []
    curves: dict[tuple[str, ...], dict[float, float]] = defaultdict(dict)
    for row in rows:
        curves[tuple(row[name] for name in COLUMNS[2:6])][row[amount]] = row["value"]
    distances = {row[amount]: row["distance"] for row in rows}
    panels: dict[str, dict[str, Series]] = {}
    percent = set()
    for family, task, labelling, metric in sorted(curves, key=_order):
        across = task in _ACROSS and family == "retrieval"
        title = (
            f"{metric} loss"
            if family == "loss"
            else f"{'across' if across else task_title(family, task)}, {metric}"
        )
        if family != "loss":
            percent.add(title)
        names = [
            *([] if not across else [title_of(task)]),
            *([] if labelling == "group" and across else [labelling]),
        ]
        line = "" if family == "loss" else ", ".join(names)
        points = sorted(curves[family, task, labelling, metric].items())
        panels.setdefault(title, {})[line] = [x for x, _ in points], [y for _, y in points]
    at = sorted(distances)
    panels[DISTANCE] = {"": (at, [distances[x] for x in at])}
    return [blocks.lines(caption, amount, panels, marks=marks, percent=percent)]


def spectrum(cell: Results) -> list[Block]:
    """How the variance of either modality spreads over principal components; nothing without the table.

    Raises CrossgapError if the table lacks a column.
    """
    rows = components(cell)
    if not rows:
        return []
    series: dict[str, tuple[list[float], list[float | None]]] = {}
    for row in cell.rows("spectrum", SPECTRUM):
        xs, ys = series.setdefault(row["modality"], ([], []))
        xs.append(row["component"])
        ys.append(row["explained"])
    title = "variance explained, in %"
    caption = (
        "How much of the variance of unit-length features the first principal components of a modality have."
    )
    return [
        blocks.lines(caption, "principal components", {title: series}, scale="log", percent=[title]),
        blocks.table("Principal components that hold so much of the variance", HEADS, rows),
    ]


def components(cell: Results) -> list[tuple[str, ...]]:
    """`HEADS` by modality: its effective rank, and how many principal components hold each of `SHARES` of its variance.

    Raises CrossgapError if the table lacks a column.
    """
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in cell.rows("spectrum", SPECTRUM):
        curves[row["modality"]].append((int(row["component"]), row["explained"]))
    rows = []
    for modality, curve in curves.items():
        enough = [min((at for at, held in curve if held >= share), default=None) for share in SHARES]
        beyond = f"> {max(curve)[0]}"
        rank = decimal(cell.metrics.get(f"gap/effective_rank_{modality}"), 1)
        rows.append((modality, rank, *(beyond if at is None else str(at) for at in enough)))
    return rows


def _order(key: tuple[str, ...]) -> tuple:
    family, task, labelling, metric = key
    return (
        family != "retrieval",
        task not in _ACROSS,
        family,
        metric != "recall@1",
        task,
        labelling != "group",
        labelling,
    )
