"""Similarities, their drift over the steps, and the spread over seeds, on the page."""

from __future__ import annotations

import base64
import re
import statistics

import pandas as pd
import pytest

from crossgap.report import Results, render
from crossgap.report.similarities import similarities

NA = float("nan")


def measured() -> pd.DataFrame:
    """Two relevances, R = 1 and 2 at two steps; R = 2 lacks the last step. Read from CSV, so numbers are floats."""
    rows = []
    for number, relevance in enumerate(("colour", "shape")):
        rows.append(("image-image", relevance, NA, NA, 0.7, 0.5, 0.31, 0.6, NA))
        rows.append(("text-image", relevance, NA, NA, 0.3, 0.1, 0.41, 0.2, NA))
        for tokens, step, share in ((2.0, 5.0, 0.25), (1.0, 150.0, 0.5 + number / 10), (1.0, 5.0, 0.125)):
            mean = 0.2 + 0.4 * share
            rows.append(("oti-image", relevance, tokens, step, mean + 0.1, mean - 0.1, 0.51, mean, share))
    rows.append(("text-text", "group", NA, NA, 0.8, 0.6, 0.21, 0.7, NA))
    columns = ["pair", "relevance", "tokens", "step", "matching", "other", "overlap", "mean", "share"]
    return pd.DataFrame(rows, columns=columns)


def histograms(of: pd.DataFrame) -> pd.DataFrame:
    """Two bins for matching pairs, one for others, wherever something was measured."""
    rows = []
    for row in of.to_dict("records"):
        at = (row["pair"], row["relevance"], row["tokens"], row["step"])
        rows += [(*at, True, 0.5, 0.51, 60.0), (*at, True, 0.53, 0.54, 40.0), (*at, False, 0.2, 0.21, 100.0)]
    columns = ["pair", "relevance", "tokens", "step", "matching", "left", "right", "density"]
    return pd.DataFrame(rows, columns=columns)


def metrics() -> dict[str, float]:
    values = {}
    for pair in ("image-image", "text-image", "oti-image"):
        for number, relevance in enumerate(("shape", "colour")):
            values[f"similarity/{pair}/{relevance}/overlap"] = len(pair) / 20 + number / 1000
            values[f"similarity/{pair}/{relevance}/matching"] = 0.5
    return values | {"similarity/oti-image/shape/share": 0.6}


def cell(**changes) -> Results:
    given = {"metrics": metrics(), "similarities": measured(), "histograms": histograms(measured())}
    return Results("nano", "world", **given | changes)


def test_overlaps_by_pair(parse):
    page = parse(render([cell()]))
    assert page.table("Overlap of matching") == [
        ["relevance", "image-image", "text-image", "OTI-image"],
        ["colour", "0.551", "0.501", "0.451"],
        ["shape", "0.550", "0.500", "0.450"],
    ]
    assert not [caption for caption, _ in page.tables if caption.startswith("Metrics by their key")]
    assert "how inverted features drift" in page.text and "Over seeds" not in page.text


def test_drift_by_step_and_tokens(parse):
    page = parse(render([cell()]))
    assert page.table("OTI-image: share of the way") == [
        ["relevance", "R", "5", "150"],
        ["colour", "1", "12.5", "50.0"],
        ["colour", "2", "25.0", "–"],
        ["shape", "1", "12.5", "60.0"],
        ["shape", "2", "25.0", "–"],
    ]
    assert not [caption for caption, _ in page.tables if caption.startswith("OVI-text: share")]


def test_everything_measured_is_listed(parse):
    heading, *rows = parse(render([cell()])).table("Mean cosine similarities")
    assert heading == [
        "pair", "relevance", "R or P", "step", "matching pairs", "other pairs", "overlap", "all pairs",
    ]  # fmt: skip
    assert len(rows) == len(measured())
    assert rows[0] == ["image-image", "colour", "", "", "0.700", "0.500", "0.310", "0.600"]
    assert rows[2] == ["OTI-image", "colour", "2", "5", "0.400", "0.200", "0.510", "0.300"]


def test_panels_go_from_across_the_modalities_to_within_one():
    study, text = similarities(cell()).studies
    assert (study.relevance, study.native, study.length) == ("colour", "image-image", "R")
    assert {head: [panel.name for panel in panels] for head, panels in study.columns.items()} == {
        "1": ["text-image", "OTI-image, step 5", "OTI-image, step 150", "image-image"],
        "2": ["text-image", "OTI-image, step 5", "image-image"],
    }
    first = study.columns["1"][0]
    assert first.matching == [(0.5, 0.51, 60.0), (0.53, 0.54, 40.0)] and first.other == [(0.2, 0.21, 100.0)]
    assert [panel.overlap for panel in study.columns["1"]] == ["0.41", "0.51", "0.51", "0.31"]
    assert [panel.name for panel in text.columns[""]] == ["text-text"]


def test_the_figure_of_the_histograms_is_described(parse):
    page = parse(render([cell()]))
    images = [image for image in page.all("img") if image["class"] == "ridge"]
    assert len(images) == 2
    described = "matching and of other pairs by colour, from the top: text-image 0.41, OTI-image, step 5 0.51"
    assert described in images[0]["alt"]
    svg = base64.b64decode(images[0]["src"].partition(",")[2]).decode()
    texts = [text.strip() for text in re.findall("<!--(.+?)-->", svg)]
    assert {"R = 1", "R = 2", "text-image", "OTI-image, step 150", "overlap 0.31"} <= set(texts)
    assert render([cell()]) == render([cell()])


def test_images_alone_have_one_panel_and_no_drift(parse):
    alone = measured().query("pair == 'image-image'")
    values = {key: value for key, value in metrics().items() if "/image-image/" in key}
    page = parse(render([cell(metrics=values, similarities=alone, histograms=histograms(alone))]))
    assert page.table("Overlap of matching")[0] == ["relevance", "image-image"]
    assert len(page.all("img")) == 1
    assert "hare of the way" not in page.text


@pytest.mark.parametrize("lacking", [None, measured().iloc[:0]])
def test_without_similarities_there_is_no_section(parse, lacking):
    page = parse(render([cell(similarities=lacking, histograms=None)]))
    assert "Similarities" not in page.text and not page.all("img")
    assert len(page.table("Metrics by their key")) == len(metrics())


def test_numbers_without_histograms_have_no_figure(parse):
    page = parse(render([cell(histograms=None)]))
    assert not page.all("img") and page.table("OTI-image: share")[1] == ["colour", "1", "12.5", "50.0"]


def test_seeds_have_mean_deviation_and_range(parse):
    values = {("oti-image", "shape"): [0.41, 0.43, 0.48], ("ovi-text", "group"): [0.2, 0.3]}
    rows = [(*at, seed, value) for at, of in values.items() for seed, value in enumerate(of)]
    rows += [("oti-image", "colour", 0, 0.5), ("oti-image", "colour", 1, NA)]
    seeds = pd.DataFrame(rows, columns=["task", "relevance", "seed", "mAP"])
    keys = {"seeds/oti-image/shape/mAP_mean": 0.44, "seeds/oti-image/shape/mAP_std": 0.036}
    page = parse(render([cell(metrics=keys, seeds=seeds)]))
    heading, *shown = page.table("mAP in percent over the seeds")
    assert heading == ["task", "relevance", "mean", "± standard deviation", "lowest", "highest", "seeds"]
    deviation = f"{100 * statistics.stdev(values['oti-image', 'shape']):.2f}"
    assert shown == [
        ["OTI-image", "shape", "44.00", deviation, "41.00", "48.00", "3"],
        ["OVI-text", "group", "25.00", "7.07", "20.00", "30.00", "2"],
    ]
    assert not [caption for caption, _ in page.tables if caption.startswith("Metrics by their key")]
    assert "Over seeds" not in parse(render([cell(seeds=seeds.iloc[:1])])).text


def test_missing_columns_are_named():
    seeds = pd.DataFrame({"task": ["a"], "seed": [0], "mAP": [0.5]})
    for table, frame, column in (
        ("similarities", measured(), "share"),
        ("histograms", histograms(measured()), "density"),
        ("seeds", seeds.assign(relevance="x"), "relevance"),
    ):
        with pytest.raises(ValueError, match=f"cell nano · world: {table}: no column {column}; expected"):
            render([cell(**{table: frame.drop(columns=column)})])
