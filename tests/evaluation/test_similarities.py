"""Similarities of a cell some of whose images have no label."""

from __future__ import annotations

import numpy as np
import pytest

from crossgap.evaluation import Cell, evaluate
from tests.evaluation.small import TEST, groups, write
from tests.rows import unit


def test_an_image_without_a_label_is_in_no_pair(tmp_path) -> None:
    labels = ["" if place % 4 == 0 else label for place, label in enumerate(TEST["label.shape"])]
    held = groups() | {"image/test": TEST | {"label.shape": labels}}
    cell = Cell(write(tmp_path / "native.zip", held), None, None, "test", "test")
    found = evaluate(cell, families=["similarity"], corrections=[]).similarities
    of = found[(found["pair"] == "image-image") & (found["relevance"] == "shape")].iloc[0]
    rows = unit(TEST["features"])
    pairs = {
        matching: [
            float(rows[i] @ rows[j])
            for i, one in enumerate(labels)
            for j, other in enumerate(labels)
            if i != j and one and other and (one == other) == matching
        ]
        for matching in (True, False)
    }
    assert of["matching"] == pytest.approx(np.mean(pairs[True]), abs=1e-6)
    assert of["other"] == pytest.approx(np.mean(pairs[False]), abs=1e-6)
