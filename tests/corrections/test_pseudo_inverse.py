"""Closed-form inversion against torch's pseudo-inverse, step by step as the source takes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from crossgap.corrections import pseudo_inverse


def cloud(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


@given(seed=st.integers(0, 99), width=st.sampled_from([5, 8, 12]), tolerance=st.floats(0.05, 2))
@settings(max_examples=30, deadline=None)
def test_agrees_with_inverting_scaling_and_projecting(seed, width, tolerance):
    weight, images = cloud(seed, 8, width), cloud(seed + 100, 10, 8)
    projection = torch.from_numpy(weight.T)  # as the source has it: features of the tower times this
    pseudo_eos = torch.from_numpy(images) @ torch.linalg.pinv(projection, atol=tolerance)
    # the mean length of texts before the projection
    pseudo_eos *= 7.5 / pseudo_eos.norm(dim=-1, keepdim=True)
    expected = normalize((pseudo_eos @ projection).numpy())
    correction = pseudo_inverse.fit(weight, tolerance)
    np.testing.assert_allclose(normalize(correction.apply(images, "image")), expected, atol=1e-8)
    kept = int((np.linalg.svd(weight)[1] > tolerance).sum())
    assert correction.parameters == {"tolerance": tolerance, "kept": kept, "directions": min(8, width)}


def test_only_image_queries_are_mapped():
    correction = pseudo_inverse.fit(cloud(0, 8, 8))
    assert correction.sides == "query" and correction.space == "projected"
    assert correction.parameters["tolerance"] == 0.3
    with pytest.raises(ValueError, match="fitted for image features only"):
        correction.apply(cloud(1, 3, 8), "text")


def test_a_projection_that_loses_nothing_leaves_features_as_they_are():
    images = normalize(cloud(1, 9, 8))
    correction = pseudo_inverse.fit(np.linalg.qr(cloud(0, 8, 8))[0])
    np.testing.assert_allclose(correction.apply(images, "image"), images, atol=1e-12)


def test_mapping_twice_is_mapping_once():
    correction = pseudo_inverse.fit(cloud(0, 8, 5))
    once = correction.apply(cloud(1, 9, 8), "image")
    np.testing.assert_allclose(normalize(correction.apply(once, "image")), normalize(once), atol=1e-10)


def test_what_is_refused():
    with pytest.raises(ValueError, match="tolerance is 100 and the largest singular value of text_weight"):
        pseudo_inverse.fit(cloud(0, 8, 8), 100)
    with pytest.raises(ValueError, match="text_weight holds NaN"):
        pseudo_inverse.fit(np.full((8, 8), np.nan))
    for tolerance in (-1, float("nan")):
        with pytest.raises(ValueError, match=f"tolerance is {tolerance}: give a number from 0"):
            pseudo_inverse.fit(cloud(0, 8, 8), tolerance)
    with pytest.raises(TypeError, match="tolerance is 'a': give a number"):
        pseudo_inverse.fit(cloud(0, 8, 8), "a")


def test_a_singular_value_at_the_tolerance_is_dropped():
    assert pseudo_inverse.fit(np.diag([2.0, 1.0, 0.5]), tolerance=0.5).parameters["kept"] == 2
