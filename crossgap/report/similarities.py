"""The report's numbers on similarities: how far matching and other pairs overlap, and how inverted features drift."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from crossgap.report.results import Results
from crossgap.report.steps import LENGTHS
from crossgap.report.tables import MISSING, absent, decimal, group, in_order, present, title

AT = ("pair", "relevance", "tokens", "step")
COLUMNS = (*AT, "matching", "other", "overlap", "mean", "share")
HISTOGRAMS = (*AT, "matching", "left", "right", "density")
_PAIRS = ("image-image", "text-image", "oti-image", "text-text", "ovi-text")
_DRIFTING = {"oti-image": "image-image", "ovi-text": "text-text"}  # to where

Bins = list[tuple[float, float, float]]  # left, right, density


class HistogramPair(NamedTuple):
    """Two histograms: the pairs, by name and step, and how far matching and other ones overlap."""

    name: str
    matching: Bins
    other: Bins
    overlap: str


class SimilarityStudy(NamedTuple):
    """From the similarities across the modalities to those within one, by the steps of an inversion.

    Attributes:
        columns: number of tokens (or empty, without an inversion) → panels from the one to the other.
        steps: heads of `drift`.
        drift: relevance and number of tokens → share of the way at each step, in percent.
    """

    native: str
    inverted: str
    length: str
    relevance: str
    columns: dict[str, list[HistogramPair]]
    steps: tuple[str, ...]
    drift: dict[tuple[str, str], tuple[str, ...]]


class SimilarityResults(NamedTuple):
    """Of one cell.

    Attributes:
        pairs: heads of `overlaps`.
        overlaps: relevance, then the overlap of each pair, inverted ones at the last step of the main inversion.
        rows: everything measured: pair, relevance, tokens, step, matching, other, overlap, mean.
        keys: of metrics.json that `overlaps` and the rows hold.
    """

    studies: list[SimilarityStudy]
    pairs: tuple[str, ...]
    overlaps: list[tuple[str, ...]]
    rows: list[tuple[str, ...]]
    keys: frozenset[str]


def similarities(cell: Results) -> SimilarityResults:
    """What the page shows of a cell's similarities; everything empty where there are none.

    Raises ValueError if a table lacks a column.
    """
    measured, bins = cell.rows("similarities", COLUMNS), _bins(cell)
    values = group(cell.metrics, "similarity") if measured else {}
    pairs = [pair for pair in _PAIRS if any(pair == held for held, _, _ in values)]
    overlaps = [
        (relevance, *(decimal(values.get((pair, relevance, "overlap"))) for pair in pairs))
        for relevance in in_order(relevance for _, relevance, _ in values)
    ]
    return SimilarityResults(
        [study for inverted in _DRIFTING if (study := _study(inverted, measured, bins))],
        tuple(map(title, pairs)),
        overlaps,
        [_listed(row) for row in measured],
        frozenset("/".join(("similarity", *key)) for key in values if key[0] in pairs),
    )


def _bins(cell: Results) -> Mapping[tuple, dict[bool, Bins]]:
    """By place, the histograms of matching and of other pairs."""
    found: dict[tuple, dict[bool, Bins]] = defaultdict(lambda: {True: [], False: []})
    for row in cell.rows("histograms", HISTOGRAMS):
        side = found[tuple(row[name] for name in AT)][bool(row["matching"])]
        side.append((row["left"], row["right"], row["density"]))
    return found


def _study(
    inverted: str, measured: Sequence[Mapping[str, Any]], bins: Mapping[tuple, dict[bool, Bins]]
) -> SimilarityStudy | None:
    native = _DRIFTING[inverted]
    relevances = in_order(row["relevance"] for row in measured if row["pair"] == native)
    if not relevances:
        return None
    relevance = relevances[0]
    turned = [row for row in measured if row["pair"] == inverted]
    of = [row for row in measured if row["relevance"] == relevance]
    columns = {}
    for tokens in sorted({row["tokens"] for row in turned if row["relevance"] == relevance}) or [None]:
        on_the_way = [row for row in of if row["pair"] == inverted and row["tokens"] == tokens]
        rows = [row for row in of if row["pair"] == "text-image"]
        rows += sorted(on_the_way, key=lambda row: row["step"])
        rows += [row for row in of if row["pair"] == native]
        columns[_whole(tokens)] = [_panel(row, bins) for row in rows]
    steps = sorted({row["step"] for row in turned})
    shares = {(row["relevance"], row["tokens"], row["step"]): row["share"] for row in turned}
    drift = {
        (relevance, _whole(tokens)): tuple(_share(shares.get((relevance, tokens, step))) for step in steps)
        for relevance, tokens in sorted(
            {at[:2] for at, share in shares.items() if not absent(share)},
            key=lambda at: (at[0] != "group", *at),
        )
    }
    length = LENGTHS[inverted.partition("-")[0]]
    return SimilarityStudy(
        native, title(inverted), length, relevance, columns, tuple(map(_whole, steps)), drift
    )


def _panel(row: Mapping[str, Any], bins: Mapping[tuple, dict[bool, Bins]]) -> HistogramPair:
    sides = bins[tuple(row[name] for name in AT)]
    step = "" if row["step"] is None else f", step {_whole(row['step'])}"
    return HistogramPair(title(row["pair"]) + step, sides[True], sides[False], decimal(row["overlap"], 2))


def _listed(row: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (decimal(row[name]) for name in ("matching", "other", "overlap", "mean"))
    return title(row["pair"]), row["relevance"], _whole(row["tokens"]), _whole(row["step"]), *numbers


def _share(value: float | None) -> str:
    return decimal(100 * value, 1) if present(value) else MISSING


def _whole(number: float | None) -> str:
    return str(int(number)) if present(number) else ""
