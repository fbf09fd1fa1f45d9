"""What holds for every correction: rows by themselves, whatever order it was fitted in, and clear refusals."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap.corrections import Correction, Material, fitted, pca_plus, rival_of
from crossgap.corrections.correction import Affine, principal_directions, rounding

D, WIDTHS = 6, {"image": 9, "text": 7}


def cloud(seed: int, n: int = 40, d: int = D) -> np.ndarray:
    """Correlated rows around a mean that isn't 0, of many lengths."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)
    return rows * rng.uniform(0.5, 2, (n, 1))


def cosines(rows: np.ndarray) -> np.ndarray:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def flat(parameters) -> dict[str, object]:
    return pd.json_normalize(parameters).iloc[0].to_dict()


def material(seed: int = 0) -> Material:
    images = cloud(seed)
    return Material(
        images=images,
        texts=cloud(seed + 1),
        vocabulary=cloud(seed + 2),
        vocabulary_photo=cloud(seed + 3),
        styles=0.5 * cloud(seed + 8),
        pairs=(images, images @ cloud(seed + 4, D) + 0.1 * cloud(seed + 5)),
        banks={"text": cloud(seed + 7)},
        weights={modality: cloud(seed + 6, D, width) for modality, width in WIDTHS.items()},
    )


FITTED, REASONS = fitted(material())
HANDLED = [(name, m) for name, x in FITTED.items() for m in ("image", "text") if x.handles(m)]


def given_features(correction: Correction, modality: str, seed: int, n: int = 12) -> np.ndarray:
    return cloud(seed, n, WIDTHS[modality] if correction.space == "preprojection" else D)


def test_all_are_fitted_on_a_cell_that_has_everything():
    assert not REASONS and len(FITTED) >= 10


@pytest.mark.parametrize(("name", "modality"), HANDLED)
@given(seed=st.integers(0, 99), rows=st.lists(st.integers(0, 11), min_size=1, max_size=20))
@settings(max_examples=20, deadline=None)
def test_every_row_is_corrected_by_itself(name, modality, seed, rows):
    features = given_features(FITTED[name], modality, seed)
    whole = FITTED[name].apply(features, modality)
    np.testing.assert_allclose(FITTED[name].apply(features[rows], modality), whole[rows], rtol=0, atol=1e-12)
    assert whole.shape[0] == 12 and whole.dtype == np.float64


@pytest.mark.parametrize(("name", "modality"), HANDLED)
@given(seed=st.integers(0, 99), scales=st.lists(st.floats(1e-3, 1e3), min_size=12, max_size=12))
@settings(max_examples=20, deadline=None)
def test_the_length_of_a_feature_is_of_no_account(name, modality, seed, scales):
    features = given_features(FITTED[name], modality, seed)
    scaled = features * np.array(scales)[:, None]
    once, again = (FITTED[name].apply(x, modality) for x in (features, scaled))
    np.testing.assert_allclose(once, again, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("name", "modality"), HANDLED)
@given(seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_the_order_of_what_it_is_fitted_on_changes_nothing(name, modality, seed):
    whole, order = material(), np.random.default_rng(seed).permutation(40)
    shuffled = replace(
        whole,
        pairs=tuple(x[order] for x in whole.pairs),
        **{
            x: getattr(whole, x)[order]
            for x in ("images", "texts", "vocabulary", "vocabulary_photo", "styles")
        },
    )
    again = fitted(shuffled, [rival_of(name)])[0][name]
    features = given_features(again, modality, seed)
    once, twice = (cosines(x.apply(features, modality)) for x in (FITTED[name], again))
    np.testing.assert_allclose(once, twice, rtol=0, atol=1e-9)
    assert flat(again.parameters) == pytest.approx(flat(FITTED[name].parameters))


@pytest.mark.parametrize("name", FITTED)
@given(scale=st.floats(1e-2, 1e2))
@settings(max_examples=10, deadline=None)
def test_the_scale_of_what_it_is_fitted_on_changes_nothing(name, scale):
    whole = material()
    scaled = replace(
        whole,
        pairs=tuple(x * scale for x in whole.pairs),
        **{
            x: getattr(whole, x) * scale
            for x in ("images", "texts", "vocabulary", "vocabulary_photo", "styles")
        },
    )
    again = fitted(scaled, [rival_of(name)])[0][name]
    for modality in again.maps:
        features = given_features(again, modality, 7)
        once, twice = (cosines(x.apply(features, modality)) for x in (FITTED[name], again))
        np.testing.assert_allclose(once, twice, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", FITTED)
def test_parameters_are_for_a_report_and_nothing_can_be_set(name):
    correction = FITTED[name]
    assert json.loads(json.dumps(correction.parameters)) == correction.parameters
    assert correction.space in ("projected", "preprojection") and correction.sides in ("both", "query")
    with pytest.raises(FrozenInstanceError):
        correction.sides = "query"


@pytest.mark.parametrize(("name", "modality"), HANDLED)
def test_features_that_cannot_be_used_are_refused(name, modality):
    correction = FITTED[name]
    features = given_features(correction, modality, 3)
    wide = np.column_stack([features, features])
    with pytest.raises(
        ValueError, match=rf"{modality} features have width {wide.shape[1]} and the correction"
    ):
        correction.apply(wide, modality)
    for value, complaint in ((np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (0, "zero vectors")):
        bad = features.copy()
        bad[4] = value
        with pytest.raises(
            ValueError, match=rf"{modality} features holds? .*{complaint}.* in 1 of 12 rows \(4\)"
        ):
            correction.apply(bad, modality)
    with pytest.raises(ValueError, match="give one row an item"):
        correction.apply(features[0], modality)
    with pytest.raises(ValueError, match="modality is 'audio': give one of image, text"):
        correction.apply(features, "audio")


def test_a_modality_without_a_map_is_refused():
    correction = Correction({"image": Affine(np.ones(D))})
    assert correction.handles("image") and not correction.handles("text") and not correction.handles("audio")
    with pytest.raises(ValueError, match="text features: this correction was fitted for image features only"):
        correction.apply(cloud(0), "text")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_features_and_tensors_are_widened_first(dtype):
    features = cloud(5).astype(dtype)
    wide = FITTED["whitening"].apply(features.astype(np.float64), "image")
    for narrow in (features, torch.from_numpy(features)):
        np.testing.assert_array_equal(FITTED["whitening"].apply(narrow, "image"), wide)


def test_an_affine_map_by_hand():
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    matrix = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0]])
    found = Affine(matrix, centre=np.array([1.0, 1.0]), shift=np.array([10.0, 0.0, 0.0]))(rows)
    np.testing.assert_array_equal(found, [[10, 1, 3], [12, 3, 13]])
    np.testing.assert_array_equal(Affine(np.array([2.0, 3.0]), np.array([1.0, 0.0]))(rows), [[0, 6], [4, 12]])


@pytest.mark.parametrize(("noisy", "rank"), [(None, 3), (0, 0), (1, 1), (2, 2)])
def test_the_rank_ends_before_the_first_direction_that_is_rounding(noisy, rank) -> None:
    """Directions behind one that is lost in the rounding don't count, though they stand out of theirs."""
    rows = np.vstack([np.diag([3.0, 2, 1]), -np.diag([3.0, 2, 1])])
    noise = np.zeros(3) if noisy is None else np.eye(3)[noisy]
    values, vectors, found = principal_directions(rows, False, noise)
    np.testing.assert_allclose(values, [3, 4 / 3, 1 / 3], rtol=1e-12)
    np.testing.assert_allclose(np.abs(vectors), np.eye(3), rtol=0, atol=1e-12)
    assert found == rank


def test_texts_of_one_dimension_keep_it() -> None:
    assert pca_plus.fit(np.array([[1.0], [-2.0], [3.0]])).parameters["keep"] == 1


def test_equal_rows_count_once_in_what_rounding_adds() -> None:
    """16 random rows of 8 values: (1 + √(8/16))² times the mean variance, however often they are given; 0 is exact."""
    rows = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float16)
    rows[:4, :3] = 0
    places = np.array([[float(np.spacing(abs(value))) if value else 0.0 for value in row] for row in rows])
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    expected = (np.square(places / lengths) / 12).mean(axis=0) * (1 + np.sqrt(8 / 16)) ** 2
    for given_rows in (rows, np.repeat(rows, 5, axis=0)):
        np.testing.assert_allclose(rounding(given_rows, "features"), expected, rtol=1e-12)
