"""Whitening against scikit-learn's PCA and Ledoit-Wolf estimate, and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from crossgap.corrections import UnavailableError, whitening
from tests.rows import cloud


def inner(rows: np.ndarray) -> np.ndarray:
    """Inner products, which no turn of the axes changes."""
    return rows @ rows.T


@given(seed=st.integers(0, 99), n=st.integers(20, 80))
@settings(max_examples=20, deadline=None)
def test_agrees_with_the_pca_of_scikit_learn(seed, n):
    images, queries = cloud(seed, n), cloud(seed + 100, 11)
    correction = whitening.fit(images)
    expected = PCA(whiten=True).fit(normalize(images)).transform(normalize(queries))
    found = inner(correction.apply(queries, "image"))
    np.testing.assert_allclose(found * (n - 1) / n, inner(expected), rtol=1e-7, atol=1e-7)
    assert correction.parameters["image"] == {"items": n, "components": 8, "shrinkage": 0.0}


def test_the_calibration_set_becomes_uncorrelated():
    texts = cloud(1)
    rows = whitening.fit(None, texts).apply(texts, "text")
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(rows.T @ rows / len(rows), np.eye(8), atol=1e-10)


def test_fewer_items_than_dimensions_are_shrunk_by_ledoit_and_wolf():
    images, queries = cloud(2, 12, 30), cloud(3, 9, 30)
    model = LedoitWolf().fit(normalize(images))
    centred = normalize(queries) - model.location_
    correction = whitening.fit(images)
    expected = centred @ np.linalg.inv(model.covariance_) @ centred.T
    np.testing.assert_allclose(inner(correction.apply(queries, "image")), expected, rtol=1e-8, atol=1e-8)
    chosen = correction.parameters["image"]
    assert chosen["components"] == 30 and chosen["shrinkage"] == pytest.approx(model.shrinkage_)


def test_items_that_come_again_are_no_more_to_whiten_by():
    """As captions do that are class names: by their plain covariance all would be as far from each other."""
    texts = np.tile(cloud(2, 12, 30), (9, 1))
    correction = whitening.fit(None, texts)
    model = LedoitWolf().fit(normalize(texts))
    chosen = correction.parameters["text"]
    assert chosen["components"] == 30 and chosen["shrinkage"] == pytest.approx(model.shrinkage_)
    similarities = inner(normalize(correction.apply(texts[:12], "text")))[~np.eye(12, dtype=bool)]
    assert similarities.std() > 0.01


def test_without_shrinkage_only_directions_of_the_data_are_kept():
    images, queries = cloud(4, 12, 30), cloud(5, 9, 30)
    correction = whitening.fit(images, shrinkage=0)
    assert correction.parameters["image"]["components"] == 11
    expected = PCA(11, whiten=True).fit(normalize(images)).transform(normalize(queries))
    found = inner(correction.apply(queries, "image"))
    np.testing.assert_allclose(found * 11 / 12, inner(expected), rtol=1e-7, atol=1e-7)
    # and the calibration set is the corners of a regular simplex: every similarity the same
    corners = correction.apply(images, "image")
    similarities = inner(normalize(corners))[~np.eye(12, dtype=bool)]
    np.testing.assert_allclose(similarities, -1 / 11, atol=1e-9)


def test_each_modality_has_its_own_covariance():
    images, texts, queries = cloud(6), cloud(7), cloud(8)
    both = whitening.fit(images, texts)
    np.testing.assert_array_equal(
        both.apply(queries, "text"), whitening.fit(None, texts).apply(queries, "text")
    )
    np.testing.assert_array_equal(both.apply(queries, "image"), whitening.fit(images).apply(queries, "image"))


def test_images_and_texts_stay_on_the_axes_of_the_joint_space():
    """By the inverse square root of each covariance, whatever their ranks."""
    images, texts = cloud(6), cloud(7)
    images[:, 0] = 0
    both = whitening.fit(images, texts)
    for modality, features in (("image", images), ("text", texts)):
        rows = normalize(features)
        values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
        root = sum(np.outer(v, v) / np.sqrt(x) for x, v in zip(values, vectors.T, strict=True) if x > 1e-9)
        expected = (rows - rows.mean(axis=0)) @ root
        np.testing.assert_allclose(both.apply(features, modality), expected, atol=1e-6)
    assert [both.parameters[modality]["components"] for modality in ("image", "text")] == [7, 8]


def test_full_shrinkage_is_centring():
    images, queries = cloud(6), cloud(7)
    found = normalize(whitening.fit(images, shrinkage=1).apply(queries, "image"))
    expected = normalize(normalize(queries) - normalize(images).mean(axis=0))
    np.testing.assert_allclose(inner(found), inner(expected), atol=1e-12)


def test_what_it_cannot_be_fitted_on():
    with pytest.raises(ValueError, match="image_features are all the same"):
        whitening.fit(np.tile(cloud(0, 1), (9, 1)))
    for shrinkage in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"shrinkage is {shrinkage}: give 0 to 1"):
            whitening.fit(cloud(0), shrinkage=shrinkage)
    with pytest.raises(TypeError, match="shrinkage is 'a': give a number"):
        whitening.fit(cloud(0), shrinkage="a")


def test_rows_at_two_points_leave_no_shrinkage_to_estimate():
    rows = np.repeat(np.random.default_rng(0).standard_normal((2, 9)), 3, axis=0)
    with pytest.raises(UnavailableError, match="at two points"):
        whitening.fit(rows)
