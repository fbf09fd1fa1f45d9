from __future__ import annotations

import sys

import numpy as np
import pytest

from crossgap.errors import UnavailableError
from crossgap.metrics import robustness
from tests.rows import unit

X = np.random.default_rng(0).normal(size=(300, 24))
IDS = np.array([f"item {row}" for row in range(len(X))])


def test_noise_has_its_length_and_follows_from_the_id():
    apart = robustness.noisy(X, IDS, 0.04) - unit(X)
    assert np.square(apart).sum(axis=1).mean() == pytest.approx(0.04, rel=0.05)
    assert np.abs(np.corrcoef(apart[0], apart[1])[0, 1]) < 0.9
    order = np.random.default_rng(1).permutation(len(X))[:50]
    np.testing.assert_array_equal(robustness.noisy(X[order], IDS[order], 0.04) - unit(X)[order], apart[order])
    assert not np.allclose(robustness.noisy(X, IDS, 0.04, seed=1), robustness.noisy(X, IDS, 0.04))
    np.testing.assert_allclose(robustness.noisy(X, IDS, 0), unit(X), atol=1e-15)


@pytest.mark.parametrize(("bits", "levels"), [(8, 255), (4, 15), (2, 3), (1, 2)])
def test_entries_lie_on_so_many_levels(bits, levels):
    found = robustness.quantised(X, bits)
    assert levels // 2 < len(np.unique(found)) <= levels
    assert np.abs(found).max() == 1
    if bits > 1:
        scaled = unit(X) / np.abs(unit(X)).max()
        assert np.abs(found - scaled).max() <= 0.5 / (2 ** (bits - 1) - 1) + 1e-12
    else:
        np.testing.assert_array_equal(found, np.sign(X))


def test_a_product_quantiser_gives_the_nearest_centres_back():
    pytest.importorskip("faiss")
    found = robustness.product_quantised(X)
    assert found.shape == X.shape and np.square(found - unit(X)).sum(axis=1).mean() < 0.05
    for start in range(0, 24, 8):
        assert len(np.unique(found[:, start : start + 8], axis=0)) <= 256


def test_without_faiss_or_with_few_items_there_is_a_reason(monkeypatch):
    with pytest.raises(UnavailableError, match="of 20 items: give at least 256"):
        robustness.product_quantised(X[:20])
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UnavailableError, match="pip install faiss-cpu"):
        robustness.product_quantised(X)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="variance is -1: give 0 or more"):
        robustness.noisy(X, IDS, -1)
    with pytest.raises(ValueError, match="bits is 0"):
        robustness.quantised(X, 0)
    with pytest.raises(TypeError, match="variance is 'a': give a number"):
        robustness.noisy(X, IDS, "a")
    with pytest.raises(TypeError, match=r"bits is 1\.5: give a whole number from 1"):
        robustness.quantised(X, 1.5)


def test_ids_of_another_number_are_said():
    with pytest.raises(ValueError, match="ids holds 1 labels for 3 items"):
        robustness.noisy(np.eye(3), ["a"], 0.1)
