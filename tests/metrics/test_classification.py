from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crossgap.errors import UnavailableError
from crossgap.metrics.classification import class_prototypes, class_sums, few_shot, summarise, zero_shot
from tests.rows import unit


def test_a_class_whose_prompts_cancel_out_is_named():
    features = [[3.0, 0.0], [0.6, 0.8], [-0.5, 0.0], [0.0, 2.0]]
    with pytest.raises(UnavailableError, match=r"of class red point in opposite directions .* other prompts"):
        class_prototypes(np.array(features), ["red", "blue", "red", "blue"])
    around = np.array([[np.cos(a), np.sin(a)] for a in 2 * np.pi * np.arange(7) / 7])
    with pytest.raises(UnavailableError, match="class red"):  # but for rounding
        class_prototypes(around, ["red"] * 7)


def test_a_mean_of_some_zeros_is_one():
    prototypes, _ = class_prototypes(np.eye(3)[[0, 1, 1]], ["red", "red", "blue"])
    np.testing.assert_allclose(prototypes, [[0.5**0.5, 0.5**0.5, 0], [0, 1, 0]])


def test_prototypes_are_means_of_unit_prompts():
    features = np.random.default_rng(0).standard_normal((7, 5))
    labels = ["cat", "dog", "cat", "eel", "dog", "cat", "eel"]
    prototypes, classes = class_prototypes(torch.from_numpy(features), labels)
    assert classes == ["cat", "dog", "eel"]
    for prototype, members in zip(prototypes, ([0, 2, 5], [1, 4], [3, 6]), strict=True):
        np.testing.assert_allclose(prototype, unit(np.mean([unit(features[i]) for i in members], axis=0)))


@pytest.mark.parametrize("block_size", [None, 1, 7])
def test_zero_shot_takes_the_nearest_class(block_size):
    rng = np.random.default_rng(1)
    images, prototypes = rng.standard_normal((50, 6)), rng.standard_normal((4, 6))
    labels, classes = rng.choice(list("abcd"), 50), list("abcd")
    table = zero_shot(images.astype(np.float32), labels, prototypes, classes, block_size=block_size)
    predicted = [max(classes, key=lambda c: unit(image) @ unit(prototypes[ord(c) - 97])) for image in images]
    assert table["predicted"].tolist() == predicted
    assert table["correct"].tolist() == [p == label for p, label in zip(predicted, labels, strict=True)]
    accuracy = np.mean(np.array(predicted) == labels)
    assert summarise(table) == {"accuracy": accuracy, "images": 50, "images_without_label": 0}


def test_images_without_a_label_are_left_out_and_counted():
    images = np.array([[1.0, 0.1], [0.1, 1], [1, 0], [0, 1]])
    table = zero_shot(images, ["a", None, "b", ""], np.eye(2), ["a", "b"])
    assert table["predicted"].tolist() == ["a", "b", "a", "b"]
    assert table["correct"].isna().tolist() == [False, True, False, True]
    assert summarise(table) == {"accuracy": 0.5, "images": 2, "images_without_label": 2}
    assert math.isnan(summarise(zero_shot(images, [None] * 4, np.eye(2), ["a", "b"]))["accuracy"])


def test_the_first_of_equal_classes_wins():
    prototypes = np.array([[1.0, 2.0], [3.0, 6.0], [0.1, 0.2]])
    table = zero_shot(np.random.default_rng(2).standard_normal((20, 2)), [2] * 20, prototypes, [5, 2, 7])
    assert table["predicted"].tolist() == [5] * 20
    assert not table["correct"].any()


IMAGES, EYE = np.ones((3, 2)), np.eye(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zero_shot(IMAGES, list("axy"), EYE, ["a", "b"]), "no class for the labels x, y"),
        (lambda: zero_shot(IMAGES, list("aaa"), np.eye(3), ["a", "b", "c"]), "2 and prototypes width 3"),
        (lambda: zero_shot(IMAGES, list("aa"), EYE, ["a", "b"]), "2 labels for 3 items"),
        (lambda: zero_shot(IMAGES, list("aaa"), EYE, ["a"]), "classes holds 1 labels for 2 items"),
        (lambda: zero_shot(IMAGES, list("aaa"), EYE, ["a", "a"]), "repeat"),
        (lambda: zero_shot(IMAGES, [0, 1, 0], EYE, ["0", "1"]), "never match"),
        (lambda: zero_shot(IMAGES * 0, list("aaa"), EYE, ["a", "b"]), "image_features holds zero vectors"),
        (lambda: class_prototypes(IMAGES, ["a", None, "b"]), "prompts 1 have no class"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("prompts", "accuracy"), [("prompt_set_1", 0.606), ("prompt_set_2", 0.611)])
def test_imagenet_on_real_features(real, prompts, accuracy):
    texts = np.load(real / "clip-vit-b32" / "imagenet_class_text.npz")[prompts]
    shots = np.load(real / "clip-vit-b32" / "imagenet_1shot.npz")
    prototypes, classes = class_prototypes(texts, range(1000))
    table = zero_shot(shots["features"], shots["labels"], prototypes, classes)
    assert summarise(table)["accuracy"] == pytest.approx(accuracy, abs=2e-4)


def test_few_shots_are_so_many_of_each_class_and_more_of_the_same():
    labels = np.array(["a"] * 5 + ["b"] * 3 + ["", None] + ["c"], dtype=object)
    ids = [f"item {i}" for i in range(len(labels))]
    before: set[int] = set()
    for shots in (1, 2, 4, 8):
        rows = few_shot(labels, ids, shots)
        assert rows.tolist() == sorted(set(rows.tolist())) and before <= set(rows.tolist())
        counts = {name: int((labels[rows] == name).sum()) for name in "abc"}
        assert counts == {"a": min(shots, 5), "b": min(shots, 3), "c": 1} and len(rows) == sum(
            counts.values()
        )
        before = set(rows.tolist())


def test_few_shots_depend_on_ids_and_seed_and_not_on_order_or_company():
    ids = np.array([f"item {i}" for i in range(40)])
    labels = np.arange(40) % 3
    order = np.random.default_rng(0).permutation(40)
    drawn = set(ids[few_shot(labels, ids, 4, seed=(1, 2))])
    assert set(ids[order][few_shot(labels[order], ids[order], 4, seed=(1, 2))]) == drawn
    alone = labels == 1
    assert set(ids[alone][few_shot(labels[alone], ids[alone], 4, seed=(1, 2))]) == drawn & set(ids[alone])
    assert len({frozenset(few_shot(labels, ids, 4, seed=(1, draw)).tolist()) for draw in range(5)}) == 5
    with pytest.raises(ValueError, match="shots is 0"):
        few_shot(labels, ids, 0)


def test_rows_of_a_class_are_added_in_their_order():
    rng = np.random.default_rng(0)
    rows, codes = rng.standard_normal((200, 7)), np.r_[np.arange(4), np.minimum(rng.integers(0, 40, 196), 3)]
    expected = np.zeros((4, 7))
    for row, code in zip(rows, codes, strict=True):
        expected[code] += row
    np.testing.assert_array_equal(class_sums(rows, codes), expected)


def test_shots_are_whole():
    with pytest.raises(TypeError, match=r"shots is 1\.5: give a whole number from 1"):
        few_shot(["a", "a", "b"], ["x", "y", "z"], 1.5)
