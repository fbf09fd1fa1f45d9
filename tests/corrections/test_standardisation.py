"""Standardisation against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler, normalize

from crossgap.corrections import standardisation
from crossgap.errors import UnavailableError


def cloud(seed: int, n: int = 25, d: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * rng.uniform(0.1, 3, d) + 1


@pytest.mark.parametrize("modality", ["image", "text"])
def test_agrees_with_scikit_learn(modality):
    sides, queries = {"image": cloud(0), "text": cloud(1, 40)}, cloud(2)
    correction = standardisation.fit(sides["image"], sides["text"])
    expected = StandardScaler().fit(normalize(sides[modality])).transform(normalize(queries))
    np.testing.assert_allclose(correction.apply(queries, modality), expected, rtol=0, atol=1e-11)
    assert correction.parameters[modality] == {"items": len(sides[modality]), "constant_dimensions": 0}


def test_a_dimension_that_never_varies_is_centred_only():
    images, queries = cloud(0), cloud(2)
    images[:, 3] = 0
    correction = standardisation.fit(images)
    expected = StandardScaler().fit(normalize(images)).transform(normalize(queries))
    found = correction.apply(queries, "image")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found[:, 3], normalize(queries)[:, 3], atol=1e-15)
    assert correction.parameters["image"]["constant_dimensions"] == 1


def test_equal_items_have_no_spread_to_divide_by():
    with pytest.raises(UnavailableError, match="image_features are all the same"):
        standardisation.fit(np.tile(cloud(0, 1), (9, 1)))


def test_real_features_gain_as_they_do_by_centring(b32, mean_ap):
    correction = standardisation.fit(b32["dtd"]["val_features"])
    assert mean_ap("dtd", lambda x: correction.apply(x, "image")) > 28.97 + 3


def test_rounding_of_a_dimension_that_does_not_vary_is_no_spread():
    angles = np.linspace(0.1, 3, 50)
    rows = np.stack([np.full(50, 0.6), 0.8 * np.cos(angles), 0.8 * np.sin(angles)], axis=1)
    lengths = np.linspace(0.3, 7, 50)[:, None]
    correction = standardisation.fit(lengths * rows)
    assert correction.parameters["image"]["constant_dimensions"] == 1
    assert np.abs(correction.apply(rows, "image")[:, 0]).max() < 1e-9
