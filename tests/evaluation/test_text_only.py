"""Cells without images: texts asked for by label or judgements, and stores without any item."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossgap import open_store
from crossgap.evaluation import Cell, evaluate
from crossgap.stores import store
from tests.rows import unit

LABELS = {
    "q0": "x", "q1": "y",
    "d0": "x", "d1": "y", "d2": "y", "d3": "x", "d4": "y", "d5": "", "d6": "x", "d7": "y",
}  # fmt: skip
QUERIES, DOCUMENTS = ([name for name in LABELS if name[0] == kind] for kind in "qd")
RNG = np.random.default_rng(3)
FEATURES = dict(zip(LABELS, RNG.normal(size=(len(LABELS), 6)).astype(np.float32) + 1, strict=True))
INVERTED = {name: RNG.normal(size=6).astype(np.float32) for name in QUERIES}
JUDGED = [("q0", "d1", 2), ("q0", "d5", 1), ("q0", "d2", 0), ("q1", "d0", 1)]


def write(path, groups: dict, provenance: dict, judged: list | None = None):
    with store.creating(path, path.parent / "scratch", provenance) as writer:
        for name, (columns, arrays) in groups.items():
            writer.add(name, {key: np.array(values, object) for key, values in columns.items()}, [arrays])
        if judged:
            table = pd.DataFrame(judged, columns=["query", "item", "grade"]).assign(setting="judged")
            writer.add_judgements(table)
    return open_store(path)


@pytest.fixture
def cell(tmp_path) -> Cell:
    def group(names):
        columns = {"id": names, "label.class": [LABELS[name] for name in names]}
        return columns, {"features": np.stack([FEATURES[name] for name in names])}

    groups = {"text/query": group(QUERIES), "text/test": group(DOCUMENTS)}
    native = write(tmp_path / "native.zip", groups, {"fingerprint": "native"}, JUDGED)
    made_by = {"method": {"name": "ovi", "patches": 1}, "recipe": {"steps": 9}}
    arrays = {"features": np.stack(list(INVERTED.values())), "loss": np.array([0.1, 0.3], np.float32)}
    inverted = {"text/query": ({"id": QUERIES}, arrays)}
    ovi = write(tmp_path / "ovi.zip", inverted, {"fingerprint": "ovi", "inverts": "native", **made_by})
    return Cell(native, None, ovi, "query", "test")


def mean_ap(queries: dict, documents: dict, relevant) -> float:
    """Over the queries, of the precisions at each relevant document down a ranking by cosine."""
    found = []
    for query, row in queries.items():
        ranking = sorted(documents, key=lambda name: -unit(row) @ unit(documents[name]))
        hits = [place for place, name in enumerate(ranking, start=1) if relevant(query, name)]
        found.append(np.mean([number / place for number, place in enumerate(hits, start=1)]))
    return float(np.mean(found))


def same_class(query: str, document: str) -> bool:
    return LABELS[query] == LABELS[document]


def judged_relevant(query: str, document: str) -> bool:
    return any(one[:2] == (query, document) and one[2] > 0 for one in JUDGED)


def test_documents_are_found_by_native_and_inverted_texts(cell) -> None:
    metrics = evaluate(cell, resamples=99).metrics
    documents = {name: FEATURES[name] for name in DOCUMENTS}
    native = {name: FEATURES[name] for name in QUERIES}
    for task, queries in (("text-text", native), ("ovi-text", INVERTED)):
        for relevance, relevant in (("class", same_class), ("judged", judged_relevant)):
            wanted = mean_ap(queries, documents, relevant)
            assert metrics[f"retrieval/{task}/{relevance}/mAP"] == pytest.approx(wanted, abs=1e-6)
    families = {name.split("/")[0] for name in metrics}
    assert families == {"retrieval", "similarity", "items", "inversion", "robustness"}, (
        "no gap, no classification, no clusters"
    )
    assert metrics["inversion/ovi/loss"] == pytest.approx(0.2)


def test_corrections_are_fitted_on_what_is_searched(cell) -> None:
    """Two class queries, centred on their own mean, would be opposites whatever they say."""
    found = evaluate(cell, resamples=99, corrections=["centering"])
    mean = np.mean([unit(FEATURES[name]) for name in DOCUMENTS], axis=0)
    queries, documents = (
        {name: unit(FEATURES[name]) - mean for name in names} for names in (QUERIES, DOCUMENTS)
    )
    wanted = mean_ap(queries, documents, same_class)
    assert found.metrics["retrieval/text-text+centering/class/mAP"] == pytest.approx(wanted, abs=1e-6)
    assert found.corrections["parameters"].tolist() == ["text: items 8"]


def test_a_store_of_no_items_gives_no_numbers(tmp_path) -> None:
    """What an image-only backbone makes of a dataset of texts."""
    native = write(tmp_path / "native.zip", {}, {"fingerprint": "native", "texts_left_out": 10})
    found = evaluate(Cell(native, None, None, "query", "test"), resamples=99)
    assert found.metrics == {}
    for name in (
        "queries",
        "predictions",
        "comparisons",
        "clouds",
        "curves",
        "similarities",
        "shifts",
        "spectrum",
    ):
        assert getattr(found, name).empty, name
