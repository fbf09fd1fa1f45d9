"""Metrics over steps against a double loop over pairs, and what an inversion set aside."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossgap import evaluation, open_store
from crossgap.evaluation import Cell, Evaluation, EvaluationError
from crossgap.evaluation.curves import CURVES, STEPS, _over
from crossgap.stores import store
from crossgap.stores.store import Group
from tests.rows import cosine

DIM = 5
COLOURS = ["red", "red", "blue", "red", "", "blue", "green", "blue", "red"]
SHAPES = ["round", "square", "round", "square", "round", "round", "square", "square", "round"]
IMAGES = [f"i{number}" for number in range(len(COLOURS))]
CAPTIONS = [f"{image}#{rank}" for image in IMAGES for rank in range(3)]
PROMPTS = ["red#0", "red#1", "blue#0", "green#0"]
LABELS = {
    "colour": dict(zip(IMAGES, COLOURS, strict=True)),
    "shape": dict(zip(IMAGES, SHAPES, strict=True)),
    "group": {name: name.partition("#")[0] for name in CAPTIONS},
}
SNAPSHOTS, LAST = [2, 5, 20], 30


def feature(name: str, kind: str) -> np.ndarray:
    seed = zlib.crc32(f"{kind} {name}".encode())
    return np.random.default_rng(seed).normal(size=DIM).astype(np.float32) * (1 + len(name))


def features(names, kind: str = "native") -> np.ndarray:
    return np.stack([feature(name, kind) for name in names])


def loss(name: str, kind: str) -> float:
    return zlib.crc32(f"loss {kind} {name}".encode()) % 1000 / 1000


def objects(values) -> np.ndarray:
    return np.array(list(values), dtype=object)


def native_store(path: Path, images=IMAGES, captions=CAPTIONS, prompts=PROMPTS):
    with store.creating(path, path.parent / "scratch", {"fingerprint": "native"}) as writer:
        labels = {f"label.{name}": objects(LABELS[name][i] for i in images) for name in ("colour", "shape")}
        columns = {"id": objects(images), "group": objects(images), "rank": np.zeros(len(images), np.int64)}
        writer.add("image/test", columns | labels, [{"features": features(images)}])
        columns = {"id": objects(captions), "group": objects(LABELS["group"][name] for name in captions)}
        columns["rank"] = np.array([int(name[-1]) for name in captions])
        writer.add("text/test", columns, [{"features": features(captions)}])
        columns = {"id": objects(prompts), "label.colour": objects(name[:-2] for name in prompts)}
        writer.add("text/classes", columns, [{"features": features(prompts)}])
    return open_store(path)


def inversion(
    path: Path, method: str, size: int, items: dict, snapshots=(), set_aside=None, inverts="native", last=LAST
):
    """Items lie in another order than in the native store; features at each step are unrelated."""
    length = {"oti": "tokens", "ovi": "patches"}[method]
    provenance = {
        "inverts": inverts,
        "method": {"name": method, length: size},
        "recipe": {"steps": last, "snapshots": list(snapshots)},
        **({"set_aside": set_aside} if set_aside else {}),
    }
    kinds = [f"{method} {size} {step}" for step in snapshots]
    with store.creating(path, path.parent / "scratch", provenance) as writer:
        for name, ids in items.items():
            ids = list(ids)[::-1]
            kind = f"{method} {size} last"
            arrays = {"features": features(ids, kind), "loss": np.float32([loss(i, kind) for i in ids])}
            if snapshots:
                arrays["snapshots"] = np.stack([features(ids, kind) for kind in kinds], axis=1)
                arrays["snapshot_loss"] = np.float32([[loss(i, kind) for kind in kinds] for i in ids])
            along = {"step": np.array(snapshots)} if snapshots else {}
            writer.add(name, {"id": objects(ids)} | along, [arrays])
    return open_store(path)


FIRST = [name for name in CAPTIONS if name.endswith("#0")]
REST = [name for name in CAPTIONS if not name.endswith("#0")]


def evaluate(cell: Cell) -> Evaluation:
    return evaluation.evaluate(cell, corrections=[], resamples=99)


@pytest.fixture
def native(tmp_path):
    return native_store(tmp_path / "native.zip")


@pytest.fixture
def make(tmp_path):
    def make(method: str = "oti", size: int = 1, items=None, **more):
        path = tmp_path / f"{method}-{size}-{len(list(tmp_path.iterdir()))}.zip"
        return inversion(
            path, method, size, items or {"image/test": IMAGES}, **{"snapshots": SNAPSHOTS, **more}
        )

    return make


def slow(queries, gallery, kind: str, relevance: str) -> tuple[dict[str, float], float]:
    """Average precision of each query that has a relevant item, and recall@1."""
    found, firsts = {}, []
    for query in queries:
        others = [item for item in gallery if item != query]
        others.sort(key=lambda item: -cosine(feature(query, kind), feature(item, "native")))
        hits, precisions = 0, []
        for rank, item in enumerate(others, start=1):
            if LABELS[relevance][query] and LABELS[relevance][query] == LABELS[relevance][item]:
                hits += 1
                precisions.append(hits / rank)
                if hits == 1:
                    firsts.append(rank == 1)
        if hits:
            found[query] = sum(precisions) / hits
    return found, sum(firsts) / len(found)


def standard_error(values: list[float]) -> float:
    """Of the mean of independent values."""
    mean = sum(values) / len(values)
    return (sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)) ** 0.5


def check(found, task: str, size: int, relevance: str, queries, gallery, steps=(*SNAPSHOTS, LAST)) -> None:
    method, modality = task.split("-")
    curve = found.curves.query("task == @task and tokens == @size and relevance == @relevance")
    assert curve["step"].tolist() == list(steps)
    baseline, _ = slow(queries, gallery, "native", relevance)
    mean = sum(baseline.values()) / len(baseline)
    assert curve["baseline"].tolist() == pytest.approx([mean] * len(steps), abs=1e-6)
    assert found.metrics[f"retrieval/{modality}-{modality}/{relevance}/mAP"] == curve["baseline"].iloc[0]
    for row in curve.to_dict("records"):
        kind = f"{method} {size} {'last' if row['step'] == LAST else row['step']}"
        precisions, first = slow(queries, gallery, kind, relevance)
        assert row["mAP"] == pytest.approx(sum(precisions.values()) / len(precisions), abs=1e-6)
        assert row["recall@1"] == pytest.approx(first, abs=1e-6)
        losses = [loss(name, kind) for name in queries]
        assert row["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-6)
        assert row["loss_se"] == pytest.approx(standard_error(losses), abs=1e-6)
        assert row["mAP_se"] == pytest.approx(standard_error(list(precisions.values())), abs=1e-6)
        assert row["queries"] == len(precisions)
        at = found.steps[
            (found.steps[["task", "tokens", "relevance"]] == [task, size, relevance]).all(axis=1)
        ]
        at = at[at["step"] == row["step"]]
        assert at["query"].tolist() == list(queries)
        held = at.set_index("query")["ap"].dropna().to_dict()
        assert held == pytest.approx(precisions)


def test_every_point_of_every_curve(native, make) -> None:
    ovi = make("ovi", 4, {"text/test": FIRST})
    found = evaluate(Cell(native, make(), ovi, "test", "test", sweep=[make(size=4), make(size=2)]))
    for size in (1, 2, 4):
        for relevance in ("colour", "shape"):
            check(found, "oti-image", size, relevance, IMAGES, IMAGES)
    check(found, "ovi-text", 4, "group", FIRST, REST)
    assert len(found.curves) == (3 * 2 + 1) * 4
    assert list(found.curves) == CURVES and list(found.steps) == STEPS
    at = found.curves[["task", "tokens", "relevance", "step"]]
    assert at.equals(at.sort_values(["task", "tokens", "relevance", "step"], ignore_index=True))


@pytest.mark.parametrize("snapshots", [SNAPSHOTS, [*SNAPSHOTS, LAST], []])
def test_the_last_point_is_the_cells_own_metric(native, make, snapshots) -> None:
    """A snapshot at the last step doesn't stand for the final features."""
    ovi = make("ovi", 1, {"text/test": FIRST}, snapshots=snapshots)
    found = evaluate(Cell(native, make(snapshots=snapshots), ovi, "test", "test"))
    last = found.curves.query("step == @LAST")
    assert len(last) == 3
    points = ["task", "tokens", "relevance", "step"]
    curves = found.curves.set_index(points).to_dict("index")
    for point, of in found.steps.groupby(points):
        row = curves[point]
        aps = of["ap"].dropna().tolist()
        assert row["mAP_se"] == pytest.approx(standard_error(aps), abs=1e-6) and row["queries"] == len(aps)
    for row in last.to_dict("records"):
        for metric in ("mAP", "recall@1"):
            assert row[metric] == found.metrics[f"retrieval/{row['task']}/{row['relevance']}/{metric}"]
    columns = ["task", "relevance", "query", "ap", "recall@1"]
    inverted = found.queries[found.queries["task"].isin(["oti-image", "ovi-text"])]
    of_last = found.steps.query("step == @LAST")
    pd.testing.assert_frame_equal(
        of_last[columns].reset_index(drop=True), inverted[columns].reset_index(drop=True)
    )


def test_the_best_step_is_the_earliest_of_the_highest(native, make) -> None:
    found = evaluate(Cell(native, make(), None, "test", "test", sweep=[make(size=2)]))
    for relevance in ("colour", "shape"):
        curve = found.curves.query("tokens == 1 and relevance == @relevance")
        best = max(curve["mAP"])
        steps = [step for step, value in zip(curve["step"], curve["mAP"], strict=True) if value == best]
        name = f"snapshots/oti-image/{relevance}"
        assert (found.metrics[f"{name}/best_step"], found.metrics[f"{name}/best_mAP"]) == (min(steps), best)
    assert sum(name.startswith("snapshots/") for name in found.metrics) == 4


def test_two_points_have_a_best_one_and_two_losses_an_error(native, make) -> None:
    found = evaluate(Cell(native, make(snapshots=[5]), None, "test", "test"))
    curve = found.curves.query("relevance == 'shape'")
    best = curve["step"][curve["mAP"].idxmax()]
    assert len(curve) == 2 and found.metrics["snapshots/oti-image/shape/best_step"] == best
    assert _over(np.array([0.1, 0.3])) == pytest.approx((0.2, standard_error([0.1, 0.3])))
    assert np.isnan(_over(np.array([0.1]))[1])


def test_equal_steps_are_no_better_than_the_first(native, make, monkeypatch) -> None:
    monkeypatch.setitem(globals(), "feature", lambda name, kind, held=feature: held(name, "native"))
    found = evaluate(Cell(native, make(), None, "test", "test"))
    assert found.metrics["snapshots/oti-image/colour/best_step"] == SNAPSHOTS[0]


def test_without_snapshots_there_is_the_last_point_alone(native, make) -> None:
    found = evaluate(Cell(native, make(snapshots=[]), None, "test", "test", sweep=[make(size=2)]))
    assert found.curves.query("tokens == 1")["step"].tolist() == [LAST, LAST]
    assert found.curves.query("tokens == 2 and relevance == 'shape'")["step"].tolist() == [*SNAPSHOTS, LAST]
    assert not any(name.startswith("snapshots/") for name in found.metrics)


def test_without_inversions_the_tables_are_empty_but_whole(native, tmp_path) -> None:
    found = evaluate(Cell(native, None, None, "test", "test"))
    found.steps.to_parquet(tmp_path / "steps.parquet", index=False)
    found.curves.to_csv(tmp_path / "curves.csv", index=False)
    assert list(pd.read_parquet(tmp_path / "steps.parquet")) == STEPS
    held = pd.read_csv(tmp_path / "curves.csv")
    assert held.empty and list(held) == CURVES
    assert found.set_aside.empty and not any(name.startswith("inversion") for name in found.metrics)


def test_a_sweep_without_a_main_inversion(native, make) -> None:
    found = evaluate(Cell(native, None, None, "test", "test", sweep=[make(size=2)]))
    check(found, "oti-image", 2, "shape", IMAGES, IMAGES)
    assert "retrieval/oti-image/shape/mAP" not in found.metrics


def test_the_main_inversion_stands_for_its_number_of_tokens(native, make) -> None:
    other = make(snapshots=[3, 7], last=40)
    found = evaluate(Cell(native, make(), None, "test", "test", sweep=[other]))
    check(found, "oti-image", 1, "shape", IMAGES, IMAGES)


def test_the_order_of_a_sweep_means_nothing(native, make) -> None:
    main, two, four = make(), make(size=2), make(size=4)
    one = evaluate(Cell(native, main, None, "test", "test", sweep=[two, four]))
    other = evaluate(Cell(native, main, None, "test", "test", sweep=[four, two]))
    pd.testing.assert_frame_equal(one.curves, other.curves)
    pd.testing.assert_frame_equal(one.steps, other.steps)


def test_snapshots_are_read_a_step_at_a_time(native, make, monkeypatch) -> None:
    read = Group.__getitem__

    def only_small(group, array):
        assert array != "snapshots", "all snapshots at once"
        return read(group, array)

    monkeypatch.setattr(Group, "__getitem__", only_small)
    evaluate(Cell(native, make(), None, "test", "test"))


def test_a_sweep_of_other_features_is_refused(native, make) -> None:
    with pytest.raises(EvaluationError, match=r"inverts other features.*run the sweep stage"):
        Cell(native, make(), None, "test", "test", sweep=[make(size=2, inverts="older features")])


def test_an_inversion_that_misses_items_for_no_reason_has_no_curve(native, make) -> None:
    some = make(size=2, items={"image/test": IMAGES[2:]})
    found = evaluate(Cell(native, make(), None, "test", "test", sweep=[some]))
    assert set(found.curves["tokens"]) == {1}
    assert found.metrics["inversion/oti/set_aside"] == 0
    check(found, "oti-image", 1, "shape", IMAGES, IMAGES)


def test_similarities_are_the_main_inversions_whatever_the_sweep_and_the_other_modality_have(
    native, make
) -> None:
    """A sweep of as many pseudo-tokens as OVI has pseudo-patches."""
    main, swept = make(), make(size=2)
    ovi = make("ovi", size=2, items={"text/test": FIRST, "text/classes": PROMPTS})
    found = evaluate(Cell(native, main, ovi, "test", "test", sweep=[swept]))
    alone = evaluate(Cell(native, main, ovi, "test", "test"))
    names = [name for name in alone.metrics if name.startswith("similarity/")]
    assert any(name.startswith("similarity/oti-image/") for name in names)
    assert {name: found.metrics[name] for name in names} == {name: alone.metrics[name] for name in names}


def test_what_an_inversion_sets_aside_leaves_all_that_is_compared_with_it(native, make, tmp_path) -> None:
    """One item by the main inversion, one by the sweep: then everything is as if neither existed as an image."""
    kept = [name for name in IMAGES if name not in ("i1", "i6")]
    main = make(items={"image/test": [i for i in IMAGES if i != "i1"]}, set_aside={"image/test": ["i1"]})
    other = make(
        size=2, items={"image/test": [i for i in IMAGES if i != "i6"]}, set_aside={"image/test": ["i6"]}
    )
    found = evaluate(Cell(native, main, None, "test", "test", sweep=[other]))
    fewer = native_store(tmp_path / "fewer.zip", images=kept)
    clean = [make(size=size, items={"image/test": kept}) for size in (1, 2)]
    expected = evaluate(Cell(fewer, clean[0], None, "test", "test", sweep=clean[1:]))
    pd.testing.assert_frame_equal(found.curves, expected.curves)
    pd.testing.assert_frame_equal(found.steps, expected.steps)
    for name in expected.metrics:
        if name.startswith(
            ("retrieval/image-image", "retrieval/oti", "classification", "snapshots", "clustering/image/")
        ):
            assert found.metrics[name] == expected.metrics[name], name
    every = evaluate(Cell(native, None, None, "test", "test")).metrics
    for name in every:
        # without corrections: those are fitted on the images that are left
        if (
            name.startswith(("retrieval/text-", "retrieval/image-text/", "gap/", "items/"))
            and "image+" not in name
            and not (name.startswith("gap/") and "+" in name)
        ):
            assert found.metrics[name] == every[name], name
    assert found.set_aside.values.tolist() == [["oti", "image/test", "i1"], ["oti", "image/test", "i6"]]
    assert found.metrics["inversion/oti/set_aside"] == 2
    shown = found.clouds["modality"].value_counts()
    assert (shown["image"], shown["oti"]) == (len(IMAGES), len(IMAGES) - 2)


def test_texts_set_aside(native, make, tmp_path) -> None:
    """A query, a text of the inverted gallery, and one of two prompts of a class."""
    lost = ["i2#0", "i3#1"]
    texts = {"text/test": [name for name in CAPTIONS if name not in lost], "text/classes": PROMPTS[1:]}
    ovi = make("ovi", items=texts, set_aside={"text/test": lost, "text/classes": PROMPTS[:1]})
    found = evaluate(Cell(native, None, ovi, "test", "test"))
    fewer = native_store(tmp_path / "fewer.zip", captions=texts["text/test"], prompts=PROMPTS[1:])
    expected = evaluate(Cell(fewer, None, make("ovi", items=texts), "test", "test"))
    for name in expected.metrics:
        if name.startswith(("retrieval/text-text", "retrieval/ovi", "classification", "snapshots")):
            assert found.metrics[name] == expected.metrics[name], name
    assert {"retrieval/ovi-ovi/group/mAP", "classification/image-ovi/colour/accuracy"} < set(found.metrics)
    assert found.metrics["inversion/ovi/set_aside"] == 3


def test_a_class_without_a_prompt_left_is_not_forgotten(native, make) -> None:
    ovi = make("ovi", items={"text/classes": PROMPTS[:3]}, set_aside={"text/classes": PROMPTS[3:]})
    metrics = evaluate(Cell(native, None, ovi, "test", "test")).metrics
    plain = evaluate(Cell(native, None, None, "test", "test")).metrics
    accuracy = "classification/image-text/colour/accuracy"
    assert metrics[accuracy] == plain[accuracy] and "classification/image-ovi/colour/accuracy" not in metrics


def test_an_inversion_that_set_everything_aside(native, make) -> None:
    none = make(items={"image/test": IMAGES[:1]}, set_aside={"image/test": IMAGES})
    found = evaluate(Cell(native, none, None, "test", "test"))
    assert found.curves.empty and "retrieval/text-text/group/mAP" in found.metrics
    assert found.metrics["inversion/oti/set_aside"] == len(IMAGES)


def test_the_template_of_the_plot_names_columns_that_are_there() -> None:
    template = json.loads((Path(__file__).parents[2] / ".dvc/plots/curves.json").read_text())
    assert template["data"] == {"values": "<DVC_METRIC_DATA>"} and template["title"] == "<DVC_METRIC_TITLE>"

    def fields(part):
        if isinstance(part, dict):
            yield from [part["field"]] if "field" in part else []
            part = list(part.values())
        if isinstance(part, list):
            for each in part:
                yield from fields(each)

    made = {"rev", "panel", "<DVC_METRIC_X>", "<DVC_METRIC_Y>"}
    assert {"tokens", "panel", "baseline"} < set(fields(template)) <= {*CURVES, *made}
