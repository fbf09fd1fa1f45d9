"""Probes against slow derivations and scikit-learn, and on real features against values measured independently."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from crossgap import fingerprint
from crossgap.corrections import pca_plus
from crossgap.errors import UnavailableError
from crossgap.metrics import probes
from crossgap.metrics.near import Rows
from crossgap.metrics.probes import Linear
from tests.rows import unit

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(4, 6))
CODES = np.array([0, 0, 1, 1, 1, 2, 2, 3, 3, 3] * 4)
NAMES = np.array(["ant", "bee", "cat", "dog"])[CODES]
X = CENTRES[CODES] + RNG.normal(size=(40, 6))
QUERIES = CENTRES[np.arange(60) % 4] + 1.5 * RNG.normal(size=(60, 6))


def told(model: Linear, queries=QUERIES) -> list:
    return [model.classes[place] for place in model.predict(queries)]


def test_class_means_take_the_nearest_unit_mean():
    means = {name: unit(np.mean(unit(X)[name == NAMES], axis=0)) for name in dict.fromkeys(NAMES)}
    expected = [max(means, key=lambda name: means[name] @ query) for query in unit(QUERIES)]
    assert told(probes.class_means(X, NAMES)) == expected


def test_gda_is_the_nearest_mean_after_whitening():
    """By a Cholesky factor of (n − 1) Σ̂ + tr(Σ̂) I; scores and squared distances differ by what is equal for all."""
    rows = unit(X)
    means = np.array([rows[code == CODES].mean(axis=0) for code in range(4)])
    scatter = sum(
        np.outer(row - means[code], row - means[code]) for row, code in zip(rows, CODES, strict=True)
    )
    factor = np.linalg.cholesky(scatter + np.trace(scatter) / (len(rows) - 1) * np.eye(6))
    whitened = np.linalg.solve(factor, unit(QUERIES).T).T
    anchors = np.linalg.solve(factor, means.T).T
    distances = [[np.sum((one - anchor) ** 2) for anchor in anchors] for one in whitened]
    found = probes.gda(X, NAMES)
    assert told(found) == np.array(found.classes)[np.argmin(distances, axis=1)].tolist()
    one, other = found.weights @ unit(QUERIES).T + found.bias[:, None], -np.array(distances).T * 6 / 2
    np.testing.assert_allclose(one - one[0], other - other[0], atol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_neighbours_vote_and_the_nearest_decides(k, monkeypatch):
    monkeypatch.setattr("crossgap.metrics.neighbours.ENTRIES_IN_A_BLOCK", 100)
    found = probes.nearest_labels(QUERIES, X, NAMES, [k])[k]
    for query, name in zip(unit(QUERIES), found, strict=True):
        near = NAMES[np.argsort(-(unit(X) @ query), kind="stable")[:k]]
        votes = Counter(near.tolist())
        assert name == next(one for one in near if votes[one] == max(votes.values()))


def test_equal_neighbours_count_in_their_order():
    found = probes.nearest_labels(
        np.eye(2)[:1], np.array([[0.0, 1], [2, 0], [5, 0]]), ["a", "b", "c"], [1, 3]
    )
    assert found.iloc[0].tolist() == ["b", "b"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([-900, 0, 100]), st.sampled_from([0, 2.0**-40, 2.0**-20, 1]))
def test_products_in_float32_tell_the_same_class_among_near_ties(seed, power, apart):
    """Integers, so that float64 holds each score: classes that are equal, or some 2⁻⁴⁰ apart, and one of them first."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, (12, 5)).astype(float)
    base, noise = rng.integers(-9, 10, (1, 6)), rng.integers(-2, 3, (9, 6))
    weights = 2.0**power * (base + apart * noise)
    model = Linear(weights[:, :5], weights[:, 5], list(range(9)))
    scores = [
        [sum(map(Fraction.__mul__, x, w)) for w in fractions(weights)]
        for x in fractions(np.c_[rows, np.ones(12)])
    ]
    assert model.places(Rows(rows)).tolist() == [max(range(9), key=of.__getitem__) for of in scores]


def fractions(rows) -> list[list[Fraction]]:
    return [list(map(Fraction, row)) for row in rows.tolist()]


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_is_scikit_learns(classes):
    some = classes > CODES
    found = probes.logistic(X[some], NAMES[some], 10.0)
    known = LogisticRegression(C=10.0, tol=1e-8, max_iter=10_000).fit(unit(X)[some], CODES[some])
    assert told(found) == np.array(found.classes)[known.predict(unit(QUERIES))].tolist()
    scores = found.weights @ unit(QUERIES).T + found.bias[:, None]
    chances = np.exp(scores) / np.exp(scores).sum(axis=0)
    np.testing.assert_allclose(chances.T, known.predict_proba(unit(QUERIES)), atol=1e-6)


def test_c_is_chosen_by_halves_and_by_ids_alone():
    ids = np.array([f"item {row}" for row in range(len(X))])
    chosen = probes.chosen_strength(X, NAMES, ids)
    order = RNG.permutation(len(X))
    assert chosen in probes.STRENGTHS and probes.chosen_strength(X[order], NAMES[order], ids[order]) == chosen
    rng = np.random.default_rng(1)
    noise, labels = rng.normal(size=(200, 6)), rng.choice(list("ab"), 200)
    far = np.where(labels == "a", 1.0, -1.0)[:, None] * np.eye(6)[0] + 1e-3 * noise
    assert probes.chosen_strength(far, labels, range(200)) == probes.STRENGTHS[0], "the least of equals"


def test_c_is_that_of_most_right_answers_in_both_halves():
    """Of each class every other item by the draw; neither way alone chooses the same each time."""
    rng, alone = np.random.default_rng(2), []
    for number in range(6):
        labels = rng.choice(["a", "b", "c"], 60)
        rows = unit(np.eye(4)[np.array(["abc".index(name) for name in labels])] + rng.normal(size=(60, 4)))
        ids = [f"{number}/{row}" for row in range(60)]
        draw = dict(zip(ids, fingerprint.draw(ids, "half"), strict=True))
        halves: list[list[int]] = [[], []]
        for name in "abc":
            for place, row in enumerate(sorted(np.flatnonzero(labels == name), key=lambda i: draw[ids[i]])):
                halves[place % 2].append(row)
        right = np.zeros((2, len(probes.STRENGTHS)), int)
        for way, (told, by) in enumerate((halves, halves[::-1])):
            for at, strength in enumerate(probes.STRENGTHS):
                model = LogisticRegression(C=strength, tol=1e-5, max_iter=9999).fit(rows[by], labels[by])
                right[way, at] = (model.predict(rows[told]) == labels[told]).sum()
        assert probes.chosen_strength(rows, labels, ids) == probes.STRENGTHS[right.sum(axis=0).argmax()]
        alone.append(right.argmax(axis=1) == right.sum(axis=0).argmax())
    assert not np.all(alone, axis=0).any()


def test_scores_are_blended_by_class():
    images = Linear(np.eye(2), np.array([0.0, 1.0]), ["a", "b"])
    texts = Linear(np.array([[0.0, 3], [5, 5], [4, 0]]), np.array([2.0, 0, 4]), ["b", "x", "a"]).times(2.0)
    found = images.blended(texts, 0.25)
    np.testing.assert_allclose(found.weights, [[0.75 + 2, 0], [0, 0.75 + 1.5]])
    np.testing.assert_allclose(found.bias, [2, 0.75 + 1])
    assert found.classes == ["a", "b"]
    with pytest.raises(UnavailableError, match="no text of the classes x"):
        texts.blended(images, 0.5)
    with pytest.raises(ValueError, match=r"share is 1\.5: give 0 to 1"):
        images.blended(texts, 1.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: probes.gda(np.eye(3), list("abc")), "no class has two images that differ"),
        (lambda: probes.gda(np.ones((4, 2)), list("aabb")), "no class has two images that differ"),
        (lambda: probes.gda(np.eye(3), ["a", "", "b"]), "rows 1 have no class"),
        (lambda: probes.nearest_labels(np.eye(3), np.eye(3), list("abc"), [1, 5]), "5 nearest of 3 images"),
        (lambda: probes.nearest_labels(np.eye(2), np.eye(3), list("abc"), [1]), "queries has width 2"),
        (lambda: probes.nearest_labels(np.eye(3), np.eye(3), list("abc"), [0]), "ks holds 0"),
        (lambda: probes.nearest_labels(np.eye(3), np.eye(3), list("abc"), [1.5]), "ks holds 1.5"),
        (lambda: probes.nearest_labels(np.eye(3), np.eye(3), list("abc"), ()), "ks is empty"),
        (lambda: probes.logistic(np.eye(3), list("aaa"), 1.0), "of one class"),
        (lambda: probes.logistic(np.eye(3), list("abc"), 0.0), "give a C above 0"),
        (lambda: probes.chosen_strength(np.eye(3), list("abc"), range(3)), "give two classes with two images"),
        (lambda: probes.chosen_strength(np.eye(4), list("aabc"), range(4)), "give two classes with two images"),
        (lambda: probes.class_means(np.eye(3), list("abc")).predict(np.eye(2)), "width 2"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_number_of_neighbours_is_no_list_of_them():
    with pytest.raises(TypeError, match="ks is 5: give several"):
        probes.nearest_labels(np.eye(3), np.eye(3), list("abc"), 5)


def test_a_regression_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(probes, "STEPS", 2)
    with pytest.raises(UnavailableError, match="C 100 did not converge"):
        probes.logistic(X, NAMES, 100.0)


SHOTS = (1, 2, 4, 8, 16)
ACCURACY = {  # class mean, 1-NN, 5-NN, GDA, logistic with C 1 and 100, in percent
    ("dtd", "raw"): (63.30, 59.57, 60.64, 69.50, 63.24, 67.73),
    ("dtd", "pca+"): (65.66, 62.65, 62.59, 69.27, 66.78, 68.38),
    ("oxford_flowers", "raw"): (92.73, 89.12, 89.48, 96.51, 47.75, 95.53),
    ("oxford_flowers", "pca+"): (93.59, 92.04, 92.41, 96.14, 68.74, 96.06),
    ("fgvc_aircraft", "raw"): (36.60, 34.38, 36.66, 47.67, 35.70, 45.84),
    ("fgvc_aircraft", "pca+"): (37.35, 37.83, 38.52, 45.99, 37.50, 45.12),
}
OF_SHOTS = {  # by the first images of a class: class means, then GDA from two images on
    ("dtd", "raw"): ((31.50, 41.61, 50.47, 57.62, 60.11), (43.79, 53.55, 61.52, 66.49)),
    ("dtd", "pca+"): ((36.88, 46.63, 54.37, 61.23, 63.59), (46.10, 54.55, 62.53, 67.14)),
    ("oxford_flowers", "raw"): ((59.20, 74.91, 85.95, 90.58, 92.41), (79.78, 90.82, 94.92, 96.47)),
    ("oxford_flowers", "pca+"): ((67.11, 79.78, 88.27, 91.80, 93.14), (81.32, 90.58, 94.64, 96.02)),
    ("fgvc_aircraft", "raw"): ((14.58, 19.23, 24.03, 29.10, 33.33), (21.12, 28.44, 34.74, 41.43)),
    ("fgvc_aircraft", "pca+"): ((16.20, 20.13, 26.13, 31.02, 34.89), (22.41, 27.99, 34.32, 40.47)),
}


@pytest.fixture(scope="module")
def sets(real):
    """By set and features: images and labels to fit on, images and labels to tell."""
    folder, found = real / "clip-vit-b32", {}
    plus = pca_plus.fit(np.load(folder / "imagenet_class_text.npz")["prompt_set_1"], 256)
    for name in dict.fromkeys(name for name, _ in ACCURACY):
        held = np.load(folder / f"{name}.npz")
        val, test = held["val_features"], held["test_features"]
        found[name, "raw"] = val, held["val_labels"], test, held["test_labels"]
        projected = (plus.apply(side, "image") for side in (val, test))
        found[name, "pca+"] = next(projected), held["val_labels"], next(projected), held["test_labels"]
    return found


def percent(model: Linear, features, labels) -> float:
    return 100 * float(np.mean(np.asarray(model.classes)[model.predict(features)] == labels))


@pytest.mark.parametrize("of", ACCURACY, ids=" ".join)
def test_all_images_of_real_sets(sets, of):
    x, labels, queries, truth = sets[of]
    near = probes.nearest_labels(queries, x, labels, (1, 5))
    found = [percent(probes.class_means(x, labels), queries, truth)]
    found += [100 * float(np.mean(near[k].to_numpy() == truth)) for k in (1, 5)]
    found.append(percent(probes.gda(x, labels), queries, truth))
    assert found == pytest.approx(ACCURACY[of][:4], abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1, 100])
@pytest.mark.parametrize("of", ACCURACY, ids=" ".join)
def test_logistic_regression_of_real_sets(sets, of, strength):
    x, labels, queries, truth = sets[of]
    found = percent(probes.logistic(x, labels, strength), queries, truth)
    assert found == pytest.approx(ACCURACY[of][4 if strength == 1 else 5], abs=0.006)


@pytest.mark.parametrize("of", OF_SHOTS, ids=" ".join)
def test_the_first_images_of_real_sets(sets, of):
    x, labels, queries, truth = sets[of]
    means, discriminants = [], []
    for shots in SHOTS:
        rows = np.sort(np.concatenate([np.flatnonzero(labels == one)[:shots] for one in np.unique(labels)]))
        means.append(percent(probes.class_means(x[rows], labels[rows]), queries, truth))
        if shots > 1:
            discriminants.append(percent(probes.gda(x[rows], labels[rows]), queries, truth))
    assert (means, discriminants) == (
        pytest.approx(OF_SHOTS[of][0], abs=0.006),
        pytest.approx(OF_SHOTS[of][1], abs=0.006),
    )
