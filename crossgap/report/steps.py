"""The report's numbers over the steps of an inversion."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from crossgap.errors import CrossgapError
from crossgap.report.tables import MISSING, absent, decimal, percent, title

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("task", "tokens", "relevance", "step", "loss", "mAP", "baseline")
LENGTHS = {"oti": "R", "ovi": "P"}


class StepEntry(NamedTuple):
    """One number at a step, and whether no step has a higher one."""

    value: str
    best: bool = False


class StepRow(NamedTuple):
    """One inversion by one relevance, or its loss: numbers at each step, and the step of the best."""

    heading: tuple[str, ...]
    baseline: str
    entries: tuple[StepEntry, ...]
    best: str


class StepStudy(NamedTuple):
    """A task over the steps of its inversions.

    Attributes:
        task, baseline: as the page names them.
        length: the letter of the number of tokens: R or P.
        steps: heads of the columns.
        rows: mAP, by relevance and number of tokens.
        losses: by number of tokens.
        points: the rows of the cell's table, by relevance, as the page orders them.
    """

    task: str
    baseline: str
    length: str
    steps: tuple[str, ...]
    rows: tuple[StepRow, ...]
    losses: tuple[StepRow, ...]
    points: DataFrame


def studies(curves: DataFrame) -> list[StepStudy]:
    """The tasks of a table with the columns `COLUMNS` that were measured at more than one point.

    Raises CrossgapError if a column is missing.
    """
    if missing := [column for column in COLUMNS if column not in curves]:
        raise CrossgapError(f"curves: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}")
    found = []
    for task in sorted(set(curves["task"])):
        points = curves[curves["task"] == task]
        if len(points[["tokens", "step"]].drop_duplicates()) > 1:
            found.append(_study(task, points))
    return found


def _study(task: str, points: DataFrame) -> StepStudy:
    inversion, _, modality = task.rpartition("-")
    points = points.sort_values(["relevance", "tokens", "step"], ignore_index=True)
    points = points.loc[(points["relevance"] != "group").sort_values(kind="stable").index]
    steps = sorted(set(points["step"]))
    rows = []
    for relevance in dict.fromkeys(points["relevance"]):
        for tokens, of in points[points["relevance"] == relevance].groupby("tokens"):
            values = dict(zip(of["step"], of["mAP"], strict=True))
            held = [value for value in values.values() if not absent(value)]
            entries = tuple(_entry(values.get(step), held) for step in steps)
            best = next(
                (str(step) for step, entry in zip(steps, entries, strict=True) if entry.best), MISSING
            )
            rows.append(
                StepRow((relevance, str(tokens)), percent(of["baseline"].iloc[0]).value, entries, best)
            )
    losses = []
    for tokens, of in points.groupby("tokens"):
        values = dict(zip(of["step"], of["loss"], strict=True))
        entries = tuple(StepEntry(decimal(values.get(step), 4)) for step in steps)
        losses.append(StepRow((str(tokens),), "", entries, ""))
    return StepStudy(
        title(task),
        f"{modality}-{modality}",
        LENGTHS.get(inversion.partition(".")[0], "tokens"),
        tuple(map(str, steps)),
        tuple(rows),
        tuple(losses),
        points,
    )


def _entry(value: float | None, held: list[float]) -> StepEntry:
    return StepEntry(percent(value).value, not absent(value) and value == max(held))
