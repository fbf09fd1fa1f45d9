"""The ridge map against scikit-learn's Ridge, and its penalty against leaving pairs out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import normalize

from crossgap.corrections import ridge
from crossgap.corrections.ridge import PENALTIES


def pairs(seed: int, n: int, d: int = 6, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Features of two modalities that see the same thing, each in its own place and with its own noise."""
    rng = np.random.default_rng(seed)
    things = rng.standard_normal((n, d))
    maps = np.random.default_rng(99).standard_normal((2, d, d))
    sides = [
        things @ m + noise * rng.standard_normal((n, d)) + shift
        for m, shift in zip(maps, (3, -3), strict=True)
    ]
    return sides[0], sides[1]


def of_least_error(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> float:
    """The penalty, by a regression without each group of pairs."""
    scale = np.square(x - x.mean(axis=0)).sum() / x.shape[1]
    errors = []
    for penalty in scale * PENALTIES:
        error = 0.0
        for left_out in np.unique(groups):
            rest = groups != left_out
            guess = Ridge(penalty).fit(x[rest], y[rest]).predict(x[~rest])
            error += np.square(guess - y[~rest]).sum()
        errors.append(error)
    return float(scale * PENALTIES[np.argmin(errors)])


@pytest.mark.parametrize("penalty", [1e-3, 0.7, 50.0])
@pytest.mark.parametrize("n", [4, 40])
def test_agrees_with_scikit_learn_each_way(penalty, n):
    images, texts = (normalize(x) for x in pairs(0, n))
    queries = normalize(pairs(1, 9)[0])
    correction = ridge.fit(images, texts, penalty)
    for modality, x, y in (("image", images, texts), ("text", texts, images)):
        expected = Ridge(penalty).fit(x, y).predict(queries)
        np.testing.assert_allclose(correction.apply(queries, modality), expected, rtol=0, atol=1e-9)
    assert correction.parameters == {"pairs": n, "penalty": {"image": penalty, "text": penalty}}
    assert correction.sides == "query" and correction.space == "projected"


@pytest.mark.parametrize(("n", "noise"), [(5, 0.5), (14, 0.05), (14, 2.0), (30, 0.5)])
def test_the_penalty_is_that_of_the_least_error_on_pairs_left_out(n, noise):
    images, texts = (normalize(x) for x in pairs(2, n, noise=noise))
    chosen = ridge.fit(images, texts).parameters["penalty"]
    for modality, x, y in (("image", images, texts), ("text", texts, images)):
        assert chosen[modality] == pytest.approx(of_least_error(x, y, np.arange(n)))


@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_captions_of_one_image_are_left_out_together(noise):
    """Of images with 1 to 6 captions, in any order: the penalty, against regressions without each image."""
    rng = np.random.default_rng(5)
    image = rng.permutation(np.repeat(np.arange(12), [1, 1, 2, 3, 3, 4, 5, 5, 5, 6, 6, 1]))
    things, texts = pairs(4, 12, d=16, noise=noise)
    images = normalize(things)[image]
    texts = normalize(texts[image] + noise * rng.standard_normal((len(image), 16)))
    chosen = ridge.fit(images, texts).parameters["penalty"]
    for modality, x, y in (("image", images, texts), ("text", texts, images)):
        assert chosen[modality] == pytest.approx(of_least_error(x, y, image))
    scale = np.square(texts - texts.mean(axis=0)).sum() / texts.shape[1]
    one_by_one = RidgeCV(alphas=scale * PENALTIES).fit(
        texts - texts.mean(axis=0), images - images.mean(axis=0)
    )
    assert one_by_one.alpha_ < chosen["text"] or noise > 0.5


def test_a_query_comes_to_lie_by_its_partner_in_the_other_modality():
    images, texts = pairs(3, 200, d=16, noise=0.05)
    correction = ridge.fit(images[:150], texts[:150])
    for modality, queries, partners in (("image", images, texts), ("text", texts, images)):
        found = normalize(correction.apply(queries[150:], modality)) @ normalize(partners[150:]).T
        before = normalize(queries[150:]) @ normalize(partners[150:]).T
        right = np.arange(50)
        assert (found.argmax(axis=1) == right).mean() > 0.8 > (before.argmax(axis=1) == right).mean()


def test_real_image_queries_cross_the_gap(b32):
    arrays = b32["flickr8k_100x5"]
    images, texts = (normalize(arrays[x].astype(np.float64)) for x in ("image_features", "text_features"))
    correction = ridge.fit(images[:400], texts[:400])
    moved = normalize(correction.apply(images[400:], "image"))
    gap = [np.linalg.norm(x.mean(axis=0) - texts[400:].mean(axis=0)) for x in (images[400:], moved)]
    assert gap[1] < gap[0] / 2
    for modality, x in (("image", images[:400]), ("text", texts[:400])):
        scale = np.square(x - x.mean(axis=0)).sum() / x.shape[1]
        inside = correction.parameters["penalty"][modality] / scale  # neither end of what was tried
        assert PENALTIES[0] * 5 < inside < PENALTIES[-1] / 5


def test_what_it_cannot_be_fitted_on():
    images, texts = pairs(0, 9)
    with pytest.raises(
        ValueError, match="image_features has 9 rows and text_features 8: give at least 3 pairs"
    ):
        ridge.fit(images, texts[:8])
    with pytest.raises(ValueError, match="image_features has 2 rows"):
        ridge.fit(images[:2], texts[:2])
    with pytest.raises(ValueError, match="image_features has width 6 and text_features width 5"):
        ridge.fit(images, texts[:, :5])
    for penalty in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=f"penalty is {penalty}: give a number above 0"):
            ridge.fit(images, texts, penalty)
    with pytest.raises(TypeError, match="penalty is 'a': give a number"):
        ridge.fit(images, texts, "a")
    with pytest.raises(ValueError, match="pairs of which one side is all the same"):
        ridge.fit(np.tile([1.0, 0, 0, 0, 0, 0], (9, 1)), texts)
