"""The report's numbers on the gap-shift curve, without the dimensions of the gap, and on the spectra."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from crossgap.report.results import Results
from crossgap.report.tables import MISSING, decimal, in_order, minus, percent, title

COLUMNS = ("shift", "distance", "family", "task", "relevance", "metric", "value")
DIMENSIONS = ("removed", *COLUMNS[1:])
SPECTRUM = ("modality", "component", "explained")
DISTANCE = "centroid distance"
SHARES = (0.5, 0.8, 0.9, 0.95)
HEADS = ("modality", "effective rank", *(f"{share:.0%}".replace("%", " %") for share in SHARES))
_ACROSS = ("text-image", "image-text")
_PANELS = {  # title → family, metric, tasks
    "across the modalities, recall@1 in %": ("retrieval", "recall@1", _ACROSS),
    "across the modalities, mAP in %": ("retrieval", "mAP", _ACROSS),
    "contrastive loss": ("loss", "contrastive", ("image-text",)),
    "image-image, mAP in %": ("retrieval", "mAP", ("image-image",)),
    "zero-shot accuracy in %": ("classification", "accuracy", ("image-text",)),
}


class ShiftPanel(NamedTuple):
    """One measure over the shift: lines by name, empty where it is the only one, of shift and value."""

    title: str
    lines: dict[str, list[tuple[float, float]]]


class Shifts(NamedTuple):
    """Of one cell.

    Attributes:
        panels: as far as there are numbers, the distance that is left last.
        heads, rows: of the table of all numbers, a column a shift.
    """

    panels: list[ShiftPanel]
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


def shifts(cell: Results) -> Shifts | None:
    """What the page shows of a cell's gap-shift curve; None without one.

    Raises ValueError if the table lacks a column.
    """
    return _over(cell.rows("shifts", COLUMNS), "shift")


def dimensions(cell: Results) -> Shifts | None:
    """The same over the number of dimensions removed, those first in which the means differ most; None without it.

    Raises ValueError if the table lacks a column.
    """
    return _over(cell.rows("dimensions", DIMENSIONS), "removed")


def _over(found: list[dict[str, Any]], amount_of: str) -> Shifts | None:
    if not found:
        return None
    curves: dict[tuple[str, ...], dict[float, float]] = defaultdict(dict)
    for row in found:
        curves[tuple(row[name] for name in COLUMNS[2:6])][row[amount_of]] = row["value"]
    distances = {row[amount_of]: row["distance"] for row in found}
    amounts = sorted(distances)
    panels, rows = [], [(DISTANCE, "", "", *(decimal(distances[amount]) for amount in amounts))]
    for heading, (family, metric, tasks) in _PANELS.items():
        lines = {}
        for task in tasks:
            at = [key for key in curves if key[:2] == (family, task) and key[3] == metric]
            for relevance in in_order(key[2] for key in at):
                curve = curves[family, task, relevance, metric]
                name = title(task) if len(tasks) > 1 else "" if family == "loss" else relevance
                lines[name] = sorted(curve.items())
                shown = [_number(family, curve.get(amount)) for amount in amounts]
                rows.append(
                    (title(task), relevance, f"{metric} loss" if family == "loss" else metric, *shown)
                )
        if lines:
            panels.append(ShiftPanel(heading, lines))
    panels.append(ShiftPanel(DISTANCE, {"": sorted(distances.items())}))
    heads = ("task", "relevance", "metric", *(minus(f"{amount:g}") for amount in amounts))
    return Shifts(panels, heads, rows)


def components(cell: Results) -> list[tuple[str, ...]]:
    """`HEADS` by modality: its effective rank, and how many principal components hold each of `SHARES` of its variance.

    Raises ValueError if the table lacks a column.
    """
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in cell.rows("spectrum", SPECTRUM):
        curves[row["modality"]].append((int(row["component"]), row["explained"]))
    rows = []
    for modality, curve in curves.items():
        enough = [min((at for at, held in curve if held >= share), default=None) for share in SHARES]
        beyond = f"> {max(curve)[0]}"
        rank = decimal(cell.metrics.get(f"gap/effective_rank_{modality}"), 1)
        rows.append((modality, rank, *(beyond if at is None else str(at) for at in enough)))
    return rows


def _number(family: str, value: float | None) -> str:
    if value is None:
        return MISSING
    return decimal(value) if family == "loss" else percent(value).value
