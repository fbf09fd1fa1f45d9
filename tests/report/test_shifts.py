"""The gap-shift curve and the spectrum on the page."""

from __future__ import annotations

import base64
import re

import pandas as pd
import pytest

from crossgap.report import Results, render
from crossgap.report.shifts import shifts

CURVES = {
    ("loss", "image-text", "group", "contrastive"): (0.9, 0.5, 1.25),
    ("retrieval", "text-image", "group", "recall@1"): (0.2, 0.41, 0.3),
    ("retrieval", "text-image", "group", "mAP"): (0.21, 0.42, 0.31),
    ("retrieval", "image-text", "group", "recall@1"): (0.22, 0.43, 0.32),
    ("retrieval", "image-text", "group", "mAP"): (0.23, 0.44, 0.33),
    ("retrieval", "image-image", "shape", "mAP"): (0.5, 0.5, 0.5),
    ("retrieval", "image-image", "colour", "mAP"): (0.6, 0.625, 0.61),
    ("classification", "image-text", "shape", "accuracy"): (0.7, 0.75, 1.0),
}


def shifted(curves=CURVES, amounts=(-1.0, 0.0, 1.25)) -> pd.DataFrame:
    rows = [
        (amount, abs(1.25 - amount) / 2, *key, curve[i])
        for i, amount in enumerate(amounts)
        for key, curve in curves.items()
    ]
    columns = ["shift", "distance", "family", "task", "relevance", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


def spread() -> pd.DataFrame:
    explained = {"image": (0.4, 0.8, 0.85, 0.95, 1.0), "text": (0.2, 0.4, 0.6, 0.7)}
    rows = [
        (modality, component, share)
        for modality, shares in explained.items()
        for component, share in enumerate(shares, start=1)
    ]
    return pd.DataFrame(rows, columns=["modality", "component", "explained"])


def cell(**changes) -> Results:
    values = {"gap/centroid_distance": 0.625, "gap/effective_rank_image": 3.21, "gap/effective_rank_text": 4}
    return Results(
        "nano", "world", **{"metrics": values, "shifts": shifted(), "spectrum": spread()} | changes
    )


def texts(address: str) -> list[str]:
    svg = base64.b64decode(address.partition(",")[2]).decode()
    return [text.strip() for text in re.findall("<!--(.+?)-->", svg)]


def test_the_table_holds_every_number(parse):
    heading, *rows = parse(render([cell()])).table("Over the shift")
    assert heading == ["task", "relevance", "metric", "−1", "0", "1.25"]
    assert rows == [
        ["centroid distance", "", "", "1.125", "0.625", "0.000"],
        ["text-image", "group", "recall@1", "20.00", "41.00", "30.00"],
        ["image-text", "group", "recall@1", "22.00", "43.00", "32.00"],
        ["text-image", "group", "mAP", "21.00", "42.00", "31.00"],
        ["image-text", "group", "mAP", "23.00", "44.00", "33.00"],
        ["image-text", "group", "contrastive loss", "0.900", "0.500", "1.250"],
        ["image-image", "colour", "mAP", "60.00", "62.50", "61.00"],
        ["image-image", "shape", "mAP", "50.00", "50.00", "50.00"],
        ["image-text", "shape", "accuracy", "70.00", "75.00", "100.00"],
    ]


def test_panels_hold_the_curves_by_shift():
    panels = {panel.title: panel.lines for panel in shifts(cell(shifts=shifted().iloc[::-1])).panels}
    assert list(panels) == [
        "across the modalities, recall@1 in %", "across the modalities, mAP in %", "contrastive loss",
        "image-image, mAP in %", "zero-shot accuracy in %", "centroid distance",
    ]  # fmt: skip
    assert panels["across the modalities, recall@1 in %"] == {
        "text-image": [(-1, 0.2), (0, 0.41), (1.25, 0.3)],
        "image-text": [(-1, 0.22), (0, 0.43), (1.25, 0.32)],
    }
    assert panels["contrastive loss"] == {"": [(-1, 0.9), (0, 0.5), (1.25, 1.25)]}
    assert list(panels["image-image, mAP in %"]) == ["colour", "shape"]
    assert panels["centroid distance"] == {"": [(-1, 1.125), (0, 0.625), (1.25, 0)]}


def test_the_figures_stand_in_the_gap_section_and_are_described(parse):
    html = render([cell()])
    page = parse(html)
    spectrum, shift = page.all("img")
    assert html.index("<h3>Gap</h3>") < html.index(spectrum["src"]) < html.index(shift["src"])
    assert "contrastive loss, image-image, mAP in %" in shift["alt"]
    assert "a line for each modality" in spectrum["alt"]
    shown = set(texts(shift["src"]))
    assert {"text-image", "image-text", "colour", "shape", "as it is", "gap closed", "shift"} <= shown
    assert {"image", "text", "principal components"} <= set(texts(spectrum["src"]))
    assert "arXiv 2203.02053" in page.text and "choose the shift on other data" in page.text
    assert not [caption for caption, _ in page.tables if caption.startswith("Metrics by their key")]
    assert render([cell()]) == html


def test_components_that_hold_a_share_of_the_variance(parse):
    assert parse(render([cell()])).table("Principal components that hold") == [
        ["modality", "effective rank", "50 %", "80 %", "90 %", "95 %"],
        ["image", "3.2", "2", "2", "4", "4"],
        ["text", "4.0", "3", "> 4", "> 4", "> 4"],
    ]


def test_a_number_that_one_shift_lacks_is_marked(parse):
    lacking = shifted().query("not (shift == 0 and relevance == 'colour')")
    rows = parse(render([cell(shifts=lacking)])).table("Over the shift")
    assert rows[7] == ["image-image", "colour", "mAP", "60.00", "–", "61.00"]


def test_a_cell_without_captions_has_the_panels_it_can_have():
    curves = {key: curve for key, curve in CURVES.items() if key[2] != "group"}
    found = shifts(cell(shifts=shifted(curves)))
    assert [panel.title for panel in found.panels] == [
        "image-image, mAP in %", "zero-shot accuracy in %", "centroid distance",
    ]  # fmt: skip


@pytest.mark.parametrize("lacking", [(None, None), (shifted().iloc[:0], spread().iloc[:0])])
def test_without_tables_nothing_is_said(parse, lacking):
    page = parse(render([cell(shifts=lacking[0], spectrum=lacking[1])]))
    assert not page.all("img") and len(page.tables) == 2
    assert "shift" not in page.text and "2203.02053" not in page.text and "Effective rank" not in page.text


def test_missing_columns_are_named():
    for name, table, column in (("shifts", shifted(), "value"), ("spectrum", spread(), "explained")):
        with pytest.raises(ValueError, match=f"cell nano · world: {name}: no column {column}; expected"):
            render([cell(**{name: table.drop(columns=column)})])
