"""All numbers of a cell as one table, `tables/metrics.csv`, and as the flat mapping that the code works with.

A number is named by a key, such as `retrieval/image-image+centering/colour/mAP`. Its row has

- `family`: `retrieval`, `classification`, `clustering`, `mixed`, `hubness`, `robustness`, `similarity`, `seeds`,
  `snapshots`, `arithmetic`, `retrieval_ceiling`, `gap`, `items`, `inversion`;
- `task`: with its method: `oti-image` by inversion, `image-image+centering` by a correction; `gap` of the gap;
- `baseline`: the task that it is compared with, as of `naming.baseline_of`; its own name, where there is none;
- `relevance`: the labelling by which items are relevant (`group`: captions of one image), or what else a number is by:
  the share of images (mixed search), the disturbance (robustness), the split (items, arithmetic); empty where nothing;
- `metric`, and `value`: a count, or a number; rates are fractions.

`family`, `task`, `relevance` and `metric` are named as in `tables/comparisons.csv`, which has the tests; `task` and
`relevance` as in `tables/queries.parquet`, which has the queries.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgap import naming
from crossgap.errors import CrossgapError

if TYPE_CHECKING:
    from pandas import DataFrame

Number = float | int
COLUMNS = ("family", "task", "baseline", "relevance", "metric", "value")
AGAIN = "let `dvc repro` make the cell again"
_ITEMS = "items"


def write(path: str | Path, metrics: Mapping[str, Number]) -> None:
    """Write the table of numbers by their keys, in their order."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for key, value in metrics.items():
            rows.writerow([*_places(key), json.dumps(value)])


def read(path: str | Path) -> dict[str, Number]:
    """The numbers of a table by their keys; counts are whole numbers.

    Raises:
        CrossgapError: it isn't such a table.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
        head, *rows = csv.reader(io.StringIO(text, newline="")) if text else [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CrossgapError(f"{path} is damaged ({error}): {AGAIN}") from None
    if head != [*COLUMNS]:
        raise CrossgapError(
            f"{path}: the columns are {', '.join(head) or 'none'}; expected {', '.join(COLUMNS)}: {AGAIN}"
        )
    if not text.endswith("\n"):  # a number whose last digits are lost is a number, too
        raise CrossgapError(f"{path} is cut short: {AGAIN}")
    try:
        return {_key(*places): json.loads(value) for *places, value in rows}
    except (TypeError, ValueError):  # columns are lacking, or a value is no number
        raise CrossgapError(f"{path} is damaged: {AGAIN}") from None


def read_provenance(tables: str | Path) -> dict[str, Any]:
    """What a cell's folder of tables says of its making, `provenance.json`.

    Raises:
        CrossgapError: it isn't there, or is none.
    """
    path = Path(tables) / "provenance.json"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CrossgapError(f"{path} is not there: {AGAIN}") from None
    except ValueError as error:
        raise CrossgapError(f"{path} is no JSON ({error}): {AGAIN}") from None
    if not isinstance(held, dict) or not {"measured_on", "not_inverted"} <= held.keys():
        raise CrossgapError(f"{Path(tables).parent} was evaluated by an older crossgap: {AGAIN}")
    return held


def read_metrics(folder: str | Path) -> DataFrame:
    """All numbers of a cell, a row each, with the columns of `crossgap.numbers`.

    Args:
        folder: the cell's, such as `data/metrics/nano/world`.

    Raises:
        CrossgapError: its table isn't there, or is none.
    """
    if not isinstance(folder, str | Path):
        raise CrossgapError(f"folder is {folder!r}: give a cell's, such as data/metrics/nano/world")
    path = Path(folder) / "tables" / "metrics.csv"
    if not path.is_file():
        raise CrossgapError(f"{path} is not there: `dvc repro` makes it, and `dvc pull` gets a colleague's")
    return table(read(path))


def table(metrics: Mapping[str, Number]) -> DataFrame:
    """Numbers by their keys as a table of `COLUMNS`."""
    import pandas as pd

    return pd.DataFrame([(*_places(key), value) for key, value in metrics.items()], columns=[*COLUMNS])


def _places(key: str) -> tuple[str, ...]:
    """Family, task, baseline, relevance and metric of a key; relevance is empty where the key has none."""
    family, *rest = key.split("/")
    if family == "gap":
        measure, plus, correction = rest[0].partition("+")
        return family, f"gap{plus}{correction}", "gap", "/".join(rest[1:]), measure
    if family == _ITEMS:
        modality, split, *what = rest
        return family, modality, modality, split, what[0] if what else _ITEMS
    task, *relevance, metric = rest
    return family, task, naming.baseline_of(family, task) or task, "/".join(relevance), metric


def _key(family: str, task: str, _baseline: str, relevance: str, metric: str) -> str:
    parts = [family, task, relevance, metric]
    if family == "gap":
        parts = [family, metric + task.removeprefix("gap"), relevance]
    elif family == _ITEMS and metric == _ITEMS:
        parts = [family, task, relevance]
    return "/".join(part for part in parts if part)
