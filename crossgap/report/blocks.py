"""What the parts of the page are made of: blocks of plain data, of which the page's script draws tables and figures.

A block has a `kind`, which says how it is drawn, and a `caption`; every number is there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crossgap.report.tables import present

Block = dict[str, Any]
Series = tuple[Sequence[float], Sequence[float | None]]  # over, values
DIGITS = 5  # of what is drawn


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], folded: bool = False) -> Block:
    """Rows of text, as they are shown.

    Args:
        folded: whether it opens only when asked to.
    """
    block = {"kind": "table", "caption": caption, "heads": list(heads), "rows": [list(row) for row in rows]}
    return block | ({"folded": True} if folded else {})


def facts(rows: Iterable[tuple[str, str]]) -> Block:
    """Names with their values."""
    return {"kind": "facts", "rows": [list(row) for row in rows]}


def text(words: str) -> Block:
    return {"kind": "text", "text": words}


def lines(
    caption: str,
    over: str,
    panels: Mapping[str, Mapping[str, Series]],
    *,
    marks: Mapping[float, str] | None = None,
    levels: Mapping[str, float] | None = None,
    bands: Mapping[str, Mapping[str, tuple[Sequence[float | None], Sequence[float | None]]]] | None = None,
    scale: str = "linear",
    percent: Iterable[str] = (),
) -> Block:
    """Curves, a panel a measure.

    Args:
        over: what the horizontal axis is.
        panels: title → name of a line → its points.
        marks: where a vertical line stands → its name.
        levels: panel → where a horizontal line, the baseline, stands.
        bands: panel → line → low and high ends of its intervals.
        scale: `linear`, or `symlog` for steps.
        percent: panels whose values, fractions, are shown in percent.
    """
    shares = {*percent}
    made = []
    for title, series in panels.items():
        factor = 100 if title in shares else 1
        panel: Block = {
            "title": title,
            "lines": [
                {"name": name, "x": [drawn(x) for x in xs], "y": [drawn(y, factor) for y in ys]}
                | _band((bands or {}).get(title, {}).get(name), factor)
                for name, (xs, ys) in series.items()
            ],
        }
        if title in (levels or {}) and present((levels or {})[title]):
            panel["level"] = drawn((levels or {})[title], factor)
        if title in shares:
            panel["unit"] = "%"
        made.append(panel)
    block: Block = {"kind": "lines", "caption": caption, "over": over, "panels": made, "scale": scale}
    return block | ({"marks": [[at, name] for at, name in marks.items()]} if marks else {})


def _band(ends: tuple[Sequence[float | None], Sequence[float | None]] | None, factor: float) -> Block:
    if ends is None:
        return {}
    low, high = ends
    return {"low": [drawn(y, factor) for y in low], "high": [drawn(y, factor) for y in high]}


def drawn(value: float | None, factor: float = 1) -> float | None:
    """A number as it is drawn: a whole one, such as a step, as it is, any other to five digits; None if missing."""
    if not present(value):
        return None
    scaled = factor * value
    return float(scaled if scaled == round(scaled) else f"{scaled:.{DIGITS}g}") + 0.0
