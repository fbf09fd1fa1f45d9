"""The cells of a project as they were measured, read from its folder `data`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crossgap import naming, numbers
from crossgap.errors import CrossgapError
from crossgap.report.results import Results, in_roles, read_table

PUBLISHED = ("published", "published_extra")  # in data/reference
_BESIDE = ("curves", "clouds")  # tables that lie beside metrics.json


def measured(data: Path) -> tuple[list[Results], list[CrossgapError]]:
    """The cells of the last run whose numbers are there, in its order, and what is wrong with those of the others that
    can't be read.
    """
    found, broken = [], []
    for cell in evaluated(data).values():
        try:
            found.append(read(data, cell))
        except CrossgapError as error:
            broken.append(error)
    return found, broken


def evaluated(data: Path) -> dict[str, Mapping[str, Any]]:
    """What `read` takes of each cell of the last run that was evaluated, by BACKBONE/DATASET, in its order."""
    return {
        f"{cell['backbone']}/{cell['dataset']}": cell
        for cell in last_run(data).get("cells", [])
        if data.joinpath("metrics", *cell["folder"], "tables").is_dir()
    }


def read(data: Path, cell: Mapping[str, Any], tables: Collection[str] = ()) -> Results:
    """A cell with its numbers.

    Args:
        data: the project's folder of that name.
        cell: one of those of `evaluated`.
        tables: those that are read beside its numbers; one that isn't there is None.

    Raises:
        CrossgapError: it was measured by an older crossgap, or a file is damaged or not there.
    """
    folder = data.joinpath("metrics", *cell["folder"])
    path = folder / "tables" / "metrics.csv"
    if not path.is_file():
        raise CrossgapError(f"{path} is not there: {numbers.AGAIN}")
    provenance = numbers.read_provenance(folder / "tables")
    modalities = provenance.pop("modalities", naming.MODALITIES)
    held: dict[str, Any] = {name: _table(folder, name, modalities) for name in tables}
    held |= {name: cell[name] for name in ("backbone", "dataset", "published", "query", "gallery")}
    metrics = {
        naming.key_called(key, modalities, back=True): value for key, value in numbers.read(path).items()
    }
    subsets = cell.get("subsets", ())
    return Results(**held, subsets=subsets, metrics=metrics, provenance=provenance, modalities=modalities)


def last_run(data: Path) -> Mapping[str, Any]:
    """What the last run reports on, as `resolve` has written it; empty where there was none.

    Raises:
        CrossgapError: it is damaged.
    """
    path = data / "resolved" / "report.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CrossgapError(f"{path} is no JSON ({error}): let `dvc repro` make it again") from None


def published(data: Path) -> list[dict[str, Any]]:
    """The published figures that come with a project, a row each.

    Raises:
        CrossgapError: they are not there.
    """
    found: list[dict[str, Any]] = []
    for name in PUBLISHED:
        path = data / "reference" / f"{name}.csv"
        if not path.is_file():
            raise CrossgapError(f"{path} is not there: go to the root of a project")
        found += pd.read_csv(path, keep_default_na=False, dtype=str).to_dict("records")
    return found


def _table(folder: Path, name: str, modalities: Mapping[str, str]) -> pd.DataFrame | None:
    path = (folder if name in _BESIDE else folder / "tables") / f"{name}.csv"
    if not path.is_file():
        return None
    return in_roles(read_table(path), modalities)
