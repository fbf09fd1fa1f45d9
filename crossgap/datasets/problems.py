"""What `prepare` set aside: `problems.csv` in a dataset's folder. Values stand as they are: `NA` is an id."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from crossgap.datasets.reading import Problem
from crossgap.datasets.text_files import rows

FILE = "problems.csv"


def write(problems: pd.DataFrame, folder: str | Path) -> Path:
    """Write a table of `id`, `item`, `problem` into the folder; equal tables give equal bytes."""
    path = Path(folder) / FILE
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(Problem._fields) + "\n")
        table = problems[list(Problem._fields)].itertuples(index=False)
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    return path


def read(folder: str | Path) -> list[dict[str, str]]:
    """The rows of the folder's table.

    Raises:
        DatasetError: it can't be read.
    """
    found = rows(Path(folder) / FILE, "problems", Problem._fields, as_they_stand=True)
    return [dict(zip(Problem._fields, values, strict=True)) for _, values in found]
