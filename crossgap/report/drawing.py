"""What all figures of the report share: their style, and SVG text of which equal input gives equal bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crossgap.errors import CrossgapError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

MARKS = {"image": ("#d9772b", "o"), "text": ("#3b82c4", "^")}
LINES = (("#3f9d6b", "o"), ("#a86bc4", "s"), ("#d0587e", "^"), ("#2a97a8", "D"), ("#a8862a", "v"))
INK = "#010203"  # stands for the colour of text and axes until it becomes `currentColor`
_THEME = "<style>svg{color:#444}@media(prefers-color-scheme:dark){svg{color:#ccc}}</style>"
_STYLE: Any = {  # matplotlib's own type has a literal for each key
    "svg.hashsalt": "crossgap",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def check_columns(name: str, table: DataFrame, columns: Sequence[str]) -> None:
    if missing := [column for column in columns if column not in table]:
        raise CrossgapError(f"{name}: no column {', '.join(missing)}; expected {', '.join(columns)}")


@contextmanager
def drawing() -> Iterator[Figure]:
    """An empty figure in the report's style, whatever the user's."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change the bytes
        matplotlib.rcParams.update(_STYLE)
        yield Figure(layout="constrained")


def spaced(figure: Figure, height: float, width: float | None = None) -> None:
    """Leave so much between the axes, in inches."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(h_pad=height, w_pad=width)


def svg_of(figure: Figure) -> str:
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", dpi=144, transparent=True, metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return svg.replace(">", ">" + _THEME, 1)


def plain(text: str) -> str:
    """Text that matplotlib must not take for mathematics."""
    return text.replace("$", r"\$")
