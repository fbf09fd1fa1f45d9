"""The rows of the page's table of everything: numbers, baselines, tests and verdicts, from cells made by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from crossgap.naming import baseline_of
from crossgap.report import Results, render
from crossgap.report.explore import COLUMNS, baseline, lines

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


def by_method(rows, **chosen) -> dict[tuple[str, str], dict]:
    """Method and labelling → row."""
    return {
        (row["method"], row["labelling"]): row
        for row in rows
        if all(row[name] == value for name, value in chosen.items())
    }


def test_every_number_and_test_is_a_row(parse):
    rows = by_method(parse(render([cell()])).rows())
    titles = {"oti-image": "OTI-image", "image-image+centering": "Modality centring"}
    assert len(rows) == 9 and {row["task"] for row in rows.values()} == {"image-image retrieval"}
    for task, relevance, difference, low, high, p, p_adjusted in COMPARED:
        row = rows[titles[task], relevance]
        assert row["mAP"] == pytest.approx(0.4 + difference, abs=5e-6) and row["main"] == "mAP"
        scaled = [round(10_000 * value) for value in (difference, low, high)]
        assert row["test"] == [*scaled, p, p_adjusted, 150]
    for relevance in RELEVANCES:
        row = rows["native features", relevance]
        assert row["mAP"] == 0.4 and "test" not in row and row["base"] == -1


def test_the_page_has_p_to_the_digits_that_it_shows_and_calls_significant_what_the_sentences_do(parse):
    rows = [
        ("oti-image", "colour", 0.0885, 0.061, 0.116, 0.2506, 0.7584),
        ("oti-image", "shape", 0.1, 0.05, 0.15, 0.00833, 0.04998),
    ]
    held = cell(comparisons=comparisons(rows=rows))
    found = by_method(parse(render([held])).rows(), method="OTI-image")
    for _, relevance, *_, p, p_adjusted in rows:
        assert found["OTI-image", relevance]["test"][3:5] == [p, p_adjusted]
    verdicts = {line.labelling: line.verdict for line in lines(held) if line.test}
    assert verdicts == {"colour": "undecided", "shape": "better"}


def test_verdicts_are_by_the_corrected_p():
    found = {(line.method, line.labelling): line.verdict for line in lines(cell())}
    assert {key: found[key] for key in found if found[key]} == {
        ("oti-image", "colour"): "better",
        ("oti-image", "shape"): "worse",
        ("oti-image", "size"): "undecided",
        ("image-image+centering", "colour"): "undecided",  # 0.05 is not below 0.05
        ("image-image+centering", "shape"): "better",
        ("image-image+centering", "size"): "better",
    }
    nothing = [("oti-image", "colour", *[float("nan")] * 5)]
    tested = comparisons(rows=nothing)
    assert [line.verdict for line in lines(cell(comparisons=tested)) if line.test] == ["undecided"]


def test_a_baseline_stands_before_what_is_compared_with_it_and_is_its_row(parse):
    found = parse(render([cell()])).data["explore"]
    (rows,) = found["rows"]
    for _, task, method, labelling, base, *_ in rows:
        if base >= 0:
            assert found["words"][rows[base][2]] == "native features"
            assert (rows[base][1], rows[base][3]) == (task, labelling)
        else:
            assert found["words"][method] == "native features"


@pytest.mark.parametrize(
    ("task", "native"),
    [
        ("oti-image", "image-image"),
        ("oti-oti", "image-image"),
        ("ovi-text", "text-text"),
        ("oti-text", "image-text"),
        ("image-ovi", "image-text"),
        ("image-image+pca", "image-image"),
        ("4-shot+pca", "4-shot"),
        ("ncm", "ncm"),
        ("oti.distilled.cosine.my-set-image", "image-image"),
        ("image-ovi.warm.cosine.world", "image-text"),
        ("text-image", "text-image"),
        ("joint", "joint"),
    ],
)
def test_what_a_task_is_compared_with(task, native):
    assert baseline(task) == native


def test_families_and_tasks_have_names(parse):
    numbers = {
        "image-text": 0.9,
        "oti-text": 0.8,
        "ncm": 0.6,
        "2-shot": 0.3,
        "16-shot": 0.5,
        "2-shot+centering": 0.4,
    }
    values = {f"classification/{task}/shape/accuracy": value for task, value in numbers.items()}
    values |= {
        "clustering/image/shape/ami": 0.15,
        "clustering/oti/shape/ami": 0.35,
        "clustering/joint/shape/ami": 0.4,
    }
    values |= {"hubs/text-image/skewness": 1.25, "hubs/text-image+centering/skewness": 0.75}
    values["classification/ncm/shape/images_without_class"] = 7
    rows = parse(render([cell(metrics=values, comparisons=None)])).rows()
    assert [(row["task"], row["method"], row[row["main"]]) for row in rows] == [
        ("zero-shot classification", "native features", 0.9),
        ("zero-shot classification", "OTI-text", 0.8),
        ("classification by class means", "native features", 0.6),
        ("2-shot classification", "native features", 0.3),
        ("16-shot classification", "native features", 0.5),
        ("clusters of images", "native features", 0.15),
        ("clusters of images", "OTI", 0.35),
        ("clusters of images and captions", "native features", 0.4),
        ("text-image hubs", "native features", 1.25),
        ("2-shot classification", "Modality centring", 0.4),
        ("text-image hubs", "Modality centring", 0.75),
    ]
    assert [
        row.get("images_without_class") for row in rows if row["task"] == "classification by class means"
    ] == [7]


def test_classifiers_are_called_in_words_and_come_by_their_number_of_images(parse):
    names = (
        "16-shot-gda_text", "16-shot-gda", "16-shot", "2-shot", "2-shot_text", "first-1", "first-16", "first-2-gda",
        "first-2", "gda", "knn_1", "knn_5", "logistic", "ncm", "ncm_text", "gda_text",
    )  # fmt: skip
    values = {f"classification/{name}/shape/accuracy": 0.5 for name in names}
    table = pd.DataFrame(
        [
            (
                "classification",
                name,
                baseline_of("classification", name),
                "shape",
                0.5,
                0.5,
                *[0.0] * 3,
                1.0,
                1.0,
                9,
            )
            for name in names
            if baseline_of("classification", name)
        ],
        columns=("family", "task", "baseline", *COLUMNS[2:]),
    )
    rows = parse(render([cell(metrics=values, comparisons=table)])).rows()
    assert [(row["task"], row["method"]) for row in rows] == [
        ("classification by GDA", "GDA with texts"),
        ("classification by class means", "native features"),
        ("classification by class means", "GDA"),
        ("classification by class means", "the nearest neighbour"),
        ("classification by class means", "5 nearest neighbours"),
        ("classification by class means", "logistic regression"),
        ("classification by class means", "class means with texts"),
        ("2-shot classification", "native features"),
        ("2-shot classification", "2-shot with texts"),
        ("16-shot classification", "native features"),
        ("16-shot classification", "16-shot GDA"),
        ("classification by 16-shot GDA", "16-shot GDA with texts"),
        ("classification by the first 1 image a class", "native features"),
        ("classification by the first 2 images a class", "native features"),
        ("classification by the first 2 images a class", "the first 2 images a class by GDA"),
        ("classification by the first 16 images a class", "native features"),
    ]


def test_cells_of_like_numbers_share_their_rows(parse):
    others = {key: value / 2 for key, value in metrics().items()}
    page = parse(
        render([cell(), Results("dino", "dtd", others, corrections=CORRECTIONS, comparisons=comparisons())])
    )
    explore = page.data["explore"]
    assert len(explore["rows"]) == 1 and explore["of"] == [0, 0]
    assert [row["mAP"] for row in page.rows() if row["method"] == "native features"] == [0.4] * 3 + [0.2] * 3


def test_shares_are_rates_as_the_differences_of_their_tests_are(parse):
    """The page says of a row its value, and its difference, in points, to the baseline's in percent."""
    task, at = "text-image+centering", "noise 0.04"
    numbers = {f"robustness/{name}/{at}/stays": value for name, value in ((task, 0.96), ("text-image", 0.93))}
    numbers |= {f"hubness/text-image/{name}": 0.5 for name in ("skewness", "largest", "never_found")}
    numbers |= {f"hubness/text-image+qb_norm/half/{name}": 0.5 for name in ("normalised", "activated")}
    tested = comparisons("robustness", "text-image", "stays", [(task, at, 0.03, 0.01, 0.05, 0.01, 0.02)])
    page = parse(render([cell(metrics=numbers, comparisons=tested)]))
    rates = {name for name, rate in page.data["explore"]["names"] if rate}
    assert rates == {"stays", "never_found", "normalised", "activated"}
    row = by_method(page.rows())["Modality centring", at]
    assert (row["stays"], row["test"][:3]) == (0.96, [300, 100, 500])


def test_comparisons_of_what_was_not_measured_are_an_error():
    tested = comparisons("ranking", "a", "mAP", [("b", *COMPARED[0][1:])])
    with pytest.raises(ValueError, match="cell nano · world: comparisons: no family 'ranking' was measured"):
        render([cell(comparisons=tested)])
    with pytest.raises(ValueError, match="cell nano · world: comparisons: no column p_adjusted"):
        render([cell(comparisons=comparisons().drop(columns="p_adjusted"))])


def test_corrections_are_described_and_absent_ones_explained(parse):
    page = parse(render([cell()]))
    assert page.table("Corrections, fitted") == [
        ["correction", "source", "how", "parameters"],
        ["Modality centring", "GR-CLIP, arXiv 2507.19054", "means off", "images 150, texts 750"],
    ]
    assert page.table("Corrections that this cell does not have") == [
        ["correction", "source", "why not"],
        ["IsoCLIP", "https://arxiv.org/abs/2603.19862", "no projection <stored>"],
    ]
    assert "What the corrections are" not in parse(render([cell(corrections=CORRECTIONS.iloc[:0])])).titles


def test_corrections_of_one_title_are_told_apart(parse):
    alike = pd.concat([CORRECTIONS.iloc[:1], CORRECTIONS.iloc[:1].assign(name="other")])
    values = metrics() | {"retrieval/image-image+other/colour/mAP": 0.5}
    page = parse(render([cell(metrics=values, corrections=alike)]))
    names = ["Modality centring (centering)", "Modality centring (other)"]
    assert [row[0] for row in page.table("Corrections, fitted")[1:]] == names
    assert {*names} < {row["method"] for row in page.rows()}


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
    assert "What is not available" not in parse(render([cell()])).titles
