"""The report's part on idealised experiments: two encoders of the same images, and the gap between them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossgap import naming
from crossgap.errors import CrossgapError
from crossgap.report import blocks, sphere
from crossgap.report.blocks import Block, Series
from crossgap.report.results import check_columns
from crossgap.report.tables import count, decimal, percent

if TYPE_CHECKING:
    from pandas import DataFrame

SETTINGS = ("width", "batch_size", "temperature", "mismatched", "gap")
TITLES = {
    "width": "width",
    "batch_size": "batch size",
    "temperature": "temperature",
    "mismatched": "share of mismatched pairs",
    "gap": "first gap",
}
MEASURES = {
    "loss": "loss",
    "centroid_distance": "centroid distance",
    "linear_separability": "linear separability",
    "alignment": "alignment",
    "uniformity_first": "uniformity, first",
    "uniformity_second": "uniformity, second",
}
HEADS = (
    "run",
    "width",
    "batch size",
    "temperature",
    "encoders",
    "mismatched",
    "first gap",
    "seed",
    "images",
    "steps",
    *MEASURES.values(),
)
_DRAWN = ("loss", "centroid_distance", "linear_separability")
_RUNS = (
    "run",
    *SETTINGS,
    "shared",
    "seed",
    "images",
    "epochs",
    "steps",
    *(f"{name}_{end}" for name in MEASURES for end in ("first", "last")),
)


@dataclass(frozen=True)
class Experiment:
    """What the stage `idealised` wrote of one experiment, as `crossgap.training.idealised.Tables` describes it.

    Attributes:
        name: of the row of params.yaml.
        curves: `run`, `step` and the measures over time.
        runs: a row each, the one called `base` among them.
        toy: the features of the runs that are drawn; no rows without such runs.
    """

    name: str
    curves: DataFrame
    runs: DataFrame
    toy: DataFrame


def view(experiment: Experiment) -> dict[str, Any]:
    """All that the page shows of one experiment: its name, its blocks, and the drawings of its toy runs.

    Raises CrossgapError if a table lacks a column, or there is no run `base`.
    """
    runs, curves, toy = experiment.runs, experiment.curves, experiment.toy
    check_columns("runs", runs, _RUNS)
    check_columns("curves", curves, ("run", "step", *_DRAWN))
    check_columns("toy", toy, sphere.COLUMNS)
    if not (runs["run"] == "base").any():
        raise CrossgapError(f"runs: no run base among {', '.join(runs['run'])}")
    moving, still = _toy(toy)
    return {
        "name": experiment.name,
        "blocks": [
            *_figures(curves, runs),
            *moving,
            blocks.table(
                f"{experiment.name}: every training, its measures before the first step → after the last",
                HEADS,
                [_row(row) for row in runs.to_dict("records")],
            ),
        ],
        **still,
    }


def _figures(curves: DataFrame, runs: DataFrame) -> Iterable[Block]:
    """The base run, then each setting that was swept: a line a value, with a band over its seeds."""
    base = runs[runs["run"] == "base"].iloc[0]
    for varied in (None, *SETTINGS):
        kept = [name for name in (*SETTINGS, "shared", "images", "epochs") if name != varied]
        like = runs[(runs[kept] == base[kept]).all(axis=1)]
        values: list[Any] = sorted(like[varied].unique()) if varied else [None]
        if varied and len(values) == 1:
            continue
        lines: dict[str, DataFrame] = {}
        for value in values:
            named = like if value is None else like[like[varied] == value]
            title = "base" if varied is None else f"{TITLES[varied]} {naming.number(value)}"
            lines[title] = curves[curves["run"].isin(named["run"])]
        shown = f"by {TITLES[varied]}" if varied else "of the run base"
        seeds = "; a line is the mean over its seeds, the band goes from the lowest to the highest"
        yield over_seeds(
            f"Over the steps of training, {shown}{seeds}", {MEASURES[name]: name for name in _DRAWN}, lines
        )


def over_seeds(caption: str, measures: Mapping[str, str], lines: Mapping[str, DataFrame]) -> Block:
    """Curves over steps, their means and ranges over the tables' rows of one step.

    Args:
        measures: title → column.
        lines: name → rows of `step` and measures; what a table lacks isn't drawn.
    """
    panels: dict[str, dict[str, Series]] = {}
    bands: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for title, column in measures.items():
        for name, table in lines.items():
            if column not in table:
                continue
            found = table.groupby("step")[column].agg(["mean", "min", "max", "count"])
            panels.setdefault(title, {})[name] = found.index.tolist(), found["mean"].tolist()
            if (found["count"] > 1).any():
                bands.setdefault(title, {})[name] = found["min"].tolist(), found["max"].tolist()
    return blocks.lines(caption, "step", panels, bands=bands, scale="symlog")


def _toy(toy: DataFrame) -> tuple[list[Block], dict[str, Any]]:
    """The moving spheres of the toy runs, and the strip of frames as an image; empty without such runs."""
    if toy.empty:
        return [], {"strip": {}}
    seen = {int(size): sphere.seen(of) for size, of in toy.groupby("batch_size")}
    sizes = ", ".join(map(str, seen))
    described = f"Features of the two encoders on a sphere over steps, a row each for batches of {sizes}"
    return [sphere.motion(seen)], {
        "strip": picture(sphere.strip(seen), described),
        "pairs": sphere.PAIRS,
        "colours": [colour for colour, _ in sphere.LOOKS.values()],
    }


def picture(svg: str, description: str) -> dict[str, str]:
    """An image as the page embeds it."""
    address = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
    return {"figure": address, "figure_text": description}


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    ends = (f"{decimal(row[f'{name}_first'])} → {decimal(row[f'{name}_last'])}" for name in MEASURES)
    settings = (
        count(row["width"]),
        count(row["batch_size"]),
        naming.number(row["temperature"]),
        "one" if row["shared"] else "two",
        percent(row["mismatched"]),
        naming.number(row["gap"]),
        str(row["seed"]),
    )
    return (row["run"], *settings, count(row["images"]), count(row["steps"]), *ends)
