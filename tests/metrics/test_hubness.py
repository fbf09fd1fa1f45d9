"""Hubs and the biases that make up for them: by loops, in exact arithmetic, and on real features."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from scipy.stats import skew

from crossgap.corrections import Correction, Material, fitted, inverted_softmax, nnn, pca_plus, qb_norm
from crossgap.errors import UnavailableError
from crossgap.metrics import neighbours
from crossgap.metrics.exact import exact_rows
from crossgap.metrics.hubness import by_nearest, by_softmax, first_ranked, firsts, hubs, occurrences, of_bank
from crossgap.metrics.near import Rows
from crossgap.metrics.retrieval import ranking, retrieval_metrics
from crossgap.metrics.retrieval.bias import Bias, columns
from tests.metrics.retrieval.test_ranking import assert_identical, in_torch, small_tiles, tied
from tests.rows import unit


def cloud(seed: int, n: int, d: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + 0.5


@pytest.mark.parametrize("entries", [1, 2**22])
def test_occurrences_by_sorting(entries, monkeypatch):
    monkeypatch.setattr(neighbours, "ENTRIES_IN_A_BLOCK", entries)
    queries, gallery = cloud(0, 9), cloud(1, 14)
    gallery[3] = gallery[11]  # of equal similarities the first
    left_out = np.array([4, -1, 2, 11, -1, 0, 13, 3, 5])
    added = np.array([1.0, 0, 1, 1, 0, 0, 1, 1, 0]), np.linspace(-0.5, 0.5, 14)
    for out, more in ((None, None), (left_out, None), (left_out, added)):
        expected = np.zeros(14, int)
        for i, query in enumerate(exact_rows(queries)):
            scores = exact_rows(gallery) @ query
            if more is not None:
                scores = scores + more[0][i] * more[1]
            places = [j for j in range(14) if out is None or j != out[i]]
            expected[sorted(places, key=lambda j: -scores[j])[:4]] += 1
        assert occurrences(queries, gallery, 4, left_out=out, added=more).tolist() == expected.tolist()
    with pytest.raises(UnavailableError, match="the 14 nearest of 14 gallery items are all of them"):
        occurrences(queries, gallery, 14)
    own = np.arange(14)
    assert occurrences(gallery, gallery, 12, left_out=own).max() > 0
    with pytest.raises(UnavailableError, match="the 13 nearest of 14 gallery items are all of them"):
        occurrences(gallery, gallery, 13, left_out=own)


def test_hubs_are_scipys_skewness():
    counts = np.array([0, 3, 1, 0, 12, 2])
    found = hubs(counts)
    assert found.skewness == pytest.approx(skew(counts), abs=1e-12)
    assert (found.largest, found.never_found) == (12, 2 / 6)
    assert math.isnan(hubs(np.array([2, 2, 2])).skewness)


@pytest.mark.parametrize("entries", [1, 2**22])
def test_biases_by_loops(entries, monkeypatch):
    monkeypatch.setattr(neighbours, "ENTRIES_IN_A_BLOCK", entries)
    gallery, bank = cloud(2, 6), cloud(3, 11)
    scores = unit(gallery) @ unit(bank).T
    for k in (1, 4, 11, 50):
        expected = [-0.75 * np.mean(sorted(row)[-k:]) for row in scores]
        (found,) = of_bank(gallery, bank, [partial(by_nearest, k=k, alpha=0.75)])
        np.testing.assert_allclose(found, expected, atol=1e-7)
    expected = [-math.log(sum(math.exp(20 * score) for score in row)) / 20 for row in scores]
    (found,) = of_bank(gallery, bank, [partial(by_softmax, beta=20)])
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_array_equal(firsts(bank, gallery), scores.T.argmax(axis=1))


def test_qb_norm_normalises_the_queries_that_meet_the_activation_set():
    queries, gallery, bank = cloud(4, 30), cloud(5, 12), cloud(6, 4)
    found = qb_norm.fit({"text": bank}).scoring(queries, gallery, "text")
    active = set((unit(bank) @ unit(gallery).T).argmax(axis=1))
    expected = [(unit(gallery) @ row).argmax() in active for row in unit(queries)]
    assert found.queries.tolist() == expected and 0 < sum(expected) < 30
    (of_items,) = of_bank(gallery, bank, [partial(by_softmax, beta=20)])
    np.testing.assert_array_equal(found.gallery, of_items)
    own = np.arange(12)  # a query that stands in the gallery doesn't find itself
    found = qb_norm.fit({"text": bank}).scoring(gallery, gallery, "text", left_out=own)
    scores = unit(gallery) @ unit(gallery).T
    np.fill_diagonal(scores, -1)
    assert found.queries.tolist() == [row.argmax() in active for row in scores]


def exactly(queries, gallery, added) -> list[list[int]]:
    """Rankings in rational arithmetic: similarities and biases in steps of 2⁻³⁰, ties in the gallery's order."""
    found = []
    for query, flag in zip(exact_rows(queries), added[0], strict=True):
        steps = []
        for item, value in zip(exact_rows(gallery), added[1], strict=True):
            score = sum(Fraction(a) * Fraction(b) for a, b in zip(query, item, strict=True))
            steps.append(-round((score + Fraction(flag) * Fraction(value)) * 2**30))
        found.append(sorted(range(len(gallery)), key=lambda j: (steps[j], j)))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_ranking_with_a_bias_is_exact(seed):
    """Against rational numbers: similarities tie, and biases are a few steps apart and as far as they may be."""
    queries, gallery, *_ = tied(8, 20, seed)
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 2.0**-26, 2.0**-25, 0.3, 1.9 * (seed % 2)], 20)
    bias = Bias(rng.random(8) < 0.7, values)
    rankings = exactly(queries, gallery, columns(bias, 8, 20))
    for item in range(20):
        labels = np.where(np.arange(20) == item, "right", "wrong")
        table = retrieval_metrics(queries, gallery, ["right"] * 8, labels, bias=bias)
        assert [round(1 / ap) - 1 for ap in table["ap"]] == [order.index(item) for order in rankings]


@pytest.mark.parametrize("seed", range(6))
def test_neither_tiles_nor_torch_change_a_bit_of_it(seed):
    n, m = 11, 37
    inputs = tied(n, m, seed)
    rng = np.random.default_rng(seed)
    bias = Bias(rng.random(n) < 0.5, rng.choice([0, 1e-8, 0.2, 1.7], m))
    whole = retrieval_metrics(*inputs, bias=bias)
    for items, rows, pairs in ((1, 1, 1), (5, 3, 7), (40, 2, 60)):
        with small_tiles(items, rows, pairs):
            assert_identical(retrieval_metrics(*inputs, bias=bias), whole)
            with in_torch():
                assert_identical(retrieval_metrics(*inputs, bias=bias), whole)
    with in_torch():
        assert_identical(retrieval_metrics(*inputs, bias=bias), whole)
    assert not whole.equals(retrieval_metrics(*inputs))
    nothing = Bias(np.ones(n, bool), np.full(m, 0.7))
    assert_identical(retrieval_metrics(*inputs, bias=nothing), retrieval_metrics(*inputs))
    nobody = Bias(np.zeros(n, bool), bias.gallery)
    assert_identical(retrieval_metrics(*inputs, bias=nobody), retrieval_metrics(*inputs))


def test_a_bias_keeps_to_the_tiles_of_larger_clouds(monkeypatch):
    rng = np.random.default_rng(0)
    queries, gallery, bank = (rng.standard_normal((n, 24)) for n in (200, 3000, 90))
    labels = rng.integers(0, 20, 200), rng.integers(0, 20, 3000)
    bias = nnn.fit({"image": bank}, 8).scoring(queries, gallery, "image")
    whole = retrieval_metrics(queries, gallery, *labels, bias=bias)
    monkeypatch.setattr(ranking, "ITEMS_IN_A_BLOCK", 700)
    assert_identical(retrieval_metrics(queries, gallery, *labels, bias=bias), whole)


def test_what_cannot_be_ranked_says_so():
    x, labels = cloud(7, 4), ["a", "a", "b", "b"]
    every = np.ones(4, bool)
    with pytest.raises(ValueError, match="a bool for each of 4 queries and a number for each of 4 items"):
        retrieval_metrics(x, x, labels, labels, bias=Bias(every, np.zeros(3)))
    with pytest.raises(ValueError, match=r"bias\.gallery holds NaN"):
        retrieval_metrics(x, x, labels, labels, bias=Bias(every, np.array([0, np.nan, 0, 0])))
    with pytest.raises(UnavailableError, match="biases of the gallery lie 3 apart"):
        retrieval_metrics(x, x, labels, labels, bias=Bias(every, np.array([0, 3.0, 0, 0])))
    # a similarity of 1 and half of this are 2 − 2⁻¹¹; float32's steps aside, nothing is left to a cosine above 1
    with pytest.raises(UnavailableError, match="biases of the gallery lie 2 apart"):
        retrieval_metrics(x, x, labels, labels, bias=Bias(every, np.array([0, 2 - 2.0**-10, 0, 0])))
    retrieval_metrics(x, x, labels, labels, bias=Bias(every, np.array([0, 2 - 2.0**-9, 0, 0])))
    with pytest.raises(ValueError, match=r"alpha is 1\.5: give 0 to 1"):
        nnn.fit({"text": x}, 3, 1.5)
    with pytest.raises(ValueError, match="k is 0: give at least 1"):
        nnn.fit({"text": x}, 0)
    with pytest.raises(TypeError, match=r"k is 1\.5: give a whole number from 1"):
        nnn.fit({"text": x}, 1.5)
    for module in (inverted_softmax, qb_norm):
        with pytest.raises(ValueError, match="beta is 0: give a number above 0"):
            module.fit({"text": x}, 0)
        with pytest.raises(TypeError, match="beta is 'a': give a number"):
            module.fit({"text": x}, "a")
    for module in (inverted_softmax, nnn, qb_norm):
        with pytest.raises(TypeError, match="banks is a ndarray: give one a modality of queries"):
            module.fit(x)
    correction = nnn.fit({"text": x})
    with pytest.raises(UnavailableError, match="no bank of image queries"):
        correction.scoring(x, x, "image")
    with pytest.raises(UnavailableError, match="no text query is left in the bank"):
        correction.scoring(x, x, "text", rows=np.zeros(4, bool))
    with pytest.raises(ValueError, match="width 3"):
        correction.scoring(x[:, :3], x[:, :3], "text")
    assert not correction.handles("image") and not correction.handles("text")


def test_they_are_fitted_where_a_cell_has_another_split():
    found, reasons = fitted(Material(banks={"text": cloud(8, 9)}), ["nnn", "inverted_softmax", "qb_norm"])
    assert sorted(found) == ["inverted_softmax", "nnn_16", "nnn_64", "qb_norm"] and not reasons
    assert all(isinstance(one, Correction) and one.scoring for one in found.values())
    assert found["nnn_16"].parameters == {"k": 16, "alpha": 0.75, "text": {"bank": 9}}
    _, reasons = fitted(Material(), ["nnn"])
    assert reasons == {"nnn": "no bank of queries: no other split than the queries' holds images or texts"}


# skewness, largest N₁₀, share never found in %: raw, centred, PCA⁺
IMAGES = {
    "dtd": ((1.9615, 102, 3.01), (0.7764, 54, 0.27), (1.2956, 89, 1.77)),
    "oxford_flowers": ((0.9929, 71, 2.33), (0.6020, 50, 0.86), (0.6345, 55, 1.47)),
    "fgvc_aircraft": ((2.1568, 74, 6.57), (1.7665, 71, 3.36), (2.1724, 85, 7.41)),
}


def shown(queries, gallery) -> tuple[float, int, float]:
    found = hubs(occurrences(queries, gallery))
    return round(found.skewness, 4), found.largest, round(100 * found.never_found, 2)


@pytest.mark.parametrize("name", IMAGES)
def test_real_images(real, name):
    held = np.load(real / f"clip-vit-b32/{name}.npz")
    classes = np.load(real / "clip-vit-b32/imagenet_class_text.npz")["prompt_set_1"]
    queries, gallery = held["test_features"], held["val_features"]
    mean = unit(queries).mean(axis=0)
    correction = pca_plus.fit(classes, 256)
    assert shown(queries, gallery) == IMAGES[name][0]
    assert shown(unit(queries) - mean, unit(gallery) - mean) == IMAGES[name][1]
    assert shown(*(correction.apply(side, "image") for side in (queries, gallery))) == IMAGES[name][2]


PAIRS = {
    ("coco", False): ((2.3564, 72, 2.0), (1.6455, 54, 0.8)),
    ("coco", True): ((1.2996, 41, 1.2), (1.7205, 50, 1.4)),
    ("flickr c0", False): ((1.3523, 30, 0.0), (0.8136, 29, 0.0)),
    ("flickr c0", True): ((0.1909, 19, 0.0), (0.5093, 22, 0.0)),
    ("flickr 5", False): ((1.2504, 142, 0.0), (1.9810, 13, 3.8)),
    ("flickr 5", True): ((0.2397, 94, 0.0), (1.4455, 9, 4.4)),
}
# recall@1 in % of the second half: none, NNN with k 16 and 64, inverted softmax, QB-Norm; normalised; activation set
HALVES = {
    ("coco", False, "t2i", "all"): (49.2, 56.4, 55.6, 57.2, 57.6, 109, 198),
    ("coco", False, "t2i", "half"): (60.8, 66.0, 64.8, 64.4, 64.4, 155, 119),
    ("coco", False, "i2t", "all"): (53.6, 58.4, 57.6, 57.2, 57.6, 95, 196),
    ("coco", False, "i2t", "half"): (66.0, 66.4, 66.0, 65.2, 65.2, 145, 124),
    ("coco", True, "t2i", "all"): (49.6, 55.6, 54.0, 59.6, 58.4, 110, 188),
    ("coco", True, "t2i", "half"): (64.0, 65.2, 66.4, 65.2, 65.2, 171, 131),
    ("coco", True, "i2t", "all"): (54.4, 58.8, 57.6, 61.6, 62.0, 90, 196),
    ("coco", True, "i2t", "half"): (66.4, 68.4, 67.6, 68.8, 70.8, 156, 123),
    ("flickr c0", False, "t2i", "all"): (76, 82, 84, 80, 78, 9, 47),
    ("flickr c0", False, "t2i", "half"): (80, 88, 90, 84, 86, 26, 24),
    ("flickr c0", False, "i2t", "all"): (76, 70, 70, 70, 76, 4, 46),
    ("flickr c0", False, "i2t", "half"): (78, 76, 78, 74, 74, 28, 26),
    ("flickr c0", True, "t2i", "all"): (78, 78, 78, 80, 80, 8, 49),
    ("flickr c0", True, "t2i", "half"): (82, 82, 82, 82, 82, 31, 28),
    ("flickr c0", True, "i2t", "all"): (72, 76, 74, 76, 74, 8, 47),
    ("flickr c0", True, "i2t", "half"): (78, 82, 80, 78, 78, 30, 28),
    ("flickr 5", False, "t2i", "all"): (76.4, 85.6, 82.8, 83.6, 84.4, 78, 58),
    ("flickr 5", False, "t2i", "half"): (85.2, 89.6, 90.8, 89.6, 89.2, 214, 42),
    ("flickr 5", False, "i2t", "all"): (86, 82, 82, 84, 88, 1, 50),
    ("flickr 5", False, "i2t", "half"): (92, 90, 86, 86, 86, 12, 41),
    ("flickr 5", True, "t2i", "all"): (76.8, 85.2, 78.4, 88.0, 87.6, 83, 59),
    ("flickr 5", True, "t2i", "half"): (86.0, 88.8, 86.0, 89.2, 89.2, 228, 45),
    ("flickr 5", True, "i2t", "all"): (92, 84, 92, 86, 92, 0, 49),
    ("flickr 5", True, "i2t", "half"): (94, 90, 94, 86, 96, 12, 42),
}


@pytest.fixture(scope="module")
def pairs(real):
    coco = np.load(real / "clip-vit-b16/coco_val2017_500.npz")
    flickr = np.load(real / "clip-vit-b32/flickr8k_100x5.npz")
    images, texts = unit(flickr["image_features"][::5]), unit(flickr["text_features"])
    held = {
        "coco": (unit(coco["image_features"]), unit(coco["text_features"])),
        "flickr c0": (images, texts[::5]),
        "flickr 5": (images, texts),
    }
    return lambda name, centred: tuple(x - x.mean(axis=0) if centred else x for x in held[name])


@pytest.mark.parametrize(("name", "centred"), PAIRS)
def test_real_pairs(pairs, name, centred):
    images, texts = pairs(name, centred)
    assert (shown(texts, images), shown(images, texts)) == PAIRS[name, centred]


def test_real_pairs_projected(pairs, real):
    """By PCA⁺ of ViT-B/32: text to image, then image to text."""
    correction = pca_plus.fit(np.load(real / "clip-vit-b32/imagenet_class_text.npz")["prompt_set_1"], 256)
    for name, values in (
        ("flickr c0", ((1.5919, 40, 0.0), (1.3693, 40, 0.0))),
        ("flickr 5", ((1.6315, 189, 0.0), (1.7816, 9, 5.4))),
    ):
        images, texts = (correction.apply(side, "image") for side in pairs(name, False))
        assert (shown(texts, images), shown(images, texts)) == values


@pytest.mark.parametrize(("name", "centred", "direction", "kept"), HALVES)
def test_real_halves(pairs, name, centred, direction, kept):
    images, texts = pairs(name, centred)
    of_text = np.arange(len(texts)) // (len(texts) // len(images))
    sides = [(texts, of_text), (images, np.arange(len(images)))]
    (queries, asked), (gallery, held) = sides if direction == "t2i" else sides[::-1]
    half = len(images) // 2
    bank, queries, asked = queries[asked < half], queries[asked >= half], asked[asked >= half]
    if kept == "half":
        gallery, held = gallery[held >= half], held[held >= half]
    found, bias = [], None
    for correction in (None, nnn.fit({"text": bank}, 16), nnn.fit({"text": bank}, 64),
                       inverted_softmax.fit({"text": bank}), qb_norm.fit({"text": bank})):  # fmt: skip
        bias = correction and correction.scoring(queries, gallery, "text")
        table = retrieval_metrics(queries, gallery, asked, held, bias=bias)
        found.append(round(100 * table["recall@1"].mean(), 2))
    found += [int(bias.queries.sum()), len(set(firsts(bank, gallery).tolist()))]
    assert tuple(found) == HALVES[name, centred, direction, kept]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("more", [60, 1300])
def test_products_in_float32_find_the_nearest_all_the_same(seed, k, more):
    queries, gallery, *_ = tied(15, 40, seed)
    rng = np.random.default_rng(seed)
    x, y = exact_rows(queries), exact_rows(np.concatenate([gallery, rng.standard_normal((more, 7))]))
    for left_out in (None, rng.integers(-1, len(y), 15)):
        scores = x @ y.T
        if left_out is not None:
            scores[np.flatnonzero(left_out >= 0), left_out[left_out >= 0]] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        ((_, found),) = neighbours.most_similar(Rows(x), Rows(y), k, left_out)
        np.testing.assert_array_equal(found, order)


@pytest.mark.parametrize("power", [0, 6, 12])
def test_the_nearest_among_near_ties_whatever_the_lengths_of_rows(power):
    rng = np.random.default_rng(power)
    x, base = exact_rows(rng.standard_normal((20, 33))), exact_rows(rng.standard_normal((1, 33)))
    near = base + 2.0**-26 * rng.integers(-2, 3, (400, 33))
    y = 2.0**power * near  # errors in float32 grow with it
    order = np.argsort(-(x @ y.T), axis=1, kind="stable")[:, :3]
    ((_, found),) = neighbours.most_similar(Rows(x), Rows(y), 3)
    np.testing.assert_array_equal(found, order)


@pytest.mark.parametrize("seed", range(4))
def test_first_by_several_biases_is_what_retrieval_ranks_first(seed, monkeypatch):
    queries, gallery, *_ = tied(9, 20, seed)
    monkeypatch.setattr(neighbours, "ENTRIES_IN_A_BLOCK", 50)
    rng = np.random.default_rng(seed)
    every, labels = np.ones(9, bool), np.arange(20)
    values = [np.zeros(20), *(rng.choice([0, 2.0**-26, 0.3], 20) for _ in range(3))]
    kept = [np.ones(20, bool), *(rng.random(20) < share for share in (1, 0.7, 0.3))]
    added = [np.full(20, -np.inf) for _ in kept]
    for column, some, of_items in zip(added, kept, values, strict=True):
        column[some] = columns(Bias(every, of_items[some]), 9, some.sum())[1]
    found = first_ranked(queries, gallery, added)
    for some, of_items, places in zip(kept, values, found, strict=True):
        bias = Bias(every, of_items[some])
        asked = retrieval_metrics(queries, gallery[some], labels[places], labels[some], bias=bias)
        assert asked["recall@1"].tolist() == [1] * 9


def test_what_is_no_number_of_neighbours_is_told():
    for k in ("5", [5], 2.0, True):
        with pytest.raises(TypeError, match=r"^k is .*: give a whole number from 1$"):
            occurrences(np.eye(3), np.eye(3), k)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [([0], "left_out has shape"), ([0, 1, 9], "left_out holds 9"), ([-2] * 3, "holds -2")],
)
def test_places_left_out_that_are_none_are_said(left_out, message):
    """One for all queries would be left out of the first query's candidates alone."""
    rows = np.eye(5) + 0.1
    for search in (firsts, partial(occurrences, k=2)):
        with pytest.raises(ValueError, match=message):
            search(rows[:3], rows, left_out=np.array(left_out))
