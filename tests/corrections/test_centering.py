"""Centring against a slow mean, and against the real values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossgap.corrections import Material, centering

REAL = {"dtd": 32.53, "oxford_flowers": 65.87, "fgvc_aircraft": 15.06}


def cloud(seed: int, n: int = 20, d: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) + 2) * rng.uniform(0.5, 2, (n, 1))


def test_the_mean_of_unit_rows_is_taken_away():
    images, texts, queries = cloud(0), cloud(1, 30), cloud(2, 7)
    correction = centering.fit(images, texts)
    for modality, rows in (("image", images), ("text", texts)):
        lengths = [math.sqrt(math.fsum(x * x for x in row)) for row in rows]
        mean = [
            math.fsum(row[j] / size for row, size in zip(rows, lengths, strict=True)) / len(rows)
            for j in range(5)
        ]
        for query, corrected in zip(queries, correction.apply(queries, modality), strict=True):
            size = math.sqrt(math.fsum(x * x for x in query))
            assert corrected == pytest.approx(
                [x / size - m for x, m in zip(query, mean, strict=True)], abs=1e-12
            )
    assert correction.parameters == {"image": {"items": 20}, "text": {"items": 30}}
    assert correction.space == "projected" and correction.sides == "both"


def test_the_calibration_set_itself_ends_around_0():
    images = cloud(3)
    np.testing.assert_allclose(centering.fit(images).apply(images, "image").mean(axis=0), 0, atol=1e-15)


def test_lengths_in_the_calibration_set_are_of_no_account():
    images, scales = cloud(3), np.random.default_rng(0).uniform(0.1, 10, (20, 1))
    once, again = (centering.fit(x).apply(cloud(4), "image") for x in (images, images * scales))
    np.testing.assert_allclose(once, again, atol=1e-13)


def test_a_modality_without_a_mean_is_refused():
    with pytest.raises(ValueError, match="fitted for image features only"):
        centering.fit(cloud(0)).apply(cloud(1), "text")
    assert centering.fit(None, cloud(0)).handles("text")


def test_of_items_that_are_all_the_same_nothing_is_left_to_rank_by():
    """Features less their mean would be rounding, which cosines make as large as any other."""
    same = cloud(0, 1) * np.random.default_rng(0).uniform(0.5, 2, (9, 1))
    with pytest.raises(
        ValueError, match="text_features are all the same: give a calibration set that varies"
    ):
        centering.fit(cloud(1), same)


def test_what_it_cannot_be_fitted_on():
    with pytest.raises(ValueError, match="neither image_features nor text_features"):
        centering.fit(None)
    with pytest.raises(ValueError, match="text_features holds 1 row: give at least 2"):
        centering.fit(cloud(0), cloud(1, 1))
    with pytest.raises(ValueError, match="image_features has width 5 and text_features width 4"):
        centering.fit(cloud(0), cloud(1, d=4))


@pytest.mark.parametrize(("name", "expected"), REAL.items())
def test_real_features_centred_on_the_test_mean(b32, mean_ap, name, expected):
    correction = centering.fit(b32[name]["test_features"])
    assert mean_ap(name, lambda x: correction.apply(x, "image")) == pytest.approx(expected, abs=0.05)


def test_a_published_mean_stands_in_the_place_of_that_of_the_images():
    images, texts, mean = cloud(0), cloud(1), np.full(5, 0.2)
    ((_, found),) = centering.fits(Material(images=images, texts=texts, means={"image": mean}))
    queries = cloud(2)
    own = centering.fit(images, texts)
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    np.testing.assert_allclose(found.apply(queries, "image"), unit - mean, atol=1e-12)
    assert np.array_equal(found.apply(queries, "text"), own.apply(queries, "text"))


def test_a_side_with_a_published_mean_is_not_fitted():
    """Images that are all the same could not be: it is said of them where their mean isn't published."""
    same = np.tile(cloud(0, 1), (4, 1))
    material = Material(images=same, means={"text": np.full(5, 0.2)})
    ((_, found),) = centering.fits(material)
    assert set(found.maps) == {"text"} and "all the same" in found.parameters["image"]["not fitted:"]
    ((_, found),) = centering.fits(Material(images=same, texts=cloud(1), means={"image": np.full(5, 0.2)}))
    assert found.parameters == {"image": {"published mean": "given"}, "text": {"items": len(cloud(1))}}
