"""Embedding arithmetic against a loop over transformations that follows SIMAT's words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossgap.metrics import arithmetic
from crossgap.metrics.arithmetic import SCALES, by_labels, nearest, right, score, weight_by


def slow(images, texts, rows, scale: float) -> int:
    """The answer to one transformation: of the five nearest, the first that is not the image itself."""
    image, source, target = rows
    gallery = [np.asarray(row, float) / np.linalg.norm(np.asarray(row, float)) for row in images]
    unit = [np.asarray(row, float) / np.linalg.norm(np.asarray(row, float)) for row in texts]
    query = gallery[image] + scale * (unit[target] - unit[source])
    five = sorted(range(len(gallery)), key=lambda at: -float(query @ gallery[at]))[:5]
    return five[0] if five[0] != image else five[1]


def asked(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image", "source", "target"])


def drawn(seed: int, images: int, texts: int, count: int, d: int = 7):
    rng = np.random.default_rng(seed)
    table = asked(
        np.stack([rng.integers(0, n, count) for n in (images, texts, texts)], axis=1).astype(np.int32)
    )
    length = rng.uniform(0.1, 9, (images, 1))  # lengths mean nothing
    return (rng.normal(size=(images, d)) * length).astype(np.float32), rng.normal(size=(texts, d)), table


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_other_image_by_a_loop(seed) -> None:
    images, texts, table = drawn(seed, 23, 5, 40)
    found = nearest(images, texts, table)
    assert found.shape == (40, len(SCALES)) and found.dtype == np.int64
    for row, rows in enumerate(table.itertuples(index=False)):
        assert found[row].tolist() == [slow(images, texts, rows, scale) for scale in SCALES]
    assert (found != table["image"].to_numpy()[:, None]).all()


def test_no_result_depends_on_blocks() -> None:
    images, texts, table = drawn(3, 50, 9, 200)
    images[7] = images[31]  # ties
    whole = nearest(images, texts, table)
    for entries in (1, 50, 170, 999):
        assert np.array_equal(nearest(images, texts, table, entries=entries), whole)


def test_of_equally_near_images_the_first_is_taken() -> None:
    images = np.array([[1, 0], [0, 3], [0, 1], [0, 2.0]])
    texts = np.array([[1, 0], [0, 1.0]])
    assert nearest(images, texts, asked([(0, 0, 1)]), [1]).tolist() == [[1]]
    assert nearest(images, texts, asked([(1, 0, 1), (2, 1, 0)]), [0]).tolist() == [[2], [1]]


def test_torch_features_are_taken() -> None:
    import torch

    images, texts, table = drawn(4, 20, 5, 30)
    tensors = torch.from_numpy(images), torch.from_numpy(texts)
    assert np.array_equal(nearest(*tensors, table), nearest(images, texts, table))


def test_right_answers_and_scores_by_a_loop() -> None:
    rng = np.random.default_rng(5)
    found = rng.integers(0, 12, (30, 4))
    captions = [f"c{n}" for n in rng.integers(0, 6, 30)]
    shown = {(f"c{rng.integers(0, 8)}", int(rng.integers(0, 12))) for _ in range(40)}
    correct = right(found, captions, *zip(*shown, strict=True))
    weights = rng.uniform(0.1, 2, 30)
    for row in range(30):
        for column in range(4):
            assert correct[row, column] == ((captions[row], found[row, column]) in shown)
    for column, value in enumerate(score(correct, weights)):
        by_hand = sum(w for w, is_right in zip(weights, correct[:, column], strict=True) if is_right)
        assert value == pytest.approx(by_hand / sum(weights), abs=1e-12)
    assert not right(found, captions, [], []).any()


@pytest.mark.parametrize(("images", "answering"), [(9, 3), (3, 9)])
def test_an_image_is_right_by_its_own_captions(images, answering) -> None:
    """Whichever has the larger numbers, what was found or what bears a caption."""
    rng = np.random.default_rng(0)
    found, asking = rng.integers(0, images, (40, 3)), rng.choice(list("abcd"), 40)
    shown = {(str(rng.choice(list("abcd"))), int(rng.integers(0, answering))) for _ in range(9)}
    correct = right(found, asking, *zip(*shown, strict=True))
    assert 0 < correct.mean() < 1
    for row in range(40):
        assert correct[row].tolist() == [(asking[row], one) in shown for one in found[row].tolist()]


def test_a_source_of_many_transformations_weighs_less() -> None:
    assert weight_by(["dog", "cat", "dog", "dog", "dog"]).tolist() == [0.5, 1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.eye(4)[:1]}, "images holds one row, which has no other"),
        ({"images": np.eye(5)}, "images has width 5 and texts width 4"),
        ({"images": np.zeros((4, 4))}, "images holds zero vectors"),
        ({"texts": np.full((4, 4), np.nan)}, "texts holds NaN"),
        ({"transformations": asked([(4, 0, 1)])}, "image holds 4: give places from 0 to 3"),
        ({"transformations": asked([(0, -1, 1)])}, "source holds -1: give places from 0 to 3"),
        ({"transformations": asked([(0, 0.5, 1)])}, "source holds float64: give places, whole numbers"),
        (
            {"transformations": asked([(0, 1, 2)]).drop(columns="target")},
            "lacks the columns target: give image, source",
        ),
        ({"scales": []}, r"scales is \[\]: give one finite λ or more"),
        ({"scales": [1, np.inf]}, r"scales is \[1.0, inf\]"),
    ],
)
def test_what_cannot_be_used_is_named(change, message) -> None:
    given = {"images": np.eye(4), "texts": np.eye(4), "transformations": asked([(0, 1, 2)])} | change
    with pytest.raises((ValueError, TypeError), match=message):
        nearest(**given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: right(np.zeros((2, 1), int), ["a"], ["a"], [0]), "asked holds 1 captions for 2 transform"),
        (lambda: right(np.zeros((1, 1), int), ["a"], ["a"], []), "captions has length 1 and answers 0"),
        (lambda: score(np.ones((2, 1), bool), [1]), r"weights has shape \(1,\) for 2 transformations"),
        (lambda: score(np.ones((0, 1), bool), []), r"weights has shape \(0,\) for 0 transformations"),
        (lambda: score(np.ones((2, 1), bool), [1, 0]), "weights holds values that are not positive"),
    ],
)
def test_scores_of_what_does_not_fit(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_protocol_on_simats_own_tables_and_words(real) -> None:
    """The real transformations and word features, with synthetic features of the regions, near their words."""
    table = pd.read_csv(real / "simat" / "transfos.csv", index_col=0)
    held = np.load(real / "simat" / "words_clip_vit_b32.npz")
    words, texts = pd.Index(held["words"]), held["text_features"]
    regions = pd.Index(table["region_id"].unique())
    rng = np.random.default_rng(0)
    images = rng.normal(size=(len(regions), texts.shape[1])).astype(np.float32)
    values = table.drop_duplicates("region_id").set_index("region_id")["value"][regions]
    images = 0.05 * images + texts[words.get_indexer(values)]
    rows = pd.DataFrame(
        {
            "image": regions.get_indexer(table["region_id"]),
            "source": words.get_indexer(table["value"]),
            "target": words.get_indexer(table["target"]),
        }
    )
    assert (rows >= 0).all(axis=None)
    oscar = rng.random((len(regions), table["target_ids"].max() + 1), dtype=np.float32)
    oscar[:, :] = np.where(rng.random(oscar.shape) < 0.1, oscar, oscar / 2)
    shown, caption = np.nonzero(oscar > 0.5)
    correct = right(nearest(images, texts, rows, [0, 1]), table["target_ids"], caption, shown)

    gallery = images / np.linalg.norm(images.astype(float), axis=1, keepdims=True)
    unit = texts / np.linalg.norm(texts.astype(float), axis=1, keepdims=True)
    chosen = rng.choice(len(table), 500, replace=False)
    for scale, found in zip((0, 1), correct.T, strict=True):
        for at in chosen:
            image, source, target = rows.iloc[at]
            five = np.argsort(-(gallery @ (gallery[image] + scale * (unit[target] - unit[source]))))[:5]
            answer = five[0] if five[0] != image else five[1]
            assert found[at] == (oscar[answer, table["target_ids"].iloc[at]] > 0.5)

    assert np.allclose(weight_by(table["value"]), table["norm2"] ** -0.5, rtol=1e-15)
    for is_test, count in ((False, 8933), (True, 9063)):
        at = (table["is_test"] == is_test).to_numpy()
        assert at.sum() == count
        weights = 1 / table["norm2"][at] ** 0.5
        expected = [np.average(found[at], weights=weights / weights.sum()) for found in correct.T]
        assert score(correct[at], weights) == pytest.approx(expected, abs=1e-12)
    assert arithmetic.SCALES[4] == 1


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_images_without_a_label_take_no_part(missing) -> None:
    asked, answers = by_labels(list("abcd"), ["red", "blue", "green", "red"], ["sq", missing, missing, "sq"])
    assert asked.empty and answers["image"].tolist() == ["a", "d"]


def test_ids_may_be_numbers_and_labels_of_another_number_are_said() -> None:
    colours, shapes = ["red", "blue", "red"], ["sq", "sq", "ci"]
    of_numbers, of_words = (by_labels(ids, colours, shapes)[0] for ids in ([1, 2, 3], ["1", "2", "3"]))
    pd.testing.assert_frame_equal(of_numbers, of_words)
    with pytest.raises(ValueError, match="source holds 2 labels for 3 items"):
        by_labels([1, 2, 3], colours[:2], shapes)


def test_a_missing_caption_and_a_row_that_is_none_are_never_right() -> None:
    with pytest.raises(ValueError, match="asked and captions lack the text of 1, 3"):
        right(np.array([[0], [1]]), ["x", None], ["x", None], [0, 1])
    with pytest.raises(ValueError, match="answers holds -1"):
        right(np.array([[1], [0]]), ["x", "y"], ["x", "y"], [0, -1])
    with pytest.raises(ValueError, match="sources lack the text of 1"):
        weight_by(["a", None])


def test_transformations_are_a_table() -> None:
    rows = np.eye(3)
    with pytest.raises(
        TypeError, match="transformations is a dict: give a DataFrame with the columns image, source"
    ):
        nearest(rows, rows, {"image": [0], "source": [0], "target": [1]})
