"""The page's part on similarities: how far matching and other pairs overlap, and how inverted features drift."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from crossgap.relevances import standing
from crossgap.report import blocks
from crossgap.report.blocks import Block
from crossgap.report.results import Results
from crossgap.report.steps import LENGTHS
from crossgap.report.tables import MISSING, absent, decimal, group, in_order, present, title

AT = ("pair", "relevance", "tokens", "step")
COLUMNS = (*AT, "matching", "other", "overlap", "mean", "share")
HISTOGRAMS = (*AT, "matching", "left", "right", "density")
_PAIRS = ("image-image", "text-image", "oti-image", "text-text", "ovi-text")
_DRIFTING = {"oti-image": "image-image", "ovi-text": "text-text"}  # to where

Bins = list[tuple[float, float, float]]  # left, right, density


def similarities(cell: Results) -> tuple[list[Block], frozenset[str]]:
    """What the page shows of a cell's similarities, and the keys of metrics that it holds; nothing without any.

    Raises CrossgapError if a table lacks a column.
    """
    measured, bins = cell.rows("similarities", COLUMNS), _bins(cell)
    values = group(cell.metrics, "similarity") if measured else {}
    pairs = [pair for pair in _PAIRS if any(pair == held for held, _, _ in values)]
    overlaps = [
        (relevance, *(decimal(values.get((pair, relevance, "overlap"))) for pair in pairs))
        for relevance in in_order(relevance for _, relevance, _ in values)
    ]
    made = []
    if overlaps:
        caption = "Overlap of matching and of other pairs, 0 to 1; inverted features at the last step"
        made.append(blocks.table(caption, ("relevance", *map(title, pairs)), overlaps))
    for inverted in _DRIFTING:
        made += _study(inverted, measured, bins, cell.subsets)
    if measured:
        heads = (
            "pair", "relevance", "R or P", "step", "matching pairs", "other pairs", "overlap", "all pairs"
        )  # fmt: skip
        caption = "Mean cosine similarities and overlap, of all that was measured"
        made.append(blocks.table(caption, heads, map(_listed, measured), folded=True))
    return made, frozenset("/".join(("similarity", *key)) for key in values if key[0] in pairs)


def _bins(cell: Results) -> Mapping[tuple, dict[bool, Bins]]:
    """By place, the histograms of matching and of other pairs."""
    found: dict[tuple, dict[bool, Bins]] = defaultdict(lambda: {True: [], False: []})
    for row in cell.rows("histograms", HISTOGRAMS):
        side = found[tuple(row[name] for name in AT)][bool(row["matching"])]
        side.append((row["left"], row["right"], row["density"]))
    return found


def _study(
    inverted: str,
    measured: Sequence[Mapping[str, Any]],
    bins: Mapping[tuple, dict[bool, Bins]],
    subsets: Sequence[str],
) -> list[Block]:
    """From the similarities across the modalities to those within one, by the steps of an inversion."""
    native = _DRIFTING[inverted]
    relevances = in_order(row["relevance"] for row in measured if row["pair"] == native)
    if not relevances:
        return []
    relevance = standing(relevances, subsets)
    turned = [row for row in measured if row["pair"] == inverted]
    of = [row for row in measured if row["relevance"] == relevance]
    length = LENGTHS[inverted.partition("-")[0]]
    made = []
    for tokens in sorted({row["tokens"] for row in turned if row["relevance"] == relevance}) or [None]:
        on_the_way = [row for row in of if row["pair"] == inverted and row["tokens"] == tokens]
        rows = [row for row in of if row["pair"] == "text-image"]
        rows += sorted(on_the_way, key=lambda row: row["step"])
        rows += [row for row in of if row["pair"] == native]
        panels = [panel for row in rows if (panel := _panel(row, bins))]
        if panels:
            by = f" by {title(inverted)}, {length} = {_whole(tokens)}" if tokens is not None else ""
            caption = f"Cosine similarities of matching and of other pairs, matching by {relevance}{by}"
            made.append({"kind": "histograms", "caption": caption, "panels": panels})
    steps = sorted({row["step"] for row in turned})
    shares = {(row["relevance"], row["tokens"], row["step"]): row["share"] for row in turned}
    drift = [
        (of_relevance, _whole(tokens), *(_share(shares.get((of_relevance, tokens, step))) for step in steps))
        for of_relevance, tokens in sorted(
            {at[:2] for at, share in shares.items() if not absent(share)},
            key=lambda at: (at[0] != "group", *at),
        )
    ]
    if drift:
        caption = (
            f"{title(inverted)}: share of the way from the mean similarity of texts and images to that of {native}, "
            "in percent, by step"
        )
        made.append(blocks.table(caption, ("relevance", length, *map(_whole, steps)), drift, folded=True))
    return made


def _panel(row: Mapping[str, Any], bins: Mapping[tuple, dict[bool, Bins]]) -> Block | None:
    """Heights over bins from `left` in steps of `width`, the highest of both sides 99; None without any."""
    sides = bins.get(tuple(row[name] for name in AT))
    if not sides or not (every := [one for side in sides.values() for one in side]):
        return None
    left = min(at for at, _, _ in every)
    width = round(min(right - start for start, right, _ in every), 6)
    panel: Block = {
        "name": title(row["pair"]),
        "step": _whole(row["step"]),
        "overlap": decimal(row["overlap"], 2),
    }
    panel |= {"left": left, "width": width}
    top = max(density for _, _, density in every) or 1
    for name, side in (("matching", sides[True]), ("other", sides[False])):
        at = {round((start - left) / width): density for start, _, density in side}
        panel[name] = [round(99 * at.get(i, 0) / top) for i in range(max(at, default=-1) + 1)]
    return panel


def _listed(row: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (decimal(row[name]) for name in ("matching", "other", "overlap", "mean"))
    return title(row["pair"]), row["relevance"], _whole(row["tokens"]), _whole(row["step"]), *numbers


def _share(value: float | None) -> str:
    return decimal(100 * value, 1) if present(value) else MISSING


def _whole(number: float | None) -> str:
    return str(int(number)) if present(number) else ""
