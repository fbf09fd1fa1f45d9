"""Labellings of odd names, from a table to the metrics, the tables and the page."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image

from crossgap import open_store, report
from crossgap.datasets.declared import Table
from crossgap.datasets.preparing import prepare
from crossgap.encode import encode
from crossgap.evaluation import Cell, evaluate
from crossgap.evaluation.relevance import relevances
from crossgap.prepared import manifest
from tests.evaluation.small import TEST, TRAIN, groups, write
from tests.report.conftest import Page

ODD = ["..", "a,b", "b.c", "a@b", "a+b", "a:b", "a b", "ü", 'a"b', "mAP", "text"]
CLASSES = [label for label in "aabbcc" for _ in range(2)]


def test_a_labelling_of_any_allowed_name_is_measured_as_one_of_a_plain_name(tmp_path, tiny) -> None:
    for number in range(len(CLASSES)):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    names = ["kind", *ODD]
    table = pd.DataFrame({"path": [f"{number}.png" for number in range(len(CLASSES))]})
    table["text"] = [f"photo {number}" for number in range(len(CLASSES))]
    table.assign(**{f"label.{name}": CLASSES for name in names}).to_csv(tmp_path / "t.csv", index=False)
    declared = Table(layout="table", root=tmp_path, table="t.csv", vocabulary="none", retrieval={})
    manifest.write(prepare(declared, tmp_path, 1).items, tmp_path)
    path = tmp_path / "native.zarr.zip"
    encode(manifest.read(tmp_path), tmp_path, tiny, path, provenance={"fingerprint": "x"}, scratch=tmp_path)
    store = open_store(path)
    assert set(store["image/test"].labels) == set(names)

    cell = Cell(store, None, None, "test", "test")
    found = evaluate(cell, resamples=9, shots=(1,), corrections=[], scratch=tmp_path / "parts")
    metrics = json.loads(json.dumps(found.metrics))
    by_name = {name: {} for name in names}
    for key, value in metrics.items():
        family, *words = key.split("/")
        for place, word in enumerate(words) if family != "items" else ():
            if word in by_name and place < len(words) - 1:
                by_name[word][family, *words[:place], *words[place + 1 :]] = value
    plain = by_name["kind"]
    assert (
        len([key for key in plain if key[0] == "retrieval"]) > 5
        and ("retrieval", "image-image", "mAP") in plain
    )
    for name in ODD:
        assert by_name[name].keys() == plain.keys(), name
        retrieved = {key: value for key, value in by_name[name].items() if key[0] == "retrieval"}
        assert retrieved == {key: plain[key] for key in retrieved}, name
    for kept in (found.queries, found.predictions):
        column = "labelling" if "labelling" in kept else "relevance"
        written = pd.read_csv(io.StringIO(kept.to_csv(index=False)), keep_default_na=False)
        assert written[column].tolist() == kept[column].tolist() and set(kept[column]) >= set(names)
    tables = {name: getattr(found, name) for name in ("comparisons", "similarities", "histograms")}
    page = Page(report.render([report.Results("tiny", "odd", metrics, **tables)]))
    assert {*names} <= {row["labelling"] for row in page.rows()}
    assert "Other numbers" not in page.text


def test_a_control_is_of_items_of_its_classes_alone(native) -> None:
    cell = Cell(native, None, None, "test", "test", subsets={"warm": {"colour": ["red", "green"]}})
    images = cell.items("image/test")
    of = {relevance.name: relevance.concerns(images) for relevance in relevances(cell, images, images)}
    warm = [name for name, colour in zip(TEST["id"], TEST["label.colour"], strict=True) if colour != "blue"]
    assert of["warm"].ids.tolist() == warm != of["colour"].ids.tolist()
    assert not relevances(cell, images, replace(images, labels={}))


def test_judgements_are_of_the_queries_and_items_that_are_there(tmp_path) -> None:
    ids, train = TEST["id"], TRAIN["id"]
    rows = [("here", ids[0], ids[1], 1), ("here", ids[0], train[0], 1), ("elsewhere", train[0], train[1], 1)]
    table = pd.DataFrame(rows, columns=["setting", "query", "item", "grade"])
    cell = Cell(write(tmp_path / "n.zip", groups(), judgements=table), None, None, "test", "test")
    images = cell.items("image/test")
    found = {relevance.name: relevance for relevance in relevances(cell, images, images)}
    assert set(found) == {"colour", "shape", "here"}
    pairs = found["here"].lists(images, images, exclude_self=True).pairs(slice(0, 1))
    assert pairs.item[pairs.grade == 1].tolist() == [1]
