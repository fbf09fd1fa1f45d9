"""Parts of an evaluation, kept in files that are named by all that they depend on.

A part is a table or a few numbers, with the reasons for what it lacks. Its file holds a digest of all that it says, a
line of JSON and, of a table, parquet: one that is there in part, or was changed, is computed again. A part that is
taken back equals the one that was computed, types and missing values too, so results have the same bytes either way.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossgap import fingerprint
from crossgap.evaluation.unavailable import Reasons
from crossgap.progress import Lines
from crossgap.stores import digested, temporary

FORMAT = 1
Part = TypeVar("Part", pd.DataFrame, dict[str, float])
Rows = list[tuple[str, str, str]]  # of `unavailable.COLUMNS`
Found = tuple[Any, Rows]  # what a part is, None where it can't be had, and its reasons
USED = "used.json"  # in the folder: the files that the last evaluation took, by name; others may go
_WORDS = ("object", "str")


class Parts:
    """The parts that a folder keeps; without a folder each is computed when it is asked for."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.used: set[str] = set()
        self.progress = Lines("evaluate", "part")
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.remove_leftovers(self.folder)

    def of(
        self,
        family: str,
        name: str,
        depends: Callable[[], Mapping[str, Any]],
        compute: Callable[[Reasons], Part],
        reasons: Reasons,
    ) -> Part | None:
        """What `compute(reasons)` gives; None where it can't be had, and `reasons` has a row that says why.

        Args:
            family, name: of the part; the file's name begins with them.
            depends: all that the part depends on, JSON-able; asked only where parts are kept.
            compute: gives a table, with its rows numbered from 0, or numbers by name. What it lacks goes into the
                `Reasons` that it is given.
            reasons: takes the rows of parts computed and taken back alike.
        """
        compute_it = partial(_computed, family, name, compute)
        if self.folder is None:
            found, rows = compute_it()
        else:
            key = fingerprint.of_json([FORMAT, family, name, dict(depends())])
            path = self.folder / f"{_plain(f'{family}-{name}')}-{key}.part"
            self.used.add(path.name)
            kept = _read(path)
            found, rows = self.lacking(path, family, compute_it) if kept is None else kept
        reasons.add(rows)
        return found

    def lacking(self, path: Path, family: str, compute: Callable[[], Found]) -> Found:
        """What a part that isn't kept says; it is computed, and kept under this path."""
        found = compute()
        digested.write(path, packed(*found))
        self.progress.advance()
        return found

    def say_used(self) -> None:
        """Write which parts this evaluation took, now that it is done: `crossgap clean` removes the others."""
        if self.folder is not None:
            temporary.write(self.folder / USED, json.dumps(sorted(self.used), indent=1).encode())


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+@-]+", "_", name)[:120]


def _computed(family: str, name: str, compute: Callable[[Reasons], Part]) -> Found:
    own, found = Reasons(), None
    with own.of(family, name):
        found = compute(own)
    return found, list(own.rows)


def _read(path: Path) -> Found | None:
    """What a part's file says; None where there is none that is whole."""
    if not path.exists():
        return None
    if (content := digested.read(path)) is None:
        warnings.warn(
            f"{path} is damaged (its content isn't what its digest says): it is computed again", stacklevel=4
        )
        return None
    return _unpacked(content)


def packed(found: pd.DataFrame | dict[str, float] | None, rows: Rows) -> bytes:
    """What the file of a part holds, behind its digest."""
    said: dict[str, Any] = {"reasons": rows}
    table = b""
    if isinstance(found, pd.DataFrame):
        said["types"] = {name: str(kind) for name, kind in found.dtypes.items()}
        columns = {name: _arrow(name, column) for name, column in found.items()}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink, compression="zstd")
        said["rows"], table = len(found), sink.getvalue().to_pybytes()
    else:
        said["numbers"] = found
    return json.dumps(said, ensure_ascii=False).encode() + b"\n" + table


def _unpacked(content: bytes) -> Found:
    head, _, table = content.partition(b"\n")
    said = json.loads(head)
    rows = [tuple(row) for row in said["reasons"]]
    if "numbers" in said:
        return said["numbers"], rows
    held = pq.read_table(pa.BufferReader(table), use_threads=False)
    columns = {name: _column(held[name], kind) for name, kind in said["types"].items()}
    return pd.DataFrame(columns, index=pd.RangeIndex(said["rows"])), rows


def _arrow(name: str, column: pd.Series) -> pa.Array:
    kind = str(column.dtype)
    if kind in _WORDS:
        values = column.tolist()
        if strangers := {type(value).__name__ for value in values} - {"str"}:
            raise TypeError(f"the column {name} holds {', '.join(sorted(strangers))}, not words alone")
        return pa.array(values, pa.string())
    if isinstance(column.dtype, np.dtype):
        return pa.array(column.to_numpy(), from_pandas=False)
    return pa.array(column)


def _column(held: pa.ChunkedArray, kind: str) -> pd.Series:
    if kind in _WORDS or kind[0].isupper():  # pandas' own types, such as Int64
        return pd.Series(held.to_pylist(), dtype=kind)
    return pd.Series(held.to_numpy().astype(kind, copy=False))
