"""Arithmetic on labelled images of which the right answers are known, against loops."""

from __future__ import annotations

import numpy as np
import pytest

from crossgap import open_store
from crossgap.evaluation import Cell, EvaluationError, evaluate
from crossgap.evaluation.arithmetic import COLUMNS, metrics, over_scales
from crossgap.evaluation.work import Work
from crossgap.metrics.arithmetic import SCALES, by_labels
from crossgap.stores import store

COLOURS, SHAPES, COPIES = ("red", "blue", "green"), ("square", "star", "ring"), 4
AXES = dict(zip((*COLOURS, *SHAPES), np.eye(6), strict=True))


def write(path, images: dict, prompts: dict | None, **provenance):
    with store.creating(path, path.parent / "scratch", {"fingerprint": "f"} | provenance) as writer:
        for name, columns in {"image/test": images, "text/classes": prompts}.items():
            if columns is not None:
                columns = dict(columns)
                features = np.asarray(columns.pop("features"), np.float32)
                columns = {key: np.array(values, object) for key, values in columns.items()}
                writer.add(name, columns, [{"features": features}])
    return open_store(path)


def exact(noise: float = 0.0) -> tuple[dict, dict]:
    """Images that are the sum of their colour and shape, and prompts on the same axes: several a class."""
    rng = np.random.default_rng(0)
    both = [(colour, shape) for _ in range(COPIES) for colour in COLOURS for shape in SHAPES]
    sums = np.stack([AXES[colour] + AXES[shape] for colour, shape in both])
    images = {
        "id": [f"w/{n}" for n in range(len(both))],
        "features": sums + noise * rng.normal(size=sums.shape),
        "label.colour": [colour for colour, _ in both],
        "label.shape": [shape for _, shape in both],
    }
    names = [*COLOURS, *SHAPES] * 2
    prompts = {
        "id": [f"classes/{name}#{n}" for n, name in enumerate(names)],
        "features": np.stack([AXES[name] * (1 + n) for n, name in enumerate(names)]),
        "label.colour": [name if name in COLOURS else "" for name in names],
        "label.shape": [name if name in SHAPES else "" for name in names],
    }
    return images, prompts


def cell(native, **arithmetic: str) -> Cell:
    return Cell(native, None, None, "test", "test", arithmetic=arithmetic)


def by_loop(images: dict, prompts: dict, changed: str, kept: str, split: str, scale: float) -> float:
    """The score at a λ by loops in float64; which half an image is in is taken from `by_labels`."""
    features = np.asarray(images["features"], np.float32).astype(float)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    texts = {}
    for name in set(prompts[f"label.{changed}"]) - {""}:
        rows = [row for row, label in enumerate(prompts[f"label.{changed}"]) if label == name]
        mean = sum(prompts["features"][row] / np.linalg.norm(prompts["features"][row]) for row in rows)
        texts[name] = mean / np.linalg.norm(mean)
    ids, old, same = images["id"], images[f"label.{changed}"], images[f"label.{kept}"]
    halves = by_labels(ids, old, same).table.set_index("image")["split"].to_dict()
    asked = [
        (i, target)
        for i in range(len(ids))
        for target in texts
        if "" not in (old[i], same[i])
        and target != old[i]
        and any((old[j], same[j]) == (target, same[i]) for j in range(len(ids)))
    ]
    number = {name: sum(old[i] == name for i, _ in asked) for name in texts}
    total = gained = 0.0
    for i, target in asked:
        if halves[ids[i]] == split:
            query = unit[i] + scale * (texts[target] - texts[old[i]])
            five = sorted(range(len(ids)), key=lambda j: -round(float(query @ unit[j]), 9))[:5]
            answer = five[0] if five[0] != i else five[1]
            total += number[old[i]] ** -0.5
            gained += number[old[i]] ** -0.5 * ((old[answer], same[answer]) == (target, same[i]))
    return gained / total


def test_where_arithmetic_is_exact_every_answer_is_right(tmp_path) -> None:
    images, prompts = exact()
    table = over_scales(
        Work(cell(write(tmp_path / "s.zip", images, prompts), colour="shape", shape="colour"))
    )
    assert list(table) == COLUMNS and list(table["protocol"].unique()) == ["colour", "shape"]
    by = table.set_index(["protocol", "split", "scale"])
    for protocol in ("colour", "shape"):
        for split in ("dev", "test"):
            at_one = by.loc[protocol, split, 1]
            assert at_one["score"] == at_one["low"] == at_one["high"] == 1
            # the image alone finds its own kind, of which there are copies
            assert by.loc[protocol, split, 0]["score"] == 0
        halves = table[(table["protocol"] == protocol) & (table["scale"] == 0)]
        assert halves["transformations"].sum() == 9 * COPIES * 2 and halves["images"].sum() == 9 * COPIES


@pytest.mark.parametrize(("changed", "kept"), [("colour", "shape"), ("shape", "colour")])
def test_scores_over_the_scale_by_a_loop(tmp_path, changed, kept) -> None:
    images, prompts = exact(noise=0.5)
    images["label.colour"][3] = ""
    images["label.shape"][8] = ""
    table = over_scales(
        Work(cell(write(tmp_path / "s.zip", images, prompts), **{changed: kept})), resamples=499
    )
    assert len(table) == 2 * len(SCALES)
    for row in table.itertuples():
        expected = by_loop(images, prompts, changed, kept, row.split, row.scale)
        assert row.score == pytest.approx(expected, abs=1e-12)
        assert 0 <= row.low <= row.score <= row.high <= 1
    found = metrics(table)
    dev, test = (table[table["split"] == split].set_index("scale")["score"] for split in ("dev", "test"))
    best = max(SCALES, key=lambda scale: (dev[scale], -scale))
    assert found == {
        f"arithmetic/{changed}/dev/score": dev[1],
        f"arithmetic/{changed}/test/score": test[1],
        f"arithmetic/{changed}/best_dev_lambda": best,
        f"arithmetic/{changed}/test/score_at_best_dev": test[best],
    }
    assert 0 < test[1] < 1


def test_the_interval_is_that_of_scores_over_drawn_images(tmp_path) -> None:
    """Against the bootstrap of the weighted mean itself, each image with all of its transformations."""
    rng = np.random.default_rng(1)
    images, prompts = exact()
    more = {key: list(values) * 8 for key, values in images.items() if key != "id"}
    count = len(more["features"])
    more["features"] = np.stack(more["features"]) + 0.6 * rng.normal(size=(count, 6))
    more["id"] = [f"w/{n}" for n in range(count)]
    native = write(tmp_path / "s.zip", more, prompts)
    row = over_scales(Work(cell(native, colour="shape"))).set_index(["split", "scale"]).loc["test", 1.0]

    from crossgap.metrics.arithmetic import nearest

    table = by_labels(more["id"], more["label.colour"], more["label.shape"]).table
    table = table[table["split"] == "test"]
    texts = np.stack([AXES[name] for name in COLOURS])
    places = {name: n for n, name in enumerate(more["id"])}
    rows = table.assign(
        image=table["image"].map(places),
        source=table["source"].map(COLOURS.index),
        target=table["target"].map(COLOURS.index),
    )
    native_features = native["image/test"].features
    answer = nearest(native_features, texts, rows, [1])[:, 0]
    colours, shapes = np.array(more["label.colour"]), np.array(more["label.shape"])
    right = (colours[answer] == table["target"]) & (shapes[answer] == shapes[rows["image"]])
    gained = (right * table["weight"]).groupby(table["image"]).sum().to_numpy()
    weight = table.groupby("image")["weight"].sum().to_numpy()
    drawn = rng.integers(0, len(weight), (4000, len(weight)))
    low, high = np.quantile(gained[drawn].sum(axis=1) / weight[drawn].sum(axis=1), [0.025, 0.975])
    assert row["score"] == pytest.approx(gained.sum() / weight.sum(), abs=1e-12)
    assert row["low"] == pytest.approx(low, abs=0.01) and row["high"] == pytest.approx(high, abs=0.01)
    assert row["images"] == len(weight) and row["high"] - row["low"] > 0.05


def test_evaluation_holds_the_table_and_the_metrics(tmp_path) -> None:
    found = evaluate(cell(write(tmp_path / "s.zip", *exact()), shape="colour"), resamples=99)
    assert list(found.arithmetic) == COLUMNS and len(found.arithmetic) == 2 * len(SCALES)
    assert found.metrics["arithmetic/shape/test/score"] == 1
    assert found.metrics["arithmetic/shape/test/score_at_best_dev"] == 1
    assert 0 < found.metrics["arithmetic/shape/best_dev_lambda"] <= 1


def test_without_prompts_or_transformations_there_is_no_arithmetic(tmp_path) -> None:
    images, prompts = exact()
    image_only = write(tmp_path / "a.zip", images, None)
    assert over_scales(Work(cell(image_only, colour="shape"))).empty
    assert over_scales(Work(cell(write(tmp_path / "b.zip", images, prompts)))).empty
    apart = images | {"label.shape": [f"shape {n}" for n in range(len(images["id"]))]}
    assert over_scales(Work(cell(write(tmp_path / "c.zip", apart, prompts), colour="shape"))).empty
    assert metrics(over_scales(Work(cell(image_only)))) == {}


def test_labellings_that_are_not_there(tmp_path) -> None:
    images, prompts = exact()
    native = write(tmp_path / "s.zip", images, prompts)
    for arithmetic, name in (({"form": "shape"}, "form"), ({"shape": "form"}, "form")):
        message = f"image/test of .* has no labelling {name}; it has colour, shape"
        with pytest.raises(EvaluationError, match=message):
            cell(native, **arithmetic)
    prompts["label.colour"] = [name if name != "blue" else "" for name in prompts["label.colour"]]
    prompts["label.shape"] = [label or "square" for label in prompts["label.shape"]]
    lacking = write(tmp_path / "t.zip", images, prompts)
    with pytest.raises(EvaluationError, match="has no prompt of colour blue, whose text is to be added"):
        cell(lacking, colour="shape")
