"""The report: evaluated cells in, one self-contained HTML page out."""

from __future__ import annotations

from crossgap.report.cell import Cell
from crossgap.report.page import render

__all__ = ["Cell", "render"]
