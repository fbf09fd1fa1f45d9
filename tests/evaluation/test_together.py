"""Which queries belong together, in the comparisons of a cell with captions: against `paired` on the same queries."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from crossgap.evaluation import Cell, comparisons, hubness, robustness
from crossgap.evaluation.comparisons import compared
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.queries import tables
from crossgap.evaluation.together import together
from crossgap.evaluation.work import Work
from crossgap.metrics.significance import paired
from crossgap.prepared.composed import Composed
from tests.evaluation.small import TEST, captions
from tests.evaluation.test_composed import native as composed  # noqa: F401

EVERY = captions(TEST)


@pytest.fixture(scope="module")
def cell(native) -> Cell:
    return Cell(native, None, None, "test", "test", support="train")


def test_captions_of_an_image_are_drawn_together_and_images_alone(cell):
    work = Work(cell)
    rivals = Rivals(work, ["centering"])
    found = tables(work, rivals)
    outcomes = {("retrieval", *place): table.set_index("query")["ap"] for place, table in found.items()}
    stays = robustness.robust(work, rivals, 0)
    outcomes |= {
        ("robustness", *place): table.set_index("query")["stays"]
        for place, table in stays.groupby(["task", "relevance"], sort=False)
    }
    rows = compared(work, outcomes, seed=0, resamples=199).set_index(["family", "task", "relevance"])
    image_of = dict(zip(EVERY["id"], EVERY["group"], strict=True))
    for family, relevance in (("retrieval", "group"), ("robustness", "int4")):
        one, other = (
            outcomes[family, task, relevance].sort_index() for task in ("text-image+centering", "text-image")
        )
        differences = (one - other).to_numpy()[:, None]
        by_image = [image_of[query] for query in one.index]
        assert len(by_image) > len(set(by_image)) == 24
        expected = paired(differences, groups=by_image, resamples=199).iloc[0]
        row = rows.loc[family, "text-image+centering", relevance]
        np.testing.assert_allclose(row[["low", "high", "p"]].astype(float), expected[["low", "high", "p"]])
    one, other = (outcomes["retrieval", task, "colour"] for task in ("image-image+centering", "image-image"))
    difference = (one - other).dropna().sort_index().to_frame().to_numpy()
    row = rows.loc["retrieval", "image-image+centering", "colour"]
    expected = paired(difference, resamples=199).iloc[0]
    np.testing.assert_allclose(row[["low", "high", "p"]].astype(float), expected[["low", "high", "p"]])


def test_queries_of_no_image_are_drawn_alone():
    ids, place = list("abcdef"), ("text-text", "topic")
    value, other = (pd.Series(np.random.default_rng(seed).random(6), ids) for seed in (0, 1))
    groups = pd.Series(["x", "x", "", "", "y", ""], ids)[::-1]
    row = comparisons.tested({place: (value, other)}, {place: groups}, 0, 199).iloc[0]
    differences = (value - other).to_frame().to_numpy()
    expected = paired(differences, groups=["x", "x", "1", "2", "y", "3"], resamples=199).iloc[0]
    np.testing.assert_allclose(row[["low", "high", "p"]].astype(float), expected[["low", "high", "p"]])


def test_the_table_of_queries_names_the_image_of_each_caption(cell):
    table = tables(Work(cell), Rivals(Work(cell), []))["text-image", "group"]
    assert dict(zip(table["query"], table["group"], strict=True)) == dict(
        zip(EVERY["id"], EVERY["group"], strict=True)
    )


def test_halves_and_inverted_texts_are_asked_by_captions_too(cell):
    of = together(cell)
    halves = hubness.halves(Work(cell), Rivals(Work(cell), ["nnn"]))
    assert {task.partition("+")[0] for task in halves["task"]} == {"text-image", "image-text"}
    for task in ("text-image+nnn_16", "text-image", "text-text", "ovi-text", "ovi.warm.cosine.world-text"):
        pd.testing.assert_series_equal(of("hubness", task), pd.Series(EVERY["group"], EVERY["id"]))
    for task in ("search", "corpus+centering", "search+oti"):
        pd.testing.assert_series_equal(of("mixed", task), pd.Series(EVERY["group"], EVERY["id"]))
    images = pd.Series(TEST["group"], TEST["id"])
    for task in ("image-text", "image-image+pca_plus", "oti-image", "oti.distilled.tokens.world-oti"):
        pd.testing.assert_series_equal(of("retrieval", task), images)
    assert of("classification", "image-text") is None
    assert of("composed", "sum") is None


def test_composed_queries_that_ask_with_one_image_are_drawn_together(composed):  # noqa: F811
    of = together(Cell(composed, None, None, "test", "test", support="train"))("composed", "sum+centering")
    asked = composed.composed.asked
    assert of.index.is_unique and set(of.index) == set(asked["query"])
    assert all(of[query] == image for query, image in zip(asked["query"], asked["image"], strict=True))


def test_two_composed_queries_of_one_image_have_its_name_each():
    rows = [("q1", "a", "t1", "", ""), ("q1", "a", "t2", "", ""), ("q2", "a", "t3", "", "")]
    native = SimpleNamespace(composed=Composed.of([*rows, ("q3", "b", "t4", "", "")], []))
    of = together(SimpleNamespace(query="test", items=lambda _: None, native=native))("composed", "sum")
    assert of.to_dict() == {"q1": "a", "q2": "a", "q3": "b"}


def test_the_order_of_queries_changes_no_number(cell):
    found = tables(Work(cell), Rivals(Work(cell), ["centering"]))
    outcomes = {("retrieval", *place): table.set_index("query")["ap"] for place, table in found.items()}
    turned = {place: values[::-1] for place, values in outcomes.items()}
    one, other = (compared(Work(cell), held, seed=0, resamples=199) for held in (outcomes, turned))
    pd.testing.assert_frame_equal(one, other)
