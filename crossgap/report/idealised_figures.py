"""Figures of idealised experiments, as SVG text: equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crossgap.report.drawing import INK, LINES, drawing, plain, svg_of

if TYPE_CHECKING:
    from pandas import DataFrame


def curves(lines: Mapping[str, Sequence[DataFrame]], measures: Mapping[str, str]) -> str:
    """A panel a measure over steps, which are on a logarithmic scale, linear below 1; the lines of a name look alike.

    Text and axes follow a dark colour scheme.

    Args:
        lines: name → tables of `step` and the measures; a name that is empty isn't shown.
        measures: column → title.
    """
    with drawing() as figure:
        figure.set_size_inches(3 * len(measures), 2.5)
        for place, (measure, title) in enumerate(measures.items(), start=1):
            axes = figure.add_subplot(1, len(measures), place)
            for number, (name, tables) in enumerate(lines.items()):
                colour, marker = LINES[number % len(LINES)]
                for seed, table in enumerate(tables):
                    look: dict[str, Any] = {
                        "color": colour,
                        "marker": marker,
                        "markersize": 3,
                        "linewidth": 1.3,
                    }
                    label: dict[str, Any] = {"label": plain(name)} if name and not seed and place == 1 else {}
                    axes.plot(table["step"], table[measure], **look, **label, alpha=0.9 if not seed else 0.5)
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(0, None)
            axes.xaxis.set_major_formatter("{x:.0f}")
            axes.set(title=plain(title), xlabel="step")
            axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
        if any(lines):
            figure.legend(loc="outside upper left", ncols=len(lines))
        return svg_of(figure)
