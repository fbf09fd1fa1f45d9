"""Methods side by side: what each gains or loses against its baseline, and whether that is decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from crossgap.report.tables import (
    METRICS,
    MISSING,
    Entry,
    Grouped,
    Row,
    absent,
    count,
    interval,
    percent,
    points,
    probability,
)

ALPHA = 0.05  # of the corrected p-value
COLUMNS = (
    "family", "task", "relevance", "value", "baseline_value", "difference", "low", "high", "p", "p_adjusted", "queries",
)  # fmt: skip
_COUNTS = ("queries_without_relevant", "images_without_class")

Place = tuple[str, str]  # a task and a relevance (or labelling)
Tests = Mapping[Place, Mapping[str, Any]]  # rows of `COLUMNS`


class Line(NamedTuple):
    """A method: its heading, its place in each column, and those of its baseline; none, if it is one itself."""

    heading: tuple[str, ...]
    places: tuple[Place, ...]
    baseline: tuple[Place, ...] = ()


class Verdict(NamedTuple):
    """By which columns a method is better or worse than its baseline, and by which that is open."""

    heading: tuple[str, ...]
    better: tuple[str, ...]
    worse: tuple[str, ...]
    undecided: tuple[str, ...]


class Board(NamedTuple):
    """A table of methods.

    Attributes:
        columns: relevances, labellings or tasks.
        rows: a method each: the metric, with the difference to its baseline.
        verdicts: of the methods that were tested.
        tests: a row a test: value, baseline's value, difference, interval, p, corrected p, queries.
        names: of all metrics found.
        details: a row a column and method, with all of these metrics.
        keys: of the metrics that the table holds.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    tests: tuple[Row, ...]
    names: tuple[str, ...]
    details: tuple[Row, ...]
    keys: frozenset[str]


def compared(
    tasks: Mapping[str, str], relevances: Sequence[str], corrections: Mapping[str, str], *heading: str
) -> list[Line]:
    """Lines for tasks, by their titles, and for the corrections of the first of them, which is the baseline."""
    baseline, *_ = tasks
    titles = {**tasks} | {f"{baseline}+{name}": words for name, words in corrections.items()}
    at = {task: tuple((task, relevance) for relevance in relevances) for task in titles}
    return [
        Line((*heading, words), at[task], () if task == baseline else at[baseline])
        for task, words in titles.items()
    ]


def board(
    values: Grouped, tests: Tests, columns: Sequence[str], lines: Iterable[Line], family: str, metric: str
) -> Board | None:
    """The methods that have a number, with their baselines; None if there is none.

    `values` and `tests` are those of one family. A difference is the tested one where there is a test, else that of
    the two numbers.
    """
    held = {(task, relevance) for task, relevance, name in values if name == metric}
    with_number = [line for line in lines if held & {*line.places}]
    needed = {line.baseline for line in with_number}
    lines = [line for line in lines if line in with_number or line.places in needed]
    if not lines:
        return None
    places = {place for line in lines for place in line.places}
    shown = [(column, line, number) for number, column in enumerate(columns) for line in lines]
    names, details = _details(values, shown)
    return Board(
        tuple(columns),
        tuple(Row(line.heading, tuple(_entries(values, tests, line, metric))) for line in lines),
        tuple(verdict for line in lines if (verdict := _verdict(tests, columns, line))),
        tuple(
            _tested((column, *line.heading), tests[line.places[number]])
            for column, line, number in shown
            if line.baseline and line.places[number] in tests
        ),
        names,
        details,
        frozenset("/".join((family, *key)) for key in values if key[:2] in places),
    )


def across(boards: Sequence[Board | None]) -> tuple[tuple[str, ...], list[list[Row]]]:
    """Boards as one table: the methods of any of them, and a list of rows for each, by column."""
    methods = list(dict.fromkeys(row.heading for board in boards if board for row in board.rows))
    tables = []
    for each in boards:
        found = {row.heading: row.entries for row in each.rows} if each else {}
        lacking = (Entry(MISSING),) * len(each.columns if each else ())
        tables.append(
            [
                Row((column,), tuple(found.get(method, lacking)[number] for method in methods))
                for number, column in enumerate(each.columns if each else ())
            ]
        )
    return tuple(method for (method,) in methods), tables


def _entries(values: Grouped, tests: Tests, line: Line, metric: str) -> Iterable[Entry]:
    for number, place in enumerate(line.places):
        base = values.get((*line.baseline[number], metric)) if line.baseline else None
        entry = percent(values.get((*place, metric)), base)
        test = tests.get(place)
        if line.baseline and test and entry.value != MISSING and not absent(test["difference"]):
            shown = points(test["difference"])
            entry = Entry(entry.value, *shown, interval(test["low"], test["high"]), _decided(test))
        yield entry


def _decided(test: Mapping[str, Any]) -> bool:
    return not absent(test["p_adjusted"]) and test["p_adjusted"] < ALPHA


def _verdict(tests: Tests, columns: Sequence[str], line: Line) -> Verdict | None:
    found: dict[str, list[str]] = {"better": [], "worse": [], "undecided": []}
    for column, place in zip(columns, line.places, strict=True):
        if line.baseline and (test := tests.get(place)):
            direction = "better" if _decided(test) and test["difference"] > 0 else "worse"
            found[direction if _decided(test) else "undecided"].append(column)
    return Verdict(line.heading, *map(tuple, found.values())) if any(found.values()) else None


def _tested(heading: tuple[str, ...], test: Mapping[str, Any]) -> Row:
    difference = MISSING if absent(test["difference"]) else points(test["difference"])[0]
    shown = (
        percent(test["value"]).value,
        percent(test["baseline_value"]).value,
        difference,
        interval(test["low"], test["high"]) or MISSING,
        probability(test["p"]),
        probability(test["p_adjusted"]),
        count(test["queries"]),
    )
    return Row(heading, tuple(map(Entry, shown)))


def _details(
    values: Grouped, shown: Sequence[tuple[str, Line, int]]
) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    places = {line.places[number] for _, line, number in shown}
    found = {name for task, relevance, name in values if (task, relevance) in places}
    names = [*(name for name in METRICS if name in found), *sorted(found - {*METRICS})]
    rows = []
    for column, line, number in shown:
        held = {name: values.get((*line.places[number], name)) for name in names}
        entries = tuple(
            Entry(count(value)) if name in _COUNTS else percent(value) for name, value in held.items()
        )
        if any(entry.value != MISSING for entry in entries):
            rows.append(Row((column, *line.heading), entries))
    return tuple(names), tuple(rows)
