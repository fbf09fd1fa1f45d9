"""Queries to look at: which are chosen, and what every method ranks first, by loops over the items."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.looked import COLUMNS, _chosen, _found, looked_at
from crossgap.evaluation.parts import Parts
from crossgap.evaluation.queries import Task, tables
from crossgap.evaluation.relevance import Labelled
from crossgap.evaluation.work import Work
from crossgap.metrics.retrieval.bias import Bias
from tests.evaluation.small import TEST, captions
from tests.rows import unit

NAMES = ["centering", "nnn"]
LABELS = dict(zip(TEST["id"], TEST["label.colour"], strict=True))


@pytest.fixture(scope="module")
def held(cell):
    work = Work(cell)
    rivals = Rivals(work, NAMES)
    retrieved = tables(work, rivals)
    return work, rivals, retrieved, looked_at(work, rivals, retrieved, seed=0, queries=40, results=5)


def test_every_method_of_every_retrieval_is_there(held):
    _, _, retrieved, found = held
    assert list(found) == COLUMNS
    shown = set(zip(found["method"], found["relevance"], strict=True))
    assert shown == set(retrieved)
    assert {"oti-image", "image-image+centering", "text-image+nnn_16", "text-text"} <= set(found["method"])
    chosen = found[["task", "relevance", "query"]].drop_duplicates()
    assert len(chosen) == 40, "as many as are asked for, over all retrievals"
    counts = chosen.groupby(["task", "relevance"]).size()
    assert counts.max() - counts.min() <= 1
    ways = found.groupby(["task", "relevance"])["method"].nunique()
    assert len(found) == (ways * counts).sum(), "every query by every method"


def test_heads_labels_and_precisions(held):
    _, _, retrieved, found = held
    own = dict(zip(TEST["id"], unit(TEST["features"]), strict=True))
    mean = np.mean(list(own.values()), axis=0)
    centred = dict(zip(own, unit([row - mean for row in own.values()]), strict=True))
    for method, features in (("image-image", own), ("image-image+centering", centred)):
        rows = found[(found["method"] == method) & (found["relevance"] == "colour")]
        assert len(rows) > 3
        for row in rows.to_dict("records"):
            cosines = {other: float(features[row["query"]] @ features[other]) for other in own}
            del cosines[row["query"]]
            first = sorted(cosines, key=lambda other: -cosines[other])[:5]
            assert row["items"] == first
            assert row["relevant"] == [LABELS[other] == LABELS[row["query"]] for other in first]
            assert row["scores"] == pytest.approx([cosines[other] for other in first], abs=1e-4)
            assert (
                row["labels"] == [LABELS[other] for other in first] and row["label"] == LABELS[row["query"]]
            )
            assert sum(row["matching"]) + sum(row["other"]) == len(cosines)
            places = [
                int((value + 2) * 100) for other, value in cosines.items() if LABELS[other] == row["label"]
            ]
            start = round((row["lowest"] + 2) * 100)
            assert row["matching"] == [places.count(start + i) for i in range(len(row["matching"]))]
            table = retrieved[method, "colour"].set_index("query")
            assert row["ap"] == pytest.approx(table.loc[row["query"], "ap"], abs=1e-6)


def test_the_most_helped_the_most_harmed_and_drawn_ones(held):
    work, rivals, retrieved, found = held
    rows = found[(found["method"] == "oti-image") & (found["relevance"] == "colour")].set_index("query")
    assert set(rows["beside"]) == {"oti-image"}
    ap = {name: retrieved[name, "colour"].set_index("query")["ap"] for name in ("image-image", "oti-image")}
    gain = (ap["oti-image"] - ap["image-image"]).dropna().sort_values()
    kinds = {why: set(rows.index[rows["why"] == why]) for why in ("helped", "harmed", "random")}
    assert all(kinds.values())
    assert gain.index[-1] in kinds["helped"] and gain.index[0] in kinds["harmed"]
    assert gain[list(kinds["helped"])].min() > 0 > gain[list(kinds["harmed"])].max()
    again = looked_at(work, rivals, retrieved, seed=0, queries=40, results=5)
    assert again.equals(found)
    other = looked_at(work, rivals, retrieved, seed=1, queries=40, results=5)
    assert set(other["query"]) != set(found["query"]) or not other["why"].equals(found["why"])
    without = {place: table for place, table in retrieved.items() if "oti" not in place[0]}
    best = looked_at(work, rivals, without, seed=0, queries=10, results=8)
    assert all("+" in name for name in best["beside"])
    assert looked_at(work, rivals, retrieved, seed=0, queries=0, results=8).empty


def test_parts_are_taken_back(held, tmp_path):
    work, _, retrieved, found = held
    kept = Work(work.cell, Parts(tmp_path))
    first = looked_at(kept, Rivals(kept, NAMES), retrieved, seed=0, queries=40, results=5)
    later = Work(work.cell, Parts(tmp_path))
    rivals = Rivals(later, NAMES)
    rivals.pair = None  # nothing is corrected again
    assert looked_at(later, rivals, retrieved, seed=0, queries=40, results=5).equals(first)
    assert first.equals(found)


def test_captions_and_images(held):
    """Across the modalities a query's own image is the right one."""
    found = held[3]
    group = dict(zip(captions(TEST)["id"], captions(TEST)["group"], strict=True))
    rows = found[found["method"] == "text-image"]
    assert len(rows)
    for row in rows.to_dict("records"):
        assert row["relevant"] == [item == group[row["query"]] for item in row["items"]]
        assert sum(row["matching"]) == 1 and row["labels"] == [] and row["label"] == ""


def test_a_gain_of_rounding_alone_is_none():
    precisions = {"native": pd.Series({"a": 0.3, "b": 0.5}), "turned": pd.Series({"a": 0.1 + 0.2, "b": 0.5})}
    assert precisions["turned"]["a"] > 0.3
    assert _chosen(precisions, "native", "turned", 9, 0) == {"a": "random", "b": "random"}


def test_a_bias_is_of_the_queries_that_it_was_made_for(cell):
    images = cell.items("image/test")
    added = np.linspace(-0.3, 0.3, len(images))
    flags = np.arange(len(images)) == 5
    asked = [images.ids[7], images.ids[5]]
    task = Task("image-image", Labelled("colour", "colour"), images, images)
    found = _found(task, asked, 99, lambda *_: Bias(flags, added))
    rows = dict(zip(TEST["id"], unit(TEST["features"]), strict=True))
    for query, (number, scores) in zip(found["query"], enumerate(found["scores"]), strict=True):
        cosines = np.array([rows[query] @ rows[item] for item in TEST["id"] if item != query])
        if number:
            cosines += np.array([of for of, item in zip(added, TEST["id"], strict=True) if item != query])
        assert json.loads(scores) == pytest.approx(sorted(cosines, reverse=True), abs=1e-4)
