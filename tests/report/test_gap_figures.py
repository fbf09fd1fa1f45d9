"""The figures on the gap, read back as XML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pandas as pd
import pytest

from crossgap.report import gap_figures
from crossgap.report.shifts import ShiftPanel

HREF = "{http://www.w3.org/1999/xlink}href"


def panels(count: int = 7, value: float = 0.5) -> list[ShiftPanel]:
    names = [f"label {i} $a_" for i in range(count)]
    lines = {name: [(-1.0, i / 10), (0.0, value), (1.0, 0.2)] for i, name in enumerate(names)}
    return [
        ShiftPanel("image-image, mAP in %", lines),
        ShiftPanel("centroid distance", {"": [(0.0, 1.0), (1.0, 0.1)]}),
    ]


def spectrum(first: float = 0.4) -> pd.DataFrame:
    rows = [("image", 1, first), ("image", 2, 1.0), ("text", 1, 0.2), ("text", 2, 0.7), ("text", 3, 1.0)]
    return pd.DataFrame(rows, columns=["modality", "component", "explained"])


@pytest.mark.parametrize(
    "draw", [lambda: gap_figures.shifts(panels()), lambda: gap_figures.spectrum(spectrum())]
)
def test_svg_is_whole_and_holds_no_address_or_date(draw):
    svg = draw()
    root = ElementTree.fromstring(svg)
    assert all((element.get(HREF) or "#").startswith("#") for element in root.iter())
    assert "currentColor" in svg and "prefers-color-scheme" in svg and not re.search(r"20\d\d-\d\d", svg)


def test_every_line_is_named_once_and_looks_like_no_other(monkeypatch):
    drawn = []

    def keep(figure):
        drawn.append(figure)
        return ""

    monkeypatch.setattr(gap_figures, "svg_of", keep)
    gap_figures.shifts(panels())
    (figure,) = drawn
    first, last = figure.axes
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [*(rf"label {i} \$a_" for i in range(7)), "as it is", "gap closed"]
    now, closed, *lines = first.get_lines()
    assert (now.get_xdata()[0], closed.get_xdata()[0]) == (0, 1)
    curves = [line for line in lines if len(line.get_xdata())]
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == len(curves) == 7
    assert list(curves[3].get_xdata()) == [-1, 0, 1] and list(curves[3].get_ydata()) == [30, 50, 20]
    assert list(last.get_lines()[2].get_ydata()) == [1.0, 0.1]


def test_equal_numbers_have_equal_bytes():
    import matplotlib

    first = gap_figures.shifts(panels()), gap_figures.spectrum(spectrum())
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "other"}):
        assert (gap_figures.shifts(panels()), gap_figures.spectrum(spectrum())) == first
    assert gap_figures.shifts(panels(value=0.6)) != first[0]
    assert gap_figures.spectrum(spectrum(0.5)) != first[1]


def test_a_lacking_column_is_named():
    with pytest.raises(ValueError, match="spectrum: no column explained"):
        gap_figures.spectrum(spectrum().drop(columns="explained"))
