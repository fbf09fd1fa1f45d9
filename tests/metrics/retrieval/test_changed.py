"""Rankings of changed features from one product: the same ranks as of the features themselves."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap.arrays import unit_rows
from crossgap.evaluation.changes import side_of
from crossgap.evaluation.dimensions import _Cut
from crossgap.evaluation.items import Items
from crossgap.evaluation.shifts import _Shifted
from crossgap.metrics import neighbours
from crossgap.metrics.near import InDoubles, Rows, near_products
from crossgap.metrics.retrieval import changed
from crossgap.metrics.retrieval.changed import ChangedSides, changed_ranks
from crossgap.metrics.retrieval.queries import labelled
from crossgap.metrics.retrieval.ranking import relevant_ranks
from tests.metrics.retrieval.test_ranking import tied
from tests.ways import DIGITS, only

PRODUCTS = ("float64", *DIGITS)


def items(features: np.ndarray) -> Items:
    every = np.arange(len(features)).astype(str).astype(object)
    return Items(every, every, np.zeros(len(features), int), made=features)


def compared(queries, gallery, labels, held, moves) -> list[bool]:
    """Whether each change was ranked from the product; its ranks are asserted to be those of the changed features."""
    sides, unit = (
        (items(queries), items(gallery)),
        [unit_rows(x, dtype=np.float64) for x in (queries, gallery)],
    )
    lists = labelled((len(queries), len(gallery)), labels, held)
    changes = [
        ChangedSides(
            side_of(at, "text", sides[0], unit[0], True), side_of(at, "image", sides[1], unit[1], False)
        )
        for at in moves
    ]
    found = changed_ranks(*unit, lists, changes)
    for at, ranks in zip(moves, found, strict=True):
        if ranks is not None:
            (expected,) = relevant_ranks(at.texts(sides[0]).features, at.images(sides[1]).features, lists)
            for name in ("query", "rank", "grade"):
                np.testing.assert_array_equal(getattr(ranks, name), getattr(expected, name))
    return [ranks is not None for ranks in found]


def moves(rng: np.random.Generator, width: int) -> list:
    shifts = [_Shifted(*(scale * rng.standard_normal((2, width)) / 3)) for scale in (0, 0.1, 1)]
    return shifts + [_Cut(rng.permutation(width)[:count]) for count in range(0, width // 2)]


@pytest.mark.parametrize("way", PRODUCTS)
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([1, 100, 2**22]))
def test_ties_and_near_ties_stand_as_in_the_changed_features(way, n, m, seed, entries):
    queries, gallery, labels, held = tied(n, m, seed)
    with (
        only(way),
        mock.patch.object(neighbours, "ENTRIES_IN_A_BLOCK", entries),
        mock.patch.object(changed, "UNDECIDED_A_PAIR", 10**6),
        mock.patch.object(changed, "PAIRS_AT_ONCE", 20),
    ):
        compared(queries, gallery, labels, held, moves(np.random.default_rng(seed), 7))


@pytest.mark.parametrize("way", PRODUCTS)
def test_a_larger_cloud_is_ranked_from_the_product(way):
    rng = np.random.default_rng(0)
    queries, gallery = rng.standard_normal((300, 64)), rng.standard_normal((900, 64))
    gallery[::3] += queries
    labels = rng.integers(0, 300, 900)
    with only(way):
        assert all(compared(queries, gallery, np.arange(300), labels, moves(rng, 64)))


def test_what_the_product_leaves_open_is_left_to_the_features():
    rng = np.random.default_rng(1)
    queries = rng.standard_normal((20, 5))
    equal = np.ones((80, 5)) + 1e-9 * rng.standard_normal((80, 5))
    labels = np.arange(20), np.arange(80) % 20
    unmoved = _Shifted(np.zeros(5), np.zeros(5))
    to_the_origin = _Shifted(np.zeros(5), -unit_rows(queries[:1], dtype=np.float64)[0] * 0.97)
    assert compared(queries, equal, *labels, [unmoved]) == [False]
    assert compared(queries, rng.standard_normal((80, 5)), *labels, [to_the_origin, unmoved]) == [False, True]


@pytest.mark.parametrize("way", PRODUCTS)
@pytest.mark.parametrize("scale", [0.3, 2])
def test_scores_lie_within_their_margin(scale, way):
    """In float32 as against float64 products of the changed features, where columns are large."""
    rng = np.random.default_rng(2)
    x, y = (unit_rows(rng.standard_normal((n, 384)), dtype=np.float64) for n in (50, 70))
    own, other = (scale * move / np.linalg.norm(move) for move in rng.standard_normal((2, 384)))
    at = _Shifted(other, own)
    sides = ChangedSides(side_of(at, "text", items(x), x, True), side_of(at, "image", items(y), y, False))
    left, right = sides.queries.columns.astype(np.float32), sides.gallery.columns.astype(np.float32)
    with only(way):
        near = near_products(Rows(x), Rows(y), 3, otherwise=InDoubles)
    scores = (near.tile(slice(0, 50)) + left @ right.T) / sides.gallery.norms
    true = (x + own) @ unit_rows(y + other, dtype=np.float64).T
    assert (np.abs(scores - true) < changed._margins(sides, 384, near.margins)[:, None] / 2).all()
