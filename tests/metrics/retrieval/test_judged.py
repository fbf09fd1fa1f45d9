"""Judged retrieval: graded lists and the ROxford/RParis protocol, against slow loops and independent libraries."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score
from torchmetrics.functional.retrieval import retrieval_normalized_dcg

from crossgap.metrics.retrieval import judged_metrics, retrieval_metrics, revisited_judgements, summarise

KS = (1, 3, 10)
seeds = st.integers(0, 2**32 - 1)


def world(seed: int, n: int = 8, m: int = 30, grades=(-1, 0, 1, 2, 3)):
    """Queries, a gallery with ties that holds some of the queries' ids, and judgements of half of the pairs."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((m // 2, 5))
    queries, gallery = rng.standard_normal((n, 5)), directions[rng.integers(0, m // 2, m)]
    query_ids = [f"q{i}" for i in range(n)]
    gallery_ids = [f"g{j}" for j in range(m)]
    for i in range(0, n, 2):
        gallery_ids[rng.integers(i * m // n, (i + 1) * m // n)] = f"q{i}"
    every = pd.MultiIndex.from_product([query_ids, gallery_ids], names=["query", "item"]).to_frame(
        index=False
    )
    judged = every.sample(frac=0.5, random_state=seed % 2**32)
    judged["grade"] = rng.choice(grades, len(judged))
    return queries, gallery, query_ids, gallery_ids, judged


def rankings(queries, gallery, query_ids, gallery_ids, judged):
    """Of each query the grades in ranked order, ignored items and the query itself left out."""
    grades = {(row.query, row.item): row.grade for row in judged.itertuples()}
    for query, name in zip(queries, query_ids, strict=True):
        order = []
        for j, item in enumerate(gallery):
            cosine = math.fsum(query * item) / math.sqrt(math.fsum(query**2) * math.fsum(item**2))
            order.append((-round(cosine, 9), j))
        found = [grades.get((name, gallery_ids[j]), 0) for _, j in sorted(order) if gallery_ids[j] != name]
        yield [int(grade) for grade in found if grade != -1]


def plain(ranking: list[int]) -> dict[str, float]:
    r = sum(grade > 0 for grade in ranking)
    if r == 0:
        return {"relevant": 0}
    hits = [grade > 0 for grade in ranking]
    ap = sum(sum(hits[: i + 1]) / (i + 1) for i in range(len(hits)) if hits[i]) / r
    at_r = sum(sum(hits[: i + 1]) / (i + 1) for i in range(min(r, len(hits))) if hits[i]) / r
    row = {"ap": ap, "ap_at_r": at_r, "r_precision": sum(hits[:r]) / r, "relevant": r}
    row |= {f"recall@{k}": float(any(hits[:k])) for k in KS} | {
        f"precision@{k}": sum(hits[:k]) / k for k in KS
    }
    dcg = lambda order: sum(g / math.log2(i + 2) for i, g in enumerate(order[:10]))  # noqa: E731
    return row | {"ndcg@10": dcg(ranking) / dcg(sorted(ranking, reverse=True))}


def revisited(ranking: list[int]) -> dict[str, float]:
    """Average precision as the area under a polygon through (recall, precision) points; positions from 1."""
    row = plain(ranking)
    if row["relevant"] == 0:
        return row
    positions = [i + 1 for i, grade in enumerate(ranking) if grade > 0]
    area = 0.0
    for found, position in enumerate(positions):
        left = 1.0 if position == 1 else found / (position - 1)
        area += (left + (found + 1) / position) / 2 / len(positions)
    caps = {k: min(k, max(positions)) for k in KS}
    share = {f"precision@{k}": sum(p <= cap for p in positions) / cap for k, cap in caps.items()}
    return row | {"ap": area} | share


@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from(["plain", "revisited"]), st.integers(1, 9))
def test_agrees_with_the_double_loop(seed, protocol, block_size):
    queries, gallery, query_ids, gallery_ids, judged = world(seed)
    ids = {"query_ids": query_ids, "gallery_ids": gallery_ids}
    table = judged_metrics(queries, gallery, judged, **ids, ks=KS, protocol=protocol, block_size=block_size)
    measure = {"plain": plain, "revisited": revisited}[protocol]
    expected = pd.DataFrame(
        [measure(ranking) for ranking in rankings(queries, gallery, *ids.values(), judged)]
    )
    expected = expected.reindex(columns=table.columns)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=0, atol=1e-12)
    again = judged_metrics(queries, gallery, judged.sample(frac=1), **ids, ks=KS, protocol=protocol)
    pd.testing.assert_frame_equal(table, again, check_exact=True)


def test_agrees_with_scikit_learn_and_torchmetrics_on_graded_lists():
    queries, gallery, query_ids, gallery_ids, judged = world(1, 12, 80, grades=(0, 1, 2, 3))
    gallery = np.random.default_rng(2).standard_normal(gallery.shape)
    gallery_ids = [f"g{j}" for j in range(80)]
    judged = judged[judged["item"].isin(gallery_ids)]
    table = judged_metrics(queries, gallery, judged, query_ids=query_ids, gallery_ids=gallery_ids)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery)]
    grades = judged.pivot_table("grade", "query", "item", fill_value=0).reindex(
        query_ids, columns=gallery_ids
    )
    grades = grades.fillna(0).to_numpy().astype(int)
    for row, scores, target in zip(table.to_dict("records"), unit[0] @ unit[1].T, grades, strict=True):
        assert row["ndcg@10"] == pytest.approx(ndcg_score([target], [scores], k=10), abs=1e-12)
        assert row["ap"] == pytest.approx(average_precision_score(target > 0, scores), abs=1e-12)
        theirs = retrieval_normalized_dcg(torch.from_numpy(scores), torch.from_numpy(target), top_k=10)
        assert row["ndcg@10"] == pytest.approx(theirs.item(), abs=1e-6)


def test_labels_written_as_judgements_give_the_same():
    rng = np.random.default_rng(3)
    features, labels, ids = rng.standard_normal((40, 6)), rng.integers(0, 5, 40), np.arange(40)
    query, item = np.nonzero(np.equal.outer(labels[:15], labels))
    judged = pd.DataFrame({"query": query, "item": item, "grade": 1})
    table = judged_metrics(features[:15], features, judged, query_ids=ids[:15], gallery_ids=ids)
    kinds = {"query_ids": ids[:15], "gallery_ids": ids}
    expected = retrieval_metrics(features[:15], features, labels[:15], labels, True, **kinds)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)


def on_a_circle(count: int) -> np.ndarray:
    """Items ever further from the first direction."""
    angles = np.linspace(0, 3, count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


# Ranked: j e n h j e n, with j in junk, n in no list.
LISTS = pd.DataFrame(
    {"query": "q", "item": ["d", "b", "f", "e", "a"], "list": ["hard", "easy", "easy", "junk", "junk"]}
)


@pytest.mark.parametrize(
    ("setting", "ap", "precision"),
    [
        # Without junk and hard: e n e n. Precision (before, at): (1, 1), (1/2, 2/3).
        ("easy", (2 + 1 / 2 + 2 / 3) / 2 / 2, {1: 1, 2: 1 / 2, 3: 2 / 3, 10: 2 / 3}),
        # Without junk: e n h e n. (1, 1), (1/2, 2/3), (2/3, 3/4); the last at 4.
        ("medium", (2 + 1 / 2 + 2 / 3 + 2 / 3 + 3 / 4) / 2 / 3, {1: 1, 2: 1 / 2, 3: 2 / 3, 10: 3 / 4}),
        # Without junk and easy: n h n. (0, 1/2); the last at 2.
        ("hard", 1 / 4, {1: 0, 2: 1 / 2, 3: 1 / 2, 10: 1 / 2}),
    ],
)
def test_a_revisited_ranking_worked_out_by_hand(setting, ap, precision):
    judged = revisited_judgements(LISTS, setting)
    table = judged_metrics(
        on_a_circle(7)[:1], on_a_circle(7), judged,
        query_ids=["q"], gallery_ids=list("abcdefg"), ks=tuple(precision), protocol="revisited",
    )  # fmt: skip
    assert table["ap"].item() == pytest.approx(ap)
    for k, expected in precision.items():
        assert table[f"precision@{k}"].item() == pytest.approx(expected)
    assert summarise(table)["mAP"] == pytest.approx(ap)


def test_revisited_settings():
    grades = {s: revisited_judgements(LISTS, s)["grade"].tolist() for s in ("easy", "medium", "hard")}
    assert grades == {"easy": [-1, 1, 1, -1, -1], "medium": [1, 1, 1, -1, -1], "hard": [1, -1, -1, -1, -1]}
    with pytest.raises(ValueError, match="setting is 'all': give one of easy, medium, hard"):
        revisited_judgements(LISTS, "all")
    with pytest.raises(ValueError, match="'list' holds ok"):
        revisited_judgements(LISTS.replace("easy", "ok"), "easy")
    with pytest.raises(ValueError, match="lacks the columns list"):
        revisited_judgements(LISTS[["query", "item"]], "easy")


def test_queries_without_judgements_are_counted_apart():
    judged = pd.DataFrame({"query": ["x", "y"], "item": ["b", "a"], "grade": [1, 0]})
    for protocol in ("plain", "revisited"):
        table = judged_metrics(
            np.eye(3), np.eye(3)[:2], judged,
            query_ids=["x", "y", "z"], gallery_ids=["a", "b"], protocol=protocol,
        )  # fmt: skip
        assert table["relevant"].tolist() == [1, 0, 0]
        assert table.drop(columns="relevant").iloc[1:].isna().all(axis=None)
        found = summarise(table)
        assert (found["queries"], found["queries_without_relevant"]) == (1, 2)


JUDGED = {"query": ["x", "y"], "item": ["a", "b"], "grade": [1, 2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": ["x", "w"]}, r"judgements\['query'\] names 1 ids that query_ids lacks \(w\)"),
        ({"item": ["q", "r"]}, r"judgements\['item'\] names 2 ids that gallery_ids lacks \(q, r\)"),
        ({"item": ["a", None]}, r"judgements\['item'\] names 1 ids that gallery_ids lacks \(None\)"),
        ({"query": [1, 2]}, "never match"),
        ({"query": ["x", "x"], "item": ["a", "a"]}, r"judges 1 pairs twice \(x: a\)"),
        ({"grade": [1, -2]}, r"1 grades that are not whole numbers from -1 \(-2\)"),
        ({"grade": [0.5, 1]}, r"1 grades .*\(0.5\)"),
        ({"grade": [np.nan, math.inf]}, r"2 grades .*\(nan, inf\)"),
        ({"grade": [2.0**64, 1]}, r"1 grades .*\(1.8446744073709552e\+19\)"),
        ({"grade": ["high", 1]}, r"1 grades .*\(high\)"),
    ],
)
def test_bad_judgements_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        judged_metrics(
            np.eye(2), np.eye(2), pd.DataFrame(JUDGED | change), query_ids=["x", "y"], gallery_ids=["a", "b"]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"judgements": pd.DataFrame({"query": ["x"], "item": ["a"]})}, "judgements lacks the columns grade"),
        (
            {"judgements": JUDGED},
            "judgements is a dict: give a DataFrame with the columns query, item and grade",
        ),
        ({"judgements": None}, "judgements is a NoneType: give a DataFrame"),
        (
            {"judgements": pd.DataFrame(JUDGED).iloc[:, [0, 1, 2, 2]]},
            "judgements has the columns grade twice",
        ),
        ({"query_ids": ["x", "x"]}, "query_ids repeats x"),
        ({"gallery_ids": ["b", "b"]}, "gallery_ids repeats b"),
        ({"query_ids": ["x", "y", None]}, "query_ids holds 3 labels for 2 items"),
        ({"query_ids": ["x", ""]}, "query_ids lacks the id of items 1"),
        ({"gallery": np.eye(3)[:2]}, "queries has width 2 and gallery width 3"),
        ({"protocol": "trec"}, "protocol is 'trec': give one of plain, revisited"),
        ({"ks": (1.5,)}, "ks holds 1.5"),
    ],
)
def test_bad_input_is_named(change, message):
    inputs = {"queries": np.eye(2), "gallery": np.eye(2), "judgements": pd.DataFrame(JUDGED)}
    inputs |= {"query_ids": ["x", "y"], "gallery_ids": ["a", "b"]}
    with pytest.raises((TypeError, ValueError), match=message):
        judged_metrics(**inputs | change)
