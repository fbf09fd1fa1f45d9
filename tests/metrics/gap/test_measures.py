"""Measures of the gap against slow sums over pairs, known geometry and real features."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from crossgap.metrics.gap import (
    alignment,
    centroid_distance,
    cross_uniformity,
    effective_rank,
    gap_metrics,
    linear_separability,
    matching_distance,
    measures,
    relative_modality_gap,
    uniformity,
)
from crossgap.metrics.retrieval import retrieval_metrics
from tests.rows import unit


def cloud(seed: int, n: int, shift: float = 0.0, d: int = 8) -> np.ndarray:
    features = np.random.default_rng(seed).standard_normal((n, d))
    features[:, 0] += shift
    return features


@pytest.mark.parametrize("n", [2, 5, 40])
def test_uniformity_is_the_mean_over_pairs(n, monkeypatch):
    x = cloud(0, n)
    pairs = [math.exp(-2 * float(((a - b) ** 2).sum())) for a, b in combinations(unit(x), 2)]
    expected = math.log(sum(pairs) / len(pairs))
    assert uniformity(x) == pytest.approx(expected, abs=1e-12)
    for block in (1, 3, n):
        monkeypatch.setattr(measures, "BLOCK", block)
        assert uniformity(x) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_cross_uniformity_is_the_mean_over_pairs_that_do_not_match(n, monkeypatch):
    x, y = cloud(0, n), cloud(1, n, shift=1)
    terms = []
    for j, a in enumerate(unit(x)):
        for k, b in enumerate(unit(y)):
            if j != k:
                terms.append(math.exp(-2 * float(((a - b) ** 2).sum())))
    expected = math.log(sum(terms) / len(terms))
    assert len(terms) == n * (n - 1)
    assert cross_uniformity(x, y) == pytest.approx(expected, abs=1e-12)
    for block in (1, 3, n):
        monkeypatch.setattr(measures, "BLOCK", block)
        assert cross_uniformity(x, y) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_relative_modality_gap_by_a_double_loop(n):
    x, y = unit(cloud(2, n, shift=1)), unit(cloud(3, n, shift=-1))

    def apart(a, b):
        return (1 - float(a @ b)) / 2

    matching = np.mean([apart(a, b) for a, b in zip(x, y, strict=True)])
    inside = [
        np.mean([apart(rows[j], rows[k]) for j in range(n) for k in range(n) if j != k]) for rows in (x, y)
    ]
    expected = matching / (matching + sum(inside) / 2)
    assert 0 < expected < 1
    assert relative_modality_gap(3 * x, y / 7) == pytest.approx(expected, abs=1e-12)


def test_matching_distance_pair_by_pair():
    x, y = cloud(4, 30), cloud(5, 30, shift=1)
    expected = sum(math.dist(a, b) for a, b in zip(unit(x), unit(y), strict=True)) / 30
    assert matching_distance(x, y) == pytest.approx(expected, abs=1e-12)


def test_known_geometry():
    point, axes = np.tile([[1.0, 2.0, 2.0]], (6, 1)), np.eye(4) * 7
    assert uniformity(point) == pytest.approx(0, abs=1e-12)
    assert uniformity(axes) == pytest.approx(-4)
    assert centroid_distance(point, -3 * point) == pytest.approx(2)
    assert centroid_distance(axes, axes[[2, 0, 1]]) == pytest.approx(math.hypot(*[1 / 12] * 3, 1 / 4))
    assert alignment(point, -point) == pytest.approx(4)
    assert alignment(axes, axes[::-1]) == pytest.approx(2)
    assert alignment(axes, 2 * axes) == 0
    assert matching_distance(point, -point) == pytest.approx(2)
    assert matching_distance(axes, axes[::-1]) == pytest.approx(math.sqrt(2))
    assert cross_uniformity(point, point) == pytest.approx(0, abs=1e-12)
    assert cross_uniformity(point, -point) == pytest.approx(-8)
    assert relative_modality_gap(axes, axes) == 0
    assert relative_modality_gap(axes, axes[::-1]) == pytest.approx(0.5)
    assert relative_modality_gap(point, -point) == pytest.approx(1)
    assert math.isnan(relative_modality_gap(point, 2 * point))
    one = np.tile(np.random.default_rng(0).standard_normal(7), (9, 1))  # whose mean is rounded
    assert math.isnan(relative_modality_gap(one, one))


def test_centroid_distance_and_alignment_by_definition():
    x, y = cloud(1, 30), cloud(2, 30, shift=1)
    assert centroid_distance(x, y) == pytest.approx(np.linalg.norm(unit(x).mean(0) - unit(y).mean(0)))
    pairs = zip(unit(x), unit(y), strict=True)
    assert alignment(x, y) == pytest.approx(np.mean([np.sum((a - b) ** 2) for a, b in pairs]))


@pytest.mark.parametrize(("noise", "within"), [(0, 0), (0.1, 0.1), (1, 0.1)])
def test_linear_separability_of_a_closed_gap_is_chance_however_near_the_pairs(noise, within):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((300, 128))
    y = x + noise * rng.standard_normal(x.shape)
    assert linear_separability(x, y) == pytest.approx(0.5, abs=within)
    assert linear_separability(x, y - 5) == 1


def test_linear_separability_of_one_cloud_and_of_two():
    assert linear_separability(cloud(3, 400), cloud(4, 400)) == pytest.approx(0.5, abs=0.15)
    assert linear_separability(cloud(3, 400, 9), cloud(4, 400, -9)) == 1
    assert linear_separability(cloud(3, 2, 9), cloud(4, 2, -9)) == 1


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_narrow_clouds_that_differ_by_little_are_separable(gap):
    rng = np.random.default_rng(0)
    narrow = rng.normal(size=64) + 1e-3 * gap * rng.normal(size=(400, 64))
    assert linear_separability(narrow[:200], narrow[200:] + gap) == 1
    assert linear_separability(narrow[:200], narrow[200:]) == pytest.approx(0.5, abs=0.15)


def test_inseparable_stays_near_a_half_when_one_side_is_longer():
    assert linear_separability(cloud(5, 300), cloud(6, 3000)) == pytest.approx(0.5, abs=0.15)


def test_the_longer_side_is_sampled_all_over():
    """Its first rows alone, as many as the shorter side has, are of the other's cloud."""
    x, y = cloud(5, 100, 9), np.concatenate([cloud(6, 100, 9), cloud(7, 900, -9)])
    assert linear_separability(x, y) > 0.8
    assert linear_separability(y, x) > 0.8


def test_separability_follows_its_seed():
    x, y = cloud(7, 60), cloud(8, 90, shift=0.5)
    values = {linear_separability(x, y, seed) for seed in range(6)}
    assert linear_separability(x, y, 3) == linear_separability(x, y, 3)
    assert len(values) > 1


def test_gap_metrics_gathers_them():
    x, y = cloud(9, 50, 1), cloud(10, 50, -1)
    expected = {
        "centroid_distance": centroid_distance(x, y),
        "linear_separability": linear_separability(x, y, 0),
        "uniformity_image": uniformity(x),
        "uniformity_text": uniformity(y),
        "effective_rank_image": effective_rank(x),
        "effective_rank_text": effective_rank(y),
        "alignment": alignment(x, y),
        "matching_distance": matching_distance(x, y),
        "cross_uniformity": cross_uniformity(x, y),
        "relative_modality_gap": relative_modality_gap(x, y),
    }
    assert gap_metrics(x, torch.from_numpy(y)) == pytest.approx(expected, rel=1e-12)
    assert list(gap_metrics(x, y[:40], paired=False)) == list(gap_metrics(x, y))[:6]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gap_metrics(cloud(0, 5), cloud(0, 4)), "5 rows and text_features 4.*paired=False"),
        (lambda: alignment(cloud(0, 5), cloud(0, 4)), "x has 5 rows and y 4"),
        (lambda: matching_distance(cloud(0, 5), cloud(0, 4)), "x has 5 rows and y 4"),
        (lambda: cross_uniformity(cloud(0, 5), cloud(0, 4)), "x has 5 rows and y 4"),
        (lambda: cross_uniformity(cloud(0, 1), cloud(1, 1)), "cross uniformity of 1 pair.*at least 2"),
        (lambda: relative_modality_gap(cloud(0, 4), cloud(0, 5)), "x has 4 rows and y 5"),
        (
            lambda: relative_modality_gap(cloud(0, 1), cloud(1, 1)),
            "relative modality gap of 1 pair.*at least 2",
        ),
        (lambda: centroid_distance(cloud(0, 5), cloud(0, 5, d=9)), "x has width 8 and y width 9"),
        (lambda: gap_metrics(cloud(0, 5) * np.nan, cloud(0, 5)), "image_features holds NaN"),
        (lambda: gap_metrics(cloud(0, 5), cloud(0, 5) * 0), "text_features holds zero vectors"),
        (lambda: gap_metrics(cloud(0, 5), cloud(0, 5), paired="no"), "paired is 'no': give True or False"),
        (lambda: gap_metrics(cloud(0, 5), cloud(0, 5), seed=0.5), "seed is 0.5: give a whole number"),
        (lambda: uniformity(cloud(0, 1)), "at least 2"),
        (lambda: linear_separability(cloud(0, 1), cloud(0, 5)), "at least 2 on each side"),
        (lambda: linear_separability(cloud(0, 5), cloud(0, 5), -1), "seed is -1: give at least 0"),
        (lambda: linear_separability(cloud(0, 5), cloud(0, 5), "a"), "seed is 'a': give a whole number"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_gap_of_real_features(real):
    data = np.load(real / "clip-vit-b16" / "coco_val2017_500.npz")
    gap = gap_metrics(data["image_features"], data["text_features"])
    assert gap["centroid_distance"] == pytest.approx(0.851, abs=0.002)
    assert gap["alignment"] == pytest.approx(1.380, abs=0.002)
    assert gap["uniformity_image"] == pytest.approx(-1.795, abs=0.002)
    assert gap["uniformity_text"] == pytest.approx(-1.841, abs=0.002)
    assert gap["linear_separability"] > 0.99
    images, texts = (unit(data[f"{side}_features"].astype(np.float64)) for side in ("image", "text"))
    cosines, off = images @ texts.T, ~np.eye(500, dtype=bool)
    assert gap["cross_uniformity"] == pytest.approx(np.log(np.exp(4 * cosines[off] - 4).mean()), abs=1e-9)
    assert gap["matching_distance"] == pytest.approx(np.sqrt(2 - 2 * cosines.diagonal()).mean(), abs=1e-9)
    inside = np.mean([(1 - (rows @ rows.T)[off].mean()) / 2 for rows in (images, texts)])
    matching = (1 - cosines.diagonal().mean()) / 2
    assert gap["relative_modality_gap"] == pytest.approx(matching / (matching + inside), abs=1e-9)


# centroid distance, alignment, uniformity of both, recall@1 in % both ways: as they are, and centred
REAL = {
    "clip-vit-b16/coco_val2017_500": (
        (0.851352, 1.380163, -1.794535, -1.840912, 55.20, 50.60),
        (0.027881, 1.370698, -3.758237, -3.758881, 54.20, 50.00),
    ),
    "clip-vit-b32/flickr8k_100x5": (
        (0.835048, 1.347678, -1.708880, -1.941317, 80.00, 83.00),
        (0.033221, 1.365075, -3.789802, -3.824730, 79.00, 85.00),
    ),
    "gap/videoclip": (
        (1.066891, 1.816950, -1.210062, -1.930989, 37.00, 24.00),
        (0.035585, 1.669655, -3.881167, -3.825235, 44.00, 39.00),
    ),
    "gap/clasp": (
        (1.044664, 1.760795, -1.346928, -0.961093, 3.03, 0.00),
        (0.146262, 1.976513, -3.207225, -2.537027, 1.01, 1.01),
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_every_digit_on_real_pairs(real, name):
    held = np.load(real / f"{name}.npz")
    names = ("first", "second") if name.startswith("gap") else ("image_features", "text_features")
    x, y = (unit(held[side][:: 5 if "flickr" in name else 1].astype(np.float64)) for side in names)
    for values in REAL[name]:
        found = [centroid_distance(x, y), alignment(x, y), uniformity(x), uniformity(y)]
        assert [round(value, 6) for value in found] == list(values[:4])
        own = np.arange(len(x))
        for queries, gallery, value in ((x, y, values[4]), (y, x, values[5])):
            recall = retrieval_metrics(queries, gallery, own, own)["recall@1"].mean()
            assert round(100 * recall, 2) == value
        x, y = (unit(side - side.mean(axis=0)) for side in (x, y))


def test_a_seed_that_scikit_learn_does_not_take():
    """Seeds go up to 2⁶³, scikit-learn's to 2³²: those below are its own."""
    x, y = cloud(0, 40), cloud(1, 40)
    assert linear_separability(x, y, 2**32 + 5) == linear_separability(x, y, 2**32 + 5)
    assert 0 <= gap_metrics(x, y, seed=2**62)["linear_separability"] <= 1
