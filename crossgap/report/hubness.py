"""The report's table of hubs."""

from __future__ import annotations

import re

from crossgap.report.boards import titles
from crossgap.report.results import Results
from crossgap.report.tables import count, decimal, percent, title

HEADS = ("task", "method", "skewness of N₁₀", "largest N₁₀", "never found, %")
MEASURES = ("skewness", "largest", "never_found")
_KEY = re.compile(f"hubness/([^/]+)/({'|'.join(MEASURES)})")


def keys(cell: Results) -> set[str]:
    """Of the metrics that the table holds."""
    return {key for key in cell.metrics if _KEY.fullmatch(key)}


def rows(cell: Results) -> list[tuple[str, ...]]:
    """`HEADS`, a row a task and correction."""
    words = titles(cell)
    tasks = dict.fromkeys(found[1] for key in cell.metrics if (found := _KEY.fullmatch(key)))
    plain = dict.fromkeys(task.partition("+")[0] for task in tasks)
    order = [
        task for first in plain for task in (first, *(f"{first}+{name}" for name in words)) if task in tasks
    ]
    shown: list[tuple[str, ...]] = []
    for task in order:
        skewness, largest, never = (cell.metrics.get(f"hubness/{task}/{name}") for name in MEASURES)
        base, _, correction = task.partition("+")
        method = words.get(correction, correction or "native features")
        shown.append((title(base), method, decimal(skewness), count(largest), percent(never).value))
    return shown
