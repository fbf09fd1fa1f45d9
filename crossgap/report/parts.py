"""What the page shows of one cell, part by part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from crossgap.errors import listed
from crossgap.report import blocks
from crossgap.report.arithmetic import arithmetic
from crossgap.report.blocks import Block
from crossgap.report.clouds import Names, clouds
from crossgap.report.composed import composed
from crossgap.report.explore import parse
from crossgap.report.mixed import mixed
from crossgap.report.published import beside
from crossgap.report.results import Results
from crossgap.report.seeds import spreads
from crossgap.report.shifts import COLUMNS as SHIFTS
from crossgap.report.shifts import over, shifts, spectrum
from crossgap.report.similarities import similarities
from crossgap.report.sources import corrections
from crossgap.report.steps import studies
from crossgap.report.tables import MISSING, count, decimal, other, plain_words, title, under, words

if TYPE_CHECKING:
    from pandas import DataFrame

# tables that a part below shows; any other of `Results` is shown by its columns
_SHOWN = (
    "clouds", "problems", "not_inverted", "curves", "comparisons", "corrections", "similarities", "histograms",
    "seeds", "shifts", "spectrum", "mixed", "composed", "arithmetic", "unavailable", "looked_at",
)  # fmt: skip


class Part(NamedTuple):
    """A part of a chapter of the page.

    Attributes:
        chapter: the id of the page's section.
        note: the id of what explains it; empty without.
    """

    chapter: str
    title: str
    note: str
    blocks: list[Block]


def parts(cell: Results, published: DataFrame | None, names: Names) -> list[Part]:
    """Every part of a cell that has something to show.

    Args:
        names: of items in the clouds, as of `clouds.clouds`.

    Raises CrossgapError if a table lacks a column or holds what can't be drawn.
    """
    similar, of_similarities = similarities(cell)
    asked, of_arithmetic = arithmetic(cell, published)
    spread = [list(map(str, row)) for row in spreads(cell)]
    seeds = ("task", "relevance", "mean", "± standard deviation", "lowest", "highest", "seeds")
    steps = studies(cell)
    shown = of_similarities | of_arithmetic
    found = [
        Part("gap", "The clouds", "clouds", clouds(cell, names)),
        Part("gap", "Spectrum", "spectrum", spectrum(cell)),
        Part("gap", "Over the shift: what the gap costs", "shift", shifts(cell)),
        Part("gap", "Search among images and texts", "mixed", mixed(cell)),
        Part("gap", "An image and a text ask for images", "composed", composed(cell)),
        *_others_over(cell),
        Part("gap", "Similarities", "similarities", similar),
        Part("gap", "Over the steps of an inversion", "steps", steps),
        Part("gap", "Over seeds", "seeds", [
            blocks.table("mAP in percent over the seeds of the inversion", seeds, spread),
        ] if spread else []),
        Part("gap", "Arithmetic", "arithmetic", asked),
        Part("explore", "Measured beside published", "published", _published(cell, published)),
        Part("made", "What the corrections are", "corrections", _corrections(cell)),
        Part("made", "What is not available", "", _unavailable(cell)),
        Part("made", "Inversion", "", _inversion(cell)),
        Part("made", "Items", "", _items(cell)),
        Part("made", "Other numbers", "", _rest(cell, shown, steps, spread)),
        Part("made", "What made these features", "", _provenance(cell)),
    ]  # fmt: skip
    return [part for part in found if part.blocks]


def _others_over(cell: Results) -> list[Part]:
    """Tables that no other part shows: those like the shift's as curves over their first column, others as they are."""
    found = []
    for name in (field.name for field in fields(cell)):
        frame = getattr(cell, name)
        if name in _SHOWN or not hasattr(frame, "columns") or frame.empty:
            continue
        columns = list(frame.columns)
        heading = plain_words(name).capitalize()
        if len(columns) > 1 and [*columns[1:]] == [*SHIFTS[1:]]:
            caption = f"Tasks measured again; {name} {plain_words(columns[0])}, from left to right."
            shown = over(cell.rows(name, columns), columns[0], caption)
        else:
            rows = [[words(value) for value in row.values()] for row in cell.rows(name, columns)]
            shown = [blocks.table(heading, list(map(plain_words, columns)), rows, folded=True)]
        found.append(Part("gap", heading, name, shown))
    return found


def _published(cell: Results, published: DataFrame | None) -> list[Block]:
    rows = [] if published is None else beside(cell, published)
    if not rows:
        return []
    heads = ("task", "relevance", "metric", "measured", "published", "difference", "source", "protocol")
    return [blocks.table("Measured beside published, in percent; differences in points", heads, rows)]


def _corrections(cell: Results) -> list[Block]:
    fitted, absent = corrections(cell)
    made = []
    if fitted:
        caption = "Corrections, fitted without labels"
        made.append(blocks.table(caption, ("correction", "source", "how", "parameters"), fitted))
    if absent:
        caption = "Corrections that this cell does not have"
        made.append(blocks.table(caption, ("correction", "source", "why not"), absent))
    return made


def _unavailable(cell: Results) -> list[Block]:
    """Family, names and reason of what could not be measured, a row a reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in cell.rows("unavailable", ("family", "name", "reason")):
        found.setdefault((row["family"], row["reason"]), []).append(row["name"])
    if not found:
        return []
    rows = [(family, listed(names), reason) for (family, reason), names in found.items()]
    caption = "Not available, because of what the items are or what was asked for"
    return [blocks.table(caption, ("family", "what", "because"), rows)]


def _inversion(cell: Results) -> list[Block]:
    metrics = cell.metrics
    losses = {key: metrics[key] for key in sorted(metrics) if re.fullmatch("inversion/.+/loss", key)}
    made = []
    if losses:
        caption = "Mean final loss, 1 − cosine similarity to the feature inverted"
        rows = [(_inverted(key), decimal(value, 4)) for key, value in losses.items()]
        made.append(blocks.table(caption, ("inversion", "loss"), rows))
    aside = cell.rows("not_inverted", ("id", "group", "inversion"))
    if aside:
        caption = (
            "Their loss was not finite: left out of every task compared with that inversion, natively too"
        )
        rows_aside = [tuple(map(words, row.values())) for row in aside]
        made.append(blocks.table(caption, ("item", "group", "inversion"), rows_aside, folded=True))
    return made


def _items(cell: Results) -> list[Block]:
    metrics = cell.metrics
    counted = under(metrics, "items/")
    rows = [(plain_words(key), count(value)) for key, value in counted.items()]
    if not any("truncated" in key for key in counted):
        rows.append(("truncated captions", MISSING))
    problems = cell.rows("problems", ("id", "item", "problem"))
    rows.append(("set aside", str(len(problems))))
    aside = {key: metrics[key] for key in sorted(metrics) if re.fullmatch("inversion/.+/set_aside", key)}
    rows += [(f"set aside by {_inverted(key)}", count(value)) for key, value in aside.items()]
    made = [blocks.facts(rows)]
    if cut := _cut(metrics):
        heads = "Texts longer than the text tower’s context are cut there, and only their heads count"
        made.append(blocks.text(f"{heads}: {', '.join(cut)}."))
    if summaries := cell.provenance.get("summaries"):
        made.append(blocks.text(f"Documents are stood for by summaries, those in {words(summaries)}."))
    if problems:
        rows_aside = [tuple(map(words, row.values())) for row in problems]
        caption = "Items set aside: left out of every number"
        made.append(blocks.table(caption, ("id", "item", "problem"), rows_aside, folded=True))
    return made


def _rest(cell: Results, shown: frozenset[str], steps: list[Block], spread: list[list[str]]) -> list[Block]:
    """The numbers that no other part of the page has, by their keys."""
    elsewhere = [r"(gap|items)/.+", r"inversion/.+/(loss|set_aside)"]
    elsewhere += [r"snapshots/.+/best_(step|mAP)"] if steps else []
    elsewhere += [r"seeds/.+/mAP_(mean|std)"] if spread else []
    pattern = re.compile("|".join(elsewhere))
    rest = [
        key
        for key in sorted(cell.metrics)
        if key not in shown and not parse(key) and not pattern.fullmatch(key)
    ]
    if not rest:
        return []
    rows = [(key, other(key, cell.metrics[key])) for key in rest]
    return [blocks.table("Metrics by their key", ("key", "value"), rows, folded=True)]


def _provenance(cell: Results) -> list[Block]:
    if not cell.provenance:
        return [blocks.text(f"{MISSING} not recorded.")]
    return [blocks.facts(_flat(cell.provenance))]


def _flat(values: Mapping[str, Any], within: str = "") -> list[tuple[str, str]]:
    """Names with their values, what is nested by the names it is nested in."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{within}{plain_words(key)}"
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{name}, ")
        else:
            rows.append((name, words(value)))
    return rows


def _cut(metrics: Mapping[str, float]) -> list[str]:
    """How many texts of each split the text tower's context was too short for."""
    counts = under(metrics, "items/text/")
    cut = {name: n for name in counts if (n := counts.get(f"{name}/truncated"))}
    return [f"{count(n)} of {count(counts[name])} of {name}" for name, n in cut.items()]


def _inverted(key: str) -> str:
    return " ".join(map(title, key.split("/")[1:-1]))
