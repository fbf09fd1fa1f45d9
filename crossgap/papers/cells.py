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


def measured(data: Path, tables: Collection[str] = ()) -> list[Results]:
    """The cells of the last run whose numbers are there, in its order.

    Args:
        data: the project's folder of that name.
        tables: of a cell's, those that are read beside its numbers; one that isn't there is None.

    Raises:
        CrossgapError: a cell was measured by an older crossgap.
    """
    found = []
    for cell in last_run(data).get("cells", []):
        folder = data.joinpath("metrics", *cell["folder"])
        if not (folder / "tables").is_dir():
            continue
        path = folder / "tables" / "metrics.csv"
        if not path.is_file():
            raise CrossgapError(f"{path} is not there: let `dvc repro` make this cell again")
        provenance = numbers.read_provenance(folder / "tables")
        modalities = provenance.pop("modalities", naming.MODALITIES)
        read: dict[str, Any] = {name: _table(folder, name, modalities) for name in tables}
        named: dict[str, Any] = {
            name: cell[name] for name in ("backbone", "dataset", "published", "query", "gallery")
        }
        metrics = {
            naming.key_called(key, modalities, back=True): value for key, value in numbers.read(path).items()
        }
        named["subsets"] = cell.get("subsets", ())
        found.append(Results(**named, metrics=metrics, provenance=provenance, modalities=modalities, **read))
    return found


def last_run(data: Path) -> Mapping[str, Any]:
    """What the last run reports on, as `resolve` has written it; empty where there was none."""
    path = data / "resolved" / "report.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


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
