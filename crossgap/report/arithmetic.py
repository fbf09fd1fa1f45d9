"""The page's part on text-driven arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crossgap.report import blocks
from crossgap.report.blocks import Block
from crossgap.report.published import COLUMNS as PUBLISHED
from crossgap.report.published import dataset_key
from crossgap.report.results import Results
from crossgap.report.tables import count, in_order, interval, minus, percent, words

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("protocol", "split", "scale", "score", "low", "high", "transformations", "images")
SIMAT = "simat"
HEADS = (
    "protocol", "split", "score", "95 % interval", "transformations", "images", "λ best on dev", "score there",
)  # fmt: skip

Curve = dict[float, Mapping[str, Any]]  # by λ, the row of the table


def arithmetic(cell: Results, published: DataFrame | None) -> tuple[list[Block], frozenset[str]]:
    """What the page shows of a cell's arithmetic, and the keys of metrics that it holds; nothing without any.

    Raises CrossgapError if the table lacks a column.
    """
    found = cell.rows("arithmetic", COLUMNS)
    curves: dict[str, dict[str, Curve]] = {}
    for row in found:
        curves.setdefault(row["protocol"], {}).setdefault(row["split"], {})[row["scale"]] = row
    curves = {name: curves[name] for name in in_order(curves)}
    chosen: list[tuple[str, ...]] = []
    keys: set[str] = set()
    for name, splits in curves.items():
        best = f"arithmetic/{name}/best_dev_lambda", f"arithmetic/{name}/test/score_at_best_dev"
        keys |= {*best, *(f"arithmetic/{name}/{split}/score" for split in splits)}
        for split, curve in splits.items():
            one = curve.get(1, dict.fromkeys(COLUMNS))
            there = ["", ""]
            if split == "test" and best[0] in cell.metrics:
                there = [minus(f"{cell.metrics[best[0]]:g}"), percent(cell.metrics.get(best[1]))]
            counts = (count(one[number]) for number in ("transformations", "images"))
            ends = interval(one["low"], one["high"])
            chosen.append((_title(name), split, percent(one["score"]), ends, *counts, *there))
    if not found:
        return [], frozenset()
    made = [
        _figure(curves),
        blocks.table("Scores in percent at λ = 1, and on test at the λ that is best on dev", HEADS, chosen),
    ]
    if published is not None and (rows := published_scores(cell, published)):
        heads = ("dataset", "source", "model", "method", "setting", "score")
        made.append(blocks.table("Published scores at λ = 1, in percent", heads, rows, folded=True))
    return made, frozenset(keys)


def published_scores(cell: Results, published: DataFrame) -> list[tuple[str, ...]]:
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
            row["model"],
            row["method"],
            words(row["setting"]),
            percent(row["value"] / 100),
        )
        for row in rows
        if row["task"] == "arithmetic" and dataset_key(row["dataset"]).startswith(SIMAT)
    ]


def _figure(curves: Mapping[str, Mapping[str, Curve]]) -> Block:
    """Scores over λ, with their intervals on test."""
    title = "score, in %"
    series, bands = {}, {}
    for name, splits in curves.items():
        for split, curve in splits.items():
            line, at = f"{_title(name)}, {split}", sorted(curve)
            series[line] = at, [curve[scale]["score"] for scale in at]
            if split == "test":
                ends = ([curve[scale][end] for scale in at] for end in ("low", "high"))
                bands[line] = next(ends), next(ends)
    return blocks.lines(
        "Weighted share of right answers over λ, on test with its 95 % interval. λ = 0 is the image alone.",
        "λ",
        {title: series},
        marks={1: "λ = 1"},
        bands={title: bands},
        percent=[title],
    )


def _title(protocol: str) -> str:
    return "SIMAT" if protocol == SIMAT else protocol
