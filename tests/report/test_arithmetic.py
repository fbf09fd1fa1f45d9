"""The page's part on arithmetic."""

from __future__ import annotations

import pandas as pd
import pytest

from crossgap.report import Results, render
from crossgap.report.arithmetic import COLUMNS, published_scores

SCALES = (0.0, 0.5, 1.0, 2.0)


def table(protocols=("simat", "colour"), splits=("dev", "test")) -> pd.DataFrame:
    rows = [
        (name, split, scale, 0.1 + scale / 4 + len(name) / 100 + len(split) / 1000, 0.05, 0.95, 1234, 77)
        for name in protocols
        for split in splits
        for scale in SCALES
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def metrics(name: str) -> dict[str, float]:
    found = {f"{split}/score": 0.4 for split in ("dev", "test")}
    found |= {"best_dev_lambda": 2.0, "test/score_at_best_dev": 0.61234}
    return {f"arithmetic/{name}/{key}": value for key, value in found.items()}


def cell(scores: pd.DataFrame | None = None, **fields) -> Results:
    numbers = metrics("simat") | metrics("colour") | {"gap/centroid_distance": 0.5}
    return Results("b32", fields.pop("dataset", "world"), numbers, arithmetic=scores, **fields)


def shown(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def test_every_score_is_on_the_page(parse) -> None:
    page = parse(render([cell(table())]))
    expected = table().groupby(["protocol", "split"])["score"].agg(list)
    names = {"SIMAT": "simat", "colour": "colour"}
    lines = page.figure("Weighted share")["score, in %"]
    assert sorted(lines) == ["SIMAT, dev", "SIMAT, test", "colour, dev", "colour, test"]
    for name, line in lines.items():
        protocol, split = name.split(", ")
        assert line["x"] == list(SCALES)
        assert line["y"] == pytest.approx([100 * score for score in expected[names[protocol], split]])
        assert (line.get("low"), line.get("high")) == (
            ([5] * 4, [95] * 4) if split == "test" else (None, None)
        )
    heads, *rows = page.table("Scores in percent at λ = 1")
    assert heads[3:] == ["95 % interval", "transformations", "images", "λ best on dev", "score there"]
    for name, split, *values in rows:
        one = expected[names[name], split][2]
        there = ["2", "61.23"] if split == "test" else ["", ""]
        assert values == [shown(one), "[5.00, 95.00]", "1,234", "77", *there]
    assert "red square − red + blue is any blue square" in page.text
    assert "Other numbers" not in page.text  # the metrics are in the tables


def test_a_cell_without_arithmetic_has_no_section(parse) -> None:
    for scores in (None, table().iloc[:0]):
        page = parse(render([cell(scores)]))
        assert not any("λ" in caption for caption, _ in page.tables)
        assert "blue square" not in page.text and "Other numbers" in page.text


def test_one_half_alone(parse) -> None:
    page = parse(render([Results("b32", "world", {}, arithmetic=table(splits=("test",)))]))
    assert [row[-2:] for row in page.table("Scores in percent at λ = 1")[1:]] == [["", ""], ["", ""]]


def test_without_the_scale_one_its_numbers_are_missing(parse) -> None:
    page = parse(render([Results("b32", "world", {}, arithmetic=table().query("scale != 1"))]))
    assert page.table("Scores in percent at λ = 1")[1][2:6] == ["–", "", "–", "–"]


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"cell b32 · world: arithmetic: no column low; expected protocol, sp"
    ):
        render([cell(table().drop(columns="low"))])


PUBLISHED = pd.DataFrame(
    [
        ("2405.18570", "openai/ViT-B-32 fine-tuned", "SIMAT dev", "arithmetic", "cua", "simat_score", 42.18, "d=128"),
        ("2405.18570", "openai/ViT-B-32", "CUB", "image-to-image", "image-image", "mAP", 25.1, None),
    ],
    columns=["source", "model", "dataset", "task", "method", "metric", "value", "setting"],
)  # fmt: skip


@pytest.mark.parametrize("named", [{"dataset": "SIMAT"}, {"dataset": "mine", "published": "simat"}])
def test_published_scores_stand_below_those_of_simat(parse, named) -> None:
    page = parse(render([cell(table(), **named)], PUBLISHED))
    rows = page.table("Published scores at λ = 1")
    assert rows[1:] == [["SIMAT dev", "2405.18570", "openai/ViT-B-32 fine-tuned", "cua", "d=128", "42.18"]]


def test_published_scores_are_not_those_of_other_datasets(parse) -> None:
    assert published_scores(cell(table()), PUBLISHED) == []
    page = parse(render([cell(table())], PUBLISHED))
    assert not any(caption.startswith("Published") for caption, _ in page.tables)
