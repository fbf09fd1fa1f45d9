"""The report's numbers: flat metrics sorted by task, and numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from numbers import Real
from typing import Any, TypeGuard

from crossgap import naming

MISSING = "–"
METRICS = (
    "mAP",
    "mAP@R",
    "R-precision",
    "recall@1",
    "recall@5",
    "recall@10",
    "precision@1",
    "precision@5",
    "precision@10",
    "nDCG@10",
)
RATES = (*METRICS, "accuracy")

Grouped = Mapping[tuple[str, str, str], float]  # by task, relevance (or labelling), metric


def group(metrics: Mapping[str, float], family: str) -> Grouped:
    """The metrics `<family>/<task>/<relevance>/<metric>`."""
    found = {}
    for key, value in metrics.items():
        head, task, relevance, metric = naming.parts_of(key)
        if head == family and relevance and metric:
            found[task, relevance, metric] = value
    return found


def under(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    """The metrics whose key starts with `prefix`, by the rest of their key, in order."""
    return {key.removeprefix(prefix): metrics[key] for key in sorted(metrics) if key.startswith(prefix)}


def in_order(relevances: Iterable[str]) -> list[str]:
    """The caption group first, then the labellings by name."""
    return sorted(set(relevances), key=lambda name: (name != "group", name))


def title(task: str) -> str:
    """A task as the page names it: `oti-image` is OTI-image; of φ, with its loss and what it was distilled on."""
    if by := naming.by_phi(task):
        whence = "by φ" if by.how == "distilled" else "from φ"
        return f"{title(naming.plain(task))} {whence} ({by.loss}, {by.source})"
    return "-".join(part.upper() if part in ("oti", "ovi") else part for part in task.split("-"))


def absent(value: Any) -> bool:
    """Whether a number is missing: None, NaN or infinite."""
    # most are float: soonest told
    return value is None or (isinstance(value, (float, Real)) and not isfinite(value))


def present(value: float | None) -> TypeGuard[float]:
    """Whether a number is there, as type checkers understand it: not `absent`."""
    return not absent(value)


def percent(value: float | None) -> str:
    """A fraction in percent with two decimals."""
    return minus(f"{100 * value:z.2f}") if present(value) else MISSING


def points(difference: float) -> str:
    """A difference of fractions in percentage points."""
    return signed(100 * difference, 2)


def signed(difference: float, places: int) -> str:
    """A difference to so many decimals, with its sign."""
    rounded = round(difference, places)
    return minus(f"{rounded:+.{places}f}") if rounded else f"±{0:.{places}f}"


def interval(low: float | None, high: float | None) -> str:
    """The ends of an interval of differences, in percentage points; empty where there is none."""
    if not (present(low) and present(high)):
        return ""
    return minus(f"[{100 * low:z.2f}, {100 * high:z.2f}]")


def probability(p: float | None) -> str:
    """A p-value to four decimals."""
    return "< 0.0001" if present(p) and p < 0.00005 else decimal(p, 4)


def decimal(value: float | None, places: int = 3) -> str:
    """A number without a unit."""
    return MISSING if absent(value) else minus(f"{value:z.{places}f}")


def count(value: float | None) -> str:
    """A number of items."""
    return MISSING if absent(value) else minus(f"{value:,}")


def other(key: str, value: float | None) -> str:
    """A number the page has no table for: in percent where its metric is a known rate, else to six digits.

    Counts have all of theirs.
    """
    if absent(value):
        return MISSING
    if key.rpartition("/")[2] in RATES:
        return f"{percent(value)} %"
    return minus(str(value) if isinstance(value, int) else f"{value:.6g}")


def minus(text: str) -> str:
    """A formatted number with a true minus sign."""
    return text.replace("-", "−")


def plain_words(key: str) -> str:
    """A key as words."""
    return str(key).replace("_", " ").replace("/", " ")


def words(value: Any) -> str:
    """Any value as words: mappings and lists separated by commas."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {words(item)}" for key, item in value.items()) or MISSING
    if isinstance(value, list | tuple):
        return ", ".join(map(words, value)) or MISSING
    return MISSING if absent(value) or value == "" else str(value)
