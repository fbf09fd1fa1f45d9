"""The spectrum of a cloud against scikit-learn's PCA and known geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.decomposition import PCA

from crossgap.metrics.gap import effective_rank, explained_variance
from tests.rows import unit


@pytest.mark.parametrize("shape", [(40, 8), (8, 40), (8, 8), (2, 5), (200, 3)])
def test_shares_are_those_of_a_pca_of_the_unit_rows(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) * np.geomspace(3, 0.1, shape[1]) + rng.normal(size=shape[1])
    shares = explained_variance(x)
    assert shares.shape == (min(shape),) and shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 0).all() and (shares >= 0).all()
    expected = PCA(svd_solver="full").fit(unit(x)).explained_variance_ratio_
    np.testing.assert_allclose(shares, expected, atol=1e-12)
    assert effective_rank(x) == pytest.approx(math.exp(entropy(expected)), rel=1e-9)


def test_effective_rank_counts_the_directions_of_equal_variance():
    axes = np.concatenate([np.eye(6)[:4], -np.eye(6)[:4]])
    np.testing.assert_allclose(explained_variance(axes), [0.25] * 4 + [0, 0], atol=1e-15)
    assert effective_rank(axes) == pytest.approx(4)
    assert effective_rank(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])) == pytest.approx(1)
    assert effective_rank(np.eye(5)) == pytest.approx(4)


@pytest.mark.parametrize("scale", [[1.0] * 7, [1.0, 3.0, 0.1, 7.0, 1e-4, 9.9, 0.3]])
def test_one_point_has_no_variance_to_share(scale):
    rows = np.outer(scale, [0.3, -0.7, 0.11])
    shares = explained_variance(rows)
    assert shares.shape == (3,) and np.isnan(shares).all() and math.isnan(effective_rank(rows))
    assert math.isnan(effective_rank(rows[:1]))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="x holds zero vectors"):
        explained_variance(np.zeros((3, 4)))


def test_real_features(real):
    data = np.load(real / "clip-vit-b16" / "coco_val2017_500.npz")
    for side in ("image_features", "text_features"):
        x = data[side].astype(np.float64)
        values = np.linalg.svd(unit(x) - unit(x).mean(axis=0), compute_uv=False) ** 2
        np.testing.assert_allclose(explained_variance(x), values / values.sum(), atol=1e-12)
