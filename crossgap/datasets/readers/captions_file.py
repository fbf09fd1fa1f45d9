"""A captions file: CSV in UTF-8 with a header, a row for each caption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from crossgap.datasets.declared import Captions, DatasetError
from crossgap.datasets.text_files import check_is_one, records, wrong_header


class CaptionLine(NamedTuple):
    """A caption and the image it names; `line` counts from 1, `fields` are all columns as they stand."""

    line: int
    image: str
    caption: str
    split: str
    fields: tuple[str, ...]


def rows(declaration: Captions) -> Iterator[CaptionLine]:
    """The rows in order; blank lines are skipped.

    Raises:
        DatasetError: the file can't be read or is malformed; names the line.
    """
    table = records(declaration.captions, "captions")
    _, header = next(table)
    header = [name.strip() for name in header]
    image, caption, split = _columns(declaration, header)
    for line, fields in table:
        check_is_one(fields[caption], f"{declaration.captions} line {line}")
        name = "test" if split is None else fields[split].strip()
        yield CaptionLine(line, fields[image].strip(), fields[caption].strip(), name, tuple(fields))


def _columns(declaration: Captions, header: list[str]) -> tuple[int, int, int | None]:
    wanted = {"image_column": declaration.image_column, "caption_column": declaration.caption_column}
    if declaration.split_column is not None or "split" in header:
        wanted["split_column"] = declaration.split_column or "split"
    for field, name in wanted.items():
        if header.count(name) != 1:
            why = wrong_header(
                header, wanted.values(), name, f"mend it, or name the right column in `{field}`"
            )
            raise DatasetError(f"{declaration.captions} line 1: {why}")
    image, caption, *split = (header.index(name) for name in wanted.values())
    return image, caption, split[0] if split else None
