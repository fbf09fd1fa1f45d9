"""Composed retrieval, derived again query by query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crossgap.metrics import composed
from crossgap.metrics.composed import Goal
from tests.rows import unit

RNG = np.random.default_rng(0)
IMAGES, TEXTS, GALLERY = (RNG.standard_normal((n, 6)) + 1 for n in (7, 7, 60))


def wanted(row: int) -> Goal:
    answers = np.sort(np.random.default_rng(row).choice(60, 1 + row, replace=False))
    others = np.setdiff1d(np.arange(60), answers)
    return Goal(
        answers,
        target=int(answers[row // 2]) if row % 2 else None,
        ignored=others[:2] if row > 2 else None,
        members=np.append(others[4:9:2], answers[row // 2]) if row % 2 else None,
        among=np.union1d(answers, others[::2]) if row > 3 else None,
    )


WANTED = [wanted(row) for row in range(7)]


def slow(scores: np.ndarray, of: Goal) -> list[float]:
    among = range(60) if of.among is None else of.among.tolist()
    out = set() if of.ignored is None else set(of.ignored.tolist())
    order = sorted((place for place in among if place not in out), key=lambda place: (-scores[place], place))
    places = [1 + order.index(answer) for answer in of.answers]
    hits, precisions, trapezoids, at = 0, 0.0, 0.0, dict.fromkeys(composed.CUT_OFFS, 0.0)
    for rank, place in enumerate(order, start=1):
        if place in of.answers:
            before = 1.0 if rank == 1 else hits / (rank - 1)
            hits += 1
            precisions += hits / rank
            trapezoids += (before + hits / rank) / 2
            for k in at:
                at[k] += hits / rank if rank <= k else 0
    n = len(of.answers)
    rank = min(places) if of.target is None else 1 + order.index(of.target)
    inner = np.nan
    if of.members is not None:
        few = sorted(of.members.tolist(), key=lambda place: (-scores[place], place))
        inner = 1 + few.index(of.target)
    cut = [at[k] / min(n, k) for k in at]
    return [precisions / n, trapezoids / (n + 1e-5), *cut, rank, inner, len(order)]


def rules(i: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
    shifted = [np.maximum(x - x.min(), 0) / abs(i.min()) for x in (i, t)]
    return {
        "image": i,
        "text": t,
        "sum": i + t,
        "product": np.maximum(i, 0) * np.maximum(t, 0),
        "harris": shifted[0] * shifted[1] - 0.1 * (shifted[0] + shifted[1]) ** 2,
    }


@pytest.mark.parametrize("are_unit", [True, False])
def test_every_rule_and_measure(are_unit):
    sides = [unit(x) if are_unit else x / 4 for x in (IMAGES, TEXTS, GALLERY)]
    given = (IMAGES, TEXTS, GALLERY) if are_unit else sides
    found = composed.found_by(*given, WANTED, unit=are_unit)
    for rule, scores in rules(sides[0] @ sides[2].T, sides[1] @ sides[2].T).items():
        expected = [slow(row, of) for row, of in zip(scores, WANTED, strict=True)]
        np.testing.assert_allclose(found[rule].to_numpy(), expected, atol=1e-12)
    means = composed.summarise(found["sum"])
    ranks = found["sum"]["rank"]
    assert means["mAP"] == found["sum"]["ap"].mean() and means["recall@10"] == np.mean(ranks <= 10)
    inner = found["sum"]["subset_rank"].dropna()
    assert len(inner) == 3 and means["subset_recall@2"] == np.mean(inner <= 2)
    sets = ["a", "a", "a", "b", "b", "b", "b"]
    both = [found["sum"]["ap"][:3].mean(), found["sum"]["ap"][3:].mean()]
    assert composed.means_of_sets(found["sum"], sets)["mAP"] == pytest.approx(np.mean(both))
    assert np.isnan(composed.summarise(found["sum"][::2])["subset_recall@1"])


def test_equal_scores_stand_in_the_candidates_order():
    gallery = np.ones((5, 3))
    query = np.ones((1, 3))
    of = Goal(np.array([1, 3]), ignored=np.array([0]), target=3, members=np.array([1, 3, 4]))
    found = composed.found_by(query, query, gallery, [of], ["sum"])["sum"].iloc[0]
    assert (found["ap"], found["rank"], found["subset_rank"]) == (np.mean([1, 2 / 3]), 3, 2)
    assert found["candidates"] == 4


def test_equal_members_stand_in_the_candidates_order():
    query, gallery = np.ones((1, 3)), np.ones((6, 3))
    for members, rank in (([0, 2, 3], 3), ([5, 3, 4], 1), ([5, 3, 1, 2], 3)):
        of = Goal(np.array([3]), target=3, members=np.array(members))
        found = composed.found_by(query, query, gallery, [of], ["sum"])["sum"]
        assert found["subset_rank"].item() == rank


def test_one_image_given_many_times_has_one_similarity():
    """Whatever the products of a block add up in which order: so wide that float64 would tell some apart."""
    sides = np.random.default_rng(0).standard_normal((3, 7, 64))
    gallery = np.repeat(sides[2][:1], 61, axis=0)
    for place in (0, 30, 60):
        found = composed.found_by(sides[0], sides[1], gallery, [Goal(np.array([place]))] * 7)
        assert all(set(found[rule]["rank"]) == {place + 1} for rule in composed.RULES)


def test_means_are_of_the_columns_that_they_are_called_after():
    ranks, inner = [1, 2, 5, 6, 10, 11, 50, 51], [1, 2, 3, 4, *[np.nan] * 4]
    table = pd.DataFrame({name: n + np.arange(8) / 8 for n, name in enumerate(composed.PER_QUERY)})
    table = table.assign(rank=ranks, subset_rank=inner)
    assert composed.summarise(table) == {
        **{"mAP": 0.4375, "mAP_trapezoid": 1.4375, "mAP@5": 2.4375, "mAP@10": 3.4375, "mAP@25": 4.4375},
        **{"mAP@50": 5.4375, "recall@1": 1 / 8, "recall@5": 3 / 8, "recall@10": 5 / 8, "recall@50": 7 / 8},
        **{"subset_recall@1": 1 / 4, "subset_recall@2": 2 / 4, "subset_recall@3": 3 / 4},
    }


def test_what_is_added_is_of_the_query_and_of_the_candidate():
    added = RNG.standard_normal(7), RNG.standard_normal(60)
    found = composed.found_by(IMAGES, TEXTS, GALLERY, WANTED, ["sum"], added=added)["sum"]
    scores = (unit(IMAGES) + unit(TEXTS)) @ unit(GALLERY).T + added[0][:, None] * added[1]
    expected = [slow(row, of) for row, of in zip(scores, WANTED, strict=True)]
    np.testing.assert_allclose(found.to_numpy(), expected, atol=1e-12)


def test_the_order_of_the_candidates_that_are_searched_decides_nothing():
    shuffled = [
        of if of.among is None else replace(of, among=np.random.default_rng(0).permutation(of.among))
        for of in WANTED
    ]
    added = RNG.standard_normal(7), RNG.standard_normal(60)
    found, other = (composed.found_by(IMAGES, TEXTS, GALLERY, of, added=added) for of in (WANTED, shuffled))
    assert all(found[rule].equals(other[rule]) for rule in composed.RULES)
    one, two = (composed.expanded(IMAGES, IMAGES, GALLERY, of) for of in (WANTED, shuffled))
    np.testing.assert_array_equal(one, two)


def test_a_query_is_expanded_by_its_nearest_candidates():
    q, g = unit(IMAGES), unit(GALLERY)
    projected = q * [1, 1, 1, 0, 0, 0]
    found = composed.expanded(q, projected, g, WANTED, unit=False)
    for row, of in enumerate(WANTED):
        out = set() if of.ignored is None else set(of.ignored.tolist())
        among = [place for place in (range(60) if of.among is None else of.among) if place not in out]
        near = sorted(among, key=lambda place: -(projected[row] @ g[place]))[:25]
        weights = [np.exp(0.1 * projected[row] @ g[place]) for place in near] + [np.exp(0.1)]
        mean = sum(w * x for w, x in zip(weights, [*g[near], q[row]], strict=True)) / sum(weights)
        np.testing.assert_allclose(found[row], mean, atol=1e-7)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="rule is 'mean': give one of image, text, sum"):
        composed.put_together(np.ones((1, 2)), np.ones((1, 2)), "mean")
    with pytest.raises(ValueError, match="texts holds 2 rows for 7 queries"):
        composed.found_by(IMAGES, TEXTS[:2], GALLERY, WANTED)
    with pytest.raises(ValueError, match="images has width 5"):
        composed.found_by(IMAGES[:, :5], TEXTS, GALLERY, WANTED)
