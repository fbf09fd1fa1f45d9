"""PCA⁺ against scikit-learn's PCA and against the real values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from crossgap.corrections import pca_plus
from tests.rows import cloud

REAL = {"dtd": 34.91, "oxford_flowers": 70.42, "fgvc_aircraft": 15.77}


@pytest.mark.parametrize("keep", [1, 3, 8, None])
@pytest.mark.parametrize("modality", ["image", "text"])
def test_features_are_projected_uncentred_on_the_texts_principal_axes(keep, modality):
    texts, queries = cloud(0), cloud(1, 10)
    axes = PCA(keep or 4).fit(texts).components_
    expected = normalize(normalize(queries) @ axes.T)
    correction = pca_plus.fit(texts, keep)
    found = normalize(correction.apply(queries, modality))
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-9)
    assert found.shape == (10, keep or 4)
    assert correction.parameters == {"texts": 40, "keep": keep or 4}
    assert correction.space == "projected" and correction.sides == "both"


def test_all_directions_change_no_cosine():
    queries = normalize(cloud(1))
    found = pca_plus.fit(cloud(0), 8).apply(queries, "image")
    np.testing.assert_allclose(found @ found.T, queries @ queries.T, atol=1e-12)


def test_texts_are_taken_at_the_lengths_they_are_stored_in():
    texts, queries = cloud(0), cloud(1)
    stored, scaled = (
        normalize(pca_plus.fit(x, 3).apply(queries, "image")) for x in (texts, normalize(texts))
    )
    assert np.abs(stored @ stored.T - scaled @ scaled.T).max() > 0.01


def test_texts_may_be_tensors_of_any_precision():
    texts = torch.from_numpy(cloud(0)).bfloat16().requires_grad_()
    queries = cloud(1)
    found, expected = (pca_plus.fit(x, 3).apply(queries, "image") for x in (texts, texts.detach().float()))
    np.testing.assert_array_equal(found, expected)


def test_texts_given_twice_change_nothing():
    texts, queries = cloud(0), cloud(1)
    once, twice = (pca_plus.fit(x, 3).apply(queries, "image") for x in (texts, np.repeat(texts, 2, axis=0)))
    np.testing.assert_allclose(once @ once.T, twice @ twice.T, atol=1e-9)


def test_few_texts_span_few_directions():
    assert pca_plus.fit(cloud(0, 4)).parameters["keep"] == 3
    with pytest.raises(ValueError, match="keep is 4: the texts span 3 directions, give 1 to 3 or more texts"):
        pca_plus.fit(cloud(0, 4), 4)
    with pytest.raises(ValueError, match="keep is 0"):
        pca_plus.fit(cloud(0), 0)
    for same in (cloud(0, 1), np.tile(cloud(0, 1), (9, 1))):
        with pytest.raises(ValueError, match="text_features are all the same"):
            pca_plus.fit(same)
    with pytest.raises(ValueError, match="text_features holds NaN"):
        pca_plus.fit(np.full((3, 8), np.nan))


@pytest.mark.parametrize(("name", "expected"), REAL.items())
def test_real_features_on_256_directions_of_imagenets_classes(b32, mean_ap, name, expected):
    for keep in (256, None):
        correction = pca_plus.fit(b32["imagenet_class_text"]["prompt_set_1"], keep)
        assert mean_ap(name, lambda x, c=correction: c.apply(x, "image")) == pytest.approx(expected, abs=0.05)
