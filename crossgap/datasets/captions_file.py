"""A captions file: CSV in UTF-8 with a header, a row for each caption."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from crossgap.datasets import Captions, DatasetError


class Row(NamedTuple):
    """A caption and the image it names; `line` counts from 1, `fields` are all columns as they stand."""

    line: int
    image: str
    caption: str
    split: str
    fields: tuple[str, ...]


def rows(declaration: Captions) -> Iterator[Row]:
    """The rows in order; blank lines are skipped.

    Raises:
        DatasetError: the file can't be read or is malformed; names the line.
    """
    file = declaration.captions
    records = _records(declaration)
    _, header = next(records, (0, None))
    if header is None:
        raise DatasetError(f"{file} is empty: it needs a header and a row for each caption")
    image, caption, split = _columns(declaration, header)
    for line, fields in records:
        if len(fields) != len(header):
            raise DatasetError(
                f"{file} line {line}: columns: {len(fields)}, in the header: {len(header)}; put one comma "
                "between columns, and quote a caption that holds commas"
            )
        name = "test" if split is None else fields[split].strip()
        yield Row(line, fields[image].strip(), fields[caption].strip(), name, tuple(fields))


def _records(declaration: Captions) -> Iterator[tuple[int, list[str]]]:
    file = declaration.captions
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise DatasetError(f"captions {file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{file} line {line}: not UTF-8: save the file as UTF-8") from None
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DatasetError(f"{file} line {line}: {error}: mend the quotes of this row") from None
        if fields:
            yield line, fields


def _columns(declaration: Captions, header: list[str]) -> tuple[int, int, int | None]:
    wanted = {"image_column": declaration.image_column, "caption_column": declaration.caption_column}
    if declaration.split_column is not None or "split" in header:
        wanted["split_column"] = declaration.split_column or "split"
    for field, name in wanted.items():
        if header.count(name) != 1:
            raise DatasetError(
                f"{declaration.captions} line 1: the header {','.join(header)!r} has {header.count(name)} "
                f"columns {name!r}: mend it, or name the right column in `{field}`"
            )
    image, caption, *split = (header.index(name) for name in wanted.values())
    return image, caption, split[0] if split else None
