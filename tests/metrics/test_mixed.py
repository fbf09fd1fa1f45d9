"""Search among texts and images: by loops, against the retrieval of everything else, and on real features."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from crossgap.metrics import neighbours
from crossgap.metrics.mixed import documents, found_among, found_in, fused, image_documents
from crossgap.metrics.retrieval import retrieval_metrics
from crossgap.metrics.retrieval.bias import Bias, columns
from tests.rows import unit


def cloud(seed: int, n: int, d: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + 0.3


def test_images_are_drawn_by_id_and_a_larger_share_keeps_those_of_a_smaller():
    ids = [f"photo {n}" for n in range(20)]
    held = [set(np.flatnonzero(image_documents(ids, share, (3, 1)))) for share in (0, 0.1, 0.25, 0.5, 0.9, 1)]
    assert [len(some) for some in held] == [0, 2, 5, 10, 18, 20]
    assert all(few < more for few, more in pairwise(held))
    shuffled = [ids[place] for place in np.random.default_rng(0).permutation(20)]
    assert [image_documents(ids[:7], share).sum() for share in (0.3, 0.4, 0.5, 0.6)] == [2, 3, 4, 4]
    by_id = dict(zip(ids, image_documents(ids, 0.5, (3, 1)), strict=True))
    assert [by_id[name] for name in shuffled] == image_documents(shuffled, 0.5, (3, 1)).tolist()
    assert set(np.flatnonzero(image_documents(ids, 0.5, (3, 2)))) != held[3]
    for share in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match=rf"share is {share}: give 0 to 1"):
            image_documents(ids, share)


@pytest.mark.parametrize("entries", [1, 2**22])
def test_ranks_by_loops_and_as_retrieval_has_them(entries, monkeypatch):
    monkeypatch.setattr(neighbours, "ENTRIES_IN_A_BLOCK", entries)
    texts, images, queries = cloud(0, 12), cloud(1, 12), cloud(2, 7)
    texts[9] = texts[4]  # as similar to every query: the gallery's order decides
    own = np.array([0, 4, 9, 11, 3, 5, 8])
    draws = [np.zeros(12, bool), np.arange(12) % 3 == 1, np.ones(12, bool)]
    bias = Bias(np.arange(7) % 2 == 0, np.linspace(-0.4, 0.4, 12))
    for chosen, found in zip(draws, found_among(queries, texts, images, own, draws), strict=True):
        gallery = np.array([images[j] if chosen[j] else texts[j] for j in range(12)])
        np.testing.assert_allclose(documents(texts, images, chosen), unit(gallery), atol=1e-15)
        for added, result in (
            (None, found),
            (None, found_in(queries, gallery, own)),
            (bias, found_in(queries, gallery, own, columns(bias, 7, 12))),
        ):
            scores = unit(queries) @ unit(gallery).T
            if added is not None:
                scores += added.queries[:, None] * added.gallery
            scores = scores.round(7)
            order = [sorted(range(12), key=lambda j, row=row: (-row[j], j)) for row in scores]
            assert result.ranks.tolist() == [
                1 + places.index(j) for places, j in zip(order, own, strict=True)
            ]
            assert result.firsts.tolist() == [places[0] for places in order]
            table = retrieval_metrics(queries, gallery, own, np.arange(12), bias=added)
            np.testing.assert_array_equal(result.ranks, (1 / table["ap"]).round())


def test_fused_documents():
    texts, images = cloud(3, 4), cloud(4, 4)
    for alpha in (0, 0.25, 1):
        np.testing.assert_allclose(
            fused(texts, images, alpha), alpha * unit(texts) + (1 - alpha) * unit(images), atol=1e-15
        )
        np.testing.assert_array_equal(
            fused(texts, images, alpha, unit=False), alpha * texts + (1 - alpha) * images
        )
    for alpha in (-1, 1.01, math.nan):
        with pytest.raises(ValueError, match=rf"alpha is {alpha}: give 0 to 1"):
            fused(texts, images, alpha)
    with pytest.raises(ValueError, match="4 texts and 3 images: give one of each a document"):
        fused(texts, images[:3], 0.5)


# share of images in % → R@1, R@5, nDCG@10, share of queries whose first hit is an image; raw, centred
SHARES = {
    0: ((70, 93, 83.81, 0), (74, 95, 85.84, 0)),
    10: ((64, 84, 76.12, 0), (67, 95, 82.26, 2)),
    25: ((57, 73, 66.07, 0), (61, 92, 79.97, 5)),
    50: ((38, 48, 44.44, 0), (54, 92, 76.88, 15)),
    75: ((20, 25, 23.49, 0), (57, 99, 80.48, 41)),
    90: ((9, 14, 16.82, 0), (72, 99, 87.78, 69)),
    100: ((83, 100, 92.43, 100), (85, 99, 93.19, 100)),
}
FUSED = {  # α → R@1, R@5, nDCG@10; raw, centred
    0: ((83, 100, 92.43), (85, 99, 93.19)),
    0.25: ((85, 99, 93.21), (89, 99, 95.0)),
    0.5: ((83, 98, 91.65), (85, 98, 92.81)),
    0.75: ((76, 95, 87.52), (80, 95, 89.73)),
    1: ((70, 93, 83.81), (74, 95, 85.84)),
}


@pytest.fixture(scope="module")
def flickr(real):
    """Query texts, document texts and document images, as they are and centred by role."""
    held = np.load(real / "clip-vit-b32/flickr8k_100x5.npz")
    texts = unit(held["text_features"])
    roles = texts[::5], texts[1::5], unit(held["image_features"][::5])
    return roles, tuple(rows - rows.mean(axis=0) for rows in roles)


def shown(found) -> tuple[float, float, float]:
    gain = np.where(found.ranks <= 10, 1 / np.log2(1 + found.ranks), 0)
    return tuple(round(100 * float(x.mean()), 2) for x in (found.ranks <= 1, found.ranks <= 5, gain))


def test_real_search(flickr):
    own = np.arange(100)
    draws = [37 * own % 100 < share for share in SHARES]
    for side, roles in enumerate(flickr):
        for values, chosen, found in zip(
            SHARES.values(), draws, found_among(*roles, own, draws), strict=True
        ):
            assert (*shown(found), 100 * chosen[found.firsts].mean()) == values[side]


@pytest.mark.parametrize("alpha", FUSED)
def test_real_fused_documents(flickr, alpha):
    for side, (queries, texts, images) in enumerate(flickr):
        made = fused(texts, images, alpha, unit=side == 0)
        assert shown(found_in(queries, made, np.arange(100))) == FUSED[alpha][side]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([0, 1], "own has shape"),
        ([0, 1, 99], "own holds 99"),
        ([0, 1, -1], "own holds -1"),
        ([0.5] * 3, "own holds f"),
    ],
)
def test_documents_of_queries_that_are_none_are_said(own, message):
    """A place beyond the gallery would be read all the same, and give a rank of whatever lies there."""
    texts, images, queries = cloud(0, 5), cloud(1, 5), cloud(2, 3)
    with pytest.raises((TypeError, ValueError), match=message):
        found_in(queries, texts, np.array(own))
    with pytest.raises((TypeError, ValueError), match=message):
        found_among(queries, texts, images, np.array(own), [np.zeros(5, bool)])


def test_draws_and_columns_of_another_length_are_said():
    texts, images, queries, own = cloud(0, 5), cloud(1, 5), cloud(2, 3), [0, 1, 2]
    with pytest.raises(ValueError, match=r"draws has shape \(1,\): give one an item, `\(5,\)`"):
        found_among(queries, texts, images, own, [np.zeros(1, bool)])
    with pytest.raises(TypeError, match="draws holds int64: give True or False an item"):
        found_among(queries, texts, images, own, [np.zeros(5, int)])
    with pytest.raises(
        ValueError, match=r"columns of shapes \(3,\) and \(1,\) are added to 3 queries and 5 items"
    ):
        found_in(queries, texts, own, (np.zeros(3), np.zeros(1)))
    with pytest.raises(ValueError, match=r"are_images has shape \(1,\)"):
        documents(texts, images, [True])
    with pytest.raises(TypeError, match="are_images holds <U2"):
        documents(texts, images, ["no"] * 5)


def test_images_are_drawn_by_ids_of_a_table():
    ids = [f"photo {n}" for n in range(20)]
    held = pd.Series(ids, index=range(100, 120))
    assert image_documents(held, 0.5).tolist() == image_documents(ids, 0.5).tolist()
