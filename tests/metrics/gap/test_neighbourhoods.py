"""Ranks of the other modality, shared neighbours, silhouettes, orders of classes: by loops, and on real features."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from crossgap.errors import UnavailableError
from crossgap.metrics import neighbours
from crossgap.metrics.gap.neighbourhoods import (
    class_order_distance,
    modality_ranks,
    neighbour_overlap,
    silhouette,
)
from tests.rows import unit


def clouds(n: int = 17, m: int = 17, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, d)) + 0.7, rng.normal(size=(m, d)) - 0.1


def by_hand(x: np.ndarray, y: np.ndarray) -> list[int]:
    x, y = unit(x), unit(y)
    found = []
    for i, row in enumerate(x):
        nearest = max(float(row @ other) for other in y)
        found.append(1 + sum(float(row @ other) > nearest for j, other in enumerate(x) if j != i))
    return found


@pytest.mark.parametrize("entries", [1, 40, 2**22])
def test_the_rank_of_the_other_modality_by_a_double_loop(entries, monkeypatch):
    monkeypatch.setattr(neighbours, "ENTRIES_IN_A_BLOCK", entries)
    x, y = clouds(17, 9)
    assert modality_ranks(x, y).tolist() == by_hand(x, y)
    assert modality_ranks(y, x).tolist() == by_hand(y, x)
    assert len(set(by_hand(x, y))) > 3


def test_all_of_ones_own_modality_come_first_where_the_clouds_are_apart():
    x, y = clouds()
    x, y = np.abs(x), -np.abs(y)
    assert modality_ranks(x, y).tolist() == [17] * 17
    # an item of the other modality that is as near as the nearest of one's own comes first
    assert modality_ranks(x, x).tolist() == [1] * 17


@pytest.mark.parametrize("entries", [1, 2**22])
def test_shared_neighbours_by_sorting(entries, monkeypatch):
    monkeypatch.setattr(neighbours, "ENTRIES_IN_A_BLOCK", entries)
    x, y = clouds()
    x[3] = x[8]  # equal similarities: the first of them counts
    found = neighbour_overlap(x, y, k=4)
    for i in range(len(x)):
        near = []
        for side in map(unit, (x, y)):
            scores = [-round(float(side[i] @ side[j]), 8) for j in range(len(side))]
            near.append(set(sorted((j for j in range(len(side)) if j != i), key=lambda j: scores[j])[:4]))
        assert found[i] == len(near[0] & near[1]) / 4
    assert 0 < found.mean() < 1


@pytest.mark.parametrize(("n", "m"), [(12, 12), (5, 20), (2, 3)])
def test_the_silhouette_is_scikit_learns(n, m):
    x, y = clouds(n, m)
    labels = [0] * n + [1] * m
    expected = silhouette_score(np.concatenate([x, y]), labels, metric="cosine")
    assert silhouette(3 * x, y / 5) == pytest.approx(expected, abs=1e-12)
    assert silhouette(np.eye(3)[[0] * n], np.eye(3)[[0] * m]) == 0  # one point


def test_orders_of_classes_pair_by_pair():
    x, y = clouds(8, 8)
    x[2] = x[5]  # a pair that the images tie and the texts don't counts half
    found = class_order_distance(x, y)
    for i in range(8):
        one, other = (unit(side) @ unit(side)[i] for side in (x, y))
        total = 0.0
        for j, k in combinations([j for j in range(8) if j != i], 2):
            signs = [np.sign(round(float(side[j] - side[k]), 9)) for side in (one, other)]
            total += 1.0 if signs[0] * signs[1] < 0 else 0.5 if 0 in signs and signs[0] != signs[1] else 0.0
        assert found[i] == pytest.approx(total / 21, abs=1e-12)
    assert class_order_distance(x, x).tolist() == [0.0] * 8
    assert class_order_distance(np.ones((4, 3)), np.ones((4, 3))).tolist() == [0.0] * 4


def test_reversed_orders_are_1():
    turns = np.deg2rad([0, 10, 25, 45])
    x = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    turns = np.deg2rad([0, 45, 25, 10])  # the first class sees the others in the opposite order
    y = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    assert class_order_distance(x, y)[0] == 1


def test_too_few_items_say_so():
    x, y = clouds(11, 11)
    with pytest.raises(UnavailableError, match="neighbour overlap at 10 of 11 pairs: give at least 12"):
        neighbour_overlap(x, y)
    with pytest.raises(UnavailableError, match="neighbour overlap at 10 of 1 pair: give at least 12"):
        neighbour_overlap(x[:1], y[:1])
    with pytest.raises(UnavailableError, match="neighbours of 1 class: give at least 3"):
        class_order_distance(x[:1], y[:1])
    with pytest.raises(UnavailableError, match="silhouette of 1 and 11 rows"):
        silhouette(x[:1], y)
    with pytest.raises(UnavailableError, match="of 2 classes: give at least 3"):
        class_order_distance(x[:2], y[:2])
    for measure in (neighbour_overlap, class_order_distance):
        with pytest.raises(ValueError, match=r"x has 11 .* and y 9"):
            measure(x, y[:9])


# what a naive script gives: TMR and its median, IMR and its median, shares (texts, images, all), NAS@10, silhouette
REAL = {
    ("coco", False): (475.988, 491, 495.808, 499, 0, 0, 0, 24.94, 15.58, 0.431823),
    ("coco", True): (20.228, 16, 20.214, 15, 4.00, 3.60, 3.80, 28.24, 18.08, -0.001596),
    ("flickr", False): (89.250, 95, 99.870, 100, 0, 0, 0, 37.30, 24.66, 0.418799),
    ("flickr", True): (4.570, 4, 5.020, 4, 16.00, 24.00, 20.00, 39.90, 26.47, -0.009412),
}


def pairs(real, name: str, centred: bool) -> tuple[np.ndarray, np.ndarray]:
    path = {"coco": "clip-vit-b16/coco_val2017_500.npz", "flickr": "clip-vit-b32/flickr8k_100x5.npz"}[name]
    held = np.load(real / path)
    step = 5 if name == "flickr" else 1
    sides = [unit(held[f"{side}_features"][::step]) for side in ("image", "text")]
    return tuple(unit(side - side.mean(axis=0)) if centred else side for side in sides)


@pytest.mark.parametrize(("name", "centred"), REAL)
def test_real_pairs(real, name, centred):
    x, y = pairs(real, name, centred)
    imr, tmr, share = modality_ranks(x, y), modality_ranks(y, x), neighbour_overlap(x, y)
    both = np.concatenate([imr, tmr])
    found = [tmr.mean(), np.median(tmr), imr.mean(), np.median(imr)]
    found += [100 * (ranks == 1).mean() for ranks in (tmr, imr, both)]
    found += [100 * share.mean(), 100 * (share / (2 - share)).mean(), silhouette(x, y)]
    digits = [3, 1, 3, 1, 2, 2, 2, 2, 2, 6]
    assert [round(value, places) for value, places in zip(found, digits, strict=True)] == list(
        REAL[name, centred]
    )


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("videoclip", (100.0, 8.2), (100.0, 9.09)), ("clasp", (96.626, 25.929), (98.889, 29.121))],
)
def test_other_modalities(real, name, first, second):
    held = np.load(real / f"gap/{name}.npz")
    x, y = unit(held["first"]), unit(held["second"])
    centred = tuple(unit(side - side.mean(axis=0)) for side in (x, y))
    for number, (a, b) in enumerate(((x, y), centred)):
        assert round(modality_ranks(a, b).mean(), 3) == first[number]
        assert round(modality_ranks(b, a).mean(), 3) == second[number]


def test_an_overlap_of_no_number_of_neighbours_is_told():
    for k in ("5", [5], 2.0):
        with pytest.raises(TypeError, match=r"^k is .*: give a whole number from 1$"):
            neighbour_overlap(np.eye(9), np.eye(9), k)
