"""A paper's table filled with what a project measured, and with what is published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from statistics import mean
from typing import Any, NamedTuple

from crossgap.errors import listed
from crossgap.papers.tables import PaperTable, PublishedAs, Wanted
from crossgap.report.published import dataset_key, is_backbone, protocol_of
from crossgap.report.results import Results

# a labelling that a published figure is by, where several were measured: retrieval by landmarks is the medium setting
_LABELLINGS = ("class", "medium", "judged", "group")


class Figures(NamedTuple):
    """A number of a table, measured and published; None where it isn't there. `source` is of the published one."""

    measured: float | None
    published: float | None
    source: str = ""


class FilledRow(NamedTuple):
    """A row of a table with its numbers, a column each."""

    model: str
    method: str
    figures: list[Figures]


@dataclass(frozen=True)
class Filled:
    """A table with its numbers.

    Attributes:
        columns: with the average, where the table has one.
        notes: what a reader must know of them, a sentence each.
    """

    table: PaperTable
    columns: list[str]
    rows: list[FilledRow]
    notes: list[str]


def filled(table: PaperTable, cells: Sequence[Results], published: Sequence[Mapping[str, Any]]) -> Filled:
    """The table of what `cells` measured, beside the published figures that it names."""
    rows, seeds = [], set()
    elsewhere: dict[str, None] = {}  # columns that some cell measured on other splits, and on which
    for row in table.rows:
        figures = []
        for column, wanted in zip(table.columns, row.wanted, strict=True):
            held = [one for name in wanted.backbones if (one := _measured(wanted, name, cells))]
            values = [value for _, value in held]
            for cell, _ in held:
                protocol = protocol_of(cell, wanted.key.split("/")[0], dataset_key(wanted.dataset))
                if "; here: " in protocol and cell.query is not None:
                    elsewhere[f"{column} on other splits than the published figures ({protocol})"] = None
            if values and len(wanted.backbones) > 1:
                seeds.add(len(values))
            own = mean(values) * wanted.scale if values else None
            figures.append(
                Figures(own, *_published(table, wanted.published, wanted.published_scale, published))
            )
        if table.average:
            measured = [one.measured for one in figures if one.measured is not None]
            own = mean(measured) if len(measured) == len(figures) else None
            first = row.wanted[0]
            named = first.published._replace(dataset=table.average)
            figures.append(Figures(own, *_published(table, named, first.published_scale, published)))
        rows.append(FilledRow(row.model, row.method, figures))
    columns = [*table.columns, *(["average"] if table.average else [])]
    return Filled(table, columns, rows, [*_notes(table, columns, rows, seeds), *elsewhere])


def _measured(wanted: Wanted, backbone: str, cells: Iterable[Results]) -> tuple[Results, float] | None:
    """The first cell of this backbone and dataset that has the number, and the number."""
    for cell in cells:
        if is_backbone(cell, backbone) and dataset_key(cell.published or cell.dataset) == dataset_key(
            wanted.dataset
        ):
            keys = [key for key in cell.metrics if fnmatchcase(key, wanted.key)]
            preferred = [key for name in _LABELLINGS for key in keys if key.split("/")[-2] == name]
            if preferred or len(keys) == 1:
                return cell, float(cell.metrics[(preferred or keys)[0]])
    return None


def _published(
    table: PaperTable, wanted: PublishedAs, scale: float, published: Sequence[Mapping[str, Any]]
) -> tuple[float | None, str]:
    """The value and its source: of the paper's own where it has one, else of the next source."""
    for source in table.sources:
        for row in published:
            if (
                row["source"].startswith(source)
                and tuple(row[name] for name in ("task", "method", "metric", "setting"))
                == (wanted.task, wanted.method, wanted.metric, wanted.setting)
                and row["model"] == wanted.model
                and dataset_key(row["dataset"]) == dataset_key(wanted.dataset)
            ):
                return float(row["value"]) * scale, row["source"]
    return None, ""


def _notes(
    table: PaperTable, columns: Sequence[str], rows: Sequence[FilledRow], seeds: set[int]
) -> list[str]:
    """What is not there, and where the published figures are from."""
    every = [figures for row in rows for figures in row.figures[: len(table.columns)]]
    lacking = sum(figures.measured is None for figures in every)
    notes = []
    if lacking:
        settings = f"`crossgap preset {table.name}` has the settings that run them"
        notes.append(f"–: not run here ({lacking} of {len(every)}; {settings}) or not published")
    if table.average and lacking:
        notes.append("an average stands where all of its columns are measured")
    sources: dict[str, dict[str, None]] = {}  # and their columns
    for row in rows:
        for column, figures in zip(columns, row.figures, strict=True):
            if figures.source:
                sources.setdefault(figures.source, {})[column] = None
    named = [f"{source} ({listed([*of])})" if len(sources) > 1 else source for source, of in sources.items()]
    notes += [f"published: {'; '.join(named)}"] if named else []
    if seeds - {3}:
        notes.append(f"means of the seeds that were run: {', '.join(map(str, sorted(seeds)))} of 3")
    return notes
