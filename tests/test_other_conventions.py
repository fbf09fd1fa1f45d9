"""Where conventions could have been others: ours gives the published value on real features, and the others do not.

The other choices are derived here, in numpy, and stand in no module; their values were published beside ours.
"""

from __future__ import annotations

import numpy as np
import pytest

from crossgap.losses import uniformity
from crossgap.metrics import mixed, probes
from crossgap.metrics.gap.frechet import frechet
from crossgap.metrics.gap.neighbourhoods import silhouette
from tests.rows import unit


def percent(values) -> float:
    return round(100 * float(np.mean(values)), 2)


@pytest.fixture(scope="module")
def flickr(real):
    """Queries, document texts and images, 100 of each."""
    held = np.load(real / "clip-vit-b32/flickr8k_100x5.npz")
    images, texts = held["image_features"][::5], held["text_features"]
    return unit(texts[::5]), unit(texts[1::5]), unit(images)


@pytest.fixture(scope="module")
def coco(real):
    held = np.load(real / "clip-vit-b16/coco_val2017_500.npz")
    return unit(held["image_features"]), unit(held["text_features"])


def found(queries, gallery) -> tuple[float, float, float]:
    """R@1, R@5 and nDCG@10 in percent, of query i for document i, by plain products."""
    scores = queries @ gallery.T
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(axis=1)
    gains = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0)
    return percent(ranks == 1), percent(ranks <= 5), percent(gains)


def ours(placed: mixed.Placed) -> tuple[float, float, float]:
    gains = np.where(placed.ranks <= 10, 1 / np.log2(1 + placed.ranks), 0)
    return percent(placed.ranks == 1), percent(placed.ranks <= 5), percent(gains)


SHARES = {  # images in the gallery: raw and centred, with the share of first hits that are images
    0: ((70, 93, 83.81, 0), (74, 95, 85.84, 0)),
    10: ((64, 84, 76.12, 0), (67, 95, 82.26, 2)),
    25: ((57, 73, 66.07, 0), (61, 92, 79.97, 5)),
    50: ((38, 48, 44.44, 0), (54, 92, 76.88, 15)),
    75: ((20, 25, 23.49, 0), (57, 99, 80.48, 41)),
    90: ((9, 14, 16.82, 0), (72, 99, 87.78, 69)),
    100: ((83, 100, 92.43, 100), (85, 99, 93.19, 100)),
}


@pytest.mark.parametrize("share", SHARES)
def test_search_by_the_published_rule_of_documents(flickr, share):
    chosen = (37 * np.arange(100)) % 100 < share
    for (asking, texts, images), expected in zip(
        (flickr, [rows - rows.mean(axis=0) for rows in flickr]), SHARES[share], strict=True
    ):
        placed = mixed.found_in(asking, mixed.documents(texts, images, chosen), np.arange(100))
        assert (*ours(placed), percent(chosen[placed.firsts])) == expected


def test_other_means_of_a_half_and_half_gallery(flickr):
    asking, texts, images = flickr
    chosen = (37 * np.arange(100)) % 100 < 50
    centred = [rows - rows.mean(axis=0) for rows in flickr]
    gallery = np.where(chosen[:, None], centred[2], centred[1])
    placed = mixed.found_in(centred[0], mixed.documents(*centred[1:], chosen), np.arange(100))
    assert ours(placed) == found(unit(centred[0]), unit(gallery)) == (54, 92, 76.88)

    of_the_corpus = np.where(
        chosen[:, None], images - images[chosen].mean(axis=0), texts - texts[~chosen].mean(axis=0)
    )
    assert found(unit(centred[0]), unit(of_the_corpus)) == (51, 93, 75.03)
    pooled = np.concatenate([asking, texts]).mean(axis=0)
    one_text_mean = np.where(chosen[:, None], centred[2], texts - pooled)
    assert found(unit(asking - pooled), unit(one_text_mean)) == (54, 94, 76.98)
    assert found(centred[0], gallery) == (49, 90, 73.44)  # not made unit again
    documents = np.where(chosen[:, None], images, texts)
    joint = np.concatenate([asking, documents]).mean(axis=0)
    assert found(unit(asking - joint), unit(documents - joint)) == (41, 53, 49.12)


# α → ours; parts made unit before mixing; the mixture less its mean; less the mixed mean
FUSED = {
    0.25: ((89, 99, 95), (88, 99, 94.75), (89, 99, 95), (89, 99, 95.07)),
    0.5: ((85, 98, 92.81), (86, 98, 93.06), (85, 98, 92.81), (85, 98, 92.81)),
    0.75: ((80, 95, 89.73), (81, 96, 90.33), (80, 95, 89.73), (80, 96, 89.76)),
}


@pytest.mark.parametrize("alpha", FUSED)
def test_other_ways_to_centre_fused_documents(flickr, alpha):
    asking, texts, images = (rows - rows.mean(axis=0) for rows in flickr)
    fused = mixed.fused(texts, images, alpha, unit=False)
    before = unit(alpha * unit(texts) + (1 - alpha) * unit(images))
    mixture = unit(alpha * flickr[1] + (1 - alpha) * flickr[2])
    means = alpha * flickr[1].mean(axis=0) + (1 - alpha) * flickr[2].mean(axis=0)
    others = [before, unit(mixture - mixture.mean(axis=0)), unit(mixture - means)]
    of_others = [found(unit(asking), gallery) for gallery in others]
    assert (ours(mixed.found_in(asking, fused, np.arange(100))), *of_others) == FUSED[alpha]


def test_other_divisors_and_distances_of_the_gap(coco):
    images, texts = coco
    assert frechet(images, texts).covariance == pytest.approx(0.380376, abs=1e-6)
    assert frechet(images, texts).covariance * 499 / 500 == pytest.approx(0.379615, abs=1e-6)  # divisor n
    apart = [rows - rows.mean(axis=0) for rows in coco]
    covariances = [rows.T @ rows / 499 for rows in apart]
    root = np.linalg.svd(apart[0] @ apart[1].T, compute_uv=False).sum() / 499
    # centred and not made unit again: the covariance part stays; made unit, it doubles
    assert sum(map(np.trace, covariances)) - 2 * root == pytest.approx(0.380376, abs=1e-5)
    assert frechet(*apart).covariance == pytest.approx(0.786410, abs=1e-6)

    assert silhouette(images, texts) == pytest.approx(0.431823, abs=1e-6)
    both = np.concatenate(coco)
    distances = np.sqrt(np.maximum(2 - 2 * both @ both.T, 0))
    first = np.arange(1000) < 500
    inside = np.where(first, distances[:, first].sum(axis=1), distances[:, ~first].sum(axis=1)) / 499
    outside = np.where(first, distances[:, ~first].mean(axis=1), distances[:, first].mean(axis=1))
    euclidean = ((outside - inside) / np.maximum(inside, outside)).mean()
    assert euclidean == pytest.approx(0.250594, abs=1e-4)


def test_midpoints_as_they_are_and_a_diagonal_that_is_counted(coco):
    import torch

    middles = (coco[0][:16] + coco[1][:16]) / 2
    assert float(uniformity(torch.from_numpy(unit(middles)))) == pytest.approx(-1.886741900392, abs=1e-9)
    kernel = np.exp(-2 * np.square(middles[:, None] - middles[None]).sum(axis=2))
    pairs = kernel[np.triu_indices(16, 1)]
    assert np.log(pairs.mean()) == pytest.approx(-1.262683469062, abs=1e-9)
    assert np.log(kernel.mean()) == pytest.approx(-1.115617044, abs=1e-8)


# accuracy: ours of class means, 5-NN, GDA; class means by the Euclidean distance, 5-NN with sklearn's ties, GDA with
# n − K for n − 1, with the classes' shares as priors, and without its bias
PROBES = {
    "dtd": ((63.30, 60.64, 69.50), (63.00, 57.92, 69.39, 69.50, 57.74)),
    "oxford_flowers": ((92.73, 89.48, 96.51), (92.69, 88.96, 96.59, 96.39, 72.03)),
    "fgvc_aircraft": ((36.60, 36.66, 47.67), (36.66, 34.59, 47.61, 47.73, 27.72)),
}


@pytest.mark.parametrize(
    "name", ["dtd", *(pytest.param(one, marks=pytest.mark.slow) for one in [*PROBES][1:])]
)
def test_other_probes(real, name):
    from sklearn.neighbors import KNeighborsClassifier

    held = np.load(real / "clip-vit-b32" / f"{name}.npz")
    train, test = (unit(held[f"{split}_features"]) for split in ("val", "test"))
    labels, truth = held["val_labels"], held["test_labels"]
    models = probes.class_means(train, labels), probes.gda(train, labels)
    told = [np.array(model.classes)[model.predict(test)] for model in models]
    told.insert(1, probes.nearest_labels(test, train, labels, [5])[5].to_numpy())
    assert tuple(percent(one == truth) for one in told) == PROBES[name][0]

    classes, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    means = np.stack([train[codes == code].mean(axis=0) for code in range(len(classes))])
    euclidean = classes[(2 * test @ means.T - np.square(means).sum(axis=1)).argmax(axis=1)]
    neighbours = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(train, labels).predict(test)
    apart = train - means[codes]
    n, d = train.shape

    def gda(divisor: int, priors=0.0, bias: bool = True) -> np.ndarray:
        """S has the divisor, and stands with it in P."""
        spread = apart.T @ apart / divisor
        weights = d * np.linalg.solve(divisor * spread + np.trace(spread) * np.eye(d), means.T).T
        scores = test @ weights.T + priors
        if bias:
            scores = scores - np.einsum("cd,cd->c", means, weights) / 2
        return classes[scores.argmax(axis=1)]

    assert percent(gda(n - 1) == truth) == PROBES[name][0][2]
    shares = np.log(counts / n)
    others = [euclidean, neighbours, gda(n - len(classes)), gda(n - 1, shares), gda(n - 1, bias=False)]
    assert tuple(percent(one == truth) for one in others) == PROBES[name][1]
