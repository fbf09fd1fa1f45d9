"""Corrections, significance, controls, class means, similarities and seeds of a cell, re-derived item by item."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from crossgap import corrections
from crossgap.errors import CrossgapError
from crossgap.evaluation import Cell, EvaluationError, evaluate, similarities, supported
from crossgap.evaluation.comparisons import too_few
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.queries import comparisons
from crossgap.evaluation.relevance import Labelled
from crossgap.evaluation.work import Work
from crossgap.metrics import probes
from crossgap.metrics.classification import few_shot
from crossgap.metrics.significance import holm
from tests.evaluation.small import (
    CLASSES,
    DIM,
    LAST,
    PROMPTS,
    TEST,
    TRAIN,
    WEIGHTS,
    WORDS,
    captions,
    groups,
    write,
)
from tests.rows import unit

IMAGE_SPLITS = ("image/test", "image/train")


@pytest.fixture(scope="module")
def found(cell):
    return evaluate(cell, resamples=499, seed=3)


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    hits = relevant[np.argsort(-scores, kind="stable")]
    return float(np.mean([hits[: k + 1].mean() for k in np.flatnonzero(hits)])) if hits.any() else math.nan


def image_maps(queries, gallery, labels, keep=None) -> list[float]:
    """AP of each image among the others."""
    keep = np.ones(len(labels), bool) if keep is None else keep
    scores, labels = (unit(queries) @ unit(gallery).T)[np.ix_(keep, keep)], np.asarray(labels)[keep]
    others = ~np.eye(len(labels), dtype=bool)
    return [
        average_precision(scores[i, others[i]], (labels == labels[i])[others[i]]) for i in range(len(labels))
    ]


@pytest.mark.parametrize("labelling", CLASSES)
def test_centring_subtracts_the_mean_of_the_unit_queries_from_both_sides(found, labelling) -> None:
    centred = unit(TEST["features"]) - unit(TEST["features"]).mean(axis=0)
    expected = np.nanmean(image_maps(centred, centred, TEST[f"label.{labelling}"]))
    assert found.metrics[f"retrieval/image-image+centering/{labelling}/mAP"] == pytest.approx(
        expected, abs=1e-6
    )


def test_across_the_modalities_each_side_loses_its_own_mean(found) -> None:
    said = captions(TEST)
    sides = [unit(x) - unit(x).mean(axis=0) for x in (said["features"], TEST["features"])]
    scores = unit(sides[0]) @ unit(sides[1]).T
    expected = np.mean(
        [
            average_precision(row, np.array(TEST["id"]) == of)
            for row, of in zip(scores, said["group"], strict=True)
        ]
    )
    assert found.metrics["retrieval/text-image+centering/group/mAP"] == pytest.approx(expected, abs=1e-6)


def test_the_vocabulary_is_what_pca_plus_is_fitted_on(found) -> None:
    covariance = np.cov(np.asarray(WORDS, np.float32).astype(np.float64).T)
    basis = np.linalg.eigh(covariance)[1][:, -(DIM // 2) :]
    projected = unit(TEST["features"]) @ basis
    expected = np.nanmean(image_maps(projected, projected, TEST["label.shape"]))
    assert found.metrics["retrieval/image-image+pca_plus/shape/mAP"] == pytest.approx(expected, abs=1e-6)


def test_the_ridge_map_is_fitted_on_the_support_splits_pairs_and_moves_queries_only(found) -> None:
    pairs = np.repeat(TRAIN["features"], 2, axis=0), captions(TRAIN)["features"]
    mapped = corrections.ridge.fit(*pairs).apply(TEST["features"], "image")
    expected = np.nanmean(image_maps(mapped, TEST["features"], TEST["label.colour"]))
    assert found.metrics["retrieval/image-image+ridge/colour/mAP"] == pytest.approx(expected, abs=1e-6)


def test_isoclip_is_given_what_the_projections_are_applied_to(found) -> None:
    correction = corrections.isoclip.fit(*(WEIGHTS[name].astype(np.float32) for name in ("image", "text")))
    projected = correction.apply(TEST["preprojection"], "image")
    expected = np.nanmean(image_maps(projected, projected, TEST["label.colour"]))
    assert found.metrics["retrieval/image-image+isoclip/colour/mAP"] == pytest.approx(expected, abs=1e-6)


def test_every_rival_is_in_the_table_or_says_why_not(found, cell, tmp_path) -> None:
    table = found.corrections.set_index("name")
    assert set(corrections.RIVALS) <= {corrections.rival_of(name) for name in table.index}
    held = set(table.index[table["reason"] == ""])
    assert {"centering", "pca_plus", "isoclip", "ridge"} <= held
    assert "texts" in table.loc["pca_plus_photo", "reason"]
    tasks = {name.split("/")[1] for name in found.metrics if name.startswith("retrieval/image-image+")}
    assert tasks == {f"image-image+{name}" for name in held}
    bare = write(tmp_path / "n.zip", {"image/test": TEST})
    only = evaluate(Cell(bare, None, None, "test", "test"), resamples=99)
    reasons = only.corrections.set_index("name")["reason"]
    assert reasons["centering"] == "" and all(reasons[name] for name in ("pca_plus", "isoclip", "ridge"))


def test_only_the_corrections_named_are_applied(cell) -> None:
    some = evaluate(cell, corrections=["whitening"], resamples=99)
    assert {name.split("+")[1].split("/")[0] for name in some.metrics if "+" in name} - {"oti"} == {
        "whitening"
    }
    with pytest.raises(
        ValueError, match=r"corrections is \['nothing'\]: no correction nothing; known: basic, centering"
    ):
        evaluate(cell, corrections=["nothing"], resamples=99)


def test_comparisons_are_paired_by_query_and_corrected_for_their_number(found) -> None:
    table = found.comparisons
    per_query = found.queries.set_index(["task", "relevance", "query"])["ap"].sort_index()
    rows = table[table["family"] == "retrieval"]
    assert {"oti-image", "image-image+centering"} <= set(rows[rows["baseline"] == "image-image"]["task"])
    for row in rows.to_dict("records"):
        difference = (
            per_query[row["task"], row["relevance"]] - per_query[row["baseline"], row["relevance"]]
        ).dropna()
        assert row["difference"] == pytest.approx(difference.mean(), abs=1e-7)
        assert row["value"] - row["baseline_value"] == pytest.approx(difference.mean(), abs=1e-7)
        assert row["queries"] == len(difference) and row["low"] <= row["difference"] <= row["high"]
    for _, of in table.groupby(["family", "baseline"]):
        np.testing.assert_allclose(of["p_adjusted"], holm(of["p"].to_numpy()), atol=1e-7)
    one = rows[(rows["task"] == "oti-image") & (rows["relevance"] == "colour")].iloc[0]
    difference = (per_query["oti-image", "colour"] - per_query["image-image", "colour"]).dropna()
    interval = bootstrap((difference,), np.mean, n_resamples=5000, method="percentile", rng=0)
    assert (one["low"], one["high"]) == pytest.approx(tuple(interval.confidence_interval), abs=0.03)


def test_too_few_resamples_for_so_many_comparisons_are_told(cell) -> None:
    found = evaluate(
        cell,
        resamples=99,
        corrections=["centering", "whitening"],
        mixed_search={"shares": [0], "alphas": [], "draws": 1},
    )
    reasons = found.unavailable.query("family == 'significance'").set_index("name")["reason"]
    for (family, baseline), held in found.comparisons.groupby(["family", "baseline"]):
        count, named = len(held), f"{family}/{baseline}"
        assert (named in reasons) == (count >= 5)
        if count >= 5:
            assert (
                f"{count} comparisons with it" in reasons[named] and f"{20 * count} or more" in reasons[named]
            )
            assert not (held["p_adjusted"] < 0.05).any()
    assert (reasons.index == "retrieval/image-image").any()


def test_what_is_just_not_below_alpha_is_too_few() -> None:
    """By 99 resamples the least p is 1 %, and 5 % is not below 5 %."""
    assert too_few(4, 99) is None and "give resamples of 100 or more" in str(too_few(5, 99))


def test_a_task_is_not_compared_with_itself_nor_with_other_queries(found) -> None:
    table = found.comparisons
    assert not (table["task"] == table["baseline"]).any()
    plain = table["task"].str.partition("+")[0]
    corrected = table["task"].str.contains("+", regex=False)
    assert (plain[corrected] == table["baseline"][corrected]).all()
    assert set(table["baseline"]) >= {"image-image", "text-text", "text-image", "image-text", "ncm", "4-shot"}


def nearest(queries, support, support_labels) -> np.ndarray:
    """The nearest of the unit means of each class's unit rows."""
    names = sorted(set(support_labels))
    means = unit([unit(support)[np.asarray(support_labels) == name].mean(axis=0) for name in names])
    distances = [[np.linalg.norm(query - mean) for mean in means] for query in unit(queries)]
    return np.array(names)[np.argmin(distances, axis=1)]


@pytest.mark.parametrize("labelling", CLASSES)
def test_nearest_class_means_of_the_support_split(found, labelling) -> None:
    labels = TRAIN[f"label.{labelling}"], TEST[f"label.{labelling}"]
    right = nearest(TEST["features"], TRAIN["features"], labels[0]) == labels[1]
    assert found.metrics[f"classification/ncm/{labelling}/accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    centre = unit(TEST["features"]).mean(axis=0)
    sides = [unit(split["features"]) - centre for split in (TEST, TRAIN)]
    right = nearest(*sides, labels[0]) == labels[1]
    accuracy = found.metrics[f"classification/ncm+centering/{labelling}/accuracy"]
    assert accuracy == pytest.approx(right.mean(), abs=1e-6)


def test_few_shot_accuracy_is_the_mean_over_draws(found) -> None:
    labels = np.array(TRAIN["label.colour"])
    rates = []
    for draw in range(5):
        rows = few_shot(labels, TRAIN["id"], 2, seed=(3, draw))
        right = nearest(TEST["features"], TRAIN["features"][rows], labels[rows]) == TEST["label.colour"]
        rates.append(right.mean())
    assert found.metrics["classification/2-shot/colour/accuracy"] == pytest.approx(np.mean(rates), abs=1e-6)
    largest = max(map(list(labels).count, CLASSES["colour"]))
    assert ("classification/16-shot/colour/accuracy" in found.metrics) == (largest >= 16)
    predictions = found.predictions.query("task == '2-shot' and labelling == 'colour'")
    assert predictions["correct"].mean() == pytest.approx(np.mean(rates))


def accuracy(found, task: str) -> float:
    return found.metrics[f"classification/{task}/colour/accuracy"]


def test_probes_of_the_support_split(found) -> None:
    """GDA on centred features, neighbours, a regression with C by halves: each re-made from what the store holds."""
    labels, truth = np.array(TRAIN["label.colour"]), TEST["label.colour"]
    model = probes.gda(TRAIN["features"], labels)
    right = [
        model.classes[place] == name
        for place, name in zip(model.predict(TEST["features"]), truth, strict=True)
    ]
    assert accuracy(found, "gda") == pytest.approx(np.mean(right), abs=1e-6)
    centre = unit(TEST["features"]).mean(axis=0)
    model = probes.gda(unit(TRAIN["features"]) - centre, labels)
    places = model.predict(unit(TEST["features"]) - centre)
    right = [model.classes[place] == name for place, name in zip(places, truth, strict=True)]
    assert accuracy(found, "gda+centering") == pytest.approx(np.mean(right), abs=1e-6)
    nearest_one = (unit(TEST["features"]) @ unit(TRAIN["features"]).T).argmax(axis=1)
    assert accuracy(found, "knn_1") == pytest.approx(np.mean(labels[nearest_one] == truth), abs=1e-6)
    strength = probes.chosen_strength(TRAIN["features"], labels, TRAIN["id"])
    model = probes.logistic(TRAIN["features"], labels, strength)
    right = [
        model.classes[place] == name
        for place, name in zip(model.predict(TEST["features"]), truth, strict=True)
    ]
    assert accuracy(found, "logistic") == pytest.approx(np.mean(right), abs=1e-6)
    assert "classification/logistic+centering/colour/accuracy" not in found.metrics


def test_class_prompts_are_blended_in_by_half(found) -> None:
    labels, truth = np.array(TRAIN["label.colour"]), np.array(TEST["label.colour"])
    names, prompts = np.array(CLASSES["colour"]), unit(PROMPTS["features"].astype(np.float64)[:3])
    means = unit([unit(TRAIN["features"])[labels == name].mean(axis=0) for name in names])
    scores = unit(TEST["features"]) @ (means + prompts).T
    assert accuracy(found, "ncm_text") == pytest.approx(
        np.mean(names[scores.argmax(axis=1)] == truth), abs=1e-6
    )
    model = probes.gda(TRAIN["features"], labels)
    order = [list(names).index(name) for name in model.classes]
    scores = unit(TEST["features"]) @ (model.weights + 100 * prompts[order]).T + model.bias
    told = np.array(model.classes)[scores.argmax(axis=1)]
    assert accuracy(found, "gda_text") == pytest.approx(np.mean(told == truth), abs=1e-6)
    assert "classification/4-shot-gda_text+centering/colour/accuracy" in found.metrics


def test_the_first_images_by_id(found) -> None:
    labels = np.array(TRAIN["label.colour"])
    rows = np.concatenate([np.flatnonzero(labels == name)[:2] for name in CLASSES["colour"]])
    right = nearest(TEST["features"], TRAIN["features"][rows], labels[rows]) == TEST["label.colour"]
    assert accuracy(found, "first-2") == pytest.approx(right.mean(), abs=1e-6)
    reasons = found.unavailable.set_index("name")["reason"]
    for task in ("1-shot-gda", "first-1-gda"):
        assert reasons[f"{task}/colour"] == "one image a class has no covariance"
        assert f"classification/{task}/colour/accuracy" not in found.metrics


def test_prompts_are_corrected_where_queries_are_not_moved_to_them(cell) -> None:
    rivals, images, support = Rivals(Work(cell), ["centering", "ridge"]), *map(cell.items, IMAGE_SPLITS)
    for variant, stays in ((None, True), ("centering", False), ("ridge", True)):
        sides = supported._sides(cell, rivals, images, lambda _: support, variant, "colour")
        named = [bool(name) for name in PROMPTS["label.colour"]]
        assert np.allclose(sides.prompts.features, PROMPTS["features"][named]) == stays


def test_a_probe_is_compared_with_class_means(found) -> None:
    table = found.comparisons.query("relevance == 'colour'").set_index("task")["baseline"]
    for task, baseline in {
        "gda": "ncm", "knn_5": "ncm", "logistic": "ncm", "ncm_text": "ncm", "gda_text": "gda", "gda+centering": "gda",
        "4-shot-gda": "4-shot", "4-shot-gda_text": "4-shot-gda", "first-2-gda": "first-2",
    }.items():  # fmt: skip
        assert table[task] == baseline


def test_images_of_a_class_that_the_support_lacks_are_counted_and_left_out(tmp_path) -> None:
    known = np.array(TRAIN["label.colour"]) != "blue"
    few = {
        key: [value for value, kept in zip(values, known, strict=True) if kept]
        for key, values in TRAIN.items()
    }
    native = write(tmp_path / "n.zip", {"image/test": TEST, "image/train": few})
    found = evaluate(Cell(native, None, None, "test", "train"), resamples=99, corrections=[])
    seen = np.array(TEST["label.colour"]) != "blue"
    right = nearest(TEST["features"][seen], few["features"], few["label.colour"])
    expected = (right == np.array(TEST["label.colour"])[seen]).mean()
    assert found.metrics["classification/ncm/colour/accuracy"] == pytest.approx(expected, abs=1e-6)
    assert found.metrics["classification/ncm/colour/images_without_class"] == (~seen).sum() > 0
    assert found.metrics["retrieval/image-image/colour/queries_without_relevant"] == (~seen).sum()


def test_queries_are_no_support_split_of_themselves(native) -> None:
    with pytest.raises(EvaluationError, match=r"controls\.support: 'test' is the split of the queries"):
        Cell(native, None, None, "test", "test", support="test")
    with pytest.raises(CrossgapError, match="'two' names the labellings colour, shape: give one"):
        Cell(
            native,
            None,
            None,
            "test",
            "test",
            subsets={"two": {"colour": ["red", "green"], "shape": ["a", "b"]}},
        )


def test_queries_that_another_split_holds_too_teach_nothing(native, tmp_path) -> None:
    """Neither their labels nor their captions: as if the split had the other images alone."""
    texts_of = [captions(TEST), captions(TRAIN)]
    more = {
        f"{modality}/every": {key: [*one[key], *other[key]] for key in one}
        for modality, (one, other) in {"image": (TEST, TRAIN), "text": texts_of}.items()
    }
    both = write(tmp_path / "both.zip", groups() | more)
    options = {"corrections": ["ridge"], "resamples": 9, "shots": [2], "clouds": 2}
    with_queries = evaluate(Cell(both, None, None, "test", "test", support="every"), **options)
    without = evaluate(Cell(native, None, None, "test", "test", support="train"), **options)
    families = ("classification", "retrieval", "mixed")
    kept = {key: value for key, value in without.metrics.items() if key.startswith(families)}
    assert kept == {key: value for key, value in with_queries.metrics.items() if key.startswith(families)}
    assert {"classification/knn_1/shape/accuracy", "retrieval/text-image+ridge/group/mAP"} <= kept.keys()
    reasons = with_queries.unavailable.set_index("name")["reason"]
    assert reasons["support"] == "24 of 54 images of every are left out: they are asked"


def test_without_a_support_split_there_are_no_class_means(native) -> None:
    metrics = evaluate(Cell(native, None, None, "test", "test"), resamples=99, corrections=[]).metrics
    assert not any(
        name in key for key in metrics for name in ("ncm", "-shot", "first-", "gda", "knn", "logistic")
    )
    assert "classification/image-text/colour/accuracy" in metrics


@pytest.mark.parametrize(("task", "queries"), [("image-image", "native"), ("oti-image", "oti")])
def test_a_control_is_confined_to_its_classes(found, cell, task, queries) -> None:
    keep = np.isin(TEST["label.colour"], ["red", "green"])
    features = TEST["features"] if queries == "native" else cell.oti["image/test"].features
    expected = image_maps(features, TEST["features"], TEST["label.colour"], keep)
    assert found.metrics[f"retrieval/{task}/warm/mAP"] == pytest.approx(np.nanmean(expected), abs=1e-6)
    rows = found.queries.query("task == @task and relevance == 'warm'")
    assert set(rows["query"]) == set(np.array(TEST["id"])[keep])


def test_a_control_of_which_the_gallery_holds_nothing_measures_nothing(native, cell, tmp_path) -> None:
    """Its classes are among the captions' labels, and no image of them in the gallery."""
    known = np.array(TRAIN["label.colour"]) == "blue"
    few = {
        key: [value for value, kept in zip(values, known, strict=True) if kept]
        for key, values in TRAIN.items()
    }
    other = write(tmp_path / "n.zip", groups() | {"image/train": few})
    subsets = {"warm": {"colour": ["red", "green"]}}
    found = evaluate(Cell(other, cell.oti, None, "test", "train", subsets=subsets), resamples=99)
    rows = found.queries.query("task == 'image-image' and relevance == 'warm'")
    assert len(rows) and (rows["relevant"] == 0).all() and rows["recall@1"].isna().all()
    assert found.metrics["retrieval/image-image/warm/queries_without_relevant"] == len(rows)
    assert "retrieval/image-image/warm/mAP" not in found.metrics
    assert found.curves.query("relevance == 'warm'")["mAP"].isna().all()


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        (
            {"colour": ["red", "teal"]},
            r"controls\.subsets\.pair: the queries have no colour teal; they have blue",
        ),
        ({"taste": ["sweet", "sour"]}, "no taste sweet, sour; they have no such labelling"),
    ],
)
def test_a_control_of_unknown_classes_is_refused(native, subset, message) -> None:
    with pytest.raises(EvaluationError, match=message):
        Cell(native, None, None, "test", "test", subsets={"pair": subset})


def pairs_of(queries, gallery, query_labels, gallery_labels, apart=None) -> dict[bool, list[float]]:
    values: dict[bool, list[float]] = {True: [], False: []}
    for i, one in enumerate(unit(queries)):
        for j, other in enumerate(unit(gallery)):
            if apart is None or apart[i] != apart[j]:
                values[query_labels[i] == gallery_labels[j]].append(float(one @ other))
    return values


def test_similarities_and_the_share_of_the_way_back(found, cell) -> None:
    labels, ids = TEST["label.shape"], TEST["id"]
    named = [bool(name) for name in PROMPTS["label.shape"]]
    prompts = PROMPTS["features"][named], [name for name in PROMPTS["label.shape"] if name]
    native = pairs_of(TEST["features"], TEST["features"], labels, labels, ids)
    across = pairs_of(prompts[0], TEST["features"], prompts[1], labels)
    group = cell.oti["image/test"]
    at = [list(group.ids).index(name) for name in ids]
    steps = {5: group.snapshots[at, 0], 10: group.snapshots[at, 1], LAST: group.features[at]}
    table = found.similarities[found.similarities["relevance"] == "shape"].set_index(["pair", "step"])
    expected = {("image-image", pd.NA): native, ("text-image", pd.NA): across}
    expected |= {
        ("oti-image", step): pairs_of(x, TEST["features"], labels, labels, ids) for step, x in steps.items()
    }
    means = {key: np.mean(values[True] + values[False]) for key, values in expected.items()}
    assert len(table) == 5
    for (pair, step), values in expected.items():
        row = table.xs(pair)[
            table.xs(pair).index.isna() if step is pd.NA else table.xs(pair).index == step
        ].iloc[0]
        assert row["matching"] == pytest.approx(np.mean(values[True]), abs=1e-5)
        assert row["other"] == pytest.approx(np.mean(values[False]), abs=1e-5)
        edges = np.linspace(-1, 1, 201)
        shares = [np.histogram(side, edges)[0] / len(side) for side in values.values()]
        assert row["overlap"] == pytest.approx(np.minimum(*shares).sum(), abs=0.03)
        if pair == "oti-image":
            between = unit(captions(TEST)["features"]) @ unit(TEST["features"]).T
            ends = between.mean(), means["image-image", pd.NA]
            share = (means[pair, step] - ends[0]) / (ends[1] - ends[0])
            assert row["share"] == pytest.approx(share, abs=1e-4)
        else:
            assert math.isnan(row["share"])
    assert found.metrics["similarity/oti-image/shape/share"] == pytest.approx(
        table.xs("oti-image")["share"].iloc[-1]
    )
    bars = found.histograms.query("pair == 'image-image' and relevance == 'shape'")
    areas = ((bars["right"] - bars["left"]) * bars["density"]).groupby(bars["matching"]).sum()
    np.testing.assert_allclose(areas, 1, atol=1e-3)


def test_of_many_items_some_queries_and_some_of_the_gallery_are_paired(cell, monkeypatch) -> None:
    monkeypatch.setattr(similarities, "QUERIES", 3)
    monkeypatch.setattr(similarities, "GALLERY", 29)
    sides = map(cell.items, IMAGE_SPLITS)
    found = similarities._between(Labelled("colour", "colour"), *sides, within=False)
    assert found.matching.sum() + found.other.sum() == 3 * 29


def test_prompts_are_paired_with_the_gallery_s_images(native) -> None:
    cell = Cell(native, None, None, "test", "train")
    across = {one.native: one for one in comparisons(cell)}["image-image"]
    found = similarities._across(cell, across, Labelled("colour", "colour"))
    assert found.matching.sum() + found.other.sum() == len(CLASSES["colour"]) * len(TRAIN["id"])


def test_the_share_of_the_way_begins_where_captions_and_images_are_in_the_same_table(found) -> None:
    said = captions(TEST)
    across = pairs_of(said["features"], TEST["features"], said["group"], TEST["id"])
    table = found.similarities.set_index(["relevance", "pair"]).sort_index(kind="stable")
    start = table.loc[("group", "text-image")]
    assert start["matching"].item() == pytest.approx(np.mean(across[True]), abs=1e-5)
    assert start["other"].item() == pytest.approx(np.mean(across[False]), abs=1e-5)
    turned, native = table.loc[("shape", "oti-image")], table.loc[("shape", "image-image"), "mean"].item()
    share = (turned["mean"] - start["mean"].item()) / (native - start["mean"].item())
    np.testing.assert_allclose(turned["share"], share, atol=1e-4)


def test_the_share_of_a_control_begins_among_its_own_images(found) -> None:
    said, kept = captions(TEST), np.isin(TEST["label.colour"], ["red", "green"])
    of = np.isin(said["group"], np.asarray(TEST["id"])[kept])
    start = (unit(said["features"][of]) @ unit(TEST["features"][kept]).T).mean()
    table = found.similarities.set_index(["relevance", "pair"]).sort_index(kind="stable")
    turned, native = table.loc[("warm", "oti-image")], table.loc[("warm", "image-image"), "mean"].item()
    np.testing.assert_allclose(turned["share"], (turned["mean"] - start) / (native - start), atol=1e-4)


@pytest.mark.parametrize("protocol", ["plain", "revisited"])
def test_judgements_are_a_relevance_of_their_own(cell, protocol, tmp_path) -> None:
    ids = TEST["id"]
    rows = [
        (query, item, (3 * i + j) % 4 - 1)
        for i, query in enumerate(ids[:6])
        for j, item in enumerate(ids[6:])
    ]
    table = pd.DataFrame(rows, columns=["query", "item", "grade"]).assign(setting="easy")
    native = write(tmp_path / "n.zip", groups(), judgements=table)
    found = evaluate(
        Cell(native, cell.oti, None, "test", "test", protocol=protocol), corrections=["centering"]
    )
    per_query = found.queries.query("task == 'image-image' and relevance == 'easy'").set_index("query")
    assert (per_query["relevant"] > 0).sum() == 6
    grades = {(query, item): grade for query, item, grade in rows}
    for i, query in enumerate(ids[:6]):
        scores = unit(TEST["features"]) @ unit(TEST["features"][i])
        ranking = [ids[j] for j in np.argsort(-scores, kind="stable") if ids[j] != query]
        hits = [grades.get((query, item), 0) > 0 for item in ranking if grades.get((query, item), 0) >= 0]
        total, ap = sum(hits), 0.0
        for k in np.flatnonzero(hits):
            before = sum(hits[:k]) / k if k else 1.0
            at = sum(hits[: k + 1]) / (k + 1)
            ap += at / total if protocol == "plain" else (before + at) / 2 / total
        assert per_query.loc[query, "ap"] == pytest.approx(ap, abs=1e-9)
    assert {"oti-image", "image-image+centering"} <= set(found.queries.query("relevance == 'easy'")["task"])


def test_seeds_are_as_many_runs_of_one_task(found, cell) -> None:
    table = found.seeds.query("relevance == 'colour'")
    assert table["seed"].tolist() == [0, 1, 2] and set(table["task"]) == {"oti-image"}
    for seed, value in zip(table["seed"], table["mAP"], strict=True):
        held = (
            cell.oti if seed == 0 else next(s for s in cell.seeds if s.provenance["recipe"]["seed"] == seed)
        )
        expected = image_maps(held["image/test"].features, TEST["features"], TEST["label.colour"])
        assert value == pytest.approx(np.nanmean(expected), abs=1e-6)
    assert found.metrics["seeds/oti-image/colour/mAP_std"] == pytest.approx(
        np.std(table["mAP"], ddof=1), abs=1e-6
    )
    assert found.metrics["seeds/oti-image/colour/mAP_mean"] == pytest.approx(table["mAP"].mean(), abs=1e-6)


def test_clusters_of_images_and_of_both_modalities(found) -> None:
    keys = {tuple(name.split("/")[1:3]) for name in found.metrics if name.startswith("clustering/")}
    assert {("image", "shape"), ("oti", "colour"), ("image+centering", "colour"), ("joint", "colour")} <= keys
    assert ("joint", "shape") in keys  # captions say no shape: it is their images'
    assert not any("ridge" in what for what, _ in keys)
    # the gap splits classes by modality; centring closes it
    joint = [found.metrics[f"clustering/{what}/colour/v_measure"] for what in ("joint", "joint+centering")]
    assert joint[1] > joint[0]


def test_results_do_not_depend_on_the_order_of_the_store(cell, found, tmp_path) -> None:
    turned = {
        name: {key: list(values)[::-1] for key, values in columns.items()}
        for name, columns in groups().items()
    }
    other = Cell(
        write(tmp_path / "n.zip", turned), cell.oti, None, "test", "test",
        seeds=cell.seeds, support="train", subsets=cell.subsets,
    )  # fmt: skip
    again = evaluate(other, resamples=499, seed=3)
    for name, value in found.metrics.items():
        if not name.startswith(("gap/linear", "clustering/")):
            assert again.metrics[name] == pytest.approx(value, abs=3e-6), name
    keys = ["family", "task", "relevance"]
    one, two = (table.set_index(keys).sort_index() for table in (found.comparisons, again.comparisons))
    np.testing.assert_allclose(one["p"], two["p"], atol=0.01)
    np.testing.assert_allclose(one[["low", "high"]], two[["low", "high"]], atol=1e-5)
