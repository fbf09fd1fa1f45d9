"""The Fréchet distance in its parts, and clouds without dimensions, against matrix roots and real features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from crossgap.errors import UnavailableError
from crossgap.metrics.gap.dimensions import by_mean_difference, without
from crossgap.metrics.gap.frechet import frechet
from tests.metrics.gap.test_neighbourhoods import pairs
from tests.rows import unit


@pytest.mark.parametrize(("n", "m", "d"), [(30, 30, 5), (40, 12, 6), (7, 5, 9)])
def test_the_parts_by_the_root_of_a_matrix(n, m, d):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, d)) + 1, rng.normal(size=(m, d)) * np.arange(1, d + 1)
    found = frechet(x, 2 * y)
    x, y = unit(x), unit(y)
    first, second = np.cov(x.T), np.cov(y.T)
    root = np.real(np.trace(sqrtm(first @ second)))
    assert found.mean == pytest.approx(np.square(x.mean(axis=0) - y.mean(axis=0)).sum(), abs=1e-12)
    assert found.covariance == pytest.approx(np.trace(first) + np.trace(second) - 2 * root, abs=1e-6)
    assert (found.trace_x, found.trace_y) == pytest.approx((np.trace(first), np.trace(second)), abs=1e-12)
    assert found.total == found.mean + found.covariance


@pytest.mark.parametrize("seed", range(6))
def test_a_cloud_beside_itself_is_at_0(seed):
    x = np.random.default_rng(seed).normal(size=(20, 5 if seed else 6))
    found = frechet(x, x)
    assert found.mean == 0 and 0 <= found.covariance < 1e-12
    with pytest.raises(UnavailableError, match="covariance of 1 and 20 rows"):
        frechet(x[:1], x)


REAL = {
    ("coco", False): (1.105176, 0.724800, 0.380376, 0.468517, 0.484806),
    ("coco", True): (0.787187, 0.000777, 0.786410, 1.001584, 1.001501),
    ("flickr", False): (1.212576, 0.697305, 0.515271, 0.444213, 0.511711),
    ("flickr", True): (1.071270, 0.001104, 1.070167, 1.009652, 1.009429),
}


@pytest.mark.parametrize(("name", "centred"), REAL)
def test_real_pairs(real, name, centred):
    found = frechet(*pairs(real, name, centred))
    shown = (found.total, found.mean, found.covariance, found.trace_x, found.trace_y)
    assert tuple(round(value, 6) for value in shown) == REAL[name, centred]


def test_dimensions_go_by_how_far_the_means_differ():
    x, y = np.ones((3, 4)), np.ones((2, 4))
    x[:, 2], y[:, 0] = 5, 2
    order = by_mean_difference(x, y)
    differences = np.abs(unit(x).mean(axis=0) - unit(y).mean(axis=0))
    assert order.tolist() == sorted(range(4), key=lambda k: -differences[k]) and order[:2].tolist() == [0, 2]
    np.testing.assert_allclose(without(x, order[:2]), unit(np.delete(unit(x), order[:2], axis=1)))
    assert without(x, order[:0]).shape == (3, 4)
    with pytest.raises(UnavailableError, match="x, cut, holds zero vectors"):
        without(np.eye(4)[:1], np.array([0]))


@pytest.mark.parametrize(("dimensions", "message"), [([5], "dimensions holds 5"), ([-1], "dimensions holds -1"),
                                                     ([0.0], "holds float64")])  # fmt: skip
def test_dimensions_that_are_none_are_said(dimensions, message):
    with pytest.raises((TypeError, ValueError), match=message):
        without(np.eye(3), dimensions)
