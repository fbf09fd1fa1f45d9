"""How far mAP with inverted queries depends on the seed that their tokens start from."""

from __future__ import annotations

from collections import defaultdict
from statistics import mean, stdev
from typing import NamedTuple

from crossgap.report.results import Results
from crossgap.report.tables import absent, in_order, percent, title

COLUMNS = ("task", "relevance", "seed", "mAP")


class Spread(NamedTuple):
    """Of one task by one relevance: mAP in percent over the seeds; the deviation is that of a sample."""

    task: str
    relevance: str
    mean: str
    deviation: str
    lowest: str
    highest: str
    seeds: int


def spreads(cell: Results) -> list[Spread]:
    """A row a task and relevance that was measured with more than one seed.

    Raises CrossgapError if the cell's table of seeds lacks a column.
    """
    found = defaultdict(list)
    for row in cell.rows("seeds", COLUMNS):
        if not absent(row["mAP"]):
            found[row["task"], row["relevance"]].append(row["mAP"])
    spread = []
    for task in sorted({task for task, _ in found}):
        for relevance in in_order(relevance for at, relevance in found if at == task):
            values = found[task, relevance]
            if len(values) > 1:
                numbers = (mean(values), stdev(values), min(values), max(values))
                middle, deviation, lowest, highest = map(percent, numbers)
                spread.append(Spread(title(task), relevance, middle, deviation, lowest, highest, len(values)))
    return spread
