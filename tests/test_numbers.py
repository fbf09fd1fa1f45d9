"""The table of a cell's numbers: what is written is read, and its columns say what each number is of."""

from __future__ import annotations

import json

import pytest

from crossgap import numbers, read_metrics
from crossgap.errors import CrossgapError

METRICS = {  # key → baseline, and the other columns
    "retrieval/image-image/colour/mAP": ("image-image", "image-image", "colour", "mAP", 0.25),
    "retrieval/oti-image/a, \"b\"/mAP": ("oti-image", "image-image", 'a, "b"', "mAP", 1.0),
    "retrieval/image-image+centering/1/recall@1": ("image-image+centering", "image-image", "1", "recall@1", 0.5),
    "classification/2-shot-gda_text/NA/accuracy": ("2-shot-gda_text", "2-shot-gda", "NA", "accuracy", 0.125),
    "mixed/search+oti/0.5/recall@1": ("search+oti", "search", "0.5", "recall@1", 0.0),
    "hubness/text-image/skewness": ("text-image", "text-image", "", "skewness", -1.5),
    "gap/centroid_distance": ("gap", "gap", "", "centroid_distance", 0.643964),
    "gap/class_order_distance+pca_plus/colour": ("gap+pca_plus", "gap", "colour", "class_order_distance", 0.3),
    "items/image/test": ("image", "image", "test", "items", 40),
    "items/text/test/truncated": ("text", "text", "test", "truncated", 0),
    "inversion/oti/loss": ("oti", "oti", "", "loss", 1e-9),
    "arithmetic/colour/test/score": ("colour", "colour", "test", "score", 0.1),
}  # fmt: skip


def written(folder, metrics: dict) -> dict:
    path = folder / "tables" / "metrics.csv"
    path.parent.mkdir()
    numbers.write(path, metrics)
    return numbers.read(path)


def test_what_is_written_is_read(tmp_path) -> None:
    metrics = {key: row[-1] for key, row in METRICS.items()}
    found = written(tmp_path, metrics)
    assert json.dumps(found) == json.dumps(metrics), "their order, and counts as whole numbers"
    table = read_metrics(tmp_path)
    assert list(table) == ["family", "task", "baseline", "relevance", "metric", "value"]
    rows = [(key.partition("/")[0], *row) for key, row in METRICS.items()]
    assert [tuple(row) for row in table.itertuples(index=False)] == rows


def test_a_cell_without_numbers_has_a_table_of_no_rows(tmp_path) -> None:
    assert written(tmp_path, {}) == {} and read_metrics(tmp_path).empty


def test_a_table_of_something_else_is_refused(tmp_path) -> None:
    (tmp_path / "tables").mkdir()
    with pytest.raises(CrossgapError, match=r"metrics\.csv is not there: `dvc repro`"):
        read_metrics(tmp_path)
    for text in ("", "task,value\na,1\n"):
        (tmp_path / "tables/metrics.csv").write_text(text)
        with pytest.raises(CrossgapError, match="expected family, task, baseline"):
            read_metrics(tmp_path)


def test_a_table_that_is_cut_short_is_refused(tmp_path) -> None:
    """0.12 of 0.1234 is a number, too."""
    written(tmp_path, {"gap/centroid_distance": 0.1234})
    whole = (tmp_path / "tables/metrics.csv").read_text()
    for lost in (1, 3, 12):
        (tmp_path / "tables/metrics.csv").write_text(whole[:-lost])
        with pytest.raises(
            CrossgapError, match=r"metrics\.csv is cut short: let `dvc repro` make the cell again"
        ):
            read_metrics(tmp_path)


def test_what_is_no_provenance_is_told(tmp_path) -> None:
    held = {
        None: "provenance.json is not there", '{"back': r"provenance.json is no JSON \(Unterminated",
        "[]": "evaluated by an older crossgap", "{}": "evaluated by an older crossgap",
    }  # fmt: skip
    for text, told in held.items():
        if text is not None:
            (tmp_path / "provenance.json").write_text(text)
        with pytest.raises(CrossgapError, match=f"{told}.*: let `dvc repro` make the cell again"):
            numbers.read_provenance(tmp_path)
