"""Downloaded pickles, read without being executed: plain values and numpy's arrays, nothing else."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from crossgap import unpickling
from crossgap.datasets.declared import DatasetError
from crossgap.errors import of_machine

_LARGER = 8  # times as large as its file, what a pickle makes may be: it shares what is equal


def read_pickle(file: Path, what: str) -> Any:
    """The content of a pickle of any protocol; Python 2's `str` becomes text, as Latin-1. `what` names it in messages.

    Raises:
        DatasetError: the file can't be read, is truncated or no pickle, or names anything else.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        if of_machine(error):
            raise
        raise DatasetError(f"{what} {file} can't be read: {error.strerror}") from None
    known = unpickling.arrays(unpickling.Budget(_LARGER * len(content)))
    try:
        return unpickling.unpickled(content, lambda module, name: known.get((module, name)))
    except UnpicklingError as error:
        raise DatasetError(
            f"{what} {file}: no whole pickle of plain values and arrays ({error}): download it again from the "
            "dataset's own page, or unpack it again"
        ) from error


def as_text(held: Any, _met: dict[int, Any] | None = None) -> Any:
    """A pickle's content, with bytes in its dicts and lists turned into text.

    Sets of Python 2 that were read with `encoding="bytes"` and written again by Python 3 have bytes for text. An object
    that several places share stays one object.
    """
    if isinstance(held, bytes):
        return held.decode("latin1")
    if not isinstance(held, (dict, list)):
        return held
    met = {} if _met is None else _met
    if id(held) in met:
        return met[id(held)]
    if isinstance(held, dict):
        texts: dict[Any, Any] = {}
        met[id(held)] = texts
        texts.update((as_text(key, met), as_text(value, met)) for key, value in held.items())
        return texts
    items: list[Any] = []
    met[id(held)] = items
    items.extend(as_text(value, met) for value in held)
    return items
