"""The page's part on search among documents of two modalities."""

from __future__ import annotations

from typing import Any

from crossgap.naming import by_phi
from crossgap.report import blocks
from crossgap.report.blocks import Block, Series
from crossgap.report.explore import NATIVE
from crossgap.report.results import Results
from crossgap.report.sources import titles
from crossgap.report.tables import count, percent, title

COLUMNS = (
    "task", "at", "recall@1", "recall@1_std", "recall@5", "recall@10", "nDCG@10", "first_image", "queries",
    "documents", "draws",
)  # fmt: skip
RATES = COLUMNS[2:8]
HEADS = (
    "task", "method", "at", "recall@1", "± over draws", "recall@5", "recall@10", "nDCG@10", "first hit an image",
    "queries", "documents", "draws",
)  # fmt: skip
INVERTED = ("oti", "ovi")  # among the documents
CURVES = {  # task → what it is over, its panels by metric
    "search": (
        "share of documents that are images",
        {"recall@1": "recall@1", "first_image": "first hit an image"},
    ),
    "fused": ("α, the share of the text", {"recall@1": "recall@1"}),
}


def mixed(cell: Results) -> list[Block]:
    """Curves over the share of images and over α, and all numbers; nothing without the table.

    Raises CrossgapError if the table lacks a column.
    """
    rows, corrections = cell.rows("mixed", COLUMNS), titles(cell)
    made = []
    for task, (over, metrics) in CURVES.items():
        panels: dict[str, dict[str, Series]] = {}
        of_task = [row for row in rows if _plain(row) == task]
        for name in dict.fromkeys(row["task"] for row in of_task):
            of = sorted((row for row in of_task if row["task"] == name), key=lambda row: float(row["at"]))
            at = [float(row["at"]) for row in of]
            for metric, panel in metrics.items():
                panels.setdefault(panel, {})[_method(of[0], corrections)] = at, [row[metric] for row in of]
        if panels:
            caption = f"Captions that ask among images and captions, over the {over}."
            made.append(blocks.lines(caption, over, panels, percent=panels))
    if rows:
        caption = "Search among images and texts, rates in percent"
        made.append(blocks.table(caption, HEADS, [_shown(row, corrections) for row in rows], folded=True))
    return made


def _plain(row: dict[str, Any]) -> str:
    return row["task"].partition("+")[0]


def _method(row: dict[str, Any], corrections: dict[str, str]) -> str:
    name = row["task"].partition("+")[2]
    if not name:
        return NATIVE
    return title(name) if name in INVERTED or by_phi(name) else corrections.get(name, name)


def _shown(row: dict[str, Any], corrections: dict[str, str]) -> list[str]:
    rates = [percent(row[name]) for name in RATES]
    counts = [count(row[name]) for name in ("queries", "documents", "draws")]
    return [_plain(row), _method(row, corrections), str(row["at"]), *rates, *counts]
