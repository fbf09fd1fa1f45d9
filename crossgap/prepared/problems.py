"""What `prepare` set aside: `problems.csv` in a dataset's folder. Values stand as they are: `NA` is an id."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from crossgap.errors import DatasetError, of_machine

FILE = "problems.csv"
COLUMNS = ("id", "item", "problem")


def write(problems: pd.DataFrame, folder: str | Path) -> Path:
    """Write a table of `COLUMNS` into the folder; equal tables give equal bytes."""
    path = Path(folder) / FILE
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        table = problems[list(COLUMNS)].itertuples(index=False)
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    return path


def read(folder: str | Path) -> list[dict[str, str]]:
    """The rows of the folder's table.

    Raises:
        DatasetError: it can't be read.
    """
    path = Path(folder) / FILE
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if of_machine(error):
            raise
        raise DatasetError(
            f"problems {path} can't be read: {error}; the `prepare` stage of this dataset writes it"
        ) from None
