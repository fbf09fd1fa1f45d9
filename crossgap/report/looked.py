"""Single queries: what each method ranks first, with pictures and texts, inside a bound of bytes.

Rankings take at most a third of the bound: where they don't fit, every retrieval of every cell keeps its first queries,
which are those most helped, most harmed and drawn in turns; where not even one of each fits, by three methods alone.
Pictures take the rest, each image once for the page, those of the first queries and of the first places first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from crossgap.report.packing import packed_json
from crossgap.report.ranked import WHYS, view
from crossgap.report.rankings import Rankings, first, retrievals
from crossgap.report.results import Results
from crossgap.report.thumbnails import Sighted
from crossgap.report.thumbnails import pictures as pictured

LONGEST = 240  # signs of a text that are shown
MEGABYTES = 12.0
SOME = 20  # cells by which it is reckoned how many queries fit


class Looks(NamedTuple):
    """What the page holds of single queries.

    Attributes:
        head: what is read at once: by cell the number of its dataset, -1 of one without queries, and what is left out.
        lines: compressed, one a dataset's items, then one a cell.
        pictures: which item has which, compressed, then each, WebP in base64.
    """

    head: dict[str, Any]
    lines: list[str]
    pictures: list[str]


class Packed(NamedTuple):
    """The first `kept` queries of all retrievals, of `whole`: as they are, their items by number, the page's lines,
    their size.
    """

    kept: int
    whole: int
    every: list[list[Rankings]]
    names: dict[str, dict[str, int]]
    lines: list[str]
    size: int


def looks(
    cells: Sequence[Results], sights: Mapping[str, Sighted] | None = None, megabytes: float = MEGABYTES
) -> Looks:
    """The queries of all cells that are there to be looked at.

    Args:
        sights: by dataset; items of another one are shown by their ids alone.
        megabytes: of what the page holds of them, at most.

    Raises CrossgapError if a table lacks a column.
    """
    known, bound = sights or {}, int(megabytes * 1e6)
    room = bound // 3
    some = cells[:: max(1, len(cells) // SOME)]
    for few in (False, True):
        kept, enough = 1, True
        if len(some) < len(cells):
            held = _fitted(some, known, kept, few, room * len(some) // len(cells))
            kept, enough = held.kept, _enough(held)
        if few or enough:
            held = _fitted(cells, known, max(1, kept), few, room)
            if _enough(held):
                break
    kept, whole, every, names, lines, size = held
    places, pictures, said = pictured(cells, every, names, known, kept, bound - size)
    if kept < whole or (few and kept):
        beside = ", natively, by the method beside and by the best correction alone" if few else ""
        said.insert(
            0,
            f"Of each retrieval the first {kept} queries of {whole} are here{beside}: more would be too large a page.",
        )
    numbers = {name: number for number, name in enumerate(names)}
    of_cells = [
        numbers[cell.dataset] if line else -1 for cell, line in zip(cells, lines[len(names) :], strict=True)
    ]
    pictures = [packed_json(list(places.values())), *pictures] if pictures else []
    return Looks({"datasets": len(names), "cells": of_cells, "said": said}, lines, pictures)


def _fitted(
    cells: Sequence[Results], sights: Mapping[str, Sighted], kept: int, few: bool, room: int
) -> Packed:
    """As many queries as fit, tried from `kept` on."""
    held = _packed(cells, sights, kept, few)
    while held.size <= room and held.kept < (more := min(held.whole, held.kept * room // max(1, held.size))):
        held = _packed(cells, sights, more, few)
    while held.size > room:
        fewer = min(held.kept - 1, held.kept * room // held.size)
        held = _packed(cells, sights, fewer, few)._replace(whole=held.whole)
    return held


def _enough(held: Packed) -> bool:
    return held.kept >= min(held.whole, len(WHYS))


def _packed(cells: Sequence[Results], sights: Mapping[str, Sighted], kept: int, few: bool) -> Packed:
    every = [retrievals(cell, kept, few) if kept else [] for cell in cells]
    names = _names(cells, every, kept)
    lines = [packed_json(_items(found, sights.get(name))) for name, found in names.items()]
    views = [view(cell, of, names[cell.dataset]) if of else [] for cell, of in zip(cells, every, strict=True)]
    lines += [packed_json(view) if view else "" for view in views]
    whole = max((of.turns for found in every for of in found), default=0)
    return Packed(kept, whole, every, names, lines, sum(map(len, lines)))


def _names(cells: Sequence[Results], every: list[list[Rankings]], kept: int) -> dict[str, dict[str, int]]:
    """Dataset → item → its number, in the order in which they are wanted."""
    names: dict[str, dict[str, int]] = {cell.dataset: {} for cell, of in zip(cells, every, strict=True) if of}
    for number, query, rows in first(every, kept):
        known = names[cells[number].dataset]
        for item in (query, *(one for row in rows for one in row["items"])):
            known.setdefault(str(item), len(known))
    return names


def _items(known: Mapping[str, int], sight: Sighted | None) -> dict[str, list[str]]:
    texts = [_cut((sight.text(item) if sight else None) or "") for item in known]
    return {"ids": list(known), "texts": texts if any(texts) else []}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rstrip() + "…"
