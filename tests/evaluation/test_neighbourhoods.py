"""Gap measures beyond the means, natively and corrected, and without dimensions, of a cell against its arrays."""

from __future__ import annotations

import numpy as np
import pytest

from crossgap.corrections import Material, fitted
from crossgap.evaluation import Cell
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.dimensions import COLUMNS, numbers, over_dimensions
from crossgap.evaluation.neighbourhoods import neighbourhoods
from crossgap.evaluation.queries import across
from crossgap.evaluation.work import Work
from crossgap.metrics import retrieval
from crossgap.metrics.gap import centroid_distance, uniformity
from crossgap.metrics.gap.frechet import frechet
from crossgap.metrics.gap.neighbourhoods import class_order_distance, modality_ranks, neighbour_overlap
from tests.evaluation.small import CLASSES, PROMPTS, TEST, captions, write
from tests.rows import unit


@pytest.fixture(scope="module")
def work(native) -> Work:
    return Work(Cell(native, None, None, "test", "test", support="train"))


@pytest.fixture(scope="module")
def metrics(work) -> dict[str, float]:
    return neighbourhoods(work, Rivals(work, ["centering", "pca_plus", "pseudo_inverse"]))


def texts() -> np.ndarray:
    return captions(TEST)["features"][::2]


def test_native_measures_are_those_of_images_and_first_captions(metrics):
    images = TEST["features"]
    found = frechet(images, texts())
    assert metrics["gap/frechet"] == found.total
    assert metrics["gap/frechet_covariance"] == found.covariance
    assert metrics["gap/trace_text"] == found.trace_y
    imr, tmr = modality_ranks(images, texts()), modality_ranks(texts(), images)
    for name, ranks, side in (("imr", imr, "image"), ("tmr", tmr, "text")):
        assert metrics[f"gap/{name}"] == ranks.mean() != np.median(ranks)
        assert metrics[f"gap/{name}_median"] == np.median(ranks)
        assert metrics[f"gap/nearest_other_{side}"] == (ranks == 1).mean()
    assert metrics["gap/nearest_other"] == ((tmr == 1).sum() + (imr == 1).sum()) / 48
    share = neighbour_overlap(images, texts())
    assert metrics["gap/nas@10"] == share.mean()
    assert metrics["gap/nas_jaccard@10"] == pytest.approx((share / (2 - share)).mean(), abs=1e-12)
    assert "gap/centroid_distance" not in metrics  # `gap` has it


def test_of_many_items_some_evenly_spread_have_their_neighbours_looked_at(work, metrics, monkeypatch):
    monkeypatch.setattr("crossgap.evaluation.neighbourhoods.ITEMS", 13)
    found = neighbourhoods(work, Rivals(work, []))
    some = np.linspace(0, 23, 13).astype(int)
    images, first = TEST["features"][some], texts()[some]
    assert found["gap/imr"] == modality_ranks(images, first).mean()
    assert found["gap/tmr"] == modality_ranks(first, images).mean()
    assert found["gap/nas@10"] == neighbour_overlap(images, first).mean() != metrics["gap/nas@10"]
    assert found["gap/frechet"] == metrics["gap/frechet"]  # of all


def test_corrected_measures_are_those_of_corrected_features(metrics):
    every = captions(TEST)["features"]
    correction = fitted(Material(images=TEST["features"], texts=every), ["centering"])[0]["centering"]
    both = correction.apply(TEST["features"], "image"), correction.apply(texts(), "text")
    assert metrics["gap/centroid_distance+centering"] == pytest.approx(centroid_distance(*both), abs=1e-6)
    assert metrics["gap/frechet+centering"] == pytest.approx(frechet(*both).total, abs=1e-6)
    assert metrics["gap/uniformity_text+centering"] == pytest.approx(uniformity(both[1]), abs=1e-6)
    assert metrics["gap/imr+centering"] == modality_ranks(*both).mean()
    assert "gap/frechet+pca_plus" in metrics and "gap/linear_separability+centering" not in metrics
    # the queries go over to the other modality, whose features stay
    assert metrics["gap/trace_text+pseudo_inverse"] == metrics["gap/trace_text"]
    assert metrics["gap/trace_image+pseudo_inverse"] != metrics["gap/trace_image"]


def test_orders_of_classes_and_why_there_is_none(metrics, work):
    means = []
    for name in sorted(CLASSES["colour"]):
        rows = [
            row
            for row, label in zip(unit(TEST["features"]), TEST["label.colour"], strict=True)
            if label == name
        ]
        means.append(np.mean(rows, axis=0))
    prompts = [PROMPTS["features"][PROMPTS["label.colour"].index(name)] for name in sorted(CLASSES["colour"])]
    expected = class_order_distance(np.array(means), np.array(prompts)).mean()
    assert metrics["gap/class_order_distance/colour"] == expected
    assert "gap/class_order_distance+centering/colour" in metrics
    reasons = {name: why for family, name, why in work.reasons.rows if family == "gap"}
    assert reasons["class_order_distance/shape"] == "order of the neighbours of 2 classes: give at least 3"


def test_few_pairs_lack_the_overlap_alone(tmp_path):
    few = {
        name: {key: values[: 2 * size] for key, values in columns.items()}
        for name, columns, size in (("image/test", TEST, 4), ("text/test", captions(TEST), 8))
    }
    work = Work(Cell(write(tmp_path / "native.zip", few), None, None, "test", "test"))
    found = neighbourhoods(work, Rivals(work, []))
    assert "gap/nas@10" not in found and "gap/imr" in found and "gap/frechet" in found
    assert {name for _, name, _ in work.reasons.rows} >= {"nas@10"}


def test_without_dimensions_everything_is_measured_again(work):
    table = over_dimensions(work)
    assert table.columns.tolist() == COLUMNS and table["removed"].unique().tolist() == [0, 1, 2, 4]
    assert numbers(512) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]
    images, first, every = (unit(x) for x in (TEST["features"], texts(), captions(TEST)["features"]))
    differences = np.abs(images.mean(axis=0) - first.mean(axis=0))
    for number in (0, 2):
        gone = sorted(range(8), key=lambda k: -differences[k])[:number]
        cut = [np.delete(side, gone, axis=1) for side in (images, first, every)]
        rows = table[table["removed"] == number].set_index(["task", "relevance", "metric"])
        assert rows["distance"].to_numpy() == pytest.approx(centroid_distance(*cut[:2]), abs=1e-9)
        scores = unit(cut[2]) @ unit(cut[0]).T
        recall = np.mean([scores[i].argmax() == i // 2 for i in range(len(scores))])
        assert rows.loc[("text-image", "group", "recall@1"), "value"] == recall
    (task, _) = across(work.cell)
    plain = retrieval.summarise(task.table(work)[["ap", "recall@1", "relevant"]])
    at_0 = table[(table["removed"] == 0) & (table["task"] == "text-image") & (table["metric"] == "mAP")]
    assert at_0["value"].tolist() == [pytest.approx(plain["mAP"], abs=1e-12)]


def test_a_cell_without_texts_has_no_dimensions_of_the_gap(tmp_path):
    work = Work(Cell(write(tmp_path / "n.zip", {"image/test": TEST}), None, None, "test", "test"))
    assert over_dimensions(work).empty and neighbourhoods(work, Rivals(work, [])) == {}
