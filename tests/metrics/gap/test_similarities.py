"""Similarities of pairs against a double loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossgap.metrics.gap import similarities as module
from crossgap.metrics.gap.similarities import BINS, share_of_the_way, similarities


def cloud(seed: int, n: int = 23, m: int = 31, d: int = 5):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n, d)) + 0.5,
        rng.standard_normal((m, d)),
        rng.integers(-1, 3, n),
        rng.integers(-1, 4, m),
    )


def slow(x, y, x_codes, y_codes, left_out=None) -> dict[bool, list[float]]:
    found: dict[bool, list[float]] = {True: [], False: []}
    for i, one in enumerate(x):
        for j, other in enumerate(y):
            if x_codes[i] >= 0 and y_codes[j] >= 0 and not (left_out is not None and left_out[i] == j):
                cosine = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
                found[bool(x_codes[i] == y_codes[j])].append(cosine)
    return found


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_all_pairs_one_by_one(seed, exclude) -> None:
    x, y, x_codes, y_codes = cloud(seed)
    left_out = np.random.default_rng(seed).integers(-1, len(y), len(x)) if exclude else None
    expected = slow(x, y, x_codes, y_codes, left_out)
    found = similarities(x, y, x_codes, y_codes, left_out)
    edges = np.linspace(-1, 1, BINS + 1)
    for matching, counts, mean in (
        (True, found.matching, found.matching_mean),
        (False, found.other, found.other_mean),
    ):
        assert (counts == np.histogram(expected[matching], edges)[0]).all()
        assert mean == pytest.approx(np.mean(expected[matching]))
    assert found.mean == pytest.approx(np.mean(expected[True] + expected[False]))
    shares = [np.histogram(values, edges)[0] / len(values) for values in expected.values()]
    assert found.overlap == pytest.approx(sum(map(min, *shares)))


def test_blocks_change_nothing(monkeypatch) -> None:
    whole = similarities(*cloud(4))
    monkeypatch.setattr(module, "PAIRS_IN_A_BLOCK", 40)
    blocks = similarities(*cloud(4))
    assert (whole.matching == blocks.matching).all() and (whole.other == blocks.other).all()
    assert whole.mean == pytest.approx(blocks.mean, abs=1e-12)


def test_overlap_of_the_same_and_of_separate_distributions() -> None:
    x, codes = np.eye(2), np.array([0, 1])
    apart = similarities(x, x, codes, codes)
    assert (apart.overlap, apart.matching_mean, apart.other_mean) == (0, 1, 0)
    same = similarities(np.ones((2, 3)), np.ones((2, 3)), codes, codes)
    assert same.overlap == 1


def test_without_matching_pairs_there_is_no_overlap() -> None:
    found = similarities(np.eye(2), np.eye(2), np.array([0, 1]), np.array([2, 3]))
    assert math.isnan(found.overlap) and math.isnan(found.matching_mean) and found.mean == pytest.approx(0.5)


def test_the_share_runs_from_the_other_modality_to_the_own() -> None:
    assert [share_of_the_way(value, 0.2, 0.6) for value in (0.2, 0.6)] == [0, 1]
    assert share_of_the_way(0.3, 0.2, 0.6) == pytest.approx(0.25)
    assert math.isnan(share_of_the_way(0.3, 0.2, 0.2))


def test_codes_must_fit() -> None:
    with pytest.raises(ValueError, match="2 and 3 codes for 3 queries"):
        similarities(np.eye(3), np.eye(3), np.zeros(2, int), np.zeros(3, int))
    with pytest.raises(ValueError, match="width"):
        similarities(np.eye(3), np.eye(2), np.zeros(3, int), np.zeros(2, int))


def test_codes_and_places_that_are_none_are_said():
    rows, codes = np.eye(4) + 0.1, np.array([0, 1, 0, -1])
    with pytest.raises(TypeError, match="codes are float64: give integers"):
        similarities(rows, rows, codes.astype(float), codes)
    with pytest.raises(ValueError, match="left_out has shape"):
        similarities(rows, rows, codes, codes, np.array([0]))
    with pytest.raises(ValueError, match="left_out holds 9"):
        similarities(rows, rows, codes, codes, np.array([0, 1, 2, 9]))
