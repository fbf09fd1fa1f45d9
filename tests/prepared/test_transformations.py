from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from crossgap import open_store
from crossgap.datasets import DatasetError
from crossgap.metrics.arithmetic import by_labels
from crossgap.prepared.transformations import (
    ANSWERS,
    COLUMNS,
    Transformations,
    read,
    validate,
    write,
)
from crossgap.stores import store

IMAGES, TEXTS = ["i1", "i2", "i/3 ü"], ["dog", "cat"]
ROWS = [("i1", "dog", "cat", "7", 0.5, "dev"), ("i/3 ü", "cat", "dog", "8", 1.0, "test")]
SHOWN = [("7", "i2"), ("8", "i1"), ("9", "i1")]


def tables(rows=ROWS, shown=SHOWN, **changes) -> Transformations:
    table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(**changes)
    return Transformations(table, pd.DataFrame(shown, columns=list(ANSWERS)))


def told(frame: pd.DataFrame) -> list[tuple]:
    return list(frame.itertuples(index=False, name=None))


def test_valid_tables_are_typed_and_ordered() -> None:
    given = tables()
    numbers = given.table["caption"].astype(int), given.answers["caption"].astype(int)
    mixed = Transformations(
        given.table.assign(caption=numbers[0], weight=["0.5", "1"], more=1)[[*COLUMNS[::-1], "more"]],
        given.answers.assign(caption=numbers[1]),
    )
    for valid in (validate(given, IMAGES, TEXTS), validate(mixed, IMAGES, TEXTS)):
        assert list(valid.table) == list(COLUMNS) and told(valid.table) == ROWS
        assert list(valid.answers) == list(ANSWERS) and told(valid.answers) == SHOWN
        assert valid.table["weight"].dtype == np.float64


def test_they_survive_the_folder_and_the_store(tmp_path) -> None:
    assert read(tmp_path) is None
    valid = validate(tables(), IMAGES, TEXTS)
    write(valid, tmp_path)
    with store.creating(tmp_path / "s.zip", tmp_path / "scratch", {"fingerprint": "x"}) as writer:
        writer.add(
            "image/test", {"id": np.array(IMAGES, object)}, [{"features": np.eye(3, dtype=np.float32)}]
        )
        writer.add_transformations(valid)
    opened = open_store(tmp_path / "s.zip")
    assert opened.groups == ["image/test"] and opened.judgements is None
    for found in (read(tmp_path), opened.transformations):
        assert told(found.table) == ROWS and told(found.answers) == SHOWN


def test_of_some_images_alone() -> None:
    found = tables().of(["i1"])
    assert told(found.table) == ROWS[:1] and told(found.answers) == SHOWN[1:]


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        (tables(image=["i1", "i4"]), ["no image of the query split", "1 rows: row 1 (i4, cat, dog, 8, 1.0, test)"]),
        (tables(source=["dog", None]), ["id of the source (1 rows: row 1 (i/3 ü, , dog"]),
        (tables(target=["bird", "dog"]), ["id of the target (1 rows: row 0"]),
        (tables(target=["dog", "cat"]), ["the target is the source: nothing is asked (2 rows"]),
        (tables(weight=[0, np.inf]), ["a weight is a positive number (2 rows"]),
        (tables(weight=["x", -1]), ["a weight is a positive number (2 rows"]),
        (tables(split=["dev", "train"]), ["a split is dev or test (1 rows: row 1"]),
        (tables(shown=[("7", "i5"), ("7", "i1")]), ["no image of the query split", "row 0 (7, i5)"]),
        (tables(shown=[("7", "i1"), ("7", "i1")]), ["an answer given twice: give it once (2 rows"]),
        (tables(rows=[]), ["transformations: there are none"]),
        (Transformations(tables().table.drop(columns="weight"), tables().answers), ["lack the columns weight"]),
        (Transformations(tables().table, pd.DataFrame({"image": []})), ["answers lack the columns caption"]),
    ],
)  # fmt: skip
def test_rows_that_break_the_contract_are_named(given, messages) -> None:
    with pytest.raises(DatasetError) as error:
        validate(given, IMAGES, TEXTS)
    assert all(message in str(error.value) for message in messages), error.value


@pytest.mark.parametrize("seed", range(3))
def test_what_labels_allow_is_asked_by_a_loop(seed) -> None:
    rng = np.random.default_rng(seed)
    ids = [f"image {n}" for n in range(40)]
    colours = rng.choice(["red", "blue", "green", "pink", ""], 40)
    shapes = rng.choice(["square", "star", "ring", ""], 40)
    found = by_labels(ids, colours, shapes)
    table = validate(found, ids, set(colours) - {""}).table

    expected = {}
    for i in range(40):
        for target in set(colours) - {"", colours[i]}:
            both = [j for j in range(40) if (colours[j], shapes[j]) == (target, shapes[i])]
            if colours[i] and shapes[i] and both:
                expected[ids[i], colours[i], target] = {ids[j] for j in both}
    shown = found.answers.groupby("caption")["image"].agg(set)
    assert not table.duplicated(["image", "source", "target"]).any()
    assert {(row.image, row.source, row.target): shown[row.caption] for row in table.itertuples()} == expected
    number = Counter(source for _, source, _ in expected)
    assert np.allclose(table["weight"], [number[source] ** -0.5 for source in table["source"]])


def test_the_halves_are_of_images_and_depend_on_their_ids_alone() -> None:
    ids = [f"w/{n}" for n in range(400)]
    colours, shapes = ["red", "blue"] * 200, ["square"] * 400
    table = by_labels(ids, colours, shapes).table
    halves = table.groupby("image")["split"].agg(set)
    assert len(halves) == 400 and (halves.map(len) == 1).all()
    assert 160 < sum(half == {"dev"} for half in halves) < 240
    fewer = by_labels(ids[::-1][:90], colours[::-1][:90], shapes[:90]).table
    assert (fewer.set_index("image")["split"] == table.set_index("image")["split"][fewer["image"]]).all()


def test_where_nothing_can_be_asked_there_is_nothing() -> None:
    for labels in (
        (["red", "red"], ["ring", "star"]),
        (["red", "blue"], ["ring", "star"]),
        (["", ""], ["a", "a"]),
    ):
        found = by_labels(["a", "b"], *labels)
        assert found.table.empty and list(found.table) == list(COLUMNS)
