"""Curves of trainings, as SVG text: equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from crossgap.report.drawing import INK, LINES, drawing, plain, svg_of

if TYPE_CHECKING:
    from pandas import DataFrame

_DASHES = ("-", "--", ":", "-.")


def curves(lines: Mapping[str, Sequence[DataFrame]], measures: Mapping[str, str]) -> str:
    """A panel a measure over steps; the lines of a name look alike, those after its first fainter.

    Text and axes follow a dark colour scheme.

    Args:
        lines: name → tables of `step` and measures; what a table lacks isn't drawn.
        measures: column → title.
    """
    with drawing() as figure:
        figure.set_size_inches(3 * len(measures), 2.5 + 0.2 * (len(lines) // 4))
        panels = figure.subplots(1, len(measures), squeeze=False)[0]
        for number, (name, tables) in enumerate(lines.items()):
            dashes = _DASHES[number // len(LINES) % len(_DASHES)]
            look = {"color": LINES[number % len(LINES)][0], "linestyle": dashes, "linewidth": 1.3}
            for axes, measure in zip(panels, measures, strict=True):
                for i, table in enumerate(table for table in tables if measure in table):
                    axes.plot(table["step"], table[measure], **look, alpha=0.5 if i else 0.9)
            panels[0].plot([], [], **look, label=plain(name))
        for axes, title in zip(panels, measures.values(), strict=True):
            axes.set(title=plain(title), xlabel="step")
            axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=4)
        return svg_of(figure)
