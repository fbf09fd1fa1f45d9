"""What the corrections of a cell are, and where things come from."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from crossgap.report.results import Results
from crossgap.report.tables import words

CORRECTIONS = ("name", "title", "source", "how", "parameters", "reason")


def corrections(cell: Results) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Those that were fitted: title, source, how it works, on what and with which parameters; and the others: title,
    source, why not.

    Raises CrossgapError if the cell's table of corrections lacks a column.
    """
    named = titles(cell)
    told = cell.corrections is not None and "fitted_on" in cell.corrections
    rows = cell.rows("corrections", ("name", "fitted_on")) if told else []
    fitted_on = {row["name"]: row["fitted_on"] for row in rows}
    fitted: list[tuple[str, ...]] = []
    absent: list[tuple[str, ...]] = []
    for row in cell.rows("corrections", CORRECTIONS):
        name, source = named[row["name"]], words(row["source"])
        if row["reason"]:
            absent.append((name, source, row["reason"]))
        else:
            on = f"fitted on {where}; " if (where := fitted_on.get(row["name"])) else ""
            fitted.append((name, source, words(row["how"]), on + words(row["parameters"])))
    return fitted, absent


@lru_cache(maxsize=1)  # parts of one cell ask one after the other
def titles(cell: Results) -> dict[str, str]:
    """Correction → title, no two alike: those described, then any others that a metric's task is named after."""
    described = {row["name"]: row["title"] or row["name"] for row in cell.rows("corrections", CORRECTIONS)}
    shared = Counter(described.values())
    described = {
        name: words if shared[words] == 1 else f"{words} ({name})" for name, words in described.items()
    }
    used = {key.split("/")[1].partition("+")[2] for key in cell.metrics if key.count("/")}
    others = sorted(used - described.keys() - {""})
    return described | {
        name: " + ".join(described.get(part, part) for part in name.split("+")) for name in others
    }
