"""Text files that a declaration names: UTF-8, with or without a byte order mark; tables with a header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from crossgap.datasets.declared import DatasetError
from crossgap.errors import of_machine


def read_text(file: Path, what: str) -> str:
    """The file's text; `what` names the file's content in messages.

    Raises:
        DatasetError: the file can't be read or isn't UTF-8.
        OSError: the machine refuses it.
    """
    try:
        return file.read_bytes().decode().removeprefix("\ufeff")
    except OSError as error:
        if of_machine(error):
            raise
        raise DatasetError(f"{what} {file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{file} line {line}: not UTF-8: save the file as UTF-8") from None


_LIST = re.compile(r"\[\s*(['\"]).*\1\s*\]", re.DOTALL)
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}


def delimiter_of(header: str) -> str:
    """The delimiter that occurs most often in a table's header; a comma if none does."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=bare.count)


def records(file: Path, what: str) -> Iterator[tuple[int, list[str]]]:
    """Line, counted from 1, and fields of the header and of every row; blank lines are skipped.

    The header shows whether commas, tabs, semicolons or vertical bars stand between columns.

    Raises:
        DatasetError: as `read_text`; the file is empty, its quotes are wrong, or a row has not as many fields as
            the header.
    """
    text = read_text(file, what)
    delimiter = delimiter_of(next((line for line in text.splitlines() if line.strip()), ""))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
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
            name = DELIMITERS[delimiter]
            raise DatasetError(
                f"{file} line {line}: columns: {len(fields)}, in the header: {columns}; put one {name} "
                f"between columns, and quote a value that holds a {name}"
            )
        yield line, fields
    if columns is None:
        raise DatasetError(f"{file} is empty: it needs a header and a row for each of the {what}")


def wrong_header(header: Sequence[str], wanted: Iterable[str], name: str, remedy: str) -> str:
    """Why a table doesn't have exactly one column of each name; maybe its first line is no header."""
    said = f"the header {','.join(header)!r} has {header.count(name)} columns {name!r}: {remedy}"
    missing = set(header).isdisjoint(wanted)
    return said + ("; if there is no header, write one above the first row" if missing else "")


def check_is_one(text: str, where: str) -> None:
    """DatasetError at a list of texts that was written as one, as tools do that save a column of lists as CSV."""
    if _LIST.fullmatch(text.strip()):
        raise DatasetError(
            f"{where}: {text.strip()[:40]!r} is a list written as a text: give a row for each, as by DataFrame.explode"
        )


def rows(
    file: Path,
    what: str,
    columns: Sequence[str],
    defaults: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, list[str]]]:
    """Line and values without blanks at their ends, in the order of `columns`, of every row of a table.

    Args:
        defaults: optional columns, given after the others → the value if the table lacks one.

    Raises:
        DatasetError: as `records`; or the header lacks a column or has it twice.
    """
    defaults = defaults or {}
    table = records(file, what)
    _, header = next(table)
    header = [name.strip() for name in header]
    for name in (*columns, *defaults):
        if header.count(name) != 1 and (name in header or name not in defaults):
            needs = f"it needs {', '.join(columns)}" + "".join(f", and may have {name}" for name in defaults)
            raise DatasetError(f"{file} line 1: {wrong_header(header, columns, name, needs)}")
    at = {name: header.index(name) for name in (*columns, *defaults) if name in header}
    for line, fields in table:
        held = {name: fields[place].strip() for name, place in at.items()}
        yield line, [held.get(name, defaults.get(name, "")) for name in (*columns, *defaults)]
