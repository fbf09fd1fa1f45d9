"""Single queries: what each method ranks first, with pictures and texts, inside a bound of bytes.

Rankings take at most a third of the bound: where they don't fit, every retrieval of every cell keeps its first queries,
which are those most helped, most harmed and drawn in turns; where not even one of each fits, by three methods alone.
Pictures take the rest, each image once for the page, those of the first queries and of the first places first.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, NamedTuple, Protocol

from crossgap import naming
from crossgap.errors import ImageError
from crossgap.report.clouds import SIGNS
from crossgap.report.explore import Line, method_title, task_title
from crossgap.report.results import Results
from crossgap.report.sources import titles
from crossgap.report.tables import present

COLUMNS = (
    "task", "relevance", "beside", "turn", "turns", "why", "query", "label", "method", "ap", "lowest", "items",
    "relevant", "scores", "labels", "matching", "other",
)  # fmt: skip
WHYS = ("helped", "harmed", "random")
LONGEST = 240  # signs of a text that are shown
BARS = 32  # of a histogram, at most
MEGABYTES = 12.0
Rows = list[dict[str, Any]]


class Sighted(Protocol):
    """A dataset's items as a person sees them."""

    def text(self, item: str) -> str | None: ...

    def picture(self, item: str) -> bytes | None: ...


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
    for few in (False, True):
        kept = 1
        every, names, lines, size = _packed(cells, known, kept, few)
        whole = max((held.turns for of in every for held in of), default=0)
        while size <= room and kept < (more := min(whole, kept * room // max(1, size))):
            kept = more
            every, names, lines, size = _packed(cells, known, kept, few)
        while size > room:
            kept = min(kept - 1, kept * room // size)
            every, names, lines, size = _packed(cells, known, kept, few)
        if kept >= min(whole, len(WHYS)):
            break
    places, pictures, said = _pictures(cells, every, names, known, kept, bound - size)
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


class Rankings(NamedTuple):
    """One task and labelling: query → its rows, a method each, the native one first; of so many queries in all."""

    task: str
    labelling: str
    beside: str
    turns: int
    queries: dict[str, Rows]


def _packed(
    cells: Sequence[Results], sights: Mapping[str, Sighted], kept: int, few: bool
) -> tuple[list[list[Rankings]], dict[str, dict[str, int]], list[str], int]:
    """The first queries of all retrievals: as they are, their items by number, and the page's lines with their size."""
    every = [_retrievals(cell, kept, few) if kept else [] for cell in cells]
    names = _names(cells, every, kept)
    lines = [packed_json(_items(found, sights.get(name))) for name, found in names.items()]
    views = [
        _view(cell, of, names[cell.dataset]) if of else [] for cell, of in zip(cells, every, strict=True)
    ]
    lines += [packed_json(view) if view else "" for view in views]
    return every, names, lines, sum(map(len, lines))


def _retrievals(cell: Results, kept: int, few: bool) -> list[Rankings]:
    held = cell.looked_at
    if held is None:
        return []
    of = replace(cell, looked_at=held(kept) if callable(held) else held)
    found: dict[tuple[str, str], Rankings] = {}
    rows = [row for row in of.rows("looked_at", COLUMNS) if row["turn"] < kept]
    if few:
        methods = dict.fromkeys(row["method"] for row in rows)
        wanted = {}  # by task and labelling
        for row in rows:
            at = row["task"], row["relevance"]
            if at not in wanted:
                own = [name for name in methods if name.partition("+")[0] == row["task"]]
                wanted[at] = {row["task"], row["beside"], _best(cell, row["relevance"], own)}
        rows = [row for row in rows if row["method"] in wanted[row["task"], row["relevance"]]]
    for row in rows:
        at = row["task"], row["relevance"]
        of_task = found.setdefault(at, Rankings(*at, row["beside"], row["turns"], {}))
        of_task.queries.setdefault(row["query"], []).append(row)
    return list(found.values())


def _first(every: Iterable[list[Rankings]], kept: int) -> Iterator[tuple[int, str, Rows]]:
    """Number of the cell, query and rows: the first query of all retrievals, then their second ones, …"""
    every = list(every)
    lists = [(number, list(of.queries.items())) for number, held in enumerate(every) for of in held]
    for turn in range(kept):
        for number, queries in lists:
            if turn < len(queries):
                yield (number, *queries[turn])


def _names(cells: Sequence[Results], every: list[list[Rankings]], kept: int) -> dict[str, dict[str, int]]:
    """Dataset → item → its number, in the order in which they are wanted."""
    names: dict[str, dict[str, int]] = {cell.dataset: {} for cell, of in zip(cells, every, strict=True) if of}
    for number, query, rows in _first(every, kept):
        known = names[cells[number].dataset]
        for item in (query, *(one for row in rows for one in row["items"])):
            known.setdefault(str(item), len(known))
    return names


def _view(cell: Results, every: list[Rankings], known: dict[str, int]) -> list[dict[str, Any]]:
    corrections, made = titles(cell), []
    for of in every:
        methods: dict[str, int] = {}
        labels: dict[str, int] = {}
        of_item: dict[int, int] = {}
        queries = []
        for query, rows in of.queries.items():
            ways = []
            for row in rows:
                items = [known[str(item)] for item in row["items"]]
                for item, label in zip(items, row["labels"], strict=False):
                    of_item[item] = labels.setdefault(str(label), len(labels))
                ap = row["ap"]
                ways.append([
                    methods.setdefault(row["method"], len(methods)),
                    None if ap is None else round(1e4 * ap),
                    items,
                    "".join("1" if right else "0" for right in row["relevant"]),
                    [round(1e3 * float(score)) for score in row["scores"]],
                    *_bars(row),
                ])  # fmt: skip
            if rows[0]["label"]:
                of_item[known[query]] = labels.setdefault(rows[0]["label"], len(labels))
            queries.append([known[query], WHYS.index(rows[0]["why"]), ways])
        if not queries:
            continue
        named = [
            naming.called(
                method_title(Line("retrieval", of.task, method, of.labelling, {}, None), corrections),
                cell.modalities,
            )
            for method in methods
        ]
        made.append(
            {
                "title": naming.called(task_title("retrieval", of.task), cell.modalities),
                "labelling": of.labelling,
                "methods": named,
                "beside": methods.get(of.beside, -1),
                "best": methods.get(_best(cell, of.labelling, methods), -1),
                "labels": list(labels),
                "of": [list(of_item), list(of_item.values())],
                "queries": queries,
            }
        )
    return made


def _best(cell: Results, labelling: str, methods: Iterable[str]) -> str:
    """The correction with the highest mAP; empty without any."""
    keys = {name: f"retrieval/{name}/{labelling}/mAP" for name in methods if "+" in name}
    found = {name: value for name, key in keys.items() if present(value := cell.metrics.get(key))}
    return max(found, key=found.__getitem__) if found else ""


def _bars(row: Mapping[str, Any]) -> list[Any]:
    """Lowest score and width of a bar in hundredths, numbers of relevant and of other items, and their bars.

    A bar is one of 64 heights; either histogram is of area 1.
    """
    counts = [list(map(int, row[name])) for name in ("matching", "other")]
    width = max(1, -(-len(counts[0]) // BARS))
    sums = [[sum(side[at : at + width]) for at in range(0, len(side), width)] for side in counts]
    totals = [sum(side) for side in sums]
    shares = [[n / (total or 1) for n in side] for side, total in zip(sums, totals, strict=True)]
    top = max([*shares[0], *shares[1], 0.0]) or 1.0
    bars = ["".join(SIGNS[min(63, ceil(63 * share / top))] for share in side) for side in shares]
    return [round(100 * row["lowest"]), width, *totals, *bars]


def _pictures(
    cells: Sequence[Results],
    every: list[list[Rankings]],
    names: dict[str, dict[str, int]],
    sights: Mapping[str, Sighted],
    kept: int,
    room: int,
) -> tuple[dict[str, list[int]], list[str], list[str]]:
    """By dataset: the number of each item's picture, or -1; the pictures; and what is said of those left out."""
    places = {name: [-1] * len(known) for name, known in names.items()}
    pictures: list[str] = []
    missing: dict[str, tuple[int, str]] = {}
    full = 0
    seen: set[tuple[str, int]] = set()
    for number, query, rows in _first(every, kept):
        name = cells[number].dataset
        sight, known = sights.get(name), names[name]
        if sight is None:
            continue
        firsts = [item for row in rows for item in row["items"]]
        for item in (query, *firsts):
            place = known[str(item)]
            if (name, place) in seen:
                continue
            seen.add((name, place))
            if room <= 0:
                full += sight.text(str(item)) is None
                continue
            try:
                picture = sight.picture(str(item))
            except ImageError as error:
                count, why = missing.get(name, (0, str(error)))
                missing[name] = count + 1, why
                continue
            if picture is None:
                continue
            text = base64.b64encode(picture).decode("ascii")
            if len(text) > room:
                room, full = 0, full + 1
                continue
            room -= len(text)
            places[name][place] = len(pictures)
            pictures.append(text)
    said = [
        f"{count:,} images of {name} have no picture here, the first because of {why}"
        for name, (count, why) in missing.items()
    ]
    if full:
        said.append(f"{full:,} images are shown by their ids: their pictures would make the page too large.")
    return places, pictures, said


def _items(known: Mapping[str, int], sight: Sighted | None) -> dict[str, list[str]]:
    texts = [_cut((sight.text(item) if sight else None) or "") for item in known]
    return {"ids": list(known), "texts": texts if any(texts) else []}


def packed_json(content: object) -> str:
    """Compact JSON, compressed by gzip and written in base64, of which no sign means anything to HTML."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rstrip() + "…"
