"""Shifted clouds row by row, and where their means end up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossgap.metrics.gap import centroid_distance, gap_vector, moved, shifted


def clouds(n: int = 30, m: int = 20, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, d)) + 1, 5 * rng.normal(size=(m, d)) - np.arange(d)


def unit(row: np.ndarray) -> np.ndarray:
    return row / np.sqrt(sum(value**2 for value in row))


@pytest.mark.parametrize("amount", [-1, 0.25, 1, 2])
def test_each_row_moves_along_the_vector_between_the_means(amount):
    x, y = clouds()
    delta = sum(map(unit, x)) / len(x) - sum(map(unit, y)) / len(y)
    np.testing.assert_allclose(gap_vector(x, y), delta, atol=1e-14)
    images, texts = shifted(x, torch.from_numpy(y), amount)
    for row, found in zip(x, images, strict=True):
        np.testing.assert_allclose(found, unit(unit(row) - amount / 2 * delta), atol=1e-14)
    for row, found in zip(y, texts, strict=True):
        np.testing.assert_allclose(found, unit(unit(row) + amount / 2 * delta), atol=1e-14)


def test_before_rows_are_made_unit_length_again_the_amounts_close_swap_and_double_the_gap():
    x, y = (np.stack([unit(row) for row in rows]) for rows in clouds())
    delta = x.mean(axis=0) - y.mean(axis=0)
    for amount, left in ((0, 1), (1, 0), (2, -1), (-1, 2)):
        between = (x - amount / 2 * delta).mean(axis=0) - (y + amount / 2 * delta).mean(axis=0)
        np.testing.assert_allclose(between, left * delta, atol=1e-14)
    np.testing.assert_allclose(np.concatenate(shifted(x, y, 0)), np.concatenate([x, y]), atol=1e-15)


def test_the_gap_of_real_features_closes_and_opens_again(real):
    data = np.load(real / "clip-vit-b16" / "coco_val2017_500.npz")
    sides = data["image_features"], data["text_features"]
    distances = {amount: centroid_distance(*shifted(*sides, amount)) for amount in (-1, 0, 0.5, 1, 1.5, 2)}
    assert distances[0] == pytest.approx(0.851, abs=0.002)
    assert distances[-1] > distances[0] > distances[0.5] > 0.3 > 0.05 > distances[1]
    assert distances[1] < distances[1.5] < distances[2]


def test_bad_input_is_named():
    x, y = clouds()
    with pytest.raises(ValueError, match="x has width 5 and y width 6"):
        shifted(x[:, :5], y, 1)
    with pytest.raises(ValueError, match="y holds NaN"):
        shifted(x, y * np.nan, 1)
    opposite = np.eye(3)[:1]
    with pytest.raises(ValueError, match="x, moved, holds zero vectors"):
        shifted(opposite, -opposite, 1)
    with pytest.raises(ValueError, match=r"images, moved, holds zero vectors.*1 of 3 rows \(2\)"):
        moved(np.eye(3), [0, 0, -1.0], "images")
    for by in (np.ones(2), np.eye(3), 1.0):
        with pytest.raises(ValueError, match=r"by has shape \(.*\): give one entry a column of x, \(3,\)"):
            moved(np.eye(3), by)
    for amount in ("1", None):
        with pytest.raises(TypeError, match=f"amount is {amount!r}: give a number"):
            shifted(x, y, amount)


def test_the_vector_may_be_a_tensor():
    by = torch.tensor([0.5, 0.0, 0.0], requires_grad=True)
    np.testing.assert_array_equal(moved(np.eye(3), by), moved(np.eye(3), np.array([0.5, 0, 0])))
