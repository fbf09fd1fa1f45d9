"""Transformations asked of a dataset's images by text, and which images answer them (SIMAT, arXiv 2112.03162).

Two tables, by ids. `table`, a row a transformation: `image`, `source` and `target` (texts of the split `classes`: what
is taken off and what is put in its place), `caption` (what the answer should show), `weight`, and `split`, dev or test.
`answers`: `caption` and an `image` that shows it. A caption that no image shows has no row there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap.errors import DatasetError
from crossgap.prepared import manifest, parquet

SIMAT = "simat"  # the protocol, and the layout of its files
COLUMNS = ("image", "source", "target", "caption", "weight", "split")
ANSWERS = ("caption", "image")
SPLITS = ("dev", "test")
FILES = ("transformations.parquet", "answers.parquet")
_NAMED = 3


class Transformations(NamedTuple):
    """The tables with the columns `COLUMNS` and `ANSWERS`: str, and `weight` float64."""

    table: pd.DataFrame
    answers: pd.DataFrame

    def of(self, images: Iterable[str]) -> Transformations:
        """The transformations of these images only, with answers among these images only."""
        known = pd.Index(list(images))
        return Transformations(*(held[held["image"].isin(known)].reset_index(drop=True) for held in self))


def validate(given: Transformations, images: Iterable[str], texts: Iterable[str]) -> Transformations:
    """The tables with their columns in order and typed.

    Args:
        images, texts: ids of the items that may be named.

    Raises:
        DatasetError: a column is missing, there are no transformations, or rows hold an unknown id, a target that is
            the source, a weight that is not positive, a split that is neither dev nor test, or an answer given twice.
    """
    for held, columns, what in zip(given, (COLUMNS, ANSWERS), ("transformations", "answers"), strict=True):
        if missing := [name for name in columns if name not in held]:
            raise DatasetError(f"{what} lack the columns {', '.join(missing)}: give {', '.join(columns)}")
    images, texts = pd.Index(list(images)), pd.Index(list(texts))
    table, answers = manifest.in_words(given.table, COLUMNS), manifest.in_words(given.answers, ANSWERS)
    if table.empty:
        raise DatasetError("transformations: there are none: give a row for each, or leave the tables out")
    weights = pd.to_numeric(given.table["weight"], errors="coerce").to_numpy(float, na_value=np.nan)
    no_image = "no image of the query split has the id of the image"
    broken = _complaints(
        table,
        [
            (~table["image"].isin(images), no_image),
            (~table["source"].isin(texts), "no text of the split 'classes' has the id of the source"),
            (~table["target"].isin(texts), "no text of the split 'classes' has the id of the target"),
            (table["source"] == table["target"], "the target is the source: nothing is asked"),
            (~(np.isfinite(weights) & (weights > 0)), "a weight is a positive number"),
            (~table["split"].isin(SPLITS), f"a split is {' or '.join(SPLITS)}"),
        ],
    )
    broken += _complaints(
        answers,
        [
            (~answers["image"].isin(images), no_image),
            (answers.duplicated(keep=False), "an answer given twice: give it once"),
        ],
    )
    if broken:
        raise DatasetError(
            "\n".join(["transformations can't be used; they name items by their ids:", *broken])
        )
    return Transformations(table.assign(weight=weights), answers)


def write(tables: Transformations, folder: str | Path) -> None:
    """Write validated tables into the folder, as `FILES`."""
    for held, name in zip(tables, FILES, strict=True):
        held.to_parquet(Path(folder) / name, index=False)


def read(folder: str | Path) -> Transformations | None:
    """The folder's tables; None where it has none; CrossgapError where it is damaged."""
    paths = [Path(folder) / name for name in FILES]
    return Transformations(*map(parquet.read, paths)) if paths[0].is_file() else None


def _complaints(frame: pd.DataFrame, rules: Iterable[tuple[np.ndarray, str]]) -> list[str]:
    found = []
    for broken, rule in rules:
        if (wrong := np.flatnonzero(broken)).size:
            rows = (f"row {row} ({', '.join(frame.iloc[row])})" for row in wrong[:_NAMED])
            more = ", …" if wrong.size > _NAMED else ""
            found.append(f"  {rule} ({wrong.size} rows: {', '.join(rows)}{more})")
    return found
