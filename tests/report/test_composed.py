"""Composed queries on the page."""

from __future__ import annotations

import pandas as pd
import pytest

from crossgap.report import Results, render
from crossgap.report.composed import COLUMNS
from tests.report.corrections import corrections

NONE = float("nan")
RATES = [0.1234, 0.11, 0.2, 0.21, 0.22, 0.23, 0.05, 0.1, 0.2, 0.5]
TABLE = pd.DataFrame(
    [
        ("sum", "all", *RATES, NONE, NONE, NONE, 346, 1149),
        ("sum", "mean of sets", *RATES, NONE, NONE, NONE, 346, 1149),
        ("harris+basic", "all", 0.3, *RATES[1:], NONE, NONE, NONE, 346, 1149),
        ("sum+oti", "all", *RATES, NONE, NONE, NONE, 346, 1149),
        ("oti-template", "all", *RATES, NONE, NONE, NONE, 300, 1149),
    ],
    columns=list(COLUMNS),
)
METRICS = {
    "composed/sum/all/mAP": 0.1234,
    "composed/harris+basic/all/mAP": 0.3,
    "composed/harris/all/mAP": 0.2,
}
CORRECTIONS = corrections(basic="BASIC")


def test_all_numbers_but_those_that_no_query_has(parse):
    page = parse(render([Results("nano", "world", METRICS, corrections=CORRECTIONS, composed=TABLE)]))
    table = page.table("An image and a text ask for images")
    heads = ["rule", "method", "queries of", *COLUMNS[2:12], "queries", "candidates"]
    assert table[0] == heads and all(len(row) == len(heads) for row in table)
    assert table[1][:5] == ["sum", "native features", "all", "12.34", "11.00"]
    assert table[1][-2:] == ["346", "1,149"]
    assert [row[:3] for row in table[2:]] == [
        ["sum", "native features", "mean of sets"],
        ["harris", "BASIC", "all"],
        ["sum", "OTI", "all"],
        ["template", "OTI", "all"],
    ]
    assert "An image and a text ask for images" in page.titles and "arXiv 2510.25387" in page.text
    rows = {(row["method"], row["task"]): row for row in page.rows()}
    assert rows["BASIC", "composed retrieval by harris"]["mAP"] == 0.3


def test_a_table_without_a_column_is_refused():
    with pytest.raises(ValueError, match="composed: no column mAP@5; expected"):
        render([Results("nano", "world", {}, composed=TABLE.drop(columns="mAP@5"))])
