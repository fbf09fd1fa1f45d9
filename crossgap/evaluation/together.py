"""Queries that say less than as many others would: captions of one image, texts that ask for one document, composed
queries that ask with one image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd

from crossgap.evaluation.cell import INVERSIONS, Cell
from crossgap.naming import plain

NAMED_AFTER_QUERIES = ("retrieval", "hubness", "robustness")  # families whose tasks begin with what asks
ASKING = {"composed": "composed", "mixed": "text"}  # family → what asks in all of its tasks

Together = Callable[[str, str], pd.Series | None]


def together(cell: Cell) -> Together:
    """Of a family and a task, the group of each query by its id, "" for none; None where each stands alone."""
    groups = {}
    for modality, method in INVERSIONS.items():
        if items := cell.items(f"{modality}/{cell.query}"):
            groups[modality] = groups[method] = pd.Series(items.groups, items.ids)
    if cell.native.composed is not None:
        asked = cell.native.composed.asked.drop_duplicates("query")
        groups["composed"] = asked.set_index("query")["image"]
    return partial(_of, groups)


def _of(groups: Mapping[str, pd.Series], family: str, task: str) -> pd.Series | None:
    asking = plain(task).partition("-")[0] if family in NAMED_AFTER_QUERIES else ASKING.get(family, "")
    return groups.get(asking)
