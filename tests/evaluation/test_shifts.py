"""The gap-shift curve and the spectrum of a cell, re-derived item by item in float64."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from crossgap import open_store
from crossgap.evaluation import Cell, evaluate, shifts
from crossgap.evaluation.shifts import COLUMNS, SHIFTS, contrastive_loss, over_shifts
from crossgap.evaluation.work import Work
from crossgap.stores import store

DIM = 6
COLOURS = {"i0": "red", "i1": "red", "i2": "blue", "i3": "", "i4": "red", "i5": "blue", "i6": "green"}
GALLERY = {"j0": "red", "j1": "blue", "j2": "red", "j3": "green"}
# out of order, unequal numbers, i6 has none
CAPTIONS = ["i1#1", "i0#0", "i0#1", "i1#0", "i2#0", "i3#0", "i3#1", "i4#0", "i5#0", "i5#1", "i0#2"]
PROMPTS = ["red#0", "red#1", "blue#0", "green#0"]


def feature(name: str) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    side = 1.5 if name[0] in "ij" and "#" not in name else -1.5
    return (rng.normal(size=DIM) + np.eye(DIM)[0] * side).astype(np.float32) * (1 + len(name))


def features(names) -> np.ndarray:
    return np.stack([feature(name) for name in names])


def objects(values) -> np.ndarray:
    return np.array(list(values), dtype=object)


def image_group(items: dict[str, str]) -> dict:
    ids = objects(items)
    columns = {"id": ids, "group": ids, "rank": np.zeros(len(ids), np.int64)}
    return columns | {"label.colour": objects(items.values()), "features": features(items)}


def groups() -> dict[str, dict]:
    return {
        "image/test": image_group(COLOURS),
        "image/train": image_group(GALLERY),
        "text/test": {
            "id": objects(CAPTIONS),
            "group": objects(name.partition("#")[0] for name in CAPTIONS),
            "rank": np.array([int(name[-1]) for name in CAPTIONS]),
            "features": features(CAPTIONS),
        },
        "text/classes": {
            "id": objects(PROMPTS),
            "label.colour": objects(name.partition("#")[0] for name in PROMPTS),
            "features": features(PROMPTS),
        },
    }


@pytest.fixture
def cell(tmp_path):
    """A cell of the groups named, all by default."""

    def cell(*names: str, gallery: str = "test", **changed) -> Cell:
        path = tmp_path / "native.zip"
        with store.creating(path, tmp_path / "scratch", {"fingerprint": "native"}) as writer:
            for name, columns in (groups() | changed).items():
                if not names or name in names:
                    writer.add(name, columns, [{"features": columns.pop("features")}])
        return Cell(open_store(path), None, None, "test", gallery)

    return cell


def unit(row: np.ndarray) -> np.ndarray:
    return row / math.sqrt(sum(float(value) ** 2 for value in row))


def ap_and_first(query: np.ndarray, gallery: dict[str, np.ndarray], relevant) -> tuple[float, float]:
    hits = [relevant(name) for name in sorted(gallery, key=lambda name: -float(query @ gallery[name]))]
    precisions = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits)) if hits[k]]
    return (sum(precisions) / len(precisions), float(hits[0])) if precisions else (math.nan, math.nan)


def slow(shift: float, gallery: dict[str, str]) -> dict[tuple[str, str, str, str], float]:
    """By family, task, relevance and metric, and the distance of the means."""
    native = {
        name: unit(feature(name).astype(np.float64)) for name in (*COLOURS, *GALLERY, *CAPTIONS, *PROMPTS)
    }
    firsts = [name for name in CAPTIONS if name.endswith("#0")]
    owners = [name.partition("#")[0] for name in firsts]

    def between(rows: dict[str, np.ndarray]) -> np.ndarray:
        return sum(rows[name] for name in owners) / len(owners) - sum(rows[name] for name in firsts) / len(
            firsts
        )

    half = shift / 2 * between(native)
    at = {name: unit(row + half if "#" in name else row - half) for name, row in native.items()}
    difference = between(at)
    found = {("", "", "", "distance"): math.sqrt(sum(difference**2))}
    losses = []
    for one, other in ((owners, firsts), (firsts, owners)):
        for i, query in enumerate(one):
            exps = [math.exp(float(at[query] @ at[item]) / 0.01) for item in other]
            losses.append(-math.log(exps[i] / sum(exps)))
    found["loss", "image-text", "group", "contrastive"] = sum(losses) / len(losses)

    def retrieval(task: str, relevance: str, queries, items, same) -> None:
        pairs = []
        for query in queries:
            others = {name: at[name] for name in items if name != query}
            pairs.append(ap_and_first(at[query], others, lambda name, query=query: same(query, name)))
        ap, first = np.nanmean(pairs, axis=0)
        found["retrieval", task, relevance, "mAP"] = ap
        if relevance == "group":
            found["retrieval", task, relevance, "recall@1"] = first

    labels = COLOURS | GALLERY
    retrieval("text-image", "group", CAPTIONS, COLOURS, lambda one, other: one[:2] == other)
    retrieval("image-text", "group", COLOURS, CAPTIONS, lambda one, other: one == other[:2])
    retrieval(
        "image-image",
        "colour",
        COLOURS,
        gallery,
        lambda one, other: bool(labels[one]) and labels[one] == labels[other],
    )
    classes = {}
    for name in PROMPTS:
        label = name.partition("#")[0]
        classes[label] = classes.get(label, 0) + at[name]
    right = [
        max(classes, key=lambda label, image=image: float(at[image] @ unit(classes[label]))) == labels[image]
        for image in COLOURS
        if labels[image]
    ]
    found["classification", "image-text", "colour", "accuracy"] = sum(right) / len(right)
    return found


@pytest.mark.parametrize("gallery", ["test", "train"])
def test_every_number_at_every_shift(cell, gallery):
    table = over_shifts(Work(cell(gallery=gallery)))
    assert list(table) == COLUMNS and list(dict.fromkeys(table["shift"])) == list(SHIFTS)
    for shift, rows in table.groupby("shift"):
        expected = slow(shift, COLOURS if gallery == "test" else GALLERY)
        assert set(rows["distance"]) == {rows["distance"].iloc[0]}
        assert rows["distance"].iloc[0] == pytest.approx(expected.pop(("", "", "", "distance")), abs=1e-9)
        found = rows.set_index(["family", "task", "relevance", "metric"])["value"].to_dict()
        assert found == pytest.approx(expected, abs=1e-9)
    assert len(set(table.query("task == 'image-image'")["value"])) > 1, "unit length again changes rankings"


def test_without_a_shift_the_numbers_are_those_of_the_cell(cell):
    found = evaluate(cell(gallery="train"), resamples=99, draws=1)
    rows = found.shifts.query("shift == 0 and family != 'loss'")
    assert len(rows) == 6
    for row in rows.itertuples():
        assert row.value == found.metrics[f"{row.family}/{row.task}/{row.relevance}/{row.metric}"]
        assert row.distance == found.metrics["gap/centroid_distance"]
    assert not any("shift" in name for name in found.metrics)


def test_shifts_go_from_twice_the_gap_to_swapped_sides():
    assert (SHIFTS[0], SHIFTS[-1], len(SHIFTS)) == (-1, 2, 13) and {0, 1} <= set(SHIFTS)


def test_without_captions_the_gap_is_to_the_class_prompts(cell):
    table = over_shifts(Work(cell("image/test", "text/classes")))
    images, prompts = (np.stack([unit(row) for row in features(names)]) for names in (COLOURS, PROMPTS))
    expected = np.linalg.norm(images.mean(axis=0) - prompts.mean(axis=0))
    assert table.query("shift == 0")["distance"].iloc[0] == pytest.approx(expected, abs=1e-6)
    kinds = {tuple(row) for row in table[["family", "task", "relevance", "metric"]].to_numpy()}
    assert kinds == {
        ("retrieval", "image-image", "colour", "mAP"),
        ("classification", "image-text", "colour", "accuracy"),
    }


@pytest.mark.parametrize("names", [("image/test",), ("image/test", "image/train"), ("text/test",)])
def test_cells_without_a_gap_have_empty_tables(cell, names):
    found = evaluate(cell(*names), resamples=99)
    assert found.shifts.empty and list(found.shifts) == COLUMNS
    assert found.spectrum.empty and list(found.spectrum) == ["modality", "component", "explained"]


@pytest.mark.parametrize("n", [1, 7, 60])
def test_contrastive_loss_is_the_cross_entropy_both_ways(n):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 5)) + 1, rng.normal(size=(n, 5)) - 1
    logits = torch.nn.functional.normalize(torch.from_numpy(x)) @ torch.nn.functional.normalize(
        torch.from_numpy(y)
    ).T.mul(100)
    target = torch.arange(n)
    ways = [torch.nn.functional.cross_entropy(side, target) for side in (logits, logits.T)]
    assert contrastive_loss(x, y) == pytest.approx(float(sum(ways)) / 2, abs=1e-10)
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert contrastive_loss(opposite, -opposite) == pytest.approx(200)


def test_the_loss_is_taken_over_so_many_pairs(cell, monkeypatch):
    whole = over_shifts(Work(cell())).query("family == 'loss'")["value"].to_numpy()
    monkeypatch.setattr(shifts, "PAIRS", 2)
    few = over_shifts(Work(cell())).query("family == 'loss'")["value"].to_numpy()
    assert (few < whole).all()


def test_the_spectrum_is_of_images_and_their_first_captions(cell):
    table = evaluate(cell(), resamples=99).spectrum
    firsts = [name for name in CAPTIONS if name.endswith("#0")]
    owners = [name.partition("#")[0] for name in firsts]
    for modality, names in (("image", owners), ("text", firsts)):
        rows = np.stack([unit(row.astype(np.float64)) for row in features(names)])
        found = table[table["modality"] == modality]
        assert list(found["component"]) == list(range(1, min(rows.shape) + 1))
        expected = PCA(svd_solver="full").fit(rows).explained_variance_ratio_.cumsum()
        np.testing.assert_allclose(found["explained"], expected, atol=1e-6)


def test_collapsed_texts_have_no_spectrum_and_the_rest_is_measured(cell):
    collapsed = groups()["text/test"] | {"features": np.tile(feature("a#0"), (len(CAPTIONS), 1))}
    found = evaluate(cell(**{"text/test": collapsed}), resamples=99, corrections=[])
    assert set(found.spectrum["modality"]) == {"image"}
    assert "gap/effective_rank_image" in found.metrics and "gap/effective_rank_text" not in found.metrics
    assert found.metrics["gap/relative_modality_gap"] > 0.5
    assert not found.shifts.query("family == 'loss'").empty


def test_real_pairs(real, cell):
    """COCO, ViT-B/16: closing the gap raises the loss, as Mind the Gap reports of CLIP at its temperature."""
    data = np.load(real / "clip-vit-b16" / "coco_val2017_500.npz")
    ids = objects(f"p{row}" for row in range(500))
    columns = {"id": ids, "group": ids, "rank": np.zeros(500, np.int64)}
    sides = {
        f"{side}/test": columns | {"features": data[f"{side}_features"].astype(np.float32)}
        for side in ("image", "text")
    }
    table = over_shifts(Work(cell(*sides, **sides)))
    loss = table.query("family == 'loss'").set_index("shift")["value"]
    assert loss[0] < loss[0.5] < loss[1] and loss[0] < loss[-1]
    cosines = data["image_features"].astype(np.float64) @ data["text_features"].astype(np.float64).T
    first = table.query("shift == 0 and metric == 'recall@1'").set_index("task")["value"]
    assert first["image-text"] == pytest.approx((cosines.argmax(axis=1) == np.arange(500)).mean())
    assert first["text-image"] == pytest.approx((cosines.argmax(axis=0) == np.arange(500)).mean())
