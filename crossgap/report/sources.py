"""What the corrections of a cell are, and where things come from."""

from __future__ import annotations

import re
from typing import NamedTuple

from crossgap.report.boards import CORRECTIONS, titles
from crossgap.report.results import Results
from crossgap.report.tables import words

_ARXIV = r"(?:arXiv[: ]|https://arxiv\.org/abs/)?\b(\d{4}\.\d{5})\b"


class CorrectionRow(NamedTuple):
    """A correction in words: how it works and what it was fitted with, or why it is absent."""

    title: str
    source: str
    words: tuple[str, ...]


def corrections(cell: Results) -> tuple[list[CorrectionRow], list[CorrectionRow]]:
    """The corrections that were fitted, and those that weren't.

    Raises ValueError if the cell's table of corrections lacks a column.
    """
    named, fitted, absent = titles(cell), [], []
    for row in cell.rows("corrections", CORRECTIONS):
        name, source = named[row["name"]], words(row["source"])
        if row["reason"]:
            absent.append(CorrectionRow(name, source, (row["reason"],)))
        else:
            fitted.append(CorrectionRow(name, source, (words(row["how"]), words(row["parameters"]))))
    return fitted, absent


def cited(text: str) -> list[tuple[str, str]]:
    """The parts of a reference, each with its address: those that name a paper on arXiv; others have none."""
    parts, end = [], 0
    for paper in re.finditer(_ARXIV, text):
        parts.append((text[end : paper.start()], ""))
        parts.append((f"arXiv {paper[1]}", f"https://arxiv.org/abs/{paper[1]}"))
        end = paper.end()
    return [part for part in [*parts, (text[end:], "")] if part[0]]
