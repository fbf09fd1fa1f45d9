"""Figures of the report, as SVG text: equal input gives equal bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crossgap.errors import CrossgapError
from crossgap.report.drawing import INK, LINES, MARKS, check_columns, drawing, plain, spaced, svg_of
from crossgap.report.similarities import HistogramPair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_OTHER_MARKS = (("#3f9d6b", "s"), ("#a86bc4", "D"))
_COLUMNS = 3  # of small multiples
_MATCHING, _OTHER = "#3f9d6b", "#a86bc4"


def clouds(points: DataFrame) -> str:
    """Scatter of the modalities' clouds in the plane of two principal components.

    `points`, a row each, has the columns `x`, `y`, `modality`, `id`. A cross marks each modality's mean. Both
    axes share one scale, so that lengths compare. Text and axes follow a dark colour scheme.

    Raises CrossgapError if a column is missing or a coordinate is not finite.
    """
    import numpy as np

    check_columns("clouds", points, ("x", "y", "modality", "id"))
    broken = points.loc[~np.isfinite(points[["x", "y"]].astype(float)).all(axis=1), "id"]
    if len(broken):
        raise CrossgapError(
            f"clouds: {len(broken)} of {len(points)} points have no finite coordinates, the first is "
            f"{broken.iloc[0]!r}; the features they come from need checking"
        )

    with drawing() as figure:
        figure.set_size_inches(6.4, 4.2)
        axes = figure.add_subplot()
        modalities = sorted(points["modality"].unique())
        unknown = [name for name in modalities if name not in MARKS]
        marks = MARKS | {name: _OTHER_MARKS[i % len(_OTHER_MARKS)] for i, name in enumerate(unknown)}
        xy = {name: points.loc[points["modality"] == name, ["x", "y"]].to_numpy(float) for name in modalities}
        for name in modalities:
            colour, marker = marks[name]
            # Points as pixels keep a page of hundreds of cells small; the legend's stay vectors.
            look: dict[str, Any] = {"c": colour, "marker": marker, "linewidths": 0}
            axes.scatter(xy[name][:, 0], xy[name][:, 1], s=14, alpha=0.65, rasterized=True, **look)
            axes.scatter([], [], s=24, label=plain(f"{name} ({len(xy[name])})"), **look)
        cross: dict[str, Any] = {
            "marker": "x",
            "color": INK,
            "markersize": 8,
            "markeredgewidth": 1.8,
            "linestyle": "none",
        }
        for name in modalities:
            axes.plot(*xy[name].mean(axis=0), **cross)
        axes.plot([], [], **cross, label="mean")
        axes.set(xlabel="first principal component", ylabel="second principal component")
        axes.set_aspect("equal", adjustable="datalim")
        figure.legend(loc="outside upper center", ncols=len(modalities) + 1, handletextpad=0.2)
        return svg_of(figure)


def curves(points: DataFrame, length: str = "R", baseline: str = "image-image") -> str:
    """mAP over the steps of an inversion: a panel a relevance, a line a number of tokens; then the loss.

    `points`, a row each, has the columns `tokens`, `relevance`, `step`, `loss`, `mAP`, `baseline`. The dashed line is
    the baseline's mAP; a ring marks the highest mAP of a line. Steps are on a logarithmic scale, linear below 1. Text
    and axes follow a dark colour scheme.

    Args:
        length: the letter that counts tokens in the legend.
        baseline: the name of the dashed line.

    Raises CrossgapError if a column is missing.
    """
    check_columns("curves", points, ("tokens", "relevance", "step", "loss", "mAP", "baseline"))
    tokens, relevances = sorted(points["tokens"].unique()), list(dict.fromkeys(points["relevance"]))
    looks = {number: LINES[i % len(LINES)] for i, number in enumerate(tokens)}
    columns = min(len(relevances) + 1, _COLUMNS)
    rows = math.ceil((len(relevances) + 1) / columns)
    with drawing() as figure:
        figure.set_size_inches(3 * columns, 2.1 * rows + 0.4)
        for place, relevance in enumerate([*relevances, None], start=1):
            axes = figure.add_subplot(rows, columns, place)
            of = points if relevance is None else points[points["relevance"] == relevance]
            for number, (colour, marker) in looks.items():
                line = of[of["tokens"] == number].drop_duplicates("step").sort_values("step")
                values = line["loss"] if relevance is None else 100 * line["mAP"]
                axes.plot(line["step"], values, color=colour, marker=marker, markersize=3.5, linewidth=1.3)
                if relevance is not None and values.notna().any():
                    peak = line["step"][values.idxmax()], values.max()
                    ring: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none"}
                    axes.plot(*peak, color=colour, linestyle="none", **ring)
            if relevance is not None:
                axes.axhline(100 * of["baseline"].iloc[0], color=INK, linestyle="--", linewidth=1)
            if place > len(relevances) + 1 - columns:
                axes.set_xlabel("step")
            axes.set_title("loss, 1 − cosine" if relevance is None else plain(f"{relevance}, mAP in %"))
            _steps_axis(axes, sorted(points["step"].unique()))
        for number, (colour, marker) in looks.items():
            axes.plot([], [], color=colour, marker=marker, markersize=3.5, label=f"{length} = {number}")
        axes.plot([], [], color=INK, linestyle="--", linewidth=1, label=plain(baseline))
        spaced(figure, 0.08)
        figure.legend(loc="outside upper left", ncols=len(tokens) + 1)
        return svg_of(figure)


def histograms(columns: Mapping[str, Sequence[HistogramPair]], length: str = "R") -> str:
    """Cosine similarities of matching pairs (filled) and of other pairs (outlined): a panel below the other.

    All panels share the axis of cosines, each has a vertical scale of its own. Text and axes follow a dark colour
    scheme.

    Args:
        columns: head → panels, from top to bottom.
        length: the letter that stands before a head that isn't empty.
    """
    rows = max(map(len, columns.values()))
    with drawing() as figure:
        figure.set_size_inches(max(4.2, 3 * len(columns)), 0.72 * rows + 0.9)
        grid = figure.subplots(rows, len(columns), sharex=True, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for column, (head, panels) in enumerate(columns.items()):
            for row, panel in enumerate(panels):
                axes = grid[row, column]
                axes.set_axis_on()
                _pairs_of(axes, panel)
                if row == 0 and head:
                    axes.set_title(f"{length} = {head}", pad=4)
                axes.tick_params(bottom=row == len(panels) - 1, labelbottom=row == len(panels) - 1)
            axes.set_xlabel("cosine similarity")
        axes = grid[0, 0]
        axes.fill_between([], [], color=_MATCHING, alpha=0.55, label="matching pairs")
        axes.plot([], [], color=_OTHER, linewidth=1.4, label="other pairs")
        spaced(figure, 0.03, 0.08)
        figure.legend(loc="outside upper left", ncols=2)
        return svg_of(figure)


def _pairs_of(axes: Axes, panel: HistogramPair) -> None:
    looks: tuple[tuple[Any, dict[str, Any]], ...] = (
        (panel.matching, {"fill": True, "color": _MATCHING, "alpha": 0.55, "linewidth": 0}),
        (panel.other, {"color": _OTHER, "linewidth": 1.4}),
    )
    for bins, look in looks:
        if bins:
            density = {left: value for left, _, value in bins}
            edges = sorted({edge for left, right, _ in bins for edge in (left, right)})
            axes.stairs([density.get(edge, 0) for edge in edges[:-1]], edges, **look)
    axes.set_yticks([])
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.spines["left"].set_visible(False)
    label: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "fontsize": 8}
    axes.text(0, 1, plain(panel.name), ha="left", **label)
    axes.text(1, 1, f"overlap {panel.overlap}", ha="right", **label)


def _steps_axis(axes: Axes, steps: Sequence[int]) -> None:
    """A logarithmic axis with ticks at as many of the steps as have room, the last among them."""
    axes.set_xscale("symlog", linthresh=1) if steps[0] < 1 else axes.set_xscale("log")
    at = [math.log10(step) if step >= 1 else step - 1 for step in steps]
    shown: list[int] = []
    for i in reversed(range(len(steps))):
        if not shown or at[shown[-1]] - at[i] >= 0.11 * (at[-1] - at[0]):
            shown.append(i)
    ticks = [steps[i] for i in shown]
    axes.set_xticks(ticks, [str(step) for step in ticks])
    axes.set_xticks([], minor=True)
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
