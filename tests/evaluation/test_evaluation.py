"""Every task of a cell against loops over pairs that follow the protocol's words."""

from __future__ import annotations

import math
import sys
import zlib

import numpy as np
import pytest

from crossgap import evaluation, gap_metrics, open_store
from crossgap.errors import CrossgapError
from crossgap.evaluation import Cell, Evaluation, EvaluationError
from crossgap.evaluation import clouds as evaluated_clouds
from crossgap.evaluation.parts import Parts
from crossgap.evaluation.work import Work
from crossgap.stores import store
from tests.rows import cosine, unit

DIM, LAST = 6, 20
LENGTH = {"oti": "tokens", "ovi": "patches"}
IMAGES = {
    "test": {
        "i0": {"colour": "red", "shape": "round"},
        "i1": {"colour": "red", "shape": "square"},
        "i2": {"colour": "blue", "shape": "round"},
        "i3": {"colour": "blue", "shape": "square"},
        "i4": {"colour": "red", "shape": "round"},
        "i5": {"colour": "", "shape": "square"},
        "i6": {"colour": "green", "shape": "round"},
    },
    "train": {
        "j0": {"colour": "red", "shape": "square"},
        "j1": {"colour": "blue", "shape": "square"},
        "j2": {"colour": "red", "shape": "round"},
        "j3": {"colour": "green", "shape": "square"},
    },
}
# id: (image, rank, what it mentions); out of order, unequal numbers, one image without any
CAPTIONS = {
    "i1#1": ("i1", 1, {"colour": "red", "shape": "square"}),
    "i0#0": ("i0", 0, {"colour": "red", "shape": ""}),
    "i0#1": ("i0", 1, {"colour": "red", "shape": "round"}),
    "i0#2": ("i0", 2, {"colour": "", "shape": ""}),
    "i1#0": ("i1", 0, {"colour": "", "shape": "square"}),
    "i2#0": ("i2", 0, {"colour": "blue", "shape": "round"}),
    "i3#0": ("i3", 0, {"colour": "blue", "shape": ""}),
    "i3#1": ("i3", 1, {"colour": "blue", "shape": "square"}),
    "i4#0": ("i4", 0, {"colour": "red", "shape": "round"}),
    "i4#1": ("i4", 1, {"colour": "red", "shape": "round"}),
    "i5#0": ("i5", 0, {"colour": "", "shape": "square"}),
}
PROMPTS = {
    "classes/colour/red#0": {"colour": "red"},
    "classes/colour/red#1": {"colour": "red"},
    "classes/colour/blue#0": {"colour": "blue"},
    "classes/colour/green#0": {"colour": "green"},
    "classes/shape/round#0": {"shape": "round"},
    "classes/shape/square#0": {"shape": "square"},
}


def feature(name: str, kind: str = "native") -> np.ndarray:
    seed = zlib.crc32(f"{kind} {name}".encode())
    return np.random.default_rng(seed).normal(size=DIM).astype(np.float32) * (1 + len(name))


def features(names, kind: str = "native") -> np.ndarray:
    return np.stack([feature(name, kind) for name in names])


def write(path, groups: dict, provenance: dict | None = None):
    with store.creating(path, path.parent / "scratch", provenance or {"fingerprint": "native"}) as writer:
        for name, columns in groups.items():
            arrays = {key: columns.pop(key) for key in ("features", "loss") if key in columns}
            columns = {
                key: np.array(
                    values, dtype=np.int64 if key == "rank" else bool if key == "truncated" else object
                )
                for key, values in columns.items()
            }
            writer.add(name, columns, [arrays])
    return open_store(path)


def image_group(split: str) -> dict:
    items = IMAGES[split]
    labels = {f"label.{name}": [item[name] for item in items.values()] for name in ("colour", "shape")}
    return {
        "id": list(items),
        "group": list(items),
        "rank": [0] * len(items),
        "features": features(items),
    } | labels


def caption_group() -> dict:
    image, rank, said = zip(*CAPTIONS.values(), strict=True)
    labels = {f"label.{name}": [item[name] for item in said] for name in ("colour", "shape")}
    more = {"truncated": [name == "i0#2" for name in CAPTIONS], "features": features(CAPTIONS)}
    return {"id": list(CAPTIONS), "group": list(image), "rank": list(rank)} | more | labels


def prompt_group() -> dict:
    labels = {
        f"label.{name}": [item.get(name, "") for item in PROMPTS.values()] for name in ("colour", "shape")
    }
    return {"id": list(PROMPTS), "rank": [0] * len(PROMPTS), "features": features(PROMPTS)} | labels


def inverted(path, kind: str, chosen: dict, inverts: str = "native"):
    groups = {
        name: {
            "id": list(ids)[::-1],  # an inversion store may hold its items in another order
            "features": features(list(ids)[::-1], kind),
            "loss": np.linspace(0.1, 0.3, len(ids), dtype=np.float32),
        }
        for name, ids in chosen.items()
    }
    made_by = {"method": {"name": kind, LENGTH[kind]: 1}, "recipe": {"steps": LAST}}
    return write(path, groups, {"fingerprint": kind, "inverts": inverts, **made_by})


FIRST = [name for name, (_, rank, _) in CAPTIONS.items() if rank == 0]
REST = [name for name, (_, rank, _) in CAPTIONS.items() if rank > 0]


def evaluate(cell: Cell, **settings) -> Evaluation:
    """Without corrections, which are tested in `test_rivals`."""
    return evaluation.evaluate(cell, corrections=[], resamples=99, **settings)


_MEASURED: dict[tuple, Evaluation] = {}


def measured(native, oti, ovi, query: str, gallery: str) -> Evaluation:
    """What several tests look at."""
    of = *(one and one.path for one in (native, oti, ovi)), query, gallery
    if of not in _MEASURED:
        _MEASURED[of] = evaluate(Cell(native, oti, ovi, query, gallery))
    return _MEASURED[of]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cell")


@pytest.fixture(scope="module")
def native(folder):
    groups = {
        "image/test": image_group("test"),
        "image/train": image_group("train"),
        "text/test": caption_group(),
        "text/classes": prompt_group(),
    }
    return write(folder / "native.zip", groups)


@pytest.fixture(scope="module")
def oti(folder):
    return inverted(folder / "oti.zip", "oti", {"image/test": IMAGES["test"]})


@pytest.fixture(scope="module")
def ovi(folder):
    return inverted(folder / "ovi.zip", "ovi", {"text/test": FIRST, "text/classes": PROMPTS})


def ranking(query: np.ndarray, gallery: dict[str, np.ndarray]) -> list[str]:
    return sorted(gallery, key=lambda name: -cosine(query, gallery[name]))


def slow(queries: dict, gallery: dict, relevant) -> dict[str, dict[str, float]]:
    """Per query with a relevant item: its metrics, by walking down the ranking."""
    table = {}
    for name, query in queries.items():
        others = {key: value for key, value in gallery.items() if key != name}
        hits = [bool(relevant(name, other)) for other in ranking(query, others)]
        count = sum(hits)
        if not count:
            continue
        precisions = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits)) if hits[k]]
        at_r = [sum(hits[: k + 1]) / (k + 1) for k in range(count) if hits[k]]
        table[name] = {
            "mAP": sum(precisions) / count,
            "mAP@R": sum(at_r) / count,
            "R-precision": sum(hits[:count]) / count,
            **{f"recall@{k}": float(any(hits[:k])) for k in (1, 5, 10)},
        }
    return table


def native_of(names, kind: str = "native") -> dict[str, np.ndarray]:
    return {name: feature(name, kind) for name in names}


def image_of(name: str) -> str:
    return CAPTIONS[name][0] if name in CAPTIONS else name


def same_image(one: str, other: str) -> bool:
    return image_of(one) == image_of(other)


def same_label(labelling: str):
    known = {**IMAGES["test"], **IMAGES["train"], **{k: v[2] for k, v in CAPTIONS.items()}}
    return lambda one, other: known[one][labelling] and known[one][labelling] == known[other][labelling]


def check(found, task: str, relevance: str, queries: dict, gallery: dict, relevant) -> None:
    table = slow(queries, gallery, relevant)
    assert table
    for metric in ("mAP", "mAP@R", "R-precision", "recall@1", "recall@5", "recall@10"):
        expected = sum(row[metric] for row in table.values()) / len(table)
        assert found.metrics[f"retrieval/{task}/{relevance}/{metric}"] == pytest.approx(expected, abs=1e-6)
    rows = found.queries.query("task == @task and relevance == @relevance").set_index("query")
    assert set(rows.index) == set(queries)
    for name in queries:
        if name in table:
            assert rows.loc[name, "ap"] == pytest.approx(table[name]["mAP"])
            assert rows.loc[name, "ap_at_r"] == pytest.approx(table[name]["mAP@R"])
            assert rows.loc[name, "recall@5"] == table[name]["recall@5"]
        else:
            assert rows.loc[name, "relevant"] == 0 and math.isnan(rows.loc[name, "ap"])
    unmatched = len(queries) - len(table)
    assert found.metrics.get(f"retrieval/{task}/{relevance}/queries_without_relevant", 0) == unmatched


@pytest.mark.parametrize("gallery", ["test", "train"])
@pytest.mark.parametrize("labelling", ["colour", "shape"])
def test_image_to_image_and_oti_to_image_by_every_labelling(native, oti, gallery, labelling) -> None:
    found = measured(native, oti, None, "test", gallery)
    items, relevant = native_of(IMAGES[gallery]), same_label(labelling)
    check(found, "image-image", labelling, native_of(IMAGES["test"]), items, relevant)
    check(found, "oti-image", labelling, native_of(IMAGES["test"], "oti"), items, relevant)
    assert not any("oti-oti" in name for name in found.metrics) or gallery == "test"


@pytest.mark.parametrize("gallery", ["test", "train"])
def test_oti_to_oti_needs_the_inverted_gallery(native, tmp_path, gallery) -> None:
    both = inverted(
        tmp_path / "both.zip", "oti", {f"image/{split}": names for split, names in IMAGES.items()}
    )
    found = evaluate(Cell(native, both, None, "test", gallery))
    queries, items = native_of(IMAGES["test"], "oti"), native_of(IMAGES[gallery], "oti")
    check(found, "oti-oti", "shape", queries, items, same_label("shape"))


def test_texts_are_found_by_first_captions_among_the_others_of_all_images(native, ovi) -> None:
    found = measured(native, None, ovi, "test", "test")
    rest = native_of(REST)
    check(found, "text-text", "group", native_of(FIRST), rest, same_image)
    check(found, "ovi-text", "group", native_of(FIRST, "ovi"), rest, same_image)
    assert not any("ovi-ovi" in name for name in found.metrics)


def test_ovi_to_ovi_needs_every_caption_inverted(native, tmp_path) -> None:
    every = inverted(tmp_path / "every.zip", "ovi", {"text/test": CAPTIONS})
    found = evaluate(Cell(native, None, every, "test", "test"))
    check(found, "ovi-ovi", "group", native_of(FIRST, "ovi"), native_of(REST, "ovi"), same_image)


@pytest.mark.parametrize("gallery", ["test", "train"])
def test_across_modalities_all_captions_pair_with_the_query_split(native, gallery) -> None:
    found = measured(native, None, None, "test", gallery)
    images, captions = native_of(IMAGES["test"]), native_of(CAPTIONS)
    check(found, "text-image", "group", captions, images, same_image)
    check(found, "image-text", "group", images, captions, same_image)


def test_an_image_and_a_caption_of_one_id_are_two_items(tmp_path) -> None:
    # features made elsewhere may name both by the same number
    names = list(IMAGES["test"])
    groups = {
        "image/test": {"id": names, "group": names, "rank": [0] * 7, "features": features(names)},
        "text/test": {"id": names, "group": names, "rank": [0] * 7, "features": features(names, "text")},
    }
    found = evaluate(Cell(write(tmp_path / "n.zip", groups), None, None, "test", "test"))
    for task, queries, gallery in [("text-image", "text", "native"), ("image-text", "native", "text")]:
        ranks = [ranking(feature(name, queries), native_of(names, gallery)).index(name) for name in names]
        assert found.metrics[f"retrieval/{task}/group/recall@1"] == pytest.approx(
            np.mean([rank == 0 for rank in ranks]), abs=1e-6
        )
        assert found.metrics[f"retrieval/{task}/group/mAP"] == pytest.approx(
            np.mean([1 / (rank + 1) for rank in ranks]), abs=1e-6
        )


@pytest.mark.parametrize("labelling", ["colour", "shape"])
def test_classification_by_the_mean_of_a_classs_prompts(native, oti, ovi, labelling) -> None:
    found = measured(native, oti, ovi, "test", "train")
    for task, images, prompts in [
        ("image-text", "native", "native"),
        ("oti-text", "oti", "native"),
        ("image-ovi", "native", "ovi"),
    ]:
        sums: dict[str, np.ndarray] = {}
        for name, labels in PROMPTS.items():
            if labelling in labels:
                vector = feature(name, prompts).astype(np.float64)
                sums[labels[labelling]] = sums.get(labels[labelling], 0) + vector / np.linalg.norm(vector)
        right = [
            max(sums, key=lambda label: cosine(feature(name, images), sums[label])) == labels[labelling]
            for name, labels in IMAGES["test"].items()
            if labels[labelling]
        ]
        accuracy = found.metrics[f"classification/{task}/{labelling}/accuracy"]
        assert accuracy == pytest.approx(np.mean(right), abs=1e-6)


def test_the_gap_is_of_images_and_their_first_captions(native) -> None:
    found = evaluate(Cell(native, None, None, "test", "train"), seed=4)
    images = features([image_of(name) for name in sorted(FIRST)])
    expected = gap_metrics(images, features(sorted(FIRST)), seed=4)
    for name, value in expected.items():
        assert found.metrics[f"gap/{name}"] == pytest.approx(value, abs=1e-6)


def test_without_captions_the_gap_is_to_the_class_prompts(tmp_path) -> None:
    groups = {"image/test": image_group("test"), "text/classes": prompt_group()}
    found = evaluate(Cell(write(tmp_path / "n.zip", groups), None, None, "test", "test"))
    images, prompts = features(IMAGES["test"]).astype(np.float64), features(PROMPTS).astype(np.float64)
    means = [(rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0) for rows in (images, prompts)]
    assert found.metrics["gap/centroid_distance"] == pytest.approx(
        np.linalg.norm(means[0] - means[1]), abs=1e-6
    )
    assert "gap/alignment" not in found.metrics
    assert not any(name.startswith(("retrieval/text-image", "retrieval_ceiling")) for name in found.metrics)
    assert found.metrics["classification/image-text/shape/accuracy"] >= 0


def test_the_ceiling_counts_the_images_that_agree_with_all_a_caption_says(native) -> None:
    chances = []
    for _, _, said in CAPTIONS.values():
        agree = 0
        for labels in IMAGES["test"].values():
            agree += all(not word or labels[name] == word for name, word in said.items())
        chances.append(1 / agree)
    found = measured(native, None, None, "test", "test")
    ceiling = found.metrics["retrieval_ceiling/text-image/group/recall@1"]
    assert ceiling == pytest.approx(sum(chances) / len(chances), abs=1e-6)


def test_there_is_no_ceiling_where_labels_of_captions_are_no_mentions(tmp_path) -> None:
    columns = caption_group()
    columns["label.colour"][3] = "a colour that no image has"
    path = tmp_path / "n.zip"
    groups = {"image/test": image_group("test"), "text/test": columns}
    metrics = evaluate(Cell(write(path, groups), None, None, "test", "test")).metrics
    assert "retrieval/text-image/group/mAP" in metrics
    assert not any("ceiling" in name for name in metrics)


def test_there_is_no_ceiling_where_captions_have_the_labels_of_their_images(tmp_path) -> None:
    images, columns = image_group("test"), caption_group()
    for name in ("label.colour", "label.shape"):
        of = dict(zip(images["id"], images[name], strict=True))
        columns[name] = [of[image] for image in columns["group"]]
    store = write(tmp_path / "n.zip", {"image/test": images, "text/test": columns})
    metrics = evaluate(Cell(store, None, None, "test", "test")).metrics
    assert "retrieval/text-image/group/recall@1" in metrics
    assert not any("ceiling" in name for name in metrics)


def test_there_is_no_ceiling_where_labelled_texts_are_of_no_image(tmp_path) -> None:
    columns = caption_group()
    for name in ("label.colour", "label.shape"):
        columns[name] = ["", *[""] * (len(columns["id"]) - 2), IMAGES["test"]["i0"][name.partition(".")[2]]]
    columns["group"][-1] = ""
    groups = {"image/test": image_group("test"), "text/test": columns}
    metrics = evaluate(Cell(write(tmp_path / "n.zip", groups), None, None, "test", "test")).metrics
    assert "retrieval/text-image/group/recall@1" in metrics
    assert not any("ceiling" in name for name in metrics)


def test_there_is_no_ceiling_where_labelled_images_and_texts_are_no_pairs(tmp_path) -> None:
    groups = {"image/test": image_group("test"), "text/test": caption_group()}
    for columns in groups.values():
        del columns["group"]
    metrics = evaluate(Cell(write(tmp_path / "n.zip", groups), None, None, "test", "test")).metrics
    assert "retrieval/image-image/colour/mAP" in metrics
    assert not any("ceiling" in name for name in metrics)


def test_items_and_losses_are_counted(native, oti, ovi) -> None:
    metrics = measured(native, oti, ovi, "test", "train").metrics
    counts = {name: value for name, value in metrics.items() if name.startswith("items/")}
    assert counts == {
        "items/image/test": 7,
        "items/image/train": 4,
        "items/text/test": 11,
        "items/text/test/truncated": 1,
        "items/text/classes": 6,
    }
    assert metrics["inversion/oti/items"] == 7 and metrics["inversion/ovi/items"] == len(FIRST) + 6
    assert metrics["inversion/oti/set_aside"] == metrics["inversion/ovi/set_aside"] == 0
    assert metrics["inversion/oti/loss"] == pytest.approx(0.2, abs=1e-6)
    assert all(type(value) in (int, float) for value in metrics.values())


def test_only_the_labellings_named_are_measured(native, oti) -> None:
    metrics = evaluate(Cell(native, oti, None, "test", "train", ["shape"])).metrics
    assert (
        "retrieval/oti-image/shape/mAP" in metrics and "classification/image-text/shape/accuracy" in metrics
    )
    assert not any("/colour/" in name for name in metrics)


def test_texts_with_labels_and_no_images(tmp_path) -> None:
    names = ["t0", "t1", "t2", "t3"]
    topics = ["a", "b", "a", "b"]
    groups = {"text/test": {"id": names, "rank": [0] * 4, "features": features(names), "label.topic": topics}}
    native = write(tmp_path / "n.zip", groups)
    ovi = inverted(tmp_path / "o.zip", "ovi", {"text/test": names})
    found = measured(native, None, ovi, "test", "test")
    topic = dict(zip(names, topics, strict=True))

    def relevant(one, other):
        return topic[one] == topic[other]

    check(found, "text-text", "topic", native_of(names), native_of(names), relevant)
    check(found, "ovi-text", "topic", native_of(names, "ovi"), native_of(names), relevant)
    check(found, "ovi-ovi", "topic", native_of(names, "ovi"), native_of(names, "ovi"), relevant)
    assert not any(name.startswith(("gap", "classification")) for name in found.metrics)
    assert set(found.clouds["modality"]) == {"text", "ovi"}


def test_images_without_labels_or_texts(tmp_path) -> None:
    names = list(IMAGES["test"])
    groups = {"image/test": {"id": names, "rank": [0] * 7, "features": features(names)}}
    found = evaluate(Cell(write(tmp_path / "n.zip", groups), None, None, "test", "test"))
    measured = {name: value for name, value in found.metrics.items() if not name.startswith("robustness/")}
    assert measured == {"items/image/test": 7}
    assert len(found.queries) == 0 and "ap" in found.queries and len(found.clouds) == 7


def test_labels_without_class_prompts(tmp_path) -> None:
    found = evaluate(
        Cell(write(tmp_path / "n.zip", {"image/test": image_group("test")}), None, None, "test", "test")
    )
    check(
        found,
        "image-image",
        "shape",
        native_of(IMAGES["test"]),
        native_of(IMAGES["test"]),
        same_label("shape"),
    )
    assert not any(name.startswith(("classification", "gap")) for name in found.metrics)


def test_an_inversion_of_some_queries_gives_no_oti_metrics(native, tmp_path) -> None:
    some = inverted(tmp_path / "some.zip", "oti", {"image/test": list(IMAGES["test"])[:5]})
    metrics = evaluate(Cell(native, some, None, "test", "test")).metrics
    assert "retrieval/image-image/shape/mAP" in metrics
    assert not any("oti-" in name for name in metrics)


def test_an_inversion_of_other_features_is_refused(native, tmp_path) -> None:
    other = inverted(tmp_path / "other.zip", "oti", {"image/test": IMAGES["test"]}, inverts="older features")
    with pytest.raises(EvaluationError, match=r"other\.zip inverts other features.*run the oti stage"):
        Cell(native, other, None, "test", "test")
    with pytest.raises(EvaluationError, match=r"other\.zip inverts other features.*run the ovi stage"):
        Cell(native, None, other, "test", "test")
    with pytest.raises(EvaluationError, match=r"native\.zip inverts other features"):
        Cell(native, native, None, "test", "test")


def test_a_split_that_is_not_there_is_named(native) -> None:
    with pytest.raises(EvaluationError, match=r"retrieval\.query: .* no split 'val'; it holds image/test"):
        Cell(native, None, None, "val", "test")
    with pytest.raises(EvaluationError, match=r"retrieval\.gallery: .* no split 'val'; it holds image/test"):
        Cell(native, None, None, "test", "val")


def test_clouds_are_the_first_two_principal_components_of_native_features(native, oti, ovi) -> None:
    clouds = measured(native, oti, ovi, "test", "test").clouds
    assert list(clouds) == ["x", "y", "modality", "id", "plane"] and set(clouds["plane"]) == {"pca"}
    counts = clouds["modality"].value_counts().to_dict()
    assert counts == {"image": 7, "text": len(FIRST), "oti": 7, "ovi": len(FIRST)}

    texts = [name for name in CAPTIONS if name in FIRST]
    joint = np.concatenate([unit(features(IMAGES["test"])), unit(features(texts))])
    centred = joint - joint.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, [-1, -2]]
    at = clouds[clouds["modality"].isin(["image", "text"])][["x", "y"]].to_numpy()
    np.testing.assert_allclose(np.abs(at), np.abs(centred @ axes), atol=1e-4)
    turned = (unit(features(IMAGES["test"], "oti")) - joint.mean(axis=0)) @ axes
    found = clouds[clouds["modality"] == "oti"][["x", "y"]].to_numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(turned), atol=1e-4)


def test_clouds_hold_at_most_so_many_points(native, oti) -> None:
    clouds = evaluate(Cell(native, oti, None, "test", "test"), clouds=3).clouds
    assert clouds["modality"].value_counts().to_dict() == {"image": 3, "text": 3, "oti": 3}
    assert (
        clouds.query("modality == 'oti'")["id"].tolist() == clouds.query("modality == 'image'")["id"].tolist()
    )


def test_umap_lays_clouds_out_alike_for_one_seed_and_is_refused_without_its_package(
    native, oti, monkeypatch
) -> None:
    cell = Cell(native, oti, None, "test", "test")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "umap", None)
        with pytest.raises(CrossgapError, match=r"evaluate\.plane: umap needs umap-learn, .*pip install"):
            evaluate(cell, plane="umap")
    pytest.importorskip("umap")
    work = Work(cell, Parts(None))
    one, two = (evaluated_clouds.clouds(work, 500, "umap", 3) for _ in range(2))
    by_pca = evaluated_clouds.clouds(work, 500)
    assert one.equals(two) and set(one["plane"]) == {"umap"} and np.isfinite(one[["x", "y"]]).all(axis=None)
    assert one[["modality", "id"]].equals(by_pca[["modality", "id"]]) and not one[["x"]].equals(by_pca[["x"]])


def test_metrics_do_not_depend_on_the_order_of_a_store(native, oti, tmp_path) -> None:
    groups = {
        "image/test": image_group("test"),
        "image/train": image_group("train"),
        "text/test": caption_group(),
        "text/classes": prompt_group(),
    }
    turned = {
        name: {key: values[::-1] for key, values in columns.items()} for name, columns in groups.items()
    }
    other = write(tmp_path / "turned.zip", turned)
    one = measured(native, oti, None, "test", "train").metrics
    two = evaluate(Cell(other, oti, None, "test", "train")).metrics
    for name in one.keys() - {"gap/linear_separability"}:
        assert one[name] == pytest.approx(two[name], abs=2e-6)
