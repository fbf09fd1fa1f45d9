"""Single queries in the page: rankings as they are in the table, pictures once each, and the bound of bytes."""

from __future__ import annotations

import base64
import errno
import math
import random

import pandas as pd
import pytest

from crossgap.errors import ImageError
from crossgap.report import Results, looked, render
from crossgap.report.looked import LONGEST, looks
from crossgap.report.ranked import BARS
from crossgap.report.rankings import COLUMNS
from tests.report.conftest import unpacked

METHODS = ("image-image", "oti-image", "image-image+pca")


class Sight:
    """Pictures of some bytes; `gone` can't be read, ids that begin with t are texts."""

    def __init__(self, size: int = 99, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.size, self.error = size, error or ImageError("gone.jpg", "no such file")

    def text(self, item: str) -> str | None:
        return f"text of {item} " + "word " * 100 if item.startswith("t") else None

    def picture(self, item: str) -> bytes | None:
        self.asked.append(item)
        if item == "gone":
            raise self.error
        return None if item.startswith("t") else random.Random(item).randbytes(self.size)


def table(queries=6, task="image-image", relevance="colour", methods=METHODS, prefix="i") -> pd.DataFrame:
    rows = []
    for number in range(queries):
        for way, method in enumerate(methods):
            items = [f"{prefix}{(number + 3 * way + i) % 12}" for i in range(1, 5)]
            rows.append({
                "task": task, "relevance": relevance, "beside": methods[1],
                "turn": number, "turns": queries,
                "why": ("helped", "harmed", "random")[number % 3],
                "query": f"{prefix}{number}", "label": "red", "method": method, "ap": 0.25 + way / 8, "lowest": 0.1,
                "items": items, "relevant": [i % 2 == way % 2 for i in range(4)],
                "scores": [0.9 - i / 8 for i in range(4)],
                "labels": [("red", "blue")[(i + way) % 2] for i in range(4)],
                "matching": [0, 2, *[0] * 60, 2], "other": [*[1] * 62, 4],
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def cell(backbone="nano", dataset="world", looked_at=None) -> Results:
    corrections = pd.DataFrame(
        [("pca", "PCA⁺", "a paper", "", "", "")],
        columns=["name", "title", "source", "how", "parameters", "reason"],
    )
    of = table() if looked_at is None else looked_at
    return Results(
        backbone, dataset, {"retrieval/image-image/colour/mAP": 0.5}, corrections=corrections, looked_at=of
    )


def test_rankings_labels_and_precisions_are_those_of_the_table(parse):
    page = parse(render([cell()], sights={"world": Sight()}))
    items, (view,) = page.looked
    assert (view["title"], view["labelling"]) == ("image-image retrieval", "colour")
    assert view["methods"] == ["native features", "OTI-image", "PCA⁺"] and view["beside"] == 1
    labels = dict(zip(view["of"][0], (view["labels"][i] for i in view["of"][1]), strict=True))
    rows = table().to_dict("records")
    assert len(view["queries"]) == 6
    for at, (query, why, ways) in enumerate(view["queries"]):
        for number, way in enumerate(ways):
            row = rows[3 * at + number]
            method, ap, found, right, scores, low, width, relevant, others, matching, other = way
            assert (METHODS[method], items["ids"][query]) == (row["method"], row["query"])
            assert ("helped", "harmed", "random")[why] == row["why"] and ap == 1e4 * row["ap"]
            assert [items["ids"][item] for item in found] == row["items"]
            assert [sign == "1" for sign in right] == row["relevant"]
            assert scores == [round(1000 * score) for score in row["scores"]]
            assert (low, width, relevant, others) == (10, 2, 4, 66) and len(matching) == len(other) <= BARS
            assert all(labels[item] in ("red", "blue") for item in found)
    pictures = unpacked(page.pictures[0])[0]
    for place, number in enumerate(pictures):
        name = items["ids"][place]
        assert base64.b64decode(page.pictures[number + 1]) == random.Random(name).randbytes(99)
    assert page.data["looked"] == {"datasets": 1, "cells": [0], "said": []}


def test_bars_are_densities_on_one_scale():
    (line,) = [line for line in looks([cell()]).lines[1:] if line]
    *_, matching, other = unpacked(line)[0]["queries"][0][2][0]
    # of area 1: 2 of 4 relevant in the highest bars, 2 of 66 others in all but the last
    assert matching[0] == "/" and matching[1] == "A" and matching[-1] == "/"
    heights = [math.ceil(63 * (count / 66) / (2 / 4)) for count in (2, 4)]
    assert (other[0], other[-1]) == tuple("ABCDEFGHIJ"[height] for height in heights)


def test_backbones_on_one_dataset_share_its_pictures(parse):
    sight = Sight()
    two = [cell(), cell("b32"), cell("b32", "words", table(prefix="t", task="text-text", relevance="group"))]
    page = parse(render(two, sights={"world": sight, "words": Sight()}))
    assert len(sight.asked) == len(set(sight.asked)), "each is read once"
    assert page.data["looked"]["cells"] == [0, 0, 1] and len(page.looked) == 5
    assert page.looked[0]["texts"] == [] and all(len(t) <= LONGEST + 1 for t in page.looked[1]["texts"])
    assert page.looked[1]["texts"][0].startswith("text of t0") and page.looked[1]["texts"][0].endswith("…")
    assert set(unpacked(page.pictures[0])[1]) == {-1}


@pytest.mark.parametrize(
    "error", [None, PermissionError(errno.EACCES, "Permission denied", "/photos/gone.jpg")]
)
def test_what_is_missing_is_said_and_ends_nothing(parse, error):
    rows = table()
    rows["items"] = rows["items"].map(lambda items: ["gone", *items[1:]])
    page = parse(render([cell(looked_at=rows)], sights={"world": Sight(error=error)}))
    (said,) = page.data["looked"]["said"]
    assert said.startswith("1 images of world have no picture here") and "gone.jpg" in said
    place = page.looked[0]["ids"].index("gone")
    assert unpacked(page.pictures[0])[0][place] == -1
    without = parse(render([cell(dataset="dtd (import x)")]))
    assert without.looked[0] == {"ids": without.looked[0]["ids"], "texts": []} and without.pictures == [""]
    nothing = parse(render([cell(looked_at=table().iloc[:0])]))
    assert nothing.data["looked"] == {"datasets": 0, "cells": [-1], "said": []}
    assert not [link for link in nothing.all("a") if link["href"] == "#queries"]


@pytest.mark.parametrize("megabytes", [0, 0.0012, 0.004, 0.006])
def test_it_stays_within_its_bound_and_the_first_come_first(megabytes):
    sight = Sight(600)
    found = looks([cell(), cell("b32")], {"world": sight}, megabytes)
    assert sum(map(len, found.lines)) <= megabytes * 1e6 / 3
    assert sum(map(len, found.lines)) + sum(map(len, found.pictures[1:])) <= megabytes * 1e6
    if megabytes == 0:
        assert found.head["cells"] == [-1, -1] and found.head["said"][0].startswith(
            "Of each retrieval the first 0"
        )
    if megabytes == 0.006:
        assert sight.asked[0] == "i0" and found.head["said"] and 1 < len(found.pictures) < 13


def test_equal_cells_give_equal_bytes_and_nothing_of_a_user_is_html(parse):
    nasty = "</script><script>alert(1)</script>"
    rows = table(prefix=nasty).assign(label=nasty, relevance=nasty)
    html = render([cell(looked_at=rows)], sights={"world": Sight()})
    assert html == render([cell(looked_at=rows)], sights={"world": Sight()})
    assert nasty not in html and parse(html).looked[0]["ids"][0].startswith(nasty)


def test_the_highest_bar_is_as_high_as_a_bar_can_be():
    """Though 63 · 0.8 / 0.8 is more than 63 in floating point."""
    rows = table(1).assign(matching=[[1, 4]] * 3, other=[[4, 4]] * 3)
    *_, matching, other = unpacked(looks([cell(looked_at=rows)]).lines[1])[0]["queries"][0][2][0]
    assert matching == "Q/" and other == "oo"


def test_the_best_correction_is_that_of_the_highest_map(parse):
    methods = (*METHODS, "image-image+whitening")
    of = cell(looked_at=table(methods=methods))
    of.metrics.update({f"retrieval/{name}/colour/mAP": 0.6 + i / 10 for i, name in enumerate(methods[1:])})
    (view,) = parse(render([of])).looked[1]
    assert view["methods"][view["best"]] == "whitening"


def test_many_cells_have_few_methods_before_they_have_no_query():
    methods = (*METHODS, "image-image+whitening", "image-image+isoclip")
    cells = [cell(f"b{number}", looked_at=table(12, methods=methods)) for number in range(8)]
    for of in cells:
        of.metrics.update(
            {f"retrieval/{name}/colour/mAP": 0.6 + i / 10 for i, name in enumerate(methods[1:4])}
        )
    every, few = looks(cells, megabytes=0.05), looks(cells, megabytes=0.018)
    assert len(unpacked(every.lines[1])[0]["methods"]) == 5
    (view,) = unpacked(few.lines[1])
    assert view["methods"] == ["native features", "OTI-image", "whitening"] and len(view["queries"]) >= 3
    assert "by the best correction alone" in few.head["said"][0]


@pytest.mark.parametrize("megabytes", [0.01, 0.05, 0.2])
def test_of_many_cells_a_part_says_how_many_queries_fit(monkeypatch, megabytes):
    cells = [cell(f"b{number}") for number in range(30)]
    exact = looks(cells, megabytes=megabytes)
    packed = []

    def pack(of, *rest):
        packed.append(len(of))
        return whole(of, *rest)

    whole = looked._packed
    monkeypatch.setattr(looked, "_packed", pack)
    monkeypatch.setattr(looked, "SOME", 3)
    found = looks(cells, megabytes=megabytes)
    assert packed.count(30) <= 2 < len(packed), "all of them are read once or twice, however many are tried"
    assert sum(map(len, found.lines)) <= megabytes * 1e6 / 3
    few = found.head["said"] and "alone" in found.head["said"][0]
    assert few == (exact.head["said"] and "alone" in exact.head["said"][0])
