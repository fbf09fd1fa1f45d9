"""Search among images and texts on the page."""

from __future__ import annotations

import pandas as pd
import pytest

from crossgap.report import Results, render
from tests.report.corrections import corrections

NONE = float("nan")
ROWS = [
    ("search", "0.75", 0.2, 0.01, 0.25, 0.3, 0.2349, 0.0, 100, 100, 5),
    ("search", "0", 0.7, NONE, 0.93, 0.96, 0.8381, 0.0, 100, 100, 1),
    ("search+centering", "0", 0.74, NONE, 0.95, 0.97, 0.8584, 0.0, 100, 100, 1),
    ("search+centering", "0.75", 0.57, 0.013, 0.99, 0.992, 0.8048, 0.41, 100, 100, 5),
    ("search+oti", "0.75", 0.4, 0.02, 0.6, 0.7, 0.5, 0.3, 100, 100, 5),
    ("fused", "0.25", 0.85, NONE, 0.99, 1.0, 0.9321, NONE, 100, 100, 1),
    ("distractors", "half", 0.056, NONE, 0.272, 0.468, 0.2233, 0.06, 250, 1750, 1),
]
TABLE = pd.DataFrame(
    ROWS,
    columns=[
        "task", "at", "recall@1", "recall@1_std", "recall@5", "recall@10", "nDCG@10", "first_image", "queries",
        "documents", "draws",
    ],
)  # fmt: skip
METRICS = {
    f"mixed/{task}/{at}/{name}": value
    for task, at, recall, *_ in ROWS
    for name, value in (("first_image", 0.25), ("recall@1", recall))
}
CORRECTIONS = corrections(centering="Modality centring")


def test_curves_and_numbers(parse):
    page = parse(render([Results("nano", "world", METRICS, corrections=CORRECTIONS, mixed=TABLE)]))
    panels = page.figure("Captions that ask among images and captions, over the share of documents")
    points = {name: (line["x"], line["y"]) for name, line in panels["recall@1"].items()}
    assert points == {
        "native features": ([0, 0.75], [70, 20]), "Modality centring": ([0, 0.75], [74, 57]), "OTI": ([0.75], [40]),
    }  # fmt: skip
    assert panels["first hit an image"]["Modality centring"]["y"] == [0, 41]
    (fused,) = page.figure("Captions that ask among images and captions, over the α").values()
    assert fused["native features"]["y"] == [85]
    table = page.table("Search among images and texts")
    assert table[4][:6] == ["search", "Modality centring", "0.75", "57.00", "1.30", "99.00"]
    assert table[-1] == [
        "distractors", "native features", "half", "5.60", "–", "27.20", "46.80", "22.33", "6.00", "250", "1,750", "1",
    ]  # fmt: skip
    assert "Search among images and texts" in page.titles and "arXiv 2507.19054" in page.text


def test_rows_of_the_table_of_everything_are_judged_by_recall(parse):
    page = parse(render([Results("nano", "world", METRICS, corrections=CORRECTIONS, mixed=TABLE)]))
    rows = {(row["method"], row["task"], row["labelling"]): row for row in page.rows()}
    row = rows["Modality centring", "search among images and texts", "0.75"]
    assert (row["main"], row["recall@1"], row["first_image"]) == ("recall@1", 0.57, 0.25)


def test_without_the_table_there_is_no_part_and_a_missing_column_is_named(parse):
    assert "Search among images and texts" not in parse(render([Results("nano", "world", {})])).titles
    with pytest.raises(ValueError, match=r"mixed: no column recall@5; expected"):
        render([Results("nano", "world", {}, mixed=TABLE.drop(columns="recall@5"))])
