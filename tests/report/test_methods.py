"""Tables of methods on the page: numbers, differences, marks and verdicts, from cells made by hand."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from crossgap.report import Results, render

RELEVANCES = ("colour", "shape", "size")
COMPARED = [  # task, relevance, difference, low, high, p, p_adjusted
    ("oti-image", "colour", 0.0885, 0.061, 0.116, 0.0001, 0.0006),
    ("oti-image", "shape", -0.0737, -0.1, -0.0402, 0.00001, 0.0499),
    ("oti-image", "size", -0.00001, -0.01, 0.00002, 0.9, 1.0),
    ("image-image+centering", "colour", 0.02, 0.001, 0.039, 0.04, 0.05),
    ("image-image+centering", "shape", 0.03, 0.011, 0.05, 0.0002, 0.001),
    ("image-image+centering", "size", 0.04, 0.021, 0.06, 0.0002, 0.001),
]
CORRECTIONS = pd.DataFrame(
    [
        ("centering", "Modality centring", "GR-CLIP, arXiv 2507.19054", "means off", "images 150, texts 750", None),
        ("isoclip", "IsoCLIP", "https://arxiv.org/abs/2603.19862", "spectrum", None, "no projection <stored>"),
    ],
    columns=["name", "title", "source", "how", "parameters", "reason"],
)  # fmt: skip


def metrics() -> dict[str, float]:
    values = {f"retrieval/image-image/{relevance}/mAP": 0.4 for relevance in RELEVANCES}
    for task, relevance, difference, *_ in COMPARED:
        values[f"retrieval/{task}/{relevance}/mAP"] = 0.4 + difference
    return values


def comparisons(family="retrieval", baseline="image-image", metric="mAP", rows=COMPARED) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (family, task, baseline, relevance, metric, 0.4 + difference, 0.4, difference, *rest, 150)
            for task, relevance, difference, *rest in rows
        ],
        columns=[
            "family", "task", "baseline", "relevance", "metric", "value", "baseline_value", "difference",
            "low", "high", "p", "p_adjusted", "queries",
        ],
    )  # fmt: skip


def cell(**changes) -> Results:
    given = {"metrics": metrics(), "comparisons": comparisons(), "corrections": CORRECTIONS}
    return Results("nano", "world", **given | changes)


def test_each_entry_has_difference_interval_and_mark(parse):
    html = render([cell()])
    heading, *rows = parse(html).table(
        "mAP in percent, by query-gallery; below, the difference to image-image"
    )
    assert heading == ["method", *RELEVANCES]
    assert rows == [
        ["image-image", "40.00", "40.00", "40.00"],
        [
            "OTI-image",
            "48.85 +8.85* [6.10, 11.60]",
            "32.63 −7.37* [−10.00, −4.02]",
            "40.00 ±0.00 [−1.00, 0.00]",
        ],
        [
            "Modality centring",
            "42.00 +2.00 [0.10, 3.90]",
            "43.00 +3.00* [1.10, 5.00]",
            "44.00 +4.00* [2.10, 6.00]",
        ],
    ]
    marked = re.findall(r"<strong class=\"difference (\w+)\">(.+?)</strong>", html)
    assert marked == [("up", "+8.85*"), ("down", "−7.37*"), ("up", "+3.00*"), ("up", "+4.00*")]


def test_which_labellings_improve_and_which_worsen(parse):
    heading, *rows = parse(render([cell()])).table("At a glance: the relevances by which a method is better")
    assert heading == ["method", "better", "worse", "undecided"]
    assert rows == [
        ["OTI-image", "1: colour", "1: shape", "1: size"],
        ["Modality centring", "2: shape, size", "0", "1: colour"],
    ]


def test_one_labelling_needs_no_glance(parse):
    one = {key: value for key, value in metrics().items() if "/colour/" in key}
    page = parse(render([cell(metrics=one, comparisons=comparisons(rows=COMPARED[::3]))]))
    assert not [caption for caption, _ in page.tables if caption.startswith("At a glance")]
    assert page.table("mAP in percent")[1:] == [
        ["image-image", "40.00"],
        ["OTI-image", "48.85 +8.85* [6.10, 11.60]"],
        ["Modality centring", "42.00 +2.00 [0.10, 3.90]"],
    ]


def test_all_tests_are_listed(parse):
    heading, *rows = parse(render([cell()])).table("Retrieval with image queries: tests")
    assert heading == [
        "relevance", "method", "value", "baseline", "difference", "95 % interval", "p", "p, corrected", "queries",
    ]  # fmt: skip
    assert [row[:2] for row in rows] == [
        [relevance, method] for relevance in RELEVANCES for method in ("OTI-image", "Modality centring")
    ]
    assert rows[0][2:] == ["48.85", "40.00", "+8.85", "[6.10, 11.60]", "0.0001", "0.0006", "150"]
    assert rows[2][6:] == ["< 0.0001", "0.0499", "150"]


def test_the_tested_difference_is_shown_not_that_of_the_means(parse):
    """They differ where not every query has a value by both methods."""
    values = metrics() | {"retrieval/oti-image/colour/mAP": 0.9}
    assert parse(render([cell(metrics=values)])).table("mAP in percent")[2][1] == "90.00 +8.85* [6.10, 11.60]"


def test_untested_differences_have_no_mark(parse):
    page = parse(render([cell(comparisons=None)]))
    assert page.table("mAP in percent")[2] == ["OTI-image", "48.85 +8.85", "32.63 −7.37", "40.00 ±0.00"]
    assert "significant" not in page.text and "Better, worse, undecided" not in page.text
    assert not [caption for caption, _ in page.tables if "tests" in caption or "glance" in caption]


def test_a_test_without_a_result_is_undecided(parse):
    nothing = [("oti-image", "colour", *[float("nan")] * 5), *COMPARED[1:3]]
    page = parse(render([cell(comparisons=comparisons(rows=nothing))]))
    assert page.table("At a glance")[1] == ["OTI-image", "0", "1: shape", "2: colour, size"]
    assert page.table("Retrieval with image queries: tests")[1][4:8] == ["–"] * 4
    assert page.table("mAP in percent")[2][1] == "48.85 +8.85"


def test_corrections_are_described_and_absent_ones_explained(parse):
    html = render([cell()])
    page = parse(html)
    assert page.table("Corrections, fitted") == [
        ["correction", "source", "how", "parameters"],
        ["Modality centring", "GR-CLIP, arXiv 2507.19054", "means off", "images 150, texts 750"],
    ]
    assert page.table("Corrections that this cell does not have") == [
        ["correction", "source", "why not"],
        ["IsoCLIP", "arXiv 2603.19862", "no projection <stored>"],
    ]
    assert {"https://arxiv.org/abs/2507.19054", "https://arxiv.org/abs/2603.19862"} <= {
        link["href"] for link in page.all("a")
    }
    assert "What the corrections are" not in parse(render([cell(corrections=CORRECTIONS.iloc[:0])])).text


def test_corrections_of_one_title_are_told_apart(parse):
    alike = pd.concat([CORRECTIONS, CORRECTIONS.assign(name=["centering_photo", "iso"])])
    values = metrics() | {"retrieval/image-image+centering_photo/size/mAP": 0.5}
    page = parse(render([cell(metrics=values, corrections=alike)]))
    names = ["Modality centring (centering)", "Modality centring (centering_photo)"]
    assert [row[0] for row in page.table("mAP in percent")[3:]] == names
    assert [row[0] for row in page.table("Corrections, fitted")[1:]] == names


def test_a_correction_without_description_has_its_name(parse):
    rows = parse(render([cell(corrections=None)])).table("mAP in percent")
    assert [row[0] for row in rows[1:]] == ["image-image", "OTI-image", "centering"]


def test_across_the_modalities_each_task_has_its_baseline(parse):
    values, rows = {}, []
    for number, task in enumerate(("text-image", "image-text")):
        values[f"retrieval/{task}/group/mAP"] = 0.5 + number / 10
        values[f"retrieval/{task}+centering/group/mAP"] = 0.52 + number / 5
        rows.append((f"{task}+centering", "group", 0.02 + number / 10, 0.01, 0.2, 0.001, 0.002))
    tested = comparisons(rows=rows)
    page = parse(render([cell(metrics=values, comparisons=tested)]))
    assert page.table("mAP in percent") == [
        ["method", "text-image", "image-text"],
        ["native features", "50.00", "60.00"],
        ["Modality centring", "52.00 +2.00* [1.00, 20.00]", "72.00 +12.00* [1.00, 20.00]"],
    ]
    assert page.table("At a glance: the tasks")[1] == [
        "Modality centring",
        "2: text-image, image-text",
        "0",
        "0",
    ]


def test_classification_by_prompts_means_and_few_images(parse):
    numbers = {
        "image-text": 0.9, "oti-text": 0.8, "image-ovi": 0.7, "image-text+centering": 0.95,
        "ncm": 0.6, "ncm+centering": 0.65,
        "16-shot": 0.5, "16-shot+centering": 0.45, "2-shot": 0.3, "2-shot+centering": 0.4,
    }  # fmt: skip
    values = {f"classification/{task}/shape/accuracy": value for task, value in numbers.items()}
    values["classification/ncm/shape/images_without_class"] = 7
    rows = [("oti-text", "shape", -0.1, -0.2, -0.05, 0.001, 0.01)]
    tested = [
        comparisons("classification", "image-text", "accuracy", rows),
        comparisons("classification", "2-shot", "accuracy", [("2-shot+centering", *rows[0][1:])]),
    ]
    page = parse(render([cell(metrics=values, comparisons=pd.concat(tested))]))
    prompts, means, shots = (
        page.table(f"Accuracy in percent, by {how}")
        for how in ("feature and class prompt", "the nearest mean of a class's", "the nearest mean of a few")
    )
    assert prompts[1:] == [
        ["image-text", "90.00"],
        ["OTI-text", "80.00 −10.00* [−20.00, −5.00]"],
        ["image-OVI", "70.00 −20.00"],
        ["Modality centring", "95.00 +5.00"],
    ]
    assert means[1:] == [["native features", "60.00"], ["Modality centring", "65.00 +5.00"]]
    assert shots == [
        ["images", "method", "shape"],
        ["2-shot", "native features", "30.00"],
        ["2-shot", "Modality centring", "40.00 −10.00* [−20.00, −5.00]"],
        ["16-shot", "native features", "50.00"],
        ["16-shot", "Modality centring", "45.00 −5.00"],
    ]
    counts = page.table("Classification by class means: all metrics")
    assert counts[0][2:] == ["accuracy", "images without class"]
    assert [row[3] for row in counts[1:]] == ["7", "–"]
    assert not [caption for caption, _ in page.tables if caption.startswith("Metrics by their key")]


def test_clusters_with_and_without_corrections(parse):
    values, number = {}, 0.1
    for what in ("image", "oti", "image+centering", "joint", "joint+centering"):
        for measure in ("ami", "ari", "nmi", "v_measure"):
            values[f"clustering/{what}/shape/{measure}"] = number = round(number + 0.05, 2)
    page = parse(render([cell(metrics=values, comparisons=None)]))
    assert page.table("Adjusted mutual information of k-means") == [
        ["clustered", "method", "shape"],
        ["images", "native features", "15.00"],
        ["images", "OTI", "35.00 +20.00"],
        ["images", "Modality centring", "55.00 +40.00"],
        ["images and captions", "native features", "75.00"],
        ["images and captions", "Modality centring", "95.00 +20.00"],
    ]
    heading, first, *rest = page.table("Clusters: all metrics")
    assert heading[3:] == [
        "adjusted mutual information",
        "adjusted Rand index",
        "normalised mutual information",
        "V-measure",
    ]
    assert first == ["shape", "images", "native features", "15.00", "20.00", "25.00", "30.00"]
    assert len(rest) == 4 and "not tested" in page.text


def test_what_is_not_available_stands_with_its_reason(parse):
    rows = [("retrieval", f"oti-image/l{n}", "queries holds NaN") for n in range(7)]
    rows.append(("gap", "linear_separability", "1 and 9 rows: give at least 2 on each side"))
    unavailable = pd.DataFrame(rows, columns=["family", "name", "reason"])
    page = parse(render([cell(unavailable=unavailable)]))
    assert page.table("Not available") == [
        ["family", "what", "because"],
        [
            "retrieval",
            "oti-image/l0, oti-image/l1, oti-image/l2, oti-image/l3, oti-image/l4 and 2 more",
            "queries holds NaN",
        ],
        ["gap", "linear_separability", "1 and 9 rows: give at least 2 on each side"],
    ]
    assert not [
        caption for caption, _ in parse(render([cell()])).tables if caption.startswith("Not available")
    ]


def test_new_metrics_and_counts_have_their_columns(parse):
    values = {"mAP": 0.4, "precision@5": 0.3, "nDCG@10": 0.2, "queries_without_relevant": 3}
    page = parse(
        render([cell(metrics={f"retrieval/image-image/group/{name}": v for name, v in values.items()})])
    )
    assert page.table("Retrieval with image queries: all metrics") == [
        ["relevance", "method", "mAP", "precision@5", "nDCG@10", "queries without relevant"],
        ["group", "image-image", "40.00", "30.00", "20.00", "3"],
    ]


def test_summary_has_every_method_of_any_cell(parse):
    alone = {"retrieval/image-image/class/mAP": 0.2, "retrieval/image-image+centering/class/mAP": 0.3}
    page = parse(render([cell(), Results("dino", "dtd", alone, corrections=CORRECTIONS)]))
    heading, *rows = page.table("Retrieval with image queries: mAP in percent")
    assert heading == ["backbone", "dataset", "relevance", "image-image", "OTI-image", "Modality centring"]
    assert rows[0] == ["nano", "world", "colour", "40.00", "48.85 +8.85*", "42.00 +2.00"]
    assert rows[3] == ["dino", "dtd", "class", "20.00", "–", "30.00 +10.00"]
    assert len(rows) == 4
    assert not [caption for caption, _ in page.tables if caption.startswith("Retrieval with text")]


def test_user_text_is_escaped_and_equal_cells_give_equal_bytes(parse):
    nasty = "<script>x<b> & {{ 7 * 7 }}"
    values = {f"retrieval/{task}/{nasty}/mAP": 0.5 for task in ("image-image", f"image-image+{nasty}")}
    described = pd.DataFrame([dict.fromkeys(CORRECTIONS, nasty)])
    tested = comparisons(rows=[(f"image-image+{nasty}", nasty, 0.1, 0, 0.2, 0.01, 0.02)])
    made = cell(metrics=values, comparisons=tested, corrections=described)
    html = render([made])
    page = parse(html)
    assert not page.all("script") and "<script" not in html and "{{ 7" in page.text
    assert page.table("Corrections that")[1] == [nasty] * 3
    assert page.table("mAP in percent") == [
        ["method", nasty],
        ["image-image", "50.00"],
        [nasty, "50.00 +10.00* [0.00, 20.00]"],
    ]
    assert render([made]) == html


@pytest.mark.parametrize(("table", "column"), [("comparisons", "p_adjusted"), ("corrections", "reason")])
def test_missing_columns_are_named(table, column):
    whole = {"comparisons": comparisons(), "corrections": CORRECTIONS}[table]
    with pytest.raises(ValueError, match=f"cell nano · world: {table}: no column {column}; expected"):
        render([cell(**{table: whole.drop(columns=column)})])


def test_an_unknown_family_is_named():
    with pytest.raises(
        ValueError, match="cell nano · world: comparisons: no family 'speed'; expected retrieval"
    ):
        render([cell(comparisons=comparisons("speed"))])
