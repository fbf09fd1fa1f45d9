"""The gap-shift curve and the spectrum on the page."""

from __future__ import annotations

import pandas as pd
import pytest

from crossgap.report import Results, render

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


def test_panels_hold_every_number_by_shift(parse):
    page = parse(render([cell(shifts=shifted().iloc[::-1])]))
    panels = page.figure("Tasks measured again")
    shown = {
        title: {name: list(zip(line["x"], line["y"], strict=True)) for name, line in lines.items()}
        for title, lines in panels.items()
    }
    assert shown == {
        "across, recall@1": {
            "image-text": [(-1, 22), (0, 43), (1.25, 32)], "text-image": [(-1, 20), (0, 41), (1.25, 30)],
        },
        "across, mAP": {
            "image-text": [(-1, 23), (0, 44), (1.25, 33)], "text-image": [(-1, 21), (0, 42), (1.25, 31)],
        },
        "image-image retrieval, mAP": {
            "colour": [(-1, 60), (0, 62.5), (1.25, 61)], "shape": [(-1, 50), (0, 50), (1.25, 50)],
        },
        "zero-shot classification, accuracy": {"shape": [(-1, 70), (0, 75), (1.25, 100)]},
        "contrastive loss": {"": [(-1, 0.9), (0, 0.5), (1.25, 1.25)]},
        "centroid distance": {"": [(-1, 1.125), (0, 0.625), (1.25, 0)]},
    }  # fmt: skip
    assert list(shown)[-1] == "centroid distance"
    assert "arXiv 2203.02053" in page.text and "choose the shift on other data" in page.text
    assert "Other numbers" not in page.titles


def test_the_spectrum_is_drawn_by_modality(parse):
    (lines,) = parse(render([cell()])).figure("How much of the variance").values()
    assert {name: line["y"] for name, line in lines.items()} == {
        "image": [40, 80, 85, 95, 100], "text": [20, 40, 60, 70],
    }  # fmt: skip


def test_components_that_hold_a_share_of_the_variance(parse):
    assert parse(render([cell()])).table("Principal components that hold") == [
        ["modality", "effective rank", "50 %", "80 %", "90 %", "95 %"],
        ["image", "3.2", "2", "2", "4", "4"],
        ["text", "4.0", "3", "> 4", "> 4", "> 4"],
    ]


def test_a_number_that_one_shift_lacks_is_no_point(parse):
    lacking = shifted().query("not (shift == 0 and relevance == 'colour')")
    panels = parse(render([cell(shifts=lacking)])).figure("Tasks measured again")
    assert panels["image-image retrieval, mAP"]["colour"]["x"] == [-1, 1.25]


def test_a_cell_without_captions_has_the_panels_it_can_have(parse):
    curves = {key: curve for key, curve in CURVES.items() if key[2] != "group"}
    panels = parse(render([cell(shifts=shifted(curves))])).figure("Tasks measured again")
    assert list(panels) == [
        "image-image retrieval, mAP", "zero-shot classification, accuracy", "centroid distance",
    ]  # fmt: skip


@pytest.mark.parametrize("lacking", [(None, None), (shifted().iloc[:0], spread().iloc[:0])])
def test_without_tables_there_is_no_part(parse, lacking):
    page = parse(render([cell(shifts=lacking[0], spectrum=lacking[1])]))
    assert page.titles == ["Items", "What made these features"]


def test_missing_columns_are_named():
    for name, table, column in (("shifts", shifted(), "value"), ("spectrum", spread(), "explained")):
        with pytest.raises(ValueError, match=f"cell nano · world: {name}: no column {column}; expected"):
            render([cell(**{name: table.drop(columns=column)})])
