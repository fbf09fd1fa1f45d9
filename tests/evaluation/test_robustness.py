"""Queries whose nearest neighbour stays, re-derived from the store's features."""

from __future__ import annotations

import numpy as np
import pytest

from crossgap.evaluation import Cell, robustness
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.work import Work
from crossgap.metrics.robustness import noisy, quantised
from tests.evaluation.small import TEST, captions
from tests.rows import unit


@pytest.fixture(scope="module")
def work(native) -> Work:
    return Work(Cell(native, None, None, "test", "test", support="train"))


def first(x, y, alone=False) -> np.ndarray:
    scores = unit(x) @ unit(y).T
    if alone:
        np.fill_diagonal(scores, -2)
    return scores.argmax(axis=1)


def test_with_the_gap_and_without_it(work):
    table = robustness.robust(work, Rivals(work, ["centering", "ridge"]), 3)
    said = captions(TEST)
    sides = {"": (said["features"], TEST["features"])}
    sides["+centering"] = tuple(unit(x) - unit(x).mean(axis=0) for x in sides[""])
    for ending, (x, y) in sides.items():
        rows = table[table["task"] == f"text-image{ending}"]
        assert set(rows["relevance"]) == {
            "noise 0.005",
            "noise 0.022",
            "noise 0.04",
            "int8",
            "int4",
            "binary",
        }
        before = first(x, y)
        expected = {
            "noise 0.04": first(noisy(x, said["id"], 0.04, 3), y),
            "int4": first(x, quantised(y, 4)),
        }
        for how, after in expected.items():
            stays = rows[rows["relevance"] == how].set_index("query")["stays"]
            assert stays.mean() == pytest.approx(np.mean(after == before), abs=1 / len(x))
    found = robustness.metrics(table)
    x = TEST["features"]
    same = np.mean(first(x, quantised(x, 8), alone=True) == first(x, x, alone=True))
    assert found["robustness/image-image/int8/stays"] == pytest.approx(same)
    assert {key.split("/")[1] for key in found} == {
        f"{task}{ending}"
        for task in ("image-image", "text-text", "text-image", "image-text")
        for ending in ("", "+centering")
    }
    reasons = {name: why for family, name, why in work.reasons.rows if family == "robustness"}
    assert reasons["text-image/product"].startswith("product quantisation of 24 items")
