"""Which items are clustered: whole classes where there are many, and chance agrees with nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossgap.evaluation import Cell, clusters, evaluate
from crossgap.evaluation.items import Items
from crossgap.metrics.clustering import clustering_metrics
from tests.evaluation.small import captions, images, write


def items(labels: list[str], seed: int = 0) -> Items:
    """Items in an order of their own, with features that know nothing of the labels."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"i{k:06}" for k in rng.permutation(len(labels))], object)
    empty = np.full(len(labels), "", object)
    features = rng.normal(size=(len(labels), 16)).astype(np.float32)
    return Items(ids, empty, np.zeros(len(labels), int), {"product": np.array(labels, object)}, made=features)


def many(classes: int, sizes=(2, 5, 12)) -> list[str]:
    """Products as Stanford's: a few photos each."""
    rng = np.random.default_rng(1)
    return [f"product {k}" for k in range(classes) for _ in range(rng.choice(sizes))]


def test_of_many_classes_whole_ones_are_drawn_by_their_names(monkeypatch) -> None:
    monkeypatch.setattr(clusters, "CLASSES", 30)
    labels = many(100)
    (found,) = clusters.drawn("product", items(labels))
    held = found.labels["product"].tolist()
    assert len(set(held)) == 30
    assert all(held.count(name) == labels.count(name) for name in set(held))
    assert found.ids.tolist() == sorted(found.ids)
    # neither the items' order nor their ids choose the classes
    (other,) = clusters.drawn("product", items(labels[::-1], seed=3))
    assert set(other.labels["product"]) == set(held)


def test_of_many_items_a_class_keeps_its_share(monkeypatch) -> None:
    monkeypatch.setattr(clusters, "ITEMS", 100)
    (found,) = clusters.drawn("product", items(["cat"] * 600 + ["dog"] * 200 + [""] * 100))
    held = found.labels["product"].tolist()
    assert len(held) == 100 and abs(held.count("cat") - 75) <= 1
    assert found.ids.tolist() == sorted(found.ids)


def test_few_items_of_few_classes_are_all_taken() -> None:
    given = items(many(50))
    (found,) = clusters.drawn("product", given)
    assert found.ids.tolist() == sorted(given.ids)
    assert dict(zip(found.ids, found.labels["product"], strict=True)) == dict(
        zip(given.ids, given.labels["product"], strict=True)
    )


def test_sets_that_are_clustered_together_have_the_same_classes(monkeypatch) -> None:
    monkeypatch.setattr(clusters, "CLASSES", 20)
    images, texts = clusters.drawn("product", items(many(60)), items(many(60), seed=5))
    assert set(images.labels["product"]) == set(texts.labels["product"])


def test_captions_without_a_labelling_have_their_images(tmp_path) -> None:
    """Captions that say a colour and no shape: a shape is that of the image, found by its id and not by its place."""
    pictures, said = images("test", 24), captions(images("test", 24))
    native = write(tmp_path / "native.zip", {"image/test": pictures, "text/test": said})
    found = evaluate(
        Cell(native, None, None, "test", "test"), resamples=19, corrections=["centering"]
    ).metrics
    features = np.concatenate([pictures["features"], said["features"]])
    of = dict(zip(pictures["id"], pictures["label.shape"], strict=True))
    shapes = pictures["label.shape"] + [of[name] for name in said["group"]]
    expected = clustering_metrics(features, np.array(shapes, object), restarts=clusters.RESTARTS)
    for measure, value in expected.items():
        assert found[f"clustering/joint/shape/{measure}"] == pytest.approx(value, abs=1e-6)
    assert {key for key in found if key.startswith("clustering/joint") and key.endswith("/ami")} == {
        f"clustering/{what}/{of}/ami" for what in ("joint", "joint+centering") for of in ("colour", "shape")
    }


def test_a_label_that_captions_mention_is_theirs_and_without_images_there_is_none() -> None:
    pictures = items(["cat", "dog", "cat"])
    groups = np.array([pictures.ids[1], "another", pictures.ids[0]], object)
    said = replace(pictures, groups=groups, labels={})
    assert clusters.labelled(said, "product", pictures).labels["product"].tolist() == ["dog", "", "cat"]
    mention = replace(said, labels={"product": np.array(["", "cat", ""], object)})
    assert clusters.labelled(mention, "product", pictures) is mention
    assert clusters.labelled(replace(said, groups=np.full(3, "", object)), "product", pictures) is None
    # labelled texts beside captions that have no labels
    groups = np.array([groups[0], "", groups[2]], object)
    beside = replace(said, groups=groups, labels={"product": np.array(["", "fish", ""], object)})
    assert clusters.labelled(beside, "product", pictures).labels["product"].tolist() == ["dog", "fish", "cat"]


def test_chance_agrees_with_many_classes_by_v_measure_and_not_by_adjusted_mutual_information(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(clusters, "CLASSES", 120)
    labels = many(300)
    given = items(labels)
    group = {
        "id": given.ids.tolist(), "group": given.ids.tolist(), "rank": [0] * len(labels),
        "features": given.features, "label.product": labels,
    }  # fmt: skip
    native = write(tmp_path / "native.zip", {"image/test": group})
    found = evaluate(Cell(native, None, None, "test", "test"), resamples=19, corrections=[]).metrics
    assert abs(found["clustering/image/product/ami"]) < 0.05
    assert abs(found["clustering/image/product/ari"]) < 0.05
    assert found["clustering/image/product/v_measure"] > 0.5


@pytest.mark.parametrize("size", [2, 3])
def test_random_features_have_no_adjusted_mutual_information(size) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(300), size)
    found = clustering_metrics(rng.normal(size=(len(labels), 8)), labels, restarts=1)
    assert abs(found["ami"]) < 0.05 and found["v_measure"] > 0.75
