"""Hubs of a cell's galleries, corrections that score with a bank, and halves of the images, item by item."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossgap.corrections import nnn, qb_norm
from crossgap.errors import UnavailableError
from crossgap.evaluation import Cell, hubness
from crossgap.evaluation.comparisons import compared
from crossgap.evaluation.corrections import Rivals, bank, pairs
from crossgap.evaluation.items import by_id
from crossgap.evaluation.queries import tables
from crossgap.evaluation.scoring import disjoint
from crossgap.evaluation.work import Work
from crossgap.metrics.hubness import hubs, occurrences
from tests.evaluation.small import TEST, TRAIN, captions, groups, write
from tests.rows import unit

NAMES = ["centering", "inverted_softmax", "nnn", "qb_norm"]
EVERY, TRAINED = captions(TEST), captions(TRAIN)


@pytest.fixture
def work(native) -> Work:
    return Work(Cell(native, None, None, "test", "test", support="train"))


def recalls(queries, gallery, asked, held, bias=None) -> list[float]:
    scores = unit(queries) @ unit(gallery).T
    if bias is not None:
        scores = scores + bias.queries[:, None] * bias.gallery
    return [float(held[row.argmax()] == group) for row, group in zip(scores, asked, strict=True)]


def test_hubs_of_every_retrieval(work):
    found = hubness.hubs(work, Rivals(work, NAMES))
    images, texts = TEST["features"], EVERY["features"]
    expected = hubs(occurrences(texts, images))
    assert found["hubness/text-image/skewness"] == expected.skewness
    assert found["hubness/text-image/largest"] == expected.largest
    own = hubs(occurrences(images, images, left_out=np.arange(24)))
    assert found["hubness/image-image/never_found"] == own.never_found
    bias = nnn.fit({"text": TRAINED["features"]}, 16).scoring(texts, images, "text")
    scores = unit(texts) @ unit(images).T + bias.gallery
    counts = np.bincount(np.argsort(-scores, axis=1)[:, :10].ravel(), minlength=24)
    assert found["hubness/text-image+nnn_16/largest"] == counts.max()
    tasks = {key.split("/")[1].partition("+")[0] for key in found}
    assert tasks == {"image-image", "text-text", "text-image", "image-text"}
    assert "hubness/image-text+centering/skewness" in found


def test_a_bank_of_another_split_scores_retrieval(work):
    found = tables(work, Rivals(work, NAMES))
    images, texts = TEST["features"], EVERY["features"]
    for variant, module in (("nnn_16", nnn), ("qb_norm", qb_norm)):
        correction = module.fit({"text": TRAINED["features"]}, *([16] if module is nnn else []))
        bias = correction.scoring(texts, images, "text")
        table = found[f"text-image+{variant}", "group"]
        assert table["recall@1"].tolist() == recalls(texts, images, EVERY["group"], TEST["group"], bias)
    assert not found["text-image+nnn_16", "group"]["ap"].equals(found["text-image", "group"]["ap"])
    assert ("image-image+inverted_softmax", "colour") in found and not work.reasons.rows


def test_what_stands_in_the_gallery_leaves_the_bank_and_is_counted(native):
    """The gallery of images is that of the bank: nothing of the bank is left for them, captions still have one."""
    work = Work(Cell(native, None, None, "test", "train"))
    found = tables(work, Rivals(work, ["nnn"]))
    assert ("text-image+nnn_16", "group") in found and ("image-image+nnn_16", "colour") not in found
    reasons = {name: why for _, name, why in work.reasons.rows}
    assert reasons["image-image+nnn_16/colour"] == "no image query is left in the bank"
    some = work.cell.items("image/train")
    mixed = replace(work.cell, support="train").items("text/train")
    clean = disjoint(bank(work.cell, "text"), [mixed.where(np.array([6, 7]))], [some.where(np.arange(3))])
    assert (~clean).sum() == 8  # captions of the first three images, and of the fourth
    with_few = Cell(native, None, None, "test", "test", support="train")
    held = Rivals(Work(with_few), ["nnn"])
    score = held.scorer("nnn_16", "here", "text-image", False, held.work.reasons)
    score(with_few.items("text/test"), some.where(np.arange(3)))
    (row,) = held.work.reasons.rows
    assert row[:2] == ("retrieval", "here") and row[2].startswith("6 of 60 queries of the bank left out")


def test_a_bias_is_of_the_rows_of_the_bank_that_it_may_use(native):
    """Items of the same features, but of images of the bank."""
    cell = Cell(native, None, None, "test", "test", support="train")
    texts, images = cell.items("text/test"), cell.items("image/test")
    others = replace(images, groups=cell.items("image/train").groups[:24])
    rivals = Rivals(Work(cell), ["nnn"])

    def score(gallery):
        return rivals.scorer("nnn_16", "here", "text-image", False, rivals.work.reasons)(
            texts, gallery
        ).gallery

    every, some = score(images), score(others)
    assert (score(images) == every).all() and (score(others) == some).all()
    bias = nnn.fit({"text": TRAINED["features"][48:]}, 16).scoring(
        EVERY["features"], TEST["features"], "text"
    )
    np.testing.assert_allclose(some, bias.gallery)
    assert np.abs(every - some).max() > 1e-3


def test_a_bias_is_of_whether_a_query_may_find_itself(native):
    cell = Cell(native, None, None, "test", "test", support="train")
    images, rivals = cell.items("image/test"), Rivals(Work(cell), ["qb_norm"])
    among_others, among_all = (
        rivals.scorer("qb_norm", "here", "image-image", within, rivals.work.reasons)(images, images).queries
        for within in (True, False)
    )
    score, features = rivals.correction("qb_norm").scoring, TEST["features"]
    expected = score(features, features, "image", left_out=np.arange(24)).queries
    assert among_others.tolist() == expected.tolist() != among_all.tolist()


def test_texts_of_no_image_leave_the_bank_where_they_stand_in_the_gallery(native):
    cell = Cell(native, None, None, "test", "train")
    asked, gallery = (
        replace(items, groups=np.full(len(items), "", object))
        for items in map(cell.items, ("text/test", "text/train"))
    )
    rivals = Rivals(Work(cell), ["nnn"])
    score = replace(rivals.scorer("nnn_16", "here", "text-text", True, rivals.work.reasons), bank=gallery)
    score(asked, gallery.where(np.arange(2)))
    ((*_, why),) = rivals.work.reasons.rows
    assert why.startswith("2 of 60 queries of the bank left out")
    with pytest.raises(UnavailableError, match="no text query is left in the bank"):
        score(asked, gallery)


def test_pairs_to_fit_on_are_none_of_those_that_are_asked(tmp_path):
    """Where another split holds some of the queries' items."""
    mixed = {key: [*TEST[key][:5], *TRAIN[key]] for key in TEST}
    held = groups() | {"image/train": mixed, "text/train": captions(mixed)}
    images, texts = pairs(Cell(write(tmp_path / "n.zip", held), None, None, "test", "test"), "train")
    np.testing.assert_array_equal(images, np.repeat(np.float32(TRAIN["features"]), 2, axis=0))
    np.testing.assert_array_equal(texts, np.float32(captions(mixed)["features"][10:]))


def test_an_image_with_the_id_of_a_text_is_another_item(native):
    """As where images and captions are both numbered from 0."""
    cell = Cell(native, None, None, "test", "test", support="train")
    held, texts = bank(cell, "text"), cell.items("text/test")
    images = replace(cell.items("image/test"), ids=held.ids[:24])
    assert disjoint(held, [texts], [images]).all() and disjoint(held, [], [images]).all()
    assert (~disjoint(held, [texts, held.where(np.arange(24))])).sum() == 24


def test_a_cell_without_another_split_has_no_bank_but_halves(tmp_path):
    few = {name: columns for name, columns in groups().items() if name.endswith("/test")}
    work = Work(Cell(write(tmp_path / "n.zip", few), None, None, "test", "test"))
    rivals = Rivals(work, NAMES)
    assert rivals.variants == ["centering"]
    table = hubness.halves(work, rivals)
    images, texts, group = TEST["features"], EVERY["features"], np.array(TEST["group"])
    of_text = np.array(EVERY["group"])
    second = np.isin(of_text, group[12:])
    for name, kept in (("all", np.ones(24, bool)), ("half", np.arange(24) >= 12)):
        rows = table[(table["relevance"] == name) & (table["task"].str.startswith("text-image"))]
        at = dict(list(rows.groupby("task")))
        assert len(at) == 10 and at["text-image"]["query"].tolist() == list(np.array(EVERY["id"])[second])
        asked = texts[second], images[kept], of_text[second], group[kept]
        assert at["text-image"]["recall@1"].tolist() == recalls(*asked)
        bias = qb_norm.fit({"text": texts[~second]}).scoring(texts[second], images[kept], "text")
        assert at["text-image+qb_norm"]["recall@1"].tolist() == recalls(*asked, bias)
        assert at["text-image+qb_norm"]["normalised"].tolist() == bias.queries.tolist()
        assert at["text-image+nnn_16"]["normalised"].isna().all()
        firsts = (unit(texts[~second]) @ unit(images[kept]).T).argmax(axis=1)
        assert at["text-image+qb_norm"]["activated"].iloc[0] == len(set(firsts)) / kept.sum()
        centred = [x - unit(x).mean(axis=0) for x in (unit(texts), unit(images))]
        asked = centred[0][second], centred[1][kept], *asked[2:]
        assert at["text-image+centering"]["recall@1"].tolist() == recalls(*asked)
    found = hubness.metrics(table)
    assert (
        found["hubness/text-image+qb_norm/half/normalised"] == at["text-image+qb_norm"]["normalised"].mean()
    )
    assert "hubness/text-image/half/normalised" not in found
    outcomes = {
        ("hubness", *named): rows.set_index("query")["recall@1"]
        for named, rows in table.groupby(["task", "relevance"], sort=False)
    }
    tested = compared(work, outcomes, seed=0, resamples=99).set_index(["task", "relevance"])
    row = tested.loc["text-image+nnn_16", "half"]
    assert (row["family"], row["baseline"], row["metric"]) == ("hubness", "text-image", "recall@1")
    assert row["queries"] == 24 and row["p_adjusted"] >= row["p"]
    assert row["value"] == found["hubness/text-image+nnn_16/half/recall@1"]


def test_one_image_has_no_halves(tmp_path):
    one = {
        "image/test": {key: values[:1] for key, values in TEST.items()},
        "text/test": {key: values[:2] for key, values in EVERY.items()},
    }
    work = Work(Cell(write(tmp_path / "n.zip", one), None, None, "test", "test"))
    assert hubness.halves(work, Rivals(work, ["nnn"])).empty
    assert ("hubness", "text-image", "halves of 1 captioned images: give at least 2") in work.reasons.rows


def test_halves_are_cut_by_ids():
    assert by_id(np.array(["pair 10", "pair 2", "pair 9"], object)).tolist() == [1, 2, 0]
    assert by_id(np.array(["10_b", "9_a", "1000_c"], object)).tolist() == [2, 0, 1]
    assert by_id(np.array(["a2", "b1", "a10"], object)).tolist() == [2, 0, 1]
    assert by_id(np.array(["a2", "a02"], object)).tolist() == [1, 0], "of one number, whatever their order"
