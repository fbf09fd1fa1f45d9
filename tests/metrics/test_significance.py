"""Intervals and p-values against scipy, exact enumeration, loops, and what chance must give."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crossgap.metrics import significance
from crossgap.metrics.significance import holm, paired


def draws(seed: int, n: int, k: int = 1, shift: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, k))


def test_the_p_value_is_that_of_every_sign_flip() -> None:
    differences = draws(0, 10, shift=0.5)
    means = [abs(np.mean(signs * differences[:, 0])) for signs in itertools.product([1, -1], repeat=10)]
    exact = np.mean([mean >= abs(differences.mean()) - 1e-12 for mean in means])
    found = paired(differences, resamples=40_000)["p"].item()
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 40_000))


def test_agrees_with_scipy() -> None:
    differences = draws(1, 80)
    found = paired(differences, resamples=20_000).iloc[0]
    test = stats.permutation_test(
        (differences[:, 0],), np.mean, permutation_type="samples", n_resamples=20_000, rng=0
    )
    assert found["p"] == pytest.approx(test.pvalue, abs=0.01)
    interval = stats.bootstrap(
        (differences[:, 0],), np.mean, n_resamples=20_000, method="percentile", rng=0
    ).confidence_interval
    assert (found["low"], found["high"]) == pytest.approx(tuple(interval), abs=0.01)
    assert found["difference"] == differences.mean()


def test_methods_that_agree_on_every_query_do_not_differ() -> None:
    found = paired(np.zeros((20, 1))).iloc[0]
    assert found.to_list() == [0, 0, 0, 1]


def test_the_smallest_p_value_is_one_over_the_resamples_and_one() -> None:
    assert paired(np.ones((40, 1)), resamples=199)["p"].item() == 1 / 200


def test_under_the_null_p_values_are_uniform_and_intervals_cover() -> None:
    differences = np.random.default_rng(2).normal(0, 1, (30, 800))
    found = paired(differences, resamples=500, seed=3)
    assert (found["p"] <= 0.1).mean() == pytest.approx(0.1, abs=0.04)
    assert ((found["low"] < 0) & (found["high"] > 0)).mean() == pytest.approx(0.95, abs=0.04)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 1000))
def test_a_column_does_not_depend_on_the_others_nor_on_the_blocks(n, k, seed) -> None:
    differences = draws(seed, n, k)
    whole = paired(differences, seed=seed, resamples=99)
    for column in range(k):
        alone = paired(differences[:, [column]], seed=seed, resamples=99)
        np.testing.assert_allclose(alone.iloc[0], whole.iloc[column], atol=1e-12)
    assert (whole["low"] <= whole["high"]).all() and whole["p"].between(0.01, 1).all()


def test_the_sign_changes_with_the_order_of_the_methods() -> None:
    differences = draws(4, 30)
    one, other = paired(differences).iloc[0], paired(-differences).iloc[0]
    assert one["p"] == other["p"] and one["low"] == pytest.approx(-other["high"])


def test_many_queries_stay_within_blocks(monkeypatch) -> None:
    differences = draws(5, 50)
    seen = []
    monkeypatch.setattr(significance, "ENTRIES_IN_A_BLOCK", 500)
    original = significance._signs

    def watched(*arguments):
        for block in original(*arguments):
            seen.append(block.size)
            yield block

    monkeypatch.setattr(significance, "_signs", watched)
    blocked = paired(differences, resamples=99).iloc[0]
    assert max(seen) <= 500 and sum(seen) == 99 * 50
    assert blocked["low"] < differences.mean() < blocked["high"]


def test_no_queries_give_no_numbers() -> None:
    assert paired(np.zeros((0, 2))).isna().all(axis=None)
    assert paired(np.zeros((0, 2)), groups=[]).isna().all(axis=None)


def test_captions_that_all_say_the_same_count_as_one_query_does() -> None:
    differences = draws(6, 30, 2)
    alone = paired(differences, seed=2, resamples=499)
    repeated, images = np.repeat(differences, 5, axis=0), np.repeat(np.arange(30), 5)
    together = paired(repeated, groups=images, seed=2, resamples=499)
    np.testing.assert_allclose(together, alone, atol=1e-12)
    assert (paired(repeated, resamples=499)["p"] < together["p"]).all()  # as if there were five times as many
    pd.testing.assert_frame_equal(
        paired(differences, groups=[f"i{n}" for n in range(30)], seed=2, resamples=499), alone
    )


def test_groups_of_unequal_size_by_every_sign_flip_and_by_drawing_them_one_by_one() -> None:
    sizes = np.array([1, 4, 2, 7, 1, 3, 5, 2, 1])
    groups = np.repeat([f"i{n}" for n in range(len(sizes))], sizes)
    of_group = draws(7, len(sizes), shift=0.6)
    differences = np.repeat(of_group, sizes, axis=0) + draws(8, sizes.sum(), shift=0) / 3
    order = np.random.default_rng(0).permutation(len(groups))
    found = paired(differences[order], groups=groups[order], resamples=20_000).iloc[0]
    assert found["difference"] == pytest.approx(differences.mean())
    held = {name: differences[groups == name, 0] for name in dict.fromkeys(groups)}
    sums = np.array([values.sum() for values in held.values()])
    flips = [abs(np.dot(signs, sums)) for signs in itertools.product([1, -1], repeat=len(sums))]
    exact = np.mean([total >= abs(sums.sum()) - 1e-12 for total in flips])
    assert found["p"] == pytest.approx(exact, abs=0.015)
    rng, names = np.random.default_rng(9), list(held)
    means = [
        np.concatenate([held[name] for name in rng.choice(names, len(names))]).mean() for _ in range(20_000)
    ]
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.03)


def test_with_captions_of_one_image_alike_intervals_cover_and_p_values_are_uniform() -> None:
    rng = np.random.default_rng(10)
    of_image = rng.normal(0, 1, (30, 800))
    differences = np.repeat(of_image, 5, axis=0) + rng.normal(0, 0.5, (150, 800))
    found = paired(differences, groups=np.repeat(np.arange(30), 5), resamples=500, seed=3)
    assert (found["p"] <= 0.1).mean() == pytest.approx(0.1, abs=0.04)
    assert ((found["low"] < 0) & (found["high"] > 0)).mean() == pytest.approx(0.95, abs=0.04)
    apart = paired(differences, resamples=500, seed=3)
    assert (apart["p"] <= 0.1).mean() > 0.3


def slow_holm(p: list[float]) -> list[float]:
    """Reject the smallest at α/m, the next at α/(m - 1), … and find the α at which each falls."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    found, needed = [0.0] * len(p), 0.0
    for place, i in enumerate(order):
        needed = max(needed, p[i] * (len(p) - place))
        found[i] = min(1.0, needed)
    return found


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_by_stepping_down(p) -> None:
    np.testing.assert_allclose(holm(np.array(p)), slow_holm(p))


def test_holm_by_hand_and_with_gaps() -> None:
    found = holm(np.array([0.01, np.nan, 0.04, 0.03]))
    np.testing.assert_allclose(found, [0.03, np.nan, 0.06, 0.06])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"differences": np.zeros(3)}, r"shape \(3,\)"),
        ({"differences": np.array([[np.nan]])}, "NaN or infinity"),
        ({"groups": ["a", "b"]}, r"groups has shape \(2,\): give one a query, `\(3,\)`"),
        ({"groups": ["a", None, "b"]}, "groups lacks that of 1 of 3 queries"),
        ({"groups": ["a", float("nan"), "b"]}, "groups lacks that of 1 of 3 queries"),
        ({"groups": ["a", "", ""]}, "groups lacks that of 2 of 3 queries"),
        ({"resamples": 0}, "resamples is 0"),
        ({"resamples": 9.5}, "resamples is 9.5: give a whole number"),
        ({"seed": None}, "seed is None: give a whole number"),
        ({"seed": -1}, "seed is -1: give at least 0"),
    ],
)
def test_bad_input_is_named(change, message) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        paired(**{"differences": np.zeros((3, 1))} | change)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_differences_and_p_values_may_be_tensors(kind) -> None:
    given = torch.tensor([[0.5], [-0.25], [1.0]], dtype=kind, requires_grad=True)
    expected = paired(given.detach().float().numpy(), resamples=99)
    pd.testing.assert_frame_equal(paired(given, resamples=99), expected)
    assert holm(given[:1, 0]).tolist() == [0.5]


@pytest.mark.parametrize("p", [[0.5, 1.5], [-0.1], [[0.5]], 0.5])
def test_what_are_no_p_values_is_refused(p) -> None:
    with pytest.raises(ValueError, match=r"^p (holds|has shape)"):
        holm(np.array(p))


def test_groups_as_torch_and_masked_arrays_hold_them():
    rows, groups = np.random.default_rng(0).normal(size=(6, 1)), [0, 0, 1, 1, 2, 2]
    plain = paired(rows, groups=groups, resamples=50)
    for held in (torch.tensor(groups).bfloat16(), torch.tensor(groups, dtype=float, requires_grad=True)):
        pd.testing.assert_frame_equal(paired(rows, groups=held, resamples=50), plain)
    with pytest.raises(ValueError, match="groups lacks that of 1 of 6 queries"):
        paired(rows, groups=np.ma.array(groups, mask=[1, 0, 0, 0, 0, 0]), resamples=50)
    with pytest.raises(ValueError, match=r"groups has shape \(6, 1\)"):
        paired(rows, groups=np.array(groups)[:, None], resamples=50)


@pytest.mark.parametrize("kind", [np.float32, torch.float32])
def test_groups_that_floats_cannot_tell_apart_are_refused(kind):
    """Two images would be one, and the interval another."""
    images = [2**24, 2**24 + 1, 5]
    held = torch.tensor(images, dtype=kind) if kind is torch.float32 else np.array(images, kind)
    with pytest.raises(ValueError, match="groups holds 16777216 as a float, which can't be told"):
        paired(np.eye(3)[:, :1], groups=held, resamples=9)
    paired(np.eye(3)[:, :1], groups=images, resamples=9)
