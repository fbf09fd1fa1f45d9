"""Gap measures with every correction, and tasks without dimensions, on the page."""

from __future__ import annotations

import pandas as pd

from crossgap.report import Results, render

METRICS = {
    "gap/centroid_distance": 0.8514, "gap/frechet": 1.1052, "gap/frechet_mean": 0.7248,
    "gap/frechet_covariance": 0.3804, "gap/nas@10": 0.2494, "gap/tmr": 475.988, "gap/tmr_median": 491.0,
    "gap/centroid_distance+centering": 0.0279, "gap/frechet+centering": 0.7872,
    "gap/frechet_covariance+centering": 0.7864, "gap/class_order_distance/colour": 0.4321,
    "gap/class_order_distance+centering/colour": 0.3333,
}  # fmt: skip
CORRECTIONS = pd.DataFrame(
    [("centering", "Modality centring", "GR-CLIP", "means off", "items 5", "")],
    columns=["name", "title", "source", "how", "parameters", "reason"],
)


def shown(**more) -> Results:
    return Results("nano", "world", METRICS, corrections=CORRECTIONS, **more)


def test_every_measure_has_a_row_and_corrections_a_table(parse):
    page = parse(render([shown()]))
    rows = {row[0]: row[1] for row in page.table("Gap measures, without unit")}
    assert rows["Fréchet distance², as Gaussians"] == "1.105" and rows["– of the covariances"] == "0.380"
    assert rows["TMR"] == "475.988" and rows["TMR, median"] == "491.000" and rows["NAS@10"] == "0.249"
    assert rows["class order distance, colour"] == "0.432"
    assert not [name for name in rows if "+" in name or "centering" in name]
    heads, native, centred = page.table("Gap measures with every correction")
    at = {name: heads.index(name) for name in ("centroid distance", "of the covariances", "NAS@10")}
    assert native[0] == "native features" and centred[0] == "Modality centring"
    assert [native[at[name]] for name in at] == ["0.851", "0.380", "0.249"]
    assert [centred[at[name]] for name in at] == ["0.028", "0.786", "–"]
    assert "What taking the means off leaves" in page.text
    assert not [caption for caption, _ in page.tables if caption.startswith("Metrics by their key")]


def test_a_cell_without_corrections_has_no_such_table(parse):
    metrics = {key: value for key, value in METRICS.items() if "+" not in key}
    page = parse(render([Results("nano", "world", metrics)]))
    assert not [caption for caption, _ in page.tables if "every correction" in caption]


def test_tasks_without_dimensions(parse):
    rows = [
        (number, 0.8 / (1 + number), "retrieval", "text-image", "group", "recall@1", 0.5 - number / 10)
        for number in (0, 1, 2)
    ]
    columns = ["removed", "distance", "family", "task", "relevance", "metric", "value"]
    page = parse(render([shown(dimensions=pd.DataFrame(rows, columns=columns))]))
    heads, distance, recall = page.table("By the number of dimensions removed")
    assert heads == ["task", "relevance", "metric", "0", "1", "2"]
    assert distance[0] == "centroid distance" and distance[3:] == ["0.800", "0.400", "0.267"]
    assert recall == ["text-image", "group", "recall@1", "50.00", "40.00", "30.00"]
