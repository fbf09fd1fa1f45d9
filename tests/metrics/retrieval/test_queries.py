"""Retrieval metrics against a slow double loop, hand-worked rankings and independent libraries."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from sklearn.metrics import average_precision_score, ndcg_score
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_r_precision,
)

from crossgap.metrics.retrieval import retrieval_metrics, summarise
from crossgap.metrics.retrieval.relevance import by_labels

COLUMNS = [
    "ap", "ap_at_r", "r_precision", "recall@1", "recall@5", "recall@10",
    "precision@1", "precision@5", "precision@10", "ndcg@10", "relevant",
]  # fmt: skip


def naive(queries, gallery, query_labels, gallery_labels, left_out=None):
    """One query and one item at a time, in Python floats; ties by the gallery's order."""
    rows = []
    for i, query in enumerate(np.asarray(queries, float)):
        ranking = []
        for j, item in enumerate(np.asarray(gallery, float)):
            if left_out is None or left_out[i] != j:
                cosine = math.fsum(query * item) / math.sqrt(math.fsum(query**2) * math.fsum(item**2))
                ranking.append((-round(cosine, 9), j))
        hits = [query_labels[i] == gallery_labels[j] for _, j in sorted(ranking)]
        r = sum(hits)
        if r == 0:
            rows.append([math.nan] * 10 + [0])
            continue
        precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
        discounts = [1 / math.log2(k + 2) for k in range(10)]
        rows.append(
            [
                sum(p for p, hit in zip(precision, hits, strict=True) if hit) / r,
                sum(p for p, hit in zip(precision[:r], hits[:r], strict=True) if hit) / r,
                sum(hits[:r]) / r,
                *(float(any(hits[:k])) for k in (1, 5, 10)),
                *(sum(hits[:k]) / k for k in (1, 5, 10)),
                sum(d for d, hit in zip(discounts, hits, strict=False) if hit) / sum(discounts[:r]),
                r,
            ]
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def assert_equal(table: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table, other, check_dtype=False, rtol=0, atol=1e-12)


def cloud(seed: int, n: int, m: int, classes: int = 4, d: int = 6):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    return *features, rng.integers(0, classes, n), rng.integers(0, classes, m)


def on_a_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_a_ranking_worked_out_by_hand():
    # Relevant at ranks 1, 3 and 6 of 7, so R = 3 and P = 1, 2/3, 3/6 there.
    gallery = 5 * on_a_circle(10, 20, 30, 40, 50, 60, 170)
    table = retrieval_metrics(on_a_circle(0), gallery, ["a"], list("abaccab"))
    gain = 1 + 1 / math.log2(4) + 1 / math.log2(7)
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    expected = [(1 + 2 / 3 + 1 / 2) / 3, (1 + 2 / 3) / 3, 2 / 3, 1, 1, 1, 1, 2 / 5, 3 / 10, gain / best, 3]
    assert_equal(table, pd.DataFrame([expected], columns=COLUMNS))


def test_recall_is_a_hit_rate_and_precision_a_share_at_any_cut_off():
    gallery = on_a_circle(10, 20, 30, 40)
    table = retrieval_metrics(on_a_circle(0), gallery, ["a"], ["b", "b", "a", "a"], ks=(1, 2, 3.0, 100))
    assert table.filter(like="recall").values.tolist() == [[0, 0, 1, 1]]
    assert table.filter(like="precision@").values.tolist() == [[0, 0, 1 / 3, 2 / 100]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_agrees_with_the_double_loop(seed, dtype):
    queries, gallery, query_labels, gallery_labels = cloud(seed, 20, 33)
    queries, gallery = queries.astype(dtype), gallery.astype(dtype)
    table = retrieval_metrics(queries, gallery, query_labels, gallery_labels)
    assert_equal(table, naive(queries, gallery, query_labels, gallery_labels))


def test_agrees_with_scikit_learn_and_torchmetrics():
    queries, gallery, query_labels, gallery_labels = cloud(7, 30, 200)
    table = retrieval_metrics(queries, gallery, query_labels, gallery_labels)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery)]
    for row, scores, label in zip(table.to_dict("records"), unit[0] @ unit[1].T, query_labels, strict=True):
        target = gallery_labels == label
        assert row["ap"] == pytest.approx(average_precision_score(target, scores), abs=1e-12)
        preds, target = torch.from_numpy(scores + 2), torch.from_numpy(target)
        assert row["ap"] == pytest.approx(retrieval_average_precision(preds, target).item(), abs=1e-6)
        assert row["ndcg@10"] == pytest.approx(ndcg_score([target.float()], [scores], k=10), abs=1e-12)
        assert row["ndcg@10"] == pytest.approx(
            retrieval_normalized_dcg(preds, target, top_k=10).item(), abs=1e-6
        )
        assert row["r_precision"] == pytest.approx(retrieval_r_precision(preds, target).item(), abs=1e-6)
        for k in (1, 5, 10):
            assert row[f"recall@{k}"] == retrieval_hit_rate(preds, target, top_k=k).item()
            expected = retrieval_precision(preds, target, top_k=k).item()
            assert row[f"precision@{k}"] == pytest.approx(expected, abs=1e-6)


def test_relevant_items_of_negative_similarity_count():
    # torchmetrics since 1.9 takes a relevant item with a score of zero or below for irrelevant.
    gallery, labels = on_a_circle(10, 20, 120), ["a", "b", "a"]
    ap = retrieval_metrics(on_a_circle(0), gallery, ["a"], labels)["ap"].item()
    assert ap == pytest.approx((1 + 2 / 3) / 2)
    scores, target = torch.from_numpy(gallery[:, 0]), torch.tensor([True, False, True])
    assert retrieval_average_precision(scores + 2, target).item() == pytest.approx(ap)
    if Version(torchmetrics.__version__) >= Version("1.9"):
        assert retrieval_average_precision(scores, target).item() == 1


def test_exclude_self_leaves_the_query_out_and_counts_r_after():
    features, _, labels, _ = cloud(3, 25, 1)
    table = retrieval_metrics(features, features, labels, labels, exclude_self=True)
    assert_equal(table, naive(features, features, labels, labels, left_out=range(25)))
    assert (table["relevant"] == pd.Series(labels).map(pd.Series(labels).value_counts()) - 1).all()


def test_a_duplicate_of_the_query_stays_in_its_gallery():
    features = on_a_circle(0, 90, 0)
    table = retrieval_metrics(features, features, list("aba"), list("aba"), exclude_self=True)
    assert table["recall@1"].tolist()[::2] == [1, 1]
    assert table["relevant"].tolist() == [1, 0, 1]


def test_exclusion_by_id_in_any_order_and_of_a_part():
    features, _, labels, _ = cloud(4, 25, 1)
    ids = np.array([f"item{i}" for i in range(25)])
    rng = np.random.default_rng(0)
    queries, gallery = rng.permutation(25)[:15], rng.permutation(25)[:20]
    table = retrieval_metrics(
        features[queries], features[gallery], labels[queries], labels[gallery], True,
        query_ids=ids[queries], gallery_ids=ids[gallery],
    )  # fmt: skip
    places = [list(gallery).index(i) if i in gallery else -1 for i in queries]
    assert -1 in places and max(places) > 0
    assert_equal(table, naive(features[queries], features[gallery], labels[queries], labels[gallery], places))


def test_null_labels_are_relevant_to_nothing():
    features = on_a_circle(0, 10, 20, 30)
    query_labels, gallery_labels = ["a", None, "", float("nan")], ["a", None, "", float("nan")]
    table = retrieval_metrics(features, features, query_labels, gallery_labels)
    assert table["relevant"].tolist() == [1, 0, 0, 0]
    assert table.loc[1:, COLUMNS[:-1]].isna().all(axis=None)
    summary = summarise(table)
    assert (summary["queries"], summary["queries_without_relevant"], summary["mAP"]) == (1, 3, 1)


def test_summary_averages_over_queries_with_a_relevant_item():
    queries, gallery, query_labels, gallery_labels = cloud(5, 30, 40, classes=9)
    gallery_labels[gallery_labels == 2] = 3
    table = retrieval_metrics(queries, gallery, query_labels, gallery_labels, ks=(1, 3))
    summary = summarise(table)
    without = int((query_labels == 2).sum())
    assert without > 0
    assert list(summary) == [
        "mAP", "mAP@R", "R-precision", "recall@1", "recall@3", "precision@1", "precision@3", "nDCG@10",
        "queries", "queries_without_relevant",
    ]  # fmt: skip
    assert (summary["queries"], summary["queries_without_relevant"]) == (30 - without, without)
    assert summary["mAP"] == pytest.approx(np.nanmean(table["ap"]))
    assert summary["recall@3"] == pytest.approx(np.nanmean(table["recall@3"]))
    assert math.isnan(summarise(table[table["relevant"] == 0])["mAP"])


@pytest.mark.parametrize("convert", [np.asarray, pd.Series, list, torch.as_tensor], ids=lambda f: f.__name__)
def test_labels_of_any_container(convert):
    queries, gallery, query_labels, gallery_labels = cloud(6, 8, 9)
    expected = retrieval_metrics(queries, gallery, query_labels.tolist(), gallery_labels.astype(np.int16))
    table = retrieval_metrics(queries, gallery, convert(query_labels), convert(gallery_labels))
    assert_equal(table, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_features_of_any_width(dtype):
    queries, gallery, query_labels, gallery_labels = cloud(8, 8, 9)
    queries, gallery = (torch.from_numpy(x).to(dtype).requires_grad_() for x in (queries, gallery))
    table = retrieval_metrics(queries, gallery, query_labels, gallery_labels)
    assert_equal(
        table, naive(*(x.detach().double().numpy() for x in (queries, gallery)), query_labels, gallery_labels)
    )


features_with_ties = st.tuples(st.integers(2, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))


def tied(n: int, m: int, seed: int):
    """Queries and a gallery of few distinct directions, at different lengths: most similarities tie."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((3, 7))
    draw = lambda k: directions[rng.integers(0, 3, k)] * rng.choice([0.3, 1, 3], (k, 1))  # noqa: E731
    return draw(n), draw(m), rng.integers(0, 3, n), rng.integers(0, 3, m)


@settings(deadline=None, max_examples=60)
@given(features_with_ties)
def test_ties_stand_in_the_order_of_the_gallery(shape):
    assert_equal(retrieval_metrics(*tied(*shape)), naive(*tied(*shape)))


@settings(deadline=None, max_examples=60)
@given(features_with_ties, st.integers(1, 13))
def test_block_size_changes_no_bit(shape, block_size):
    inputs = tied(*shape)
    pd.testing.assert_frame_equal(
        retrieval_metrics(*inputs, block_size=block_size), retrieval_metrics(*inputs), check_exact=True
    )


@settings(deadline=None, max_examples=40)
@given(features_with_ties, st.randoms(use_true_random=False))
def test_permuting_the_queries_permutes_the_rows(shape, random):
    queries, gallery, query_labels, gallery_labels = tied(*shape)
    order = random.sample(range(len(queries)), len(queries))
    permuted = retrieval_metrics(queries[order], gallery, query_labels[order], gallery_labels)
    table = retrieval_metrics(queries, gallery, query_labels, gallery_labels)
    pd.testing.assert_frame_equal(permuted, table.iloc[order].reset_index(drop=True), check_exact=True)


def test_default_blocks_change_nothing_on_many_queries():
    queries, gallery, query_labels, gallery_labels = cloud(9, 3000, 3000, classes=40, d=16)
    table = retrieval_metrics(queries, gallery, query_labels, gallery_labels)
    other = retrieval_metrics(queries, gallery, query_labels, gallery_labels, block_size=611)
    pd.testing.assert_frame_equal(table, other, check_exact=True)


def test_inputs_are_left_as_they_were():
    queries, gallery, _, _ = cloud(1, 4, 5)
    copies = queries.copy(), gallery.copy()
    for array in (queries, gallery):
        array.flags.writeable = False
    labels = ["a", "", None, "b"]
    retrieval_metrics(queries, gallery, labels, ["a"] * 5)
    assert labels == ["a", "", None, "b"]
    assert (queries == copies[0]).all() and (gallery == copies[1]).all()


Q, G = on_a_circle(0, 1), on_a_circle(0, 1, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery": np.ones((3, 5))}, "queries has width 2 and gallery width 5"),
        ({"gallery_labels": ["a", "b"]}, "gallery_labels holds 2 labels for 3 items"),
        ({"query_labels": [[1, 2], [3, 4]]}, "query_labels holds a list"),
        ({"query_labels": np.zeros((2, 2))}, r"query_labels has shape \(2, 2\)"),
        ({"query_labels": [1, 2]}, "gallery_labels holds strings and query_labels numbers"),
        ({"exclude_self": True}, "2 queries and 3 gallery items"),
        ({"exclude_self": True, "gallery": Q, "gallery_labels": ["a", "c"]}, "item 1 is labelled 'b'"),
        ({"query_ids": ["x", "y"]}, "belong together"),
        ({"query_ids": ["x", "y"], "gallery_ids": ["x", "x", "y"], "exclude_self": True}, "repeats x"),
        ({"query_ids": ["x", None], "gallery_ids": ["x", "y", "z"], "exclude_self": True}, "id of items 1"),
        ({"query_ids": [0, 1], "gallery_ids": ["0", "1", "2"], "exclude_self": True}, "never match"),
        ({"ks": (1, 0)}, "ks holds 0"),
        ({"ks": (2.5, "a", math.nan, math.inf)}, "ks holds 2.5, a, nan, inf: a cut-off is a whole number"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"device": "cuda:99"}, "device is 'cuda:99', but torch finds"),
        ({"gallery": [[0, 0], [1, 1], [np.nan, 1]]}, r"gallery holds NaN or infinity in 1 of 3 rows \(2\)"),
        ({"queries": [[0, 0], [1, 1]]}, r"queries holds zero vectors.* in 1 of 2 rows \(0\)"),
        ({"block_size": 0}, "block_size is 0"),
        ({"block_size": 2.5}, "block_size is 2.5: give a whole number"),
        ({"query_labels": None}, "query_labels is None: give one label an item"),
        ({"exclude_self": "no"}, "exclude_self is 'no': give True or False"),
        ({"ks": 5}, "ks is 5: give several cut-offs"),
        ({"ks": (True,)}, "ks holds True"),
        ({"device": None}, "device is None: give 'cpu'"),
        ({"bias": (np.ones(2, bool), np.zeros(3))}, "bias is tuple: give what"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, message):
    inputs = {"queries": Q, "gallery": G, "query_labels": ["a", "b"], "gallery_labels": ["a", "b", "a"]}
    with pytest.raises((ValueError, TypeError), match=message):
        retrieval_metrics(**inputs | change)


@pytest.mark.parametrize(("name", "across", "within"), [
    ("dtd", 28.97, 27.81), ("oxford_flowers", 62.52, 62.64), ("fgvc_aircraft", 14.22, 14.04),
])  # fmt: skip
def test_image_to_image_on_real_features(real, name, across, within):
    data = np.load(real / "clip-vit-b32" / f"{name}.npz")
    test, labels = data["test_features"], data["test_labels"]
    table = retrieval_metrics(test, data["val_features"], labels, data["val_labels"])
    assert 100 * summarise(table)["mAP"] == pytest.approx(across, abs=0.02)
    table = retrieval_metrics(test, test, labels, labels, exclude_self=True)
    assert 100 * summarise(table)["mAP"] == pytest.approx(within, abs=0.02)


def test_captions_and_photos_on_real_features(real):
    data = np.load(real / "clip-vit-b32" / "flickr8k_100x5.npz")
    images, texts, groups = data["image_features"], data["text_features"], data["image_ids"]
    _, first = np.unique(groups, return_index=True)
    rest = np.setdiff1d(np.arange(500), first)
    text_image = summarise(retrieval_metrics(texts, images[first], groups, groups[first]))
    image_text = summarise(retrieval_metrics(images[first], texts, groups[first], groups))
    text_text = summarise(retrieval_metrics(texts[first], texts[rest], groups[first], groups[rest]))
    assert 100 * text_image["recall@1"] == pytest.approx(83.2, abs=0.02)
    assert 100 * image_text["recall@1"] == pytest.approx(93.0, abs=0.02)
    assert 100 * text_text["mAP"] == pytest.approx(71.33, abs=0.02)


def test_cut_offs_may_be_given_once() -> None:
    features, labels = np.random.default_rng(0).normal(size=(6, 4)), list("aabbcc")
    once = retrieval_metrics(features, features, labels, labels, exclude_self=True, ks=(k for k in (1, 2)))
    pd.testing.assert_frame_equal(
        once, retrieval_metrics(features, features, labels, labels, exclude_self=True, ks=(1, 2))
    )


def test_a_negative_code_equals_none():
    """As `pandas.factorize` gives -1 to every missing label, of queries and gallery alike."""
    lists = by_labels(np.array([0, -1, 1]), np.array([-1, 0, -1]), np.array([-1, -1, -1]))
    pairs = lists.pairs(slice(0, 3))
    assert (pairs.query.tolist(), pairs.item.tolist()) == ([0], [1])
    with pytest.raises(ValueError, match="left_out has shape"):
        by_labels(np.array([0, 1]), np.array([0, 1]), np.array([-1]))
