"""The report's part on idealised experiments: two encoders of the same images, and the gap between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossgap.errors import CrossgapError
from crossgap.report import idealised_figures, pictures, sphere
from crossgap.report.drawing import check_columns
from crossgap.report.tables import count, decimal

if TYPE_CHECKING:
    from pandas import DataFrame

SETTINGS = ("width", "batch_size", "temperature")
MEASURES = {
    "loss": "loss",
    "centroid_distance": "centroid distance",
    "linear_separability": "linear separability",
    "alignment": "alignment",
    "uniformity_first": "uniformity, first",
    "uniformity_second": "uniformity, second",
}
HEADS = ("run", "width", "batch size", "temperature", "seed", "images", "steps", *MEASURES.values())
_DRAWN = ("loss", "centroid_distance", "linear_separability")
_RUNS = (
    "run",
    *SETTINGS,
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
    """All that the template shows of one experiment.

    Raises CrossgapError if a table lacks a column, or there is no run `base`.
    """
    runs, curves, toy = experiment.runs, experiment.curves, experiment.toy
    check_columns("runs", runs, _RUNS)
    check_columns("curves", curves, ("run", "step", *_DRAWN))
    check_columns("toy", toy, sphere.COLUMNS)
    if not (runs["run"] == "base").any():
        raise CrossgapError(f"runs: no run base among {', '.join(runs['run'])}")
    return {
        "name": experiment.name,
        "figures": list(_figures(curves, runs)),
        "heads": HEADS,
        "rows": [_row(row) for row in runs.to_dict("records")],
        **_toy(toy),
    }


def _figures(curves: DataFrame, runs: DataFrame) -> Iterable[dict[str, str]]:
    """The base run, then each setting that was swept; a colour a value, a line a seed."""
    base = runs[runs["run"] == "base"].iloc[0]
    for varied in (None, *SETTINGS):
        kept = [name for name in (*SETTINGS, "images", "epochs") if name != varied]
        like = runs[(runs[kept] == base[kept]).all(axis=1)]
        values = sorted(like[varied].unique()) if varied else [None]
        if varied and len(values) == 1:
            continue
        lines = {}
        for value in values:
            named = like if value is None else like[like[varied] == value]
            title = "" if varied is None else f"{varied.replace('_', ' ')} {value:g}"
            lines[title] = [curves[curves["run"] == name] for name in named["run"]]
        shown = f"by {varied.replace('_', ' ')}" if varied else "of the run base"
        yield {"shown": shown} | pictures.picture(
            idealised_figures.curves(lines, {name: MEASURES[name] for name in _DRAWN}),
            f"Loss, centroid distance and linear separability over steps, {shown}; their ends are in the table below",
        )


def _toy(toy: DataFrame) -> dict[str, Any]:
    """The strip of frames and an animation of each batch size, empty without a toy run."""
    if toy.empty:
        return {"strip": {}, "motions": []}
    seen = {int(size): sphere.seen(of) for size, of in toy.groupby("batch_size")}
    sizes = ", ".join(map(str, seen))
    described = f"Features of the two encoders on a sphere over steps, a row each for batches of {sizes}"
    motions = [
        {"size": size}
        | pictures.picture(sphere.motion(of), f"The two clouds move apart over steps, batches of {size}")
        for size, of in seen.items()
    ]
    return {
        "strip": pictures.picture(sphere.strip(seen), described),
        "motions": motions,
        "pairs": sphere.PAIRS,
        "colours": [colour for colour, _ in sphere.LOOKS.values()],
    }


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    ends = (f"{decimal(row[f'{name}_first'])} → {decimal(row[f'{name}_last'])}" for name in MEASURES)
    settings = (count(row["width"]), count(row["batch_size"]), f"{row['temperature']:g}", str(row["seed"]))
    return (row["run"], *settings, count(row["images"]), count(row["steps"]), *ends)
