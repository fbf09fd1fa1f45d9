"""The pictures of single queries, each once for the page, as many as there is room for."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Protocol

from crossgap.errors import ImageError, said
from crossgap.report.rankings import Rankings, first
from crossgap.report.results import Results


class Sighted(Protocol):
    """A dataset's items as a person sees them."""

    def text(self, item: str) -> str | None: ...

    def picture(self, item: str) -> bytes | None: ...


def pictures(
    cells: Sequence[Results],
    every: list[list[Rankings]],
    names: dict[str, dict[str, int]],
    sights: Mapping[str, Sighted],
    kept: int,
    room: int,
) -> tuple[dict[str, list[int]], list[str], list[str]]:
    """By dataset: the number of each item's picture, or -1; the pictures; and what is said of those left out."""
    places = {name: [-1] * len(known) for name, known in names.items()}
    made: list[str] = []
    missing: dict[str, tuple[int, str]] = {}
    full = 0
    seen: set[tuple[str, int]] = set()
    for number, query, rows in first(every, kept):
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
            except (ImageError, OSError) as error:
                count, why = missing.get(name, (0, said(error)))
                missing[name] = count + 1, why
                continue
            if picture is None:
                continue
            text = base64.b64encode(picture).decode("ascii")
            if len(text) > room:
                room, full = 0, full + 1
                continue
            room -= len(text)
            places[name][place] = len(made)
            made.append(text)
    left_out = [
        f"{count:,} images of {name} have no picture here, the first because of {why}"
        for name, (count, why) in missing.items()
    ]
    if full:
        left_out.append(
            f"{full:,} images are shown by their ids: their pictures would make the page too large."
        )
    return places, made, left_out
