"""Composed queries that labels allow, derived again pair by pair; and tables that can't be used."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from crossgap.datasets import drawing
from crossgap.datasets.composing import by_labels
from crossgap.datasets.declared import World
from crossgap.datasets.declared.embedded import COMPOSED
from crossgap.datasets.preparing import prepare
from crossgap.errors import DatasetError
from crossgap.prepared import composed, manifest
from crossgap.prepared.composed import Composed


def items(*rows: tuple[str, str, str, str, str | None]) -> pd.DataFrame:
    columns = ["id", "modality", "split", "label.colour", "label.shape"]
    return pd.DataFrame(list(rows), columns=columns, dtype=object)


def test_the_answers_have_the_asked_label_and_all_others_the_same():
    rng = np.random.default_rng(0)
    colours, shapes = rng.choice(["red", "blue", "dark_green"], 40), rng.choice(["star", "ring"], 40)
    frame = items(
        *((f"{n:02}", "image", "test" if n < 15 else "train", colours[n], shapes[n]) for n in range(40)),
        ("99", "image", "test", None, "star"),
    )
    rows, tables, cut = by_labels(frame, "test", {"colour": "but {}"}, {"colour": {"red": "crimson"}})
    expected, ignored = set(), set()
    for n in range(15):
        for colour in ("red", "blue", "dark_green"):
            answers = [k for k in range(40) if (colours[k], shapes[k]) == (colour, shapes[n]) and k != n]
            if colour != colours[n] and answers:
                expected |= {(f"{n:02} colour {colour}", f"{k:02}", "relevant") for k in answers}
                ignored.add((f"{n:02} colour {colour}", f"{n:02}", "ignored"))
    assert set(tables.judged.itertuples(index=False, name=None)) == expected | ignored
    assert len(tables.judged) == len(expected) + len(ignored) and not cut
    assert tables.asked["set"].unique().tolist() == ["colour"]
    assert {(row[0], row[4]) for row in rows} == {
        ("composed/colour/red#0", "but crimson"),
        ("composed/colour/blue#0", "but blue"),
        ("composed/colour/dark_green#0", "but dark green"),
    }
    assert set(tables.asked["text"]) <= {row[0] for row in rows}

    few, some, cut = by_labels(frame, "test", {"colour": "but {}"}, {}, most=5)
    assert len(some.asked) == 5 and cut == len(tables.asked) - 5
    assert set(some.asked["query"]) <= set(tables.asked["query"])
    assert set(some.judged["query"]) == set(some.asked["query"])
    shuffled = by_labels(frame.sample(frac=1, random_state=0), "test", {"colour": "but {}"}, {}, most=5)
    assert set(shuffled[1].asked["query"]) == set(some.asked["query"]) and sorted(shuffled[0]) == sorted(few)


def of_one_labelling(images: int, labels: int) -> pd.DataFrame:
    return items(*((f"{n:05}", "image", "test", f"c{n % labels}", None) for n in range(images)))


def test_the_draw_is_of_ids_alone_and_holds_no_list_of_all_pairs(monkeypatch):
    frame = of_one_labelling(4000, 2000)
    tracemalloc.start()
    _, drawn, cut = by_labels(frame, "test", {"colour": "but {}"}, {}, most=500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(drawn.asked) == 500 and cut == 4000 * 1999 - 500
    assert peak < 60e6
    assert drawn.asked["text"].nunique() > 350 and drawn.asked["image"].nunique() > 350
    monkeypatch.setattr(drawing, "BLOCK", 5000)
    _, again, _ = by_labels(frame, "test", {"colour": "but {}"}, {}, most=500)
    assert again.asked["query"].tolist() == drawn.asked["query"].tolist()
    _, fewer, _ = by_labels(frame[frame["id"] >= "02000"], "test", {"colour": "but {}"}, {}, most=500)
    stayed = set(drawn.asked.loc[drawn.asked["image"] >= "02000", "query"])
    assert len(stayed) > 150 and stayed <= set(fewer.asked["query"])


def test_queries_with_many_answers_are_fewer():
    frame = of_one_labelling(600, 3)
    for most in (2000, 2100):
        _, drawn, cut = by_labels(frame, "test", {"colour": "but {}"}, {}, answered=most)
        assert len(drawn.asked) == 10 and cut == 1190
        assert (drawn.judged["role"] == "relevant").sum() == 2000
    _, drawn, cut = by_labels(frame, "test", {"colour": "but {}"}, {}, answered=100)
    assert len(drawn.asked) == 1 and cut == 1199


def test_the_world_asks_of_every_factor_and_says_so_exactly(tmp_path):
    images = {"train": 60, "test": 300}
    made = prepare(
        World(layout="world", images=images, retrieval={}, vocabulary="none", controls={"support": "train"}),
        tmp_path,
    )
    scenes = manifest.select(made.items, "image").set_index("id")[[f"label.{name}" for name in COMPOSED]]
    asked, judged, _ = made.composed
    said = manifest.select(made.items, "text", "composed").set_index("id")["text"]
    assert set(asked["set"]) <= set(COMPOSED) and len(asked) > 20
    for query, image, text, words, factor in asked.itertuples(index=False):
        value = text.removeprefix(f"composed/{factor}/").removesuffix("#0")
        wanted = scenes.loc[image].copy()
        assert words == said[text]
        assert wanted[f"label.{factor}"] != value and image.startswith("test/")
        wanted[f"label.{factor}"] = value
        answers = set(scenes.index[(scenes == wanted).all(axis=1)])
        of = judged[judged["query"] == query]
        assert set(of.loc[of["role"] == "relevant", "image"]) == answers
        assert of.loc[of["role"] == "ignored", "image"].tolist() == [image]
    none = World(layout="world", images=images, retrieval={}, vocabulary="none", controls={"composed": {}})
    assert prepare(none, tmp_path).composed is None


def test_labels_without_a_pair_are_said_and_unknown_ones_refused(tmp_path):
    fields = {"layout": "world", "images": {"test": 2}, "retrieval": {}, "vocabulary": "none"}
    made = prepare(World(**fields), tmp_path)
    assert made.composed is None and "asks for nothing" in made.notes[0]
    with pytest.raises(DatasetError, match=r"controls.composed.weight: no labelling 'weight'"):
        prepare(World(**fields, controls={"composed": {"weight": "but {}"}}), tmp_path)
    for name in ("all", "half", "mean of sets"):
        with pytest.raises(DatasetError, match=f"controls.composed.{name}: .*name the labelling otherwise"):
            prepare(World(**fields, controls={"composed": {name: "but {}"}}), tmp_path)
    with pytest.raises(ValueError, match=r"give exactly one \{\}, the place of the class"):
        World(**fields, controls={"composed": {"colour": "red"}})


ASKED = ("q", "a", "t", "red", "")
JUDGED = [("q", "b", "target"), ("q", "a", "ignored")]


@pytest.mark.parametrize(
    ("asked", "judged", "galleries", "said"),
    [
        ([], JUDGED, [], "there are none"),
        ([("q", "z", "t", "red", "")], JUDGED, [], r"asked: no image has this id \(1 rows: q, z, t, red, \)"),
        ([("q", "a", "u", "", "")], JUDGED, [], "no text of the split 'composed'"),
        ([ASKED, ASKED], JUDGED, [], "a text asked twice"),
        ([ASKED, ("q", "b", "t2", "", "")], JUDGED, [], "a query has one reference image"),
        ([("q", "a", "t", "", "all")], JUDGED, [], "a set called all, half or mean of sets"),
        ([ASKED, ("q", "a", "t2", "", "x")], JUDGED, [], "a query is in one set"),
        ([ASKED], JUDGED[1:], [], "no image is named that answers the query"),
        ([ASKED], [("r", "b", "target"), *JUDGED], [], "judged: no query is called so"),
        ([ASKED], [("q", "b", "right"), *JUDGED], [], "a role is one of target, relevant, ignored, member"),
        ([ASKED], [("q", "c", "target"), *JUDGED], [], "a query has one target"),
        ([ASKED], [("q", "b", "relevant"), *JUDGED], [], "a target is relevant: name it once"),
        ([ASKED], [*JUDGED, JUDGED[1]], [], "an image judged twice"),
        ([ASKED], JUDGED, [("x", "z")], "galleries: no image has this id"),
        ([ASKED], JUDGED, [("x", "a"), ("x", "a")], "an image of a gallery given twice"),
    ],
)
def test_tables_that_cant_be_used(asked, judged, galleries, said):
    with pytest.raises(DatasetError, match=said):
        composed.validate(Composed.of(asked, judged, galleries), ["a", "b", "c"], ["t", "t2"])


def test_tables_are_written_and_read(tmp_path):
    tables = composed.validate(Composed.of([ASKED], JUDGED), ["a", "b"], ["t"])
    composed.write(tables, tmp_path)
    for held, again in zip(tables, composed.read(tmp_path), strict=True):
        assert held.to_numpy().tolist() == again.to_numpy().tolist() and list(held) == list(again)
    with pytest.raises(DatasetError, match="composed queries, judged: no column role"):
        composed.validate(tables._replace(judged=tables.judged.drop(columns="role")), ["a"], ["t"])
