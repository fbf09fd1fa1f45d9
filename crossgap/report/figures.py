"""Figures of the report, as SVG text: equal input gives equal bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

_MARKS = {"image": ("#d9772b", "o"), "text": ("#3b82c4", "^")}
_OTHER_MARKS = (("#3f9d6b", "s"), ("#a86bc4", "D"))

_INK = "#010203"  # stands for the colour of text and axes until it becomes `currentColor`
_THEME = "<style>svg{color:#444}@media(prefers-color-scheme:dark){svg{color:#ccc}}</style>"
_STYLE = {
    "svg.hashsalt": "crossgap",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def clouds(points: DataFrame) -> str:
    """Scatter of the modalities' clouds in the plane of two principal components.

    `points`, a row each, has the columns `x`, `y`, `modality`, `id`. A cross marks each modality's mean. Both
    axes share one scale, so that lengths compare. Text and axes follow a dark colour scheme.

    Raises ValueError if a column is missing or a coordinate is not finite.
    """
    import matplotlib
    import numpy as np
    from matplotlib.figure import Figure

    missing = [column for column in ("x", "y", "modality", "id") if column not in points]
    if missing:
        raise ValueError(f"clouds: no column {', '.join(missing)}; expected x, y, modality, id")
    broken = points.loc[~np.isfinite(points[["x", "y"]].astype(float)).all(axis=1), "id"]
    if len(broken):
        raise ValueError(
            f"clouds: {len(broken)} of {len(points)} points have no finite coordinates, the first is "
            f"{broken.iloc[0]!r}; the features they come from need checking"
        )

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change the bytes
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        modalities = sorted(points["modality"].unique())
        unknown = [name for name in modalities if name not in _MARKS]
        marks = _MARKS | {name: _OTHER_MARKS[i % len(_OTHER_MARKS)] for i, name in enumerate(unknown)}
        xy = {name: points.loc[points["modality"] == name, ["x", "y"]].to_numpy(float) for name in modalities}
        for name in modalities:
            colour, marker = marks[name]
            # Points as pixels keep a page of hundreds of cells small; the legend's stay vectors.
            look = {"c": colour, "marker": marker, "linewidths": 0}
            axes.scatter(*xy[name].T, s=14, alpha=0.65, rasterized=True, **look)
            axes.scatter([], [], s=24, label=f"{name} ({len(xy[name])})".replace("$", r"\$"), **look)
        cross = {"marker": "x", "color": _INK, "markersize": 8, "markeredgewidth": 1.8, "linestyle": "none"}
        for name in modalities:
            axes.plot(*xy[name].mean(axis=0), **cross)
        axes.plot([], [], **cross, label="mean")
        axes.set(xlabel="first principal component", ylabel="second principal component")
        axes.set_aspect("equal", adjustable="datalim")
        figure.legend(loc="outside upper center", ncols=len(modalities) + 1, handletextpad=0.2)
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", dpi=144, transparent=True, metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    return svg.replace(">", ">" + _THEME, 1)
