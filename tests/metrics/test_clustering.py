"""Agreement of clusters with labels, re-derived from a contingency table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.cluster import KMeans

from crossgap.metrics.clustering import MEASURES, clustering_metrics


def blobs(seed: int, spread: float) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    centres = np.eye(4)[:3]
    codes = rng.integers(0, 3, 60)
    return centres[codes] + spread * rng.standard_normal((60, 4)), [f"class {code}" for code in codes]


def slow(labels: list, clusters: list) -> dict[str, float]:
    n = len(labels)
    cells = {
        (a, b): sum(x == a and y == b for x, y in zip(labels, clusters, strict=True))
        for a in set(labels)
        for b in set(clusters)
    }
    rows = {a: labels.count(a) for a in set(labels)}
    columns = {b: clusters.count(b) for b in set(clusters)}
    mutual = sum(c / n * math.log(c * n / (rows[a] * columns[b])) for (a, b), c in cells.items() if c)
    entropy = [-sum(c / n * math.log(c / n) for c in side.values()) for side in (rows, columns)]
    pairs = sum(math.comb(c, 2) for c in cells.values())
    sides = [sum(math.comb(c, 2) for c in side.values()) for side in (rows, columns)]
    by_chance = sides[0] * sides[1] / math.comb(n, 2)
    # the mean of the mutual information over all tables with these margins (Vinh, Epps and Bailey 2010, eq. 24)
    expected = 0.0
    for a in rows.values():
        for b in columns.values():
            for c in range(max(1, a + b - n), min(a, b) + 1):
                chance = math.comb(b, c) * math.comb(n - b, a - c) / math.comb(n, a)
                expected += c / n * math.log(n * c / (a * b)) * chance
    return {
        "v_measure": 2 * mutual / sum(entropy),
        "ami": (mutual - expected) / (sum(entropy) / 2 - expected),
        "ari": (pairs - by_chance) / (sum(sides) / 2 - by_chance),
        "nmi": mutual / math.sqrt(entropy[0] * entropy[1]),
    }


@pytest.mark.parametrize("seed", range(3))
def test_measures_from_the_contingency_table(seed) -> None:
    features, labels = blobs(seed, 0.5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    clusters = KMeans(3, n_init=10, random_state=seed).fit_predict(unit).tolist()
    found = clustering_metrics(features, labels, seed=seed)
    for name, value in slow(labels, clusters).items():
        assert found[name] == pytest.approx(value, abs=1e-6), name
        assert 0 < found[name] < 1


def test_clean_classes_are_found_whatever_their_lengths() -> None:
    features, labels = blobs(0, 0.01)
    scales = np.random.default_rng(0).uniform(0.1, 10, (60, 1))
    assert clustering_metrics(features * scales, labels) == dict.fromkeys(MEASURES, pytest.approx(1))


def test_items_without_a_label_are_left_out() -> None:
    features, labels = blobs(1, 0.4)
    more = np.concatenate([features, np.random.default_rng(1).standard_normal((20, 4))])
    assert clustering_metrics(more, [*labels, *[""] * 10, *[None] * 10]) == clustering_metrics(
        features, labels
    )


def test_the_seed_decides_where_one_run_begins() -> None:
    features = np.random.default_rng(0).standard_normal((40, 3))
    labels = np.random.default_rng(1).choice(list("abcde"), 40).tolist()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = [clustering_metrics(features, labels, seed=seed, restarts=1)["ami"] for seed in range(3)]
    for seed, value in enumerate(found):
        clusters = KMeans(5, n_init=1, random_state=seed).fit_predict(unit).tolist()
        assert value == pytest.approx(slow(labels, clusters)["ami"], abs=1e-6)
    assert len(set(found)) == 3


@pytest.mark.parametrize("labels", [["a", "a", ""], ["a", "b", "c"], ["a", "b", ""]])
def test_one_class_or_one_item_a_class_has_no_clusters_to_agree_with(labels) -> None:
    assert all(math.isnan(value) for value in clustering_metrics(np.eye(3), labels).values())


def test_what_is_no_seed_or_number_of_runs_is_told():
    for given, told in (({"seed": "a"}, "seed is 'a'"), ({"restarts": 0.5}, "restarts is 0.5")):
        with pytest.raises(TypeError, match=f"^{told}: give a whole number"):
            clustering_metrics(np.eye(4), list("aabb"), **given)
