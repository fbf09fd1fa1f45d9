"""Compiled loops against NumPy's sorting of exact products, on near ties, duplicates and rows of every length."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap.metrics import hubness, mixed, neighbours
from crossgap.metrics.exact import exact_rows
from crossgap.metrics.gap.neighbourhoods import modality_ranks
from crossgap.metrics.kernels import compiled
from crossgap.metrics.near import Rows
from crossgap.metrics.retrieval import counting
from crossgap.metrics.retrieval.bias import Bias, columns
from crossgap.metrics.retrieval.counting import STEPS, NumpyCounter
from tests.ways import WAYS, only

# Around the items that are looked at together, and several times as many.
lengths = st.sampled_from([1, 2, 31, 32, 33, 511, 512, 513, 1300])
seeds = st.integers(0, 2**32 - 1)
# of float32, which errs by some 1e-7, and of steps
apart = st.sampled_from([0.0, 2.0**-30, 2.0**-26, 1e-6, 1e-4, 1.0])


def near(n: int, m: int, width: int, distance: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows about one direction, so far apart; a third of the items are there twice."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal(width)
    x = centre + max(distance, 0.1) * rng.standard_normal((n, width))
    y = centre + distance * rng.standard_normal((m, width))
    twice = rng.random(m) < 1 / 3
    y[twice] = y[rng.integers(0, m, twice.sum())]
    return x, y


@settings(deadline=None, max_examples=150)
@given(
    lengths,
    st.sampled_from([1, 3, 12, 13, 200]),
    apart,
    seeds,
    st.sampled_from(WAYS),
    st.integers(1, 700),
)
def test_items_ahead_of_given_ones(m, given, distance, seed, way, width):
    x, y = map(exact_rows, near(5, m, width, distance, seed))
    rng = np.random.default_rng(seed)
    steps = np.rint(-STEPS * (x @ y.T)).astype(np.int64)
    row = np.sort(rng.integers(0, 5, given))
    item = rng.integers(0, m, given)
    outside = rng.random(given) < 0.2
    place = np.where(outside, rng.choice([-1, m], given), item)
    step = steps[row, item] + outside * rng.integers(-1, 2, given)
    order = np.lexsort([place, step, row])
    row, step, place = row[order], step[order], place[order]
    ties = (steps[row] == step[:, None]) & (np.arange(m) < place[:, None])
    expected = ((steps[row] < step[:, None]) | ties).sum(axis=1)
    with (
        only(way),
        mock.patch.object(counting, "UNDECIDED", rng.choice([1, 16, 10**6])),
        ThreadPoolExecutor(1) as pool,
    ):
        found = NumpyCounter(pool).ahead(Rows(-STEPS * x), slice(0, 5), Rows(y), row, step, place)
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=100)
@given(lengths, apart, seeds, st.integers(1, 300), st.booleans(), st.sampled_from(WAYS))
def test_the_most_similar_and_the_first(m, distance, seed, width, leaves_out, way):
    x, y = map(exact_rows, near(6, m + 1, width, distance, seed))
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, min(m, 12) + 1))
    left_out = rng.integers(-1, m + 1, 6) if leaves_out else None
    scores = x @ y.T
    if left_out is not None:
        scores[np.flatnonzero(left_out >= 0), left_out[left_out >= 0]] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    with only(way):
        found = np.concatenate([found for _, found in neighbours.most_similar(Rows(x), Rows(y), k, left_out)])
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=100)
@given(lengths, apart, seeds, st.integers(2, 300), st.integers(1, 9), st.sampled_from(WAYS))
def test_mixed_documents_and_several_biases(m, distance, seed, width, rows, way):
    """Ranked in float64, by scores that are exact."""
    x, y = near(4, m, width, distance, seed)
    z = near(1, m, width, distance, seed)[1][::-1]
    rng = np.random.default_rng(seed)
    own, bounds = rng.integers(0, m, 4), (0, 2.0**-26, 0.4)
    biases = [columns(Bias(rng.random(4) < 0.7, bound * rng.integers(-1, 2, m)), 4, m) for bound in bounds]
    draws = [rng.random(m) < share for share in (0, 0.4, 1)]
    left_out = [(np.arange(m) != rng.integers(m)) & (rng.random(m) < share) for share in (0, 0.5, 1)]
    with only(way), mock.patch.object(neighbours, "ENTRIES_IN_A_BLOCK", rows * m // 4 + 1):
        found = mixed.found_among(x, y, z, own, draws, biases)
        columns_of = [np.where(out, -np.inf, held) for (_, held), out in zip(biases, left_out, strict=True)]
        firsts = hubness.first_ranked(x, y, columns_of)
    x, y, z = map(exact_rows, (x, y, z))
    for chosen, (asked, held), placed in zip(draws, biases, found, strict=True):
        added = asked[:, None] * held
        scores = x @ np.where(chosen[:, None], z, y).T + added
        order = np.argsort(-scores, axis=1, kind="stable")
        np.testing.assert_array_equal(placed.firsts, order[:, 0])
        np.testing.assert_array_equal(placed.ranks, 1 + np.argmax(order == own[:, None], axis=1))
    for held, first in zip(columns_of, firsts, strict=True):
        np.testing.assert_array_equal(first, (np.rint(STEPS * (x @ y.T)) + STEPS * held).argmax(axis=1))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([2, 33, 700]), lengths, apart, seeds, st.integers(1, 200), st.sampled_from(WAYS))
def test_the_nearest_of_the_other_modality_among_ones_own(n, m, distance, seed, width, way):
    x, y = near(n, m, width, distance, seed)
    with only(way):
        found = modality_ranks(x, y)
    x, y = exact_rows(x), exact_rows(y)
    within = x @ x.T
    np.fill_diagonal(within, -np.inf)
    expected = 1 + (within > (x @ y.T).max(axis=1)[:, None]).sum(axis=1)
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 1300), st.integers(1, 80), seeds)
def test_the_mean_of_the_greatest(width, k, seed):
    rng = np.random.default_rng(seed)
    scores = rng.choice([rng.random((3, width)), rng.integers(0, 3, (3, width)).astype(float)])
    greatest = np.sort(scores, axis=1)[:, -min(k, width) :]
    np.testing.assert_array_equal(hubness.by_nearest(scores, k, 0.5), -0.5 * greatest.mean(axis=1))


def test_where_nothing_can_be_kept_they_are_compiled_for_the_process(monkeypatch):
    def refusing(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(compiled, "njit", refusing)
    doubled = compiled.compiled()(lambda number: 2 * number)
    assert doubled(21) == 42 and doubled.signatures
