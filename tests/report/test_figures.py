"""The report's figures, read back as XML."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from crossgap.report import figures

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


def test_page_needs_matplotlib_only_for_figures():
    code = (
        "import sys\nfrom crossgap.report import Cell, render\nrender([Cell('a', 'b', {})])\n"
        "heavy = {'matplotlib', 'torch', 'pandas', 'sklearn', 'open_clip'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
