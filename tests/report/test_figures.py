"""The report's figures, read back as XML."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from crossgap.report import figures
from crossgap.report.similarities import HistogramPair

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"


def points(spread: float = 0.1, modalities=("image", "text")) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    frames = []
    for number, modality in enumerate(modalities):
        xy = draw.normal((number, 0), spread, (40, 2))
        frames.append(pd.DataFrame(xy, columns=["x", "y"]).assign(modality=modality))
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(id=[f"i{i}" for i in range(len(frame))])


def test_svg_is_whole_and_holds_no_address_or_date():
    root = ElementTree.fromstring(figures.clouds(points()))
    assert root.tag == f"{SVG}svg"
    assert not list(root.iter(f"{SVG}metadata"))
    for element in root.iter():
        address = element.get(HREF)
        assert address is None or address.startswith(("#", "data:image/png;base64,"))


def test_points_are_drawn_in_the_colours_of_their_modalities():
    import matplotlib.image

    root = ElementTree.fromstring(figures.clouds(points()))
    colours = set()
    for image in root.iter(f"{SVG}image"):
        png = base64.b64decode(image.get(HREF).split(",", 1)[1])
        pixels = matplotlib.image.imread(io.BytesIO(png), format="png")
        rgb = np.round(255 * pixels[pixels[..., 3] > 0.6][:, :3]).astype(int)
        colours |= {"orange" if red > blue else "blue" for red, _, blue in rgb}
    assert colours == {"orange", "blue"}


def test_equal_bytes_whatever_the_users_settings():
    import matplotlib

    first = figures.clouds(points())
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "other"}):
        assert figures.clouds(points()) == first
        assert matplotlib.rcParams["font.size"] == 30
    assert figures.clouds(points(0.2)) != first


def test_unknown_modalities_get_marks_of_their_own():
    svg = figures.clouds(points(modalities=("image", "oti", "ovi", "$x_", "more")))
    ElementTree.fromstring(svg)


def curve_points(steps=(5, 10, 150), tokens=(1, 2, 4), relevances=("group", "colour", "$a_")) -> pd.DataFrame:
    rows = [
        (number, relevance, step, 1 / (1 + step), (number + len(relevance)) / (10 + step), 0.2)
        for number in tokens
        for relevance in relevances
        for step in steps
    ]
    return pd.DataFrame(rows, columns=["tokens", "relevance", "step", "loss", "mAP", "baseline"])


def comments(svg: str) -> list[str]:
    """The texts that matplotlib drew as paths, from the comments it leaves beside them."""
    return [text.strip() for text in re.findall("<!--(.+?)-->", svg)]


def test_curves_are_whole_and_hold_no_address_or_date():
    svg = figures.curves(curve_points(), "P", "text-text")
    root = ElementTree.fromstring(svg)
    assert not list(root.iter(f"{SVG}metadata")) and not list(root.iter(f"{SVG}image"))
    assert all((element.get(HREF) or "#").startswith("#") for element in root.iter())
    assert "currentColor" in svg and "prefers-color-scheme" in svg
    texts = comments(svg)
    for text in (
        "P = 1",
        "P = 2",
        "P = 4",
        "text-text",
        "group, mAP in %",
        "$a_, mAP in %",
        "loss, 1 − cosine",
    ):
        assert texts.count(text.replace("$", r"\$")) == 1 or texts.count(text) == 1, (text, texts)


def test_curves_of_equal_points_have_equal_bytes():
    import matplotlib

    first = figures.curves(curve_points())
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "other"}):
        assert figures.curves(curve_points()) == first
    assert figures.curves(curve_points(tokens=(1, 2))) != first


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ((5, 10, 17, 25, 50, 100, 150), {"5", "10", "17", "25", "50", "100", "150"}),
        ((0, 1, 10, 1000), {"0", "1", "10", "1000"}),
        (tuple(range(301, 400)), {"399"}),
        ((350,), {"350"}),
    ],
)
def test_steps_are_the_ticks_as_far_as_they_have_room(steps, shown):
    texts = comments(figures.curves(curve_points(steps, relevances=("group",))))
    ticks = {text for text in texts if text.isdigit() and int(text) in steps}
    assert shown <= ticks and len(ticks) < 11


def test_curves_with_gaps():
    points = curve_points()
    points.loc[points["tokens"] == 2, "mAP"] = float("nan")
    points.loc[points["relevance"] == "colour", "baseline"] = float("nan")
    ElementTree.fromstring(figures.curves(points[points["step"] + points["tokens"] != 14]))


def panels(*names: str, density: float = 3.0) -> list[HistogramPair]:
    matching = [(0.1, 0.11, density), (0.2, 0.21, 2.0)]
    return [HistogramPair(name, matching, [(0.0, 0.01, 1.0)], "0.25") for name in names]


def test_histograms_are_whole_and_hold_no_address_or_date():
    svg = figures.histograms({"1": panels("text-image", "$a_"), "2": panels("text-image")}, "P")
    root = ElementTree.fromstring(svg)
    assert not list(root.iter(f"{SVG}metadata")) and not list(root.iter(f"{SVG}image"))
    assert all((element.get(HREF) or "#").startswith("#") for element in root.iter())
    assert "currentColor" in svg and "prefers-color-scheme" in svg
    texts = comments(svg)
    assert {"P = 1", "P = 2", "cosine similarity", "matching pairs", "other pairs"} <= set(texts)
    assert texts.count("text-image") == 2 and texts.count("overlap 0.25") == 3
    assert r"\$a_" in texts or "$a_" in texts


def test_histograms_are_drawn_where_they_are():
    """The outline of `[0.1, 0.11)` and `[0.2, 0.21)`: back to zero between them."""
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    figures._pairs_of(axes, panels("a")[0])
    filled, outlined = axes.patches
    assert filled.get_data().values.tolist() == [3.0, 0.0, 2.0]
    assert filled.get_data().edges.tolist() == [0.1, 0.11, 0.2, 0.21]
    assert outlined.get_data().values.tolist() == [1.0]
    assert filled.get_fill() and not outlined.get_fill()


def test_histograms_of_equal_panels_have_equal_bytes():
    import matplotlib

    first = figures.histograms({"": panels("a", "b")})
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "other"}):
        assert figures.histograms({"": panels("a", "b")}) == first
    assert figures.histograms({"": panels("a", "b", density=4.0)}) != first
    ElementTree.fromstring(figures.histograms({"": [HistogramPair("a", [], [], "–")]}))


def test_page_needs_matplotlib_only_for_figures():
    code = (
        "import sys\nfrom crossgap.report import Results, render\nrender([Results('a', 'b', {})])\n"
        "heavy = {'matplotlib', 'torch', 'pandas', 'sklearn', 'open_clip'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
