"""Tables of JSON objects, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossgap.datasets import json_text
from crossgap.datasets.declared import DatasetError
from crossgap.datasets.text_files import read_text


def records(
    file: Path, what: str, remedy: str = "unpack it again"
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object of a file, with the file and line that it stands in; `what` says in messages what the file holds.

    Raises:
        DatasetError: the file can't be read, or a line is no JSON object; `remedy` says what to do.
    """
    for number, line in enumerate(read_text(file, what).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json_text.loads(line, once=True)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{file} line {number}: no JSON ({error.msg}): {remedy}") from None
        if not isinstance(row, dict):
            raise DatasetError(f"{file} line {number}: no JSON object: {remedy}")
        yield f"{file} line {number}", row
