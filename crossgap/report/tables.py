"""The report's numbers: flat metrics sorted into the rows of its tables, and numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from numbers import Real
from typing import Any, NamedTuple

MISSING = "–"
METRICS = ("mAP", "mAP@R", "R-precision", "recall@1", "recall@5", "recall@10")
RATES = (*METRICS, "accuracy")

Grouped = Mapping[tuple[str, str, str], float]  # by task, relevance (or labelling), metric


class Entry(NamedTuple):
    """One number of a table as text, with its difference to the baseline where there is one."""

    value: str
    difference: str = ""
    sign: str = ""  # "up", "down", "level" or "unknown"; "" where no difference is given


class Row(NamedTuple):
    """One row of a table: its heading cells, then its numbers."""

    heading: tuple[str, ...]
    entries: tuple[Entry, ...]


def group(metrics: Mapping[str, float], family: str, tasks: Iterable[str]) -> Grouped:
    """The metrics `<family>/<task>/<relevance>/<metric>` of the given tasks."""
    found = {}
    for key, value in metrics.items():
        head, _, rest = key.partition("/")
        task, _, rest = rest.partition("/")
        relevance, _, metric = rest.rpartition("/")  # a labelling's name is the user's and may hold a slash
        if head == family and task in tasks and relevance and metric:
            found[task, relevance, metric] = value
    return found


def under(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    """The metrics whose key starts with `prefix`, by the rest of their key, in order."""
    return {key.removeprefix(prefix): metrics[key] for key in sorted(metrics) if key.startswith(prefix)}


def compared(grouped: Grouped, tasks: Sequence[str], metric: str, unpaired: str = "") -> list[Row]:
    """A row per relevance, an entry per task, each with its difference to the first task, the baseline.

    The task `unpaired` has other queries than the baseline, so that no difference is given for it.
    """
    rows = []
    for relevance in _relevances(grouped, tasks):
        base = grouped.get((tasks[0], relevance, metric))
        entries = []
        for task in tasks:
            value = grouped.get((task, relevance, metric))
            if task in (tasks[0], unpaired):
                entries.append(percent(value))
            else:
                entry = percent(value, base)
                entries.append(entry._replace(sign=entry.sign or "unknown"))
        rows.append(Row((relevance,), tuple(entries)))
    return rows


def detailed(grouped: Grouped, tasks: Sequence[str]) -> tuple[list[str], list[Row]]:
    """The names of all metrics, and a row per relevance and evaluated task with an entry per metric."""
    found = {metric for task, _, metric in grouped if task in tasks}
    names = [*METRICS, *sorted(found - set(METRICS))]
    rows = []
    for relevance in _relevances(grouped, tasks):
        for task in tasks:
            entries = tuple(percent(grouped.get((task, relevance, name))) for name in names)
            if any(entry.value != MISSING for entry in entries):
                rows.append(Row((relevance, title(task)), entries))
    return names, rows


def _relevances(grouped: Grouped, tasks: Sequence[str]) -> list[str]:
    """The relevances of any of `tasks`: the caption group first, then the labellings by name."""
    found = {relevance for task, relevance, _ in grouped if task in tasks}
    return sorted(found, key=lambda name: (name != "group", name))


def title(task: str) -> str:
    """A task as the page names it: `oti-image` is OTI-image."""
    return "-".join(part.upper() if part in ("oti", "ovi") else part for part in task.split("-"))


def absent(value: Any) -> bool:
    """Whether a number is missing: None, NaN or infinite."""
    return value is None or (isinstance(value, Real) and not isfinite(value))


def percent(value: float | None, base: float | None = None) -> Entry:
    """A fraction in percent with two decimals, and its difference to `base` in percentage points."""
    if absent(value):
        return Entry(MISSING)
    shown = minus(f"{100 * value:.2f}")
    if absent(base):
        return Entry(shown)
    points = round(100 * (value - base), 2)
    if points == 0:
        return Entry(shown, "±0.00", "level")
    return Entry(shown, minus(f"{points:+.2f}"), "up" if points > 0 else "down")


def decimal(value: float | None, places: int = 3) -> str:
    """A number without a unit."""
    return MISSING if absent(value) else minus(f"{value:.{places}f}")


def count(value: float | None) -> str:
    """A number of items."""
    return MISSING if absent(value) else minus(f"{value:,}")


def other(key: str, value: float | None) -> str:
    """A number the page has no table for: in percent where its metric is a known rate, else as it is."""
    if absent(value):
        return MISSING
    return f"{percent(value).value} %" if key.rpartition("/")[2] in RATES else minus(f"{value:.6g}")


def minus(text: str) -> str:
    """A formatted number with a true minus sign."""
    return text.replace("-", "−")


def words(value: Any) -> str:
    """Any value as words: mappings and lists separated by commas."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {words(item)}" for key, item in value.items()) or MISSING
    if isinstance(value, list | tuple):
        return ", ".join(map(words, value)) or MISSING
    return MISSING if absent(value) or value == "" else str(value)
