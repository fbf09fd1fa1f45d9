"""Figures of a cell, drawn by matplotlib (the extra `figures`): what a method changes, mAP over steps, the gap."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crossgap import naming
from crossgap.errors import CrossgapError, like
from crossgap.relevances import standing
from crossgap.report.clouds import by_umap
from crossgap.report.explore import Line, difference, lines, method_title
from crossgap.report.results import Results
from crossgap.report.sources import titles
from crossgap.report.tables import in_order, present, title
from crossgap.stores import temporary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
# Okabe and Ito's colours, which people with colour blindness tell apart
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MODALITIES = {
    "image": (BLUE, "o", "images"),
    "text": (ORANGE, "^", "texts"),
    "oti": (GREEN, "s", "images by OTI"),
    "ovi": ("#CC79A7", "D", "texts by OVI"),
}
_PAGE = 1.4  # height of a page over its width
_VERDICTS = {"better": BLUE, "worse": ORANGE}  # any other is grey
_STYLE: Any = {
    "font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none", "pdf.fonttype": 42,
    "svg.hashsalt": "crossgap",
}  # fmt: skip


class Drawing(NamedTuple):
    """A kind of figure.

    Attributes:
        words: what it shows.
        tables: of a cell that it is drawn from, beside its numbers.
    """

    words: str
    tables: tuple[str, ...]
    draw: Callable[[Figure, Results], None]


def drawn(kind: str, cell: Results, path: Path) -> None:
    """Draw a figure into a file, whose ending says how; the same cell gives the same bytes.

    Raises:
        CrossgapError: no such kind of figure or file, matplotlib is not installed, or the cell lacks what is drawn.
    """
    if kind not in FIGURES:
        raise CrossgapError(
            f"there is no figure {kind!r}{like(kind, FIGURES)}; there are {', '.join(FIGURES)}"
        )
    saved(path, lambda figure: FIGURES[kind].draw(figure, cell))


def saved(path: Path, draw: Callable[[Figure], None]) -> None:
    """What `draw` draws, in a file, without a date.

    Raises:
        CrossgapError: no such kind of file, or matplotlib is not installed.
    """
    if (form := path.suffix.removeprefix(".")) not in FORMATS:
        raise CrossgapError(f"{path}: a figure is written as {', '.join(FORMATS)}")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CrossgapError(
            "figures are drawn by matplotlib, which is not installed: pip install 'crossgap[figures]'"
        ) from error
    with mpl.rc_context(_STYLE):
        figure = Figure(layout="constrained")
        draw(figure)
        undated: Mapping[str, None] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
        content = io.BytesIO()
        figure.savefig(content, format=form, dpi=200, metadata=undated)
    temporary.write_through(path, content.getvalue())


class Layout(NamedTuple):
    """How panels stand in a figure.

    Attributes:
        size: width and height of a panel, inches.
        margins: width and height beside all of them, inches.
        columns: how many there are at least, where there are as many panels.
        sharex, sharey: whether the panels have one axis in common.
    """

    size: tuple[float, float]
    margins: tuple[float, float]
    columns: int
    sharex: bool = False
    sharey: bool = False

    def inches(self, count: int, columns: int) -> tuple[float, float]:
        """Width and height of the figure."""
        return self.margins[0] + self.size[0] * columns, self.margins[1] + self.size[1] * -(-count // columns)


def _panels(figure: Figure, count: int, layout: Layout) -> tuple[Sequence[Any], Sequence[Any]]:
    """So many panels, row by row, in a figure no taller than a page if more columns can make it so.

    Returns:
        The panels, and the lowest of each column.
    """
    columns = min(layout.columns, count)
    width, height = layout.inches(count, columns)
    while columns < count and height > _PAGE * width:
        columns += 1
        width, height = layout.inches(count, columns)
    figure.set_size_inches(width, height)
    rows = -(-count // columns)
    grid = figure.subplots(rows, columns, sharex=layout.sharex, sharey=layout.sharey, squeeze=False)
    axes = list(grid.flat)
    for panel in axes[count:]:
        panel.set_visible(False)
    return axes[:count], axes[count - columns : count]


def handles(axes: Iterable[Any]) -> dict[str, Any]:
    """Label → what it stands for, of a legend that several axes share."""
    return {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }


def _effects(figure: Figure, cell: Results) -> None:
    """What each method changes in retrieval within a modality, with intervals; a panel a labelling."""
    found = [line for line in lines(cell) if line.family == "retrieval" and line.test is not None]
    panels = [
        (task, labelling, of)
        for task in ("image-image", "text-text")
        for labelling in in_order(line.labelling for line in found if line.task == task)
        if (of := [line for line in found if (line.task, line.labelling) == (task, labelling)])
    ]
    if not panels:
        raise CrossgapError(
            f"{cell.name}: no method was compared with native features: there are no effects to draw"
        )
    named = titles(cell)
    methods = list(dict.fromkeys(method_title(line, named) for _, _, of in panels for line in of))
    size = 1.7, 0.6 + 0.16 * len(methods)
    axes, _ = _panels(figure, len(panels), Layout(size, margins=(1.6, 0), columns=4, sharey=True))
    for panel, (task, labelling, of) in zip(axes, panels, strict=True):
        panel.axvline(0, color=GREY, linewidth=0.8)
        for line in of:
            _effect(panel, methods.index(method_title(line, named)), line)
        panel.set_title(naming.called(title(task), cell.modalities) + f", {labelling}", fontsize="medium")
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    figure.supxlabel(
        "difference of mAP to native features, in points, with 95 % intervals", fontsize="medium"
    )
    figure.suptitle(f"{cell.name}: filled where significant", fontsize="medium")


def _effect(panel: Any, place: int, line: Line) -> None:
    test: Mapping[str, Any] = line.test or {}
    middle = difference(line, None)
    if not present(middle):
        return
    colour = _VERDICTS.get(line.verdict, GREY)
    if present(test["low"]) and present(test["high"]):
        panel.plot([100 * test["low"], 100 * test["high"]], [place, place], color=colour, linewidth=1.2)
    face = colour if line.verdict in _VERDICTS else "white"
    panel.plot(100 * middle, place, "o", color=colour, markerfacecolor=face, markersize=4)


_LEARNED = {"oti": ("pseudo-token", "pseudo-tokens"), "ovi": ("pseudo-patch", "pseudo-patches")}


def _steps(figure: Figure, cell: Results) -> None:
    """MAP over the steps of the inversion; a panel a labelling, a line a number of tokens."""
    rows = cell.rows("curves", ("task", "tokens", "relevance", "step", "mAP", "baseline"))
    panels = [
        (task, relevance, of)
        for task in dict.fromkeys(row["task"] for row in rows)
        for relevance in in_order(row["relevance"] for row in rows if row["task"] == task)
        if (of := [row for row in rows if (row["task"], row["relevance"]) == (task, relevance)])
    ]
    if not panels:
        raise CrossgapError(
            f"{cell.name}: nothing was inverted, or no step was kept: there are no steps to draw"
        )
    axes, lowest = _panels(figure, len(panels), Layout((1.9, 1.5), margins=(0.6, 0.6), columns=4))
    colours = dict(zip(sorted({row["tokens"] for row in rows}), cycle(COLOURS), strict=False))
    for panel, (task, relevance, of) in zip(axes, panels, strict=True):
        _curves(panel, of, colours, _LEARNED[task[:3]])
        panel.set_title(naming.called(title(task), cell.modalities) + f", {relevance}", fontsize="medium")
    named = handles(axes)
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4, frameon=False)
    for panel in lowest:
        panel.set_xlabel("step")
    figure.supylabel("mAP in %", fontsize="medium")
    figure.suptitle(cell.name, fontsize="medium")


def _curves(
    panel: Any, of: Sequence[Mapping[str, Any]], colours: Mapping[int, str], learned: tuple[str, str]
) -> None:
    """MAP of one task and labelling over the steps, a line a number of tokens."""
    for length, colour in colours.items():
        line = sorted((row for row in of if row["tokens"] == length), key=lambda row: row["step"])
        if line:
            places = [row["step"] for row in line], [100 * row["mAP"] for row in line]
            panel.plot(*places, ".-", color=colour, linewidth=1, label=f"{length} {learned[length > 1]}")
    if present(of[0]["baseline"]):
        panel.axhline(
            100 * of[0]["baseline"], color=GREY, linewidth=1, linestyle="--", label="native features"
        )
    steps = sorted({row["step"] for row in of})
    panel.set_xscale("symlog", linthresh=10)
    panel.set_xlim(0.85 * steps[0], 1.15 * steps[-1])
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.set_xticks(steps if len(steps) < 4 else [steps[0], steps[len(steps) // 2], steps[-1]], minor=False)


def _gap(figure: Figure, cell: Results) -> None:
    """Both clouds in their plane, with their means."""
    rows = cell.rows("clouds", ("x", "y", "modality"))
    if not rows:
        raise CrossgapError(f"{cell.name}: it has no clouds to draw")
    figure.set_size_inches(3.4, 3.2)
    panel = figure.subplots()
    for modality in dict.fromkeys(row["modality"] for row in rows):
        colour, sign, words = _MODALITIES.get(modality, (GREY, "s", modality))
        points = np.array([(row["x"], row["y"]) for row in rows if row["modality"] == modality])
        panel.scatter(
            points[:, 0],
            points[:, 1],
            s=7,
            marker=sign,
            color=colour,
            alpha=0.45,
            linewidths=0,
            label=naming.called(words, cell.modalities),
        )
        panel.plot(*points.mean(axis=0), "X", color=colour, markeredgecolor="white", markersize=9)
    panel.set_aspect("equal", adjustable="datalim")
    axis = "coordinate of UMAP" if by_umap(cell) else "principal component"
    panel.set_xlabel(f"first {axis}")
    panel.set_ylabel(f"second {axis}")
    panel.legend(frameon=False)
    distance = cell.metrics.get("gap/centroid_distance")
    said = f"; centroid distance {distance:.3f}" if present(distance) else ""
    panel.set_title(f"{cell.name}{said}", fontsize="medium")


def _similarities(figure: Figure, cell: Results) -> None:
    """Cosines of matching and of other pairs by one labelling: native, across the modalities, and inverted."""
    columns = ("pair", "relevance", "tokens", "step", "matching", "left", "right", "density")
    rows = cell.rows("histograms", columns)
    if not rows:
        raise CrossgapError(f"{cell.name}: it has no histograms of similarities to draw")
    within = [row for row in rows if row["pair"] == "image-image"] or rows
    relevance = standing(in_order(row["relevance"] for row in within), cell.subsets)
    of = [row for row in rows if row["relevance"] == relevance]
    kinds: Sequence[tuple] = list(dict.fromkeys((row["pair"], row["tokens"], row["step"]) for row in of))
    layout = Layout((2.2, 0.8), margins=(2.3, 0.6), columns=1, sharex=True)
    axes, lowest = _panels(figure, len(kinds), layout)
    for panel, kind in zip(axes, kinds, strict=True):
        for matching, colour, words in ((True, BLUE, "matching pairs"), (False, ORANGE, "other pairs")):
            bars = [
                row
                for row in of
                if (row["pair"], row["tokens"], row["step"], row["matching"]) == (*kind, matching)
            ]
            edges = [row["left"] for row in bars]
            widths = [row["right"] - row["left"] for row in bars]
            heights = [row["density"] for row in bars]
            panel.bar(edges, heights, widths, align="edge", color=colour, alpha=0.55, label=words)
        pair, tokens, step = kind
        at = "" if step is None else f", R or P = {tokens:.0f}, step {step:.0f}"
        panel.set_title(naming.called(title(pair), cell.modalities) + at, fontsize="medium", loc="left")
        panel.set_yticks([])
    axes[0].legend(frameon=False)
    for panel in lowest:
        panel.tick_params(labelbottom=True)
    figure.supxlabel(f"cosine similarity, by {relevance}", fontsize="medium")
    figure.suptitle(cell.name, fontsize="medium")


FIGURES = {
    "effects": Drawing(
        "forest plot: what each method changes in mAP, with intervals",
        ("comparisons", "corrections"),
        _effects,
    ),
    "steps": Drawing("mAP over the steps and tokens of an inversion (Cross the Gap)", ("curves",), _steps),
    "gap": Drawing("the clouds of images and texts, and their distance", ("clouds",), _gap),
    "similarities": Drawing(
        "cosines of matching and of other pairs (Cross the Gap)", ("histograms",), _similarities
    ),
}
