"""Explicit judgements of relevance (qrels): which gallery items are relevant to a query, how much, which are ignored.

A table with the columns `setting`, which names the judgements that are measured together, "judged" if not given;
`query` and `item`, ids; `grade`: relevant with this gain above 0, judged irrelevant at 0, ignored at -1 (taken out of
the ranking, as ROxford and RParis do with junk). An item without a judgement is irrelevant.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from crossgap.errors import DatasetError
from crossgap.prepared import manifest, parquet

FILE = "judgements.parquet"
COLUMNS = ("setting", "query", "item", "grade")
SETTING = "judged"
IGNORED = -1
GIVEN = ("query", "item", "grade")
_NAMED = 3


def unknown(table: pd.DataFrame, queries: Iterable[str], gallery: Iterable[str]) -> np.ndarray:
    """Which rows name an unknown query or item, so that `validate` would refuse them: `(rows,)` of bool."""
    named = table["query"].astype(str).isin(list(queries)) & table["item"].astype(str).isin(list(gallery))
    return ~named.to_numpy(bool)


def validate(table: pd.DataFrame, queries: Iterable[str], gallery: Iterable[str]) -> pd.DataFrame:
    """The table with its columns in order: str, and `grade` int64.

    Args:
        table: `query`, `item`, `grade` and maybe `setting`.
        queries, gallery: ids of the items that may be judged, of either modality.

    Raises:
        DatasetError: a column is missing, there are no rows, or rows hold an unknown id, a pair judged twice in a
            setting, a grade that is no whole number from -1, or a setting that can't name metrics.
    """
    if missing := [name for name in GIVEN if name not in table]:
        raise DatasetError(f"judgements lack the columns {', '.join(missing)}: give {', '.join(GIVEN)}")
    if table.empty:
        raise DatasetError("judgements: there are none: give a row for each judged pair, or leave them out")
    grades = pd.to_numeric(table["grade"], errors="coerce").to_numpy(float, na_value=np.nan)
    frame = pd.DataFrame({"setting": table.get("setting", SETTING), **{c: table[c] for c in GIVEN}})
    for name in ("setting", "query", "item"):
        frame[name] = manifest.as_words(frame[name])
    rules = [
        (~frame["query"].isin(list(queries)), "no item of the query split has the id of the query"),
        (~frame["item"].isin(list(gallery)), "no item of the gallery split has the id of the item"),
        (
            ~(np.isfinite(grades) & (grades >= IGNORED) & (grades == np.rint(grades))),
            "a grade is a whole number: above 0 relevant, 0 irrelevant, -1 ignored",
        ),
        (
            frame.duplicated(["setting", "query", "item"], keep=False),
            "a pair judged twice: give it one grade",
        ),
        (
            ~frame["setting"].str.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
            "a setting names metrics: use letters, digits, '.', - and _",
        ),
    ]
    broken = [_complaint(frame, np.asarray(wrong), rule) for wrong, rule in rules if np.any(wrong)]
    if broken:
        raise DatasetError("\n".join(["judgements can't be used; they name items by their ids:", *broken]))
    return frame.assign(grade=grades.astype(np.int64)).reset_index(drop=True)


def write(table: pd.DataFrame, folder: str | Path) -> Path:
    """Write a validated table as `judgements.parquet` into the folder."""
    path = Path(folder) / FILE
    table.to_parquet(path, index=False)
    return path


def read(folder: str | Path) -> pd.DataFrame | None:
    """The folder's table; None where it has none; CrossgapError where it is damaged."""
    path = Path(folder) / FILE
    return parquet.read(path) if path.is_file() else None


def _complaint(frame: pd.DataFrame, wrong: np.ndarray, rule: str) -> str:
    kind = frame.index.name or "row"
    named = [
        f"{kind} {row.Index} ({row.query}, {row.item}, {row.grade})"
        for row in frame[wrong][:_NAMED].itertuples()
    ]
    return f"  {rule} ({wrong.sum()} rows: {', '.join(named)}{', …' if wrong.sum() > _NAMED else ''})"
