"""Measures of the gap against slow sums over pairs, known geometry and real features."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from crossgap.gap import alignment, centroid_distance, gap_metrics, linear_separability, measures, uniformity


def cloud(seed: int, n: int, shift: float = 0.0, d: int = 8) -> np.ndarray:
    features = np.random.default_rng(seed).standard_normal((n, d))
    features[:, 0] += shift
    return features


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_uniformity_is_the_mean_over_pairs(n, monkeypatch):
    x = cloud(0, n)
    pairs = [math.exp(-2 * float(((a - b) ** 2).sum())) for a, b in combinations(unit(x), 2)]
    expected = math.log(sum(pairs) / len(pairs))
    assert uniformity(x) == pytest.approx(expected, abs=1e-12)
    for block in (1, 3, n):
        monkeypatch.setattr(measures, "BLOCK", block)
        assert uniformity(x) == pytest.approx(expected, abs=1e-12)


def test_known_geometry():
    point, axes = np.tile([[1.0, 2.0, 2.0]], (6, 1)), np.eye(4) * 7
    assert uniformity(point) == pytest.approx(0, abs=1e-12)
    assert uniformity(axes) == pytest.approx(-4)
    assert centroid_distance(point, -3 * point) == pytest.approx(2)
    assert centroid_distance(axes, axes[[2, 0, 1]]) == pytest.approx(math.hypot(*[1 / 12] * 3, 1 / 4))
    assert alignment(point, -point) == pytest.approx(4)
    assert alignment(axes, axes[::-1]) == pytest.approx(2)
    assert alignment(axes, 2 * axes) == 0


def test_centroid_distance_and_alignment_by_definition():
    x, y = cloud(1, 30), cloud(2, 30, shift=1)
    assert centroid_distance(x, y) == pytest.approx(np.linalg.norm(unit(x).mean(0) - unit(y).mean(0)))
    pairs = zip(unit(x), unit(y), strict=True)
    assert alignment(x, y) == pytest.approx(np.mean([np.sum((a - b) ** 2) for a, b in pairs]))


def test_linear_separability_of_one_cloud_and_of_two():
    assert linear_separability(cloud(3, 400), cloud(4, 400)) == pytest.approx(0.5, abs=0.15)
    assert linear_separability(cloud(3, 400, 9), cloud(4, 400, -9)) == 1
    assert linear_separability(cloud(3, 2, 9), cloud(4, 2, -9)) == 1


def test_inseparable_stays_near_a_half_when_one_side_is_longer():
    assert linear_separability(cloud(5, 300), cloud(6, 3000)) == pytest.approx(0.5, abs=0.15)


def test_separability_follows_its_seed():
    x, y = cloud(7, 60), cloud(8, 90, shift=0.5)
    values = {linear_separability(x, y, seed) for seed in range(6)}
    assert linear_separability(x, y, 3) == linear_separability(x, y, 3)
    assert len(values) > 1


def test_gap_metrics_gathers_them():
    x, y = cloud(9, 50, 1), cloud(10, 50, -1)
    assert gap_metrics(x, torch.from_numpy(y)) == {
        "centroid_distance": centroid_distance(x, y),
        "linear_separability": linear_separability(x, y, 0),
        "uniformity_image": uniformity(x),
        "uniformity_text": uniformity(y),
        "alignment": alignment(x, y),
    }
    assert "alignment" not in gap_metrics(x, y[:40], paired=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gap_metrics(cloud(0, 5), cloud(0, 4)), "5 rows and text_features 4.*paired=False"),
        (lambda: alignment(cloud(0, 5), cloud(0, 4)), "x has 5 rows and y 4"),
        (lambda: centroid_distance(cloud(0, 5), cloud(0, 5, d=9)), "x has width 8 and y width 9"),
        (lambda: gap_metrics(cloud(0, 5) * np.nan, cloud(0, 5)), "image_features holds NaN"),
        (lambda: gap_metrics(cloud(0, 5), cloud(0, 5) * 0), "text_features holds zero vectors"),
        (lambda: uniformity(cloud(0, 1)), "at least 2"),
        (lambda: linear_separability(cloud(0, 1), cloud(0, 5)), "at least 2 on each side"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_gap_of_real_features(real):
    data = np.load(real / "clip-vit-b16" / "coco_val2017_500.npz")
    gap = gap_metrics(data["image_features"], data["text_features"])
    assert gap["centroid_distance"] == pytest.approx(0.851, abs=0.002)
    assert gap["alignment"] == pytest.approx(1.380, abs=0.002)
    assert gap["uniformity_image"] == pytest.approx(-1.795, abs=0.002)
    assert gap["uniformity_text"] == pytest.approx(-1.841, abs=0.002)
    assert gap["linear_separability"] > 0.99
