"""The first items of rankings and the spread of similarities, by walking over all pairs."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pandas as pd
import pytest

from crossgap.metrics.exact import exact_rows
from crossgap.metrics.retrieval import heads as module
from crossgap.metrics.retrieval import judged_metrics, retrieval_metrics
from crossgap.metrics.retrieval.bias import Bias
from crossgap.metrics.retrieval.heads import BINS, heads
from crossgap.metrics.retrieval.queries import judged, labelled
from tests.metrics.retrieval.test_ranking import tied


def slow(scores, relevant, ignored, k):
    """Of one query: the places that come first, ties in the gallery's order, and counts by steps of 0.01 from -2."""
    rounded = [round(float(score) * 2**30) for score in scores]
    order = sorted((i for i in range(len(scores)) if i not in ignored), key=lambda i: (-rounded[i], i))
    counts = np.zeros((2, BINS), int)
    for i in order:
        counts[0 if i in relevant else 1, int((scores[i] + 2) * 100)] += 1
    return order[:k], counts


@pytest.mark.parametrize(("items", "rows"), [(2**15, 64), (5, 3)])
@pytest.mark.parametrize("biased", [False, True])
def test_heads_are_those_of_the_whole_ranking(items, rows, biased):
    queries, gallery, asked, held = tied(9, 23, 4)
    ids = [f"{i}" for i in range(23)]
    lists = labelled((9, 23), asked, held, True, ids[:9], ids)
    bias = Bias(np.arange(9) % 2 == 0, np.linspace(-0.4, 0.4, 23)) if biased else None
    with mock.patch.multiple(module, ITEMS_AT_ONCE=items, QUERIES_AT_ONCE=rows):
        found = list(heads(queries, gallery, lists, 6, bias))
    scores = exact_rows(queries) @ exact_rows(gallery).T
    if bias is not None:
        scores += bias.queries[:, None] * np.rint(bias.gallery * 2**26) / 2**26
    for i, head in enumerate(found):
        relevant = set(np.flatnonzero(held == asked[i]).tolist())
        places, (matching, other) = slow(scores[i], relevant, {i}, 6)
        assert head.items.tolist() == places
        assert head.relevant.tolist() == [place in relevant for place in places]
        assert head.scores == pytest.approx(scores[i][places], abs=2e-9)
        assert head.matching.tolist() == matching.tolist() and head.other.tolist() == other.tolist()
    table = retrieval_metrics(
        queries, gallery, asked, held, True, query_ids=ids[:9], gallery_ids=ids, bias=bias
    )
    counted = table["relevant"] > 0
    precision = np.array([head.relevant[:5].sum() / 5 for head in found])
    assert precision[counted] == pytest.approx(table["precision@5"][counted])


def test_judged_queries_and_galleries_that_are_smaller_than_a_head():
    queries, gallery, *_ = tied(2, 4, 1)
    names = ["a", "b"], ["p", "q", "r", "s"]
    rows = [("a", "q", 2), ("a", "r", -1), ("b", "p", 1), ("b", "s", 0)]
    judgements = pd.DataFrame(rows, columns=["query", "item", "grade"])
    first, second = heads(queries, gallery, judged((2, 4), judgements, *names), 10)
    assert len(first.items) == 3 and 2 not in first.items and len(second.items) == 4
    assert first.items[first.relevant].tolist() == [1] and second.items[second.relevant].tolist() == [0]
    assert (first.matching.sum(), first.other.sum(), second.other.sum()) == (1, 2, 3)
    table = judged_metrics(queries, gallery, judgements, query_ids=names[0], gallery_ids=names[1])
    ranks = [head.relevant.tolist().index(True) + 1 for head in (first, second)]
    assert table["ap"].tolist() == pytest.approx([1 / rank for rank in ranks])
