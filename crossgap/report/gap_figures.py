"""Figures on the gap, as SVG text: equal input gives equal bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crossgap.report.drawing import INK, LINES, MARKS, check_columns, drawing, plain, spaced, svg_of
from crossgap.report.shifts import SPECTRUM, ShiftPanel

if TYPE_CHECKING:
    from pandas import DataFrame

_COLUMNS = 3
_DASHES = ("-", "--", ":")
_NOW: dict[str, Any] = {"color": INK, "linestyle": "--", "linewidth": 1}
_CLOSED: dict[str, Any] = {"color": INK, "linestyle": ":", "linewidth": 1}
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200)


def shifts(panels: Sequence[ShiftPanel]) -> str:
    """Each panel's lines over the shift; a dashed line marks where the clouds are, a dotted one where the gap closes.

    Lines of one name look alike in every panel. Text and axes follow a dark colour scheme.
    """
    names = dict.fromkeys(name for panel in panels for name in panel.lines if name)
    looks: dict[str, dict[str, Any]] = {"": {"color": INK, "marker": "."}}
    for i, name in enumerate(names):
        colour, marker = LINES[i % len(LINES)]
        dashes = _DASHES[i // len(LINES) % len(_DASHES)]
        looks[name] = {"color": colour, "marker": marker, "linestyle": dashes}
    columns = min(len(panels), _COLUMNS)
    rows = math.ceil(len(panels) / columns)
    with drawing() as figure:
        figure.set_size_inches(3 * columns, 2.1 * rows + 0.6)
        for place, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.axvline(0, **_NOW)
            axes.axvline(1, **_CLOSED)
            for name, points in panel.lines.items():
                scale = 100 if panel.title.endswith("%") else 1
                at, values = zip(*points, strict=True)
                axes.plot(
                    at, [scale * value for value in values], **looks[name], markersize=3.5, linewidth=1.3
                )
            axes.set_title(plain(panel.title))
            axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
            if place > len(panels) - columns:
                axes.set_xlabel("shift")
        for name in names:
            axes.plot([], [], **looks[name], markersize=3.5, linewidth=1.3, label=plain(name))
        axes.plot([], [], **_NOW, label="as it is")
        axes.plot([], [], **_CLOSED, label="gap closed")
        spaced(figure, 0.08)
        figure.legend(loc="outside upper left", ncols=2 * columns)
        return svg_of(figure)


def spectrum(points: DataFrame) -> str:
    """Share of the variance that the first principal components have, a line a modality; components on a log scale.

    `points`, a row each, has the columns `modality`, `component`, `explained`. Text and axes follow a dark colour
    scheme.

    Raises ValueError if a column is missing.
    """
    check_columns("spectrum", points, SPECTRUM)
    with drawing() as figure:
        figure.set_size_inches(4.6, 2.7)
        axes = figure.add_subplot()
        for modality, line in points.groupby("modality"):
            colour, marker = MARKS[modality]
            look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 2.5, "linewidth": 1.3}
            axes.plot(line["component"], 100 * line["explained"], **look, label=plain(modality))
        axes.set_xscale("log")
        axes.set_xticks([tick for tick in _TICKS if tick <= points["component"].max()])
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set_xticks([], minor=True)
        axes.set_ylim(0, 102)
        axes.set(xlabel="principal components", ylabel="variance explained, in %")
        axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
        axes.legend(loc="lower right")
        return svg_of(figure)
