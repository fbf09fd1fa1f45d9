"""Projection on the text span against least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import normalize

from crossgap.corrections import pca_plus, text_span, whitening


def cloud(seed: int, n: int = 5, d: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * rng.uniform(0.5, 2, (n, 1)) + 1


def cosines(rows: np.ndarray) -> np.ndarray:
    return normalize(rows) @ normalize(rows).T


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_feature_becomes_the_nearest_mixture_of_texts(modality):
    texts, queries = cloud(0), cloud(1, 12)
    mixtures = [texts.T @ np.linalg.lstsq(texts.T, query, rcond=None)[0] for query in queries]
    correction = text_span.fit(texts)
    np.testing.assert_allclose(
        cosines(correction.apply(queries, modality)), cosines(np.array(mixtures)), atol=1e-10
    )
    assert correction.parameters == {"texts": 5, "rank": 5, "keep": 5}


def test_mixtures_of_texts_stay_as_they_are():
    texts = cloud(0)
    mixtures = np.random.default_rng(1).standard_normal((9, 5)) @ texts
    np.testing.assert_allclose(
        cosines(text_span.fit(texts).apply(mixtures, "image")), cosines(mixtures), atol=1e-10
    )


def test_repeated_and_mixed_texts_add_no_direction():
    texts = cloud(0)
    more = np.concatenate([texts, texts * 3, texts[:1] + texts[1:2]])
    assert text_span.fit(more).parameters == {"texts": 11, "rank": 5, "keep": 5}
    once, again = (cosines(text_span.fit(x).apply(cloud(1, 12), "image")) for x in (texts, more))
    np.testing.assert_allclose(once, again, atol=1e-9)


@pytest.mark.parametrize("keep", [None, 2, 8])
def test_texts_that_span_everything_leave_their_leading_directions(keep):
    texts, queries = cloud(0, 30), cloud(1, 12)
    correction = text_span.fit(texts, keep)
    _, _, axes = np.linalg.svd(normalize(texts))
    np.testing.assert_allclose(
        cosines(correction.apply(queries, "image")), cosines(queries @ axes[: keep or 4].T), atol=1e-9
    )
    assert correction.parameters["keep"] == (keep or 4) and correction.parameters["rank"] == 8


def test_more_directions_than_the_texts_span_are_refused():
    with pytest.raises(ValueError, match="keep is 6: the texts span 5 directions"):
        text_span.fit(cloud(0), 6)
    for keep in (1.5, "a", True):
        with pytest.raises(TypeError, match=f"keep is {keep!r}: give a whole number from 1"):
            text_span.fit(cloud(0), keep)


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_the_rounding_of_short_floats_is_no_direction(kind):
    """Rows of 41 directions: 40 of falling size, and their common mean."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 40)) * np.linspace(1, 0.05, 40) @ rng.normal(size=(40, 64))
    rows += rng.normal(size=40) @ rng.normal(size=(40, 64))
    stored = torch.from_numpy(rows).to(getattr(torch, kind)).float().numpy()
    assert text_span.fit(stored).parameters == {"texts": 1000, "rank": 41, "keep": 41}
    assert whitening.fit(stored).parameters["image"] == {"items": 1000, "components": 41, "shrinkage": 0.0}
    with pytest.raises(ValueError, match="the texts span 40 directions"):
        pca_plus.fit(stored, keep=42)


def test_values_beyond_float32_are_no_short_floats():
    assert text_span.fit(cloud(0) * 1e100).parameters == text_span.fit(cloud(0)).parameters
