"""Similarities, their drift over the steps, and the spread over seeds, on the page."""

from __future__ import annotations

import statistics

import pandas as pd
import pytest

from crossgap.report import Results, render

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
    assert "how inverted features drift" in page.text and "Over seeds" not in page.titles


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


def test_histograms_are_by_a_labelling_and_not_by_a_control_on_some_of_its_classes(parse):
    blocks = parse(render([cell(subsets=["colour"])])).blocks
    captions = {block["caption"] for block in blocks if block["kind"] == "histograms"}
    assert captions and all("matching by colour" not in caption for caption in captions)


def test_histograms_of_landmarks_are_by_the_setting_that_counts(parse):
    one = measured().query("relevance == 'colour'")
    of = pd.concat([one.assign(relevance=name) for name in ("easy", "hard", "medium")], ignore_index=True)
    blocks = parse(render([cell(similarities=of, histograms=histograms(of))])).blocks
    captions = [block["caption"] for block in blocks if block["kind"] == "histograms"]
    assert captions and all("matching by medium" in caption for caption in captions)


def test_everything_measured_is_listed(parse):
    heading, *rows = parse(render([cell()])).table("Mean cosine similarities")
    assert heading == [
        "pair", "relevance", "R or P", "step", "matching pairs", "other pairs", "overlap", "all pairs",
    ]  # fmt: skip
    assert len(rows) == len(measured())
    assert rows[0] == ["image-image", "colour", "", "", "0.700", "0.500", "0.310", "0.600"]
    assert rows[2] == ["OTI-image", "colour", "2", "5", "0.400", "0.200", "0.510", "0.300"]


def test_panels_go_from_across_the_modalities_to_within_one(parse):
    page = parse(render([cell()]))
    first, second, text = [block for block in page.blocks if block["kind"] == "histograms"]
    assert (
        first["caption"].endswith("matching by colour by OTI-image, R = 1") and "R = 2" in second["caption"]
    )

    def named(block):
        return [(panel["name"], panel["step"]) for panel in block["panels"]]

    assert named(first) == [("text-image", ""), ("OTI-image", "5"), ("OTI-image", "150"), ("image-image", "")]
    assert named(second) == [("text-image", ""), ("OTI-image", "5"), ("image-image", "")]
    assert named(text) == [("text-text", "")]
    assert [panel["overlap"] for panel in first["panels"]] == ["0.41", "0.51", "0.51", "0.31"]
    panel = first["panels"][0]  # matching 60 at 0.5 and 40 at 0.53, others 100 at 0.2
    assert (panel["left"], panel["width"]) == (0.2, 0.01)
    assert panel["other"] == [99]
    assert {i: height for i, height in enumerate(panel["matching"]) if height} == {30: 59, 33: 40}


def test_images_alone_have_one_panel_and_no_drift(parse):
    alone = measured().query("pair == 'image-image'")
    values = {key: value for key, value in metrics().items() if "/image-image/" in key}
    page = parse(render([cell(metrics=values, similarities=alone, histograms=histograms(alone))]))
    assert page.table("Overlap of matching")[0] == ["relevance", "image-image"]
    assert [len(block["panels"]) for block in page.blocks if block["kind"] == "histograms"] == [1]
    assert not [caption for caption, _ in page.tables if "share of the way" in caption]


@pytest.mark.parametrize("lacking", [None, measured().iloc[:0]])
def test_without_similarities_there_is_no_section(parse, lacking):
    page = parse(render([cell(similarities=lacking, histograms=None)]))
    assert "Similarities" not in page.titles
    assert len(page.table("Metrics by their key")[1:]) == len(metrics())


def test_numbers_without_histograms_have_no_figure(parse):
    page = parse(render([cell(histograms=None)]))
    assert not [block for block in page.blocks if block["kind"] == "histograms"]
    assert page.table("OTI-image: share")[1] == ["colour", "1", "12.5", "50.0"]


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
    assert "Over seeds" not in parse(render([cell(seeds=seeds.iloc[:1])])).titles


def test_missing_columns_are_named():
    seeds = pd.DataFrame({"task": ["a"], "seed": [0], "mAP": [0.5]})
    for table, frame, column in (
        ("similarities", measured(), "share"),
        ("histograms", histograms(measured()), "density"),
        ("seeds", seeds.assign(relevance="x"), "relevance"),
    ):
        with pytest.raises(ValueError, match=f"cell nano · world: {table}: no column {column}; expected"):
            render([cell(**{table: frame.drop(columns=column)})])
