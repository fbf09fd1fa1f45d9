"""The report's numbers and figure on text-driven arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from crossgap.report.drawing import INK, LINES, drawing, plain, svg_of
from crossgap.report.published import COLUMNS as PUBLISHED
from crossgap.report.published import dataset_key
from crossgap.report.results import Results
from crossgap.report.tables import MISSING, count, in_order, interval, minus, percent, words

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("protocol", "split", "scale", "score", "low", "high", "transformations", "images")
SIMAT = "simat"
HEADS = (
    "protocol", "split", "score", "95 % interval", "transformations", "images", "λ best on dev", "score there",
)  # fmt: skip
_DASHES = {"test": "-", "dev": ":"}

Curve = dict[float, Mapping[str, Any]]  # by λ, the row of the table


class Arithmetic(NamedTuple):
    """Of one cell.

    Attributes:
        curves: by protocol, then split.
        scales: λ, ascending.
        scores: protocol and split, then the score at each λ.
        chosen: `HEADS`.
        keys: of metrics.json that these hold.
    """

    curves: dict[str, dict[str, Curve]]
    scales: tuple[str, ...]
    scores: list[tuple[str, ...]]
    chosen: list[tuple[str, ...]]
    keys: frozenset[str]


def arithmetic(cell: Results) -> Arithmetic | None:
    """What the page shows of a cell's arithmetic; None without any.

    Raises ValueError if the table lacks a column.
    """
    found = cell.rows("arithmetic", COLUMNS)
    if not found:
        return None
    curves: dict[str, dict[str, Curve]] = {}
    for row in found:
        curves.setdefault(row["protocol"], {}).setdefault(row["split"], {})[row["scale"]] = row
    curves = {name: curves[name] for name in in_order(curves)}
    scales = sorted({row["scale"] for row in found})
    scores, chosen, keys = [], [], set()
    for name, splits in curves.items():
        best = f"arithmetic/{name}/best_dev_lambda", f"arithmetic/{name}/test/score_at_best_dev"
        keys |= {*best, *(f"arithmetic/{name}/{split}/score" for split in splits)}
        for split, curve in splits.items():
            shown = (percent(curve[scale]["score"]).value if scale in curve else MISSING for scale in scales)
            scores.append((_title(name), split, *shown))
            one = curve[1]
            there = ["", ""]
            if split == "test" and best[0] in cell.metrics:
                there = [minus(f"{cell.metrics[best[0]]:g}"), percent(cell.metrics[best[1]]).value]
            counts = (count(int(one[number])) for number in ("transformations", "images"))
            ends = interval(one["low"], one["high"])
            chosen.append((_title(name), split, percent(one["score"]).value, ends, *counts, *there))
    return Arithmetic(curves, tuple(f"{scale:g}" for scale in scales), scores, chosen, frozenset(keys))


def published_scores(cell: Results, published: DataFrame) -> list[tuple[str, str, tuple[str, ...]]]:
    """Published SIMAT scores where the cell's dataset is SIMAT: dataset, source, and model, method, setting and score.

    They are of all models, since those that they are of were fine-tuned for them.
    """
    if dataset_key(cell.published or cell.dataset) != SIMAT:
        return []
    rows = published[list(PUBLISHED)].to_dict("records")
    return [
        (
            row["dataset"],
            row["source"],
            (row["model"], row["method"], words(row["setting"]), percent(row["value"] / 100).value),
        )
        for row in rows
        if row["task"] == "arithmetic" and dataset_key(row["dataset"]).startswith(SIMAT)
    ]


def figure(found: Arithmetic) -> str:
    """Scores over λ, a colour a protocol: test as a line with its intervals, dev dotted. Equal input gives equal bytes.

    Text and axes follow a dark colour scheme.
    """
    with drawing() as drawn:
        drawn.set_size_inches(6.4, 3.2)
        axes = drawn.add_subplot()
        axes.axvline(1, color=INK, linestyle="--", linewidth=0.8, alpha=0.5)
        for i, (name, splits) in enumerate(found.curves.items()):
            colour, marker = LINES[i % len(LINES)]
            look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.3}
            for split, curve in splits.items():
                at = sorted(curve)
                score, low, high = (
                    [100 * curve[scale][end] for scale in at] for end in ("score", "low", "high")
                )
                axes.plot(
                    at, score, **look, linestyle=_DASHES[split], label=plain(f"{_title(name)}, {split}")
                )
                if split == "test":
                    axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="λ", ylabel="score, in %", ylim=(0, None))
        axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
        drawn.legend(loc="outside right upper")
        return svg_of(drawn)


def _title(protocol: str) -> str:
    return "SIMAT" if protocol == SIMAT else protocol
