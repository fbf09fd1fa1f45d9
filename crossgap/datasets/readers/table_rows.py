"""The rows of a user's own table, CSV, JSON lines or parquet, with each value as a manifest has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from crossgap.datasets.declared import DatasetError, Table
from crossgap.datasets.labels import WHOLE, check_told_apart, label_of, whole
from crossgap.datasets.paths import on_disk, plain
from crossgap.datasets.readers import jsonl
from crossgap.datasets.readers.parquet import read_parquet
from crossgap.datasets.text_files import check_is_one, records
from crossgap.errors import like, listed
from crossgap.prepared import manifest

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("id", "path", "text", "split", "group", "rank", "box")
LABEL = "label"  # alone, the labelling of the declaration


class TableRow(NamedTuple):
    """A row: the file and line where it stands, column → value, and labelling → label."""

    where: str
    values: Mapping[str, str]
    labels: Mapping[str, str]


def rows_of(declaration: Table) -> Iterator[TableRow]:
    """Every row of the declared table; labels like 1.0 become 1 where all labels of a labelling are whole numbers.

    Raises:
        DatasetError: the table is missing or malformed.
    """
    return _whole_labels(declaration, list(_rows(declaration)))


def _rows(declaration: Table) -> Iterator[TableRow]:
    file = declaration.root / declaration.table
    table = _READERS.get(file.suffix.lower(), _csv)(file)
    _, header = next(table)
    labellings = {}
    for name in header:
        if name == LABEL or (name.startswith(manifest.LABEL) and name != manifest.LABEL):
            labellings[name] = name.removeprefix(LABEL).removeprefix(".") or declaration.labelling
        elif name not in COLUMNS:
            raise DatasetError(
                f"table {file}: unknown column {name!r}{like(name, COLUMNS)}; columns are {', '.join(COLUMNS)}, "
                f"{LABEL} and {manifest.LABEL}<labelling>; remove it, or name it so"
            )
    columns = [f"{manifest.LABEL}{labellings[name]}" if name in labellings else name for name in header]
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise DatasetError(f"table {file}: more than one column is {listed(twice)}: keep one")
    if not {"path", "text"} & set(header):
        raise DatasetError(f"table {file} has neither a column path nor text: it has {', '.join(header)}")
    unsaid = {} if "split" in header else {"split": "test"}
    for where, fields in table:
        held = {
            name: text
            for name, value in zip(header, fields, strict=True)
            if (text := _box(where, value) if name == "box" else _text(f"{where}: {name}", value))
        }
        values = unsaid | {name: text for name, text in held.items() if name not in labellings}
        if "path" in values:
            values["path"] = on_disk(plain(values["path"], declaration.root), declaration.root)
        _check(where, values)
        labels = {
            labellings[name]: label
            for name, text in held.items()
            if name in labellings and (label := label_of(text, declaration.class_names))
        }
        yield TableRow(where, values, labels)


def _whole_labels(declaration: Table, rows: Sequence[TableRow]) -> Iterator[TableRow]:
    found = by_labelling([row.labels for row in rows])
    same = {labelling: whole(labels, declaration.class_names) for labelling, labels in found.items()}
    for row in rows:
        yield row._replace(
            labels={labelling: same[labelling][label] for labelling, label in row.labels.items()}
        )


def _csv(file: Path) -> Iterator[tuple[str, list[Any]]]:
    table = records(file, "table")
    line, header = next(table)
    yield f"{file.name} line {line}", [name.strip() for name in header]
    for line, fields in table:
        yield f"{file.name} line {line}", fields


def _jsonl(file: Path) -> Iterator[tuple[str, list[Any]]]:
    """Its columns are the keys of all lines; a line without a key has no value there."""
    remedy = 'write an object of columns and values, such as {"path": "1.jpg", "text": "a dog"}, in each line'
    held = list(jsonl.records(file, "table", remedy))
    if not held:
        raise DatasetError(f"{file} is empty: {remedy}")
    columns = list(dict.fromkeys(name for _, row in held for name in row))
    yield file.name, columns
    for where, row in held:
        yield where.removeprefix(f"{file.parent}/"), [row.get(name) for name in columns]


def _parquet(file: Path) -> Iterator[tuple[str, list[Any]]]:
    table = read_parquet(file, "table ", "mend `table`")
    yield file.name, table.column_names
    columns = [_values(f"{file.name}: {name}", table[at]) for at, name in enumerate(table.column_names)]
    for number, fields in enumerate(zip(*columns, strict=True), start=1):
        yield f"{file.name} row {number}", list(fields)


_READERS = {".parquet": _parquet, ".jsonl": _jsonl}


def _values(where: str, column: pa.ChunkedArray) -> list[Any]:
    values = column.to_pylist()
    digits = {"halffloat": 11, "float": 24}.get(str(column.type))
    if digits is not None:
        for value in values:
            if value is not None and value.is_integer():
                check_told_apart(value, digits, where)
    return values


def _box(where: str, value: Any) -> str:
    """Corners, as text or as a list of them."""
    if isinstance(value, (list, tuple)):
        return " ".join(_text(f"{where}: box", part) for part in value)
    return _text(f"{where}: box", value)


def _text(where: str, value: Any) -> str:
    """A value as text, "" for a missing one; whole numbers that were read as floats are whole again."""
    if isinstance(value, (list, tuple)):
        raise DatasetError(f"{where}: a list of {len(value)}: give a row for each of them")
    if value is None or value != value:
        return ""
    if not isinstance(value, (str, int, float)):
        raise DatasetError(f"{where}: {type(value).__name__} {value!r}: give text or a number")
    if isinstance(value, float) and value.is_integer():
        check_told_apart(value, where=where)
        value = int(value)
    check_is_one(str(value), where)
    return str(value).strip()


def _check(where: str, values: Mapping[str, str]) -> None:
    try:
        if "box" in values:
            manifest.corners(values["box"])
    except DatasetError as error:
        raise DatasetError(f"{where}: box: {error}") from None
    if not WHOLE.fullmatch(values.get("rank", "0")):
        raise DatasetError(f"{where}: rank {values['rank']!r} is no whole number")


def problem_of(row: TableRow) -> str | None:
    """Why the row can't be an item; None if it can."""
    has = row.values.keys()
    if not has & {"path", "text"}:
        return "neither path nor text"
    if "split" not in has:
        return "no split"
    if "path" in has and "group" in has:
        return "path and group: the group of an image is the image itself"
    if "box" in has and "path" not in has:
        return "box of a text: only images are cropped"
    return None


def by_labelling(labels: Sequence[Mapping[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in labels:
        for labelling, label in row.items():
            found.setdefault(labelling, set()).add(label)
    return dict(sorted(found.items()))
