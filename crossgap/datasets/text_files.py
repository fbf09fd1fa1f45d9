"""Text files that a declaration names: UTF-8, with or without a byte order mark; tables with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crossgap.datasets.declared import DatasetError


def read_text(file: Path, what: str) -> str:
    """The file's text; `what` says in messages what it holds.

    Raises:
        DatasetError: the file can't be read or isn't UTF-8.
    """
    try:
        return file.read_bytes().decode().removeprefix("\ufeff")
    except OSError as error:
        raise DatasetError(f"{what} {file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{file} line {line}: not UTF-8: save the file as UTF-8") from None


def records(file: Path, what: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Line, counted from 1, and fields of the header and of every row; blank lines are skipped.

    Raises:
        DatasetError: as `read_text`; the file is empty, its quotes are wrong, or a row has not as many fields as
            the header.
    """
    reader = csv.reader(io.StringIO(read_text(file, what), newline=""), delimiter=delimiter, strict=True)
    columns = None
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise DatasetError(f"{file} line {line}: {error}: mend the quotes of this row") from None
        if not fields:
            continue
        columns = columns or len(fields)
        if len(fields) != columns:
            name = "tab" if delimiter == "\t" else "comma"
            raise DatasetError(
                f"{file} line {line}: columns: {len(fields)}, in the header: {columns}; put one {name} "
                f"between columns, and quote a value that holds a {name}"
            )
        yield line, fields
    if columns is None:
        raise DatasetError(f"{file} is empty: it needs a header and a row for each of the {what}")


def rows(
    file: Path,
    what: str,
    columns: Sequence[str],
    defaults: Mapping[str, str] | None = None,
    delimiter: str = ",",
) -> Iterator[tuple[int, list[str]]]:
    """Line and stripped values, in the order of `columns`, of every row of a table.

    Args:
        defaults: columns that the table may lack, after the others, and what stands for them.

    Raises:
        DatasetError: as `records`; or the header lacks a column or has it twice.
    """
    defaults = defaults or {}
    table = records(file, what, delimiter)
    _, header = next(table)
    header = [name.strip() for name in header]
    for name in (*columns, *defaults):
        if header.count(name) != 1 and (name in header or name not in defaults):
            raise DatasetError(
                f"{file} line 1: the header {delimiter.join(header)!r} has {header.count(name)} columns {name!r}: "
                f"it needs {', '.join(columns)}" + "".join(f", and may have {name}" for name in defaults)
            )
    at = {name: header.index(name) for name in (*columns, *defaults) if name in header}
    for line, fields in table:
        yield (
            line,
            [fields[at[name]].strip() if name in at else defaults[name] for name in (*columns, *defaults)],
        )
