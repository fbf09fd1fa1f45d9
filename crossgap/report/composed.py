"""The page's part on composed queries, an image and a text that says what is to differ."""

from __future__ import annotations

from typing import Any

from crossgap.report import blocks
from crossgap.report.blocks import Block
from crossgap.report.explore import NATIVE
from crossgap.report.results import Results
from crossgap.report.sources import titles
from crossgap.report.tables import count, percent, title

COLUMNS = (
    "task", "at", "mAP", "mAP_trapezoid", "mAP@5", "mAP@10", "mAP@25", "mAP@50", "recall@1", "recall@5", "recall@10",
    "recall@50", "subset_recall@1", "subset_recall@2", "subset_recall@3", "queries", "candidates",
)  # fmt: skip
RATES = COLUMNS[2:-2]
HEADS = ("rule", "method", "queries of", *RATES, "queries", "candidates")
WITH_OTI = ("oti", "oti-template")


def composed(cell: Results) -> list[Block]:
    """All numbers; nothing without the table. Rates that no query has are left out, as those of a subset are.

    Raises CrossgapError if the table lacks a column.
    """
    rows, corrections = cell.rows("composed", COLUMNS), titles(cell)
    if not rows:
        return []
    rates = [name for name in RATES if any(row[name] is not None for row in rows)]
    heads = [name for name in HEADS if name not in RATES or name in rates]
    shown = [_shown(row, rates, corrections) for row in rows]
    return [blocks.table("An image and a text ask for images, rates in percent", heads, shown, folded=True)]


def _shown(row: dict[str, Any], rates: list[str], corrections: dict[str, str]) -> list[str]:
    rule, _, method = row["task"].partition("+")
    if rule in WITH_OTI:
        rule, method = rule.rpartition("-")[2], rule.partition("-")[0]
    by = title(method) if method in WITH_OTI else corrections.get(method, method) or NATIVE
    counts = [count(row[name]) for name in ("queries", "candidates")]
    return [rule, by, str(row["at"]), *(percent(row[name]) for name in rates), *counts]
