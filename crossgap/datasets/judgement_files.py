"""Files of explicit judgements as users and TREC write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from crossgap.datasets.text_files import read_text, rows
from crossgap.errors import DatasetError
from crossgap.prepared.judgements import GIVEN, SETTING


def read_file(path: str | Path) -> pd.DataFrame:
    """The table in a user's file, to be validated; its index, `line`, says where a row stands.

    The file is CSV, of commas, tabs, semicolons or vertical bars, with the header `query,item,grade[,setting]`, or
    TREC's: lines `query 0 item grade`.

    Raises:
        DatasetError: the file can't be read or is malformed; names the line.
    """
    path = Path(path)
    text = read_text(path, "judgements")
    first = next((line for line in text.splitlines() if line.strip()), "")
    *others, last = first.split() or [""]
    if len(others) == 3 and re.fullmatch(r"-?\d+(\.0*)?", last):
        found = list(_trec(path, text))
    else:
        found = list(rows(path, "judgements", GIVEN, {"setting": SETTING}))
    lines = pd.Index([line for line, _ in found], name="line")
    columns = [*GIVEN, "setting"]
    return pd.DataFrame([values for _, values in found], columns=columns, index=lines, dtype=object)


def _trec(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    for line, row in enumerate(text.splitlines(), start=1):
        fields = row.split()
        if fields and len(fields) != 4:
            raise DatasetError(
                f"{path} line {line}: fields: {len(fields)}: TREC's are four, query 0 item grade"
            )
        if fields:
            query, _, item, grade = fields
            yield line, [query, item, grade, SETTING]
