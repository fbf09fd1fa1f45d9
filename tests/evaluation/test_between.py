"""Two cells compared: against arithmetic by hand, and against the comparisons within one evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import permutation_test
from typer.testing import CliRunner

from crossgap import importing, numbers
from crossgap.cli import app
from crossgap.errors import CrossgapError
from crossgap.evaluation import Cell
from crossgap.evaluation.between import COLUMNS, compare
from crossgap.evaluation.measured_on import measured_on
from crossgap.metrics import significance
from tests.evaluation.small import TEST, groups, write

RNG = np.random.default_rng(3)


def measured(shift: float = 0.0, queries: int = 40) -> SimpleNamespace:
    """As much of an evaluation as is compared: two tasks, with and without a correction, and three classifiers."""
    rows, guesses = [], []
    for task, relevance in (("text-text", "group"), ("image-image", "shape"), ("image-image", "colour")):
        for name in (task, f"{task}+centering"):
            for query in range(queries):
                ap = float(np.clip(RNG.uniform(0.2, 0.7) + shift, 0, 1))
                rows.append((name, relevance, f"q{query}", f"i{query}", ap, float(ap > 0.5)))
    for name in ("image-text", "image-text+centering", "2-shot"):
        guesses += [(name, "shape", f"i{k}", float(RNG.uniform() < 0.5 + shift)) for k in range(queries)]
    return SimpleNamespace(
        queries=pd.DataFrame(rows, columns=["task", "relevance", "query", "group", "ap", "recall@1"]),
        predictions=pd.DataFrame(guesses, columns=["task", "labelling", "image", "correct"]),
        set_aside=pd.DataFrame(columns=["inversion", "group", "id"]),
        measured_on={"dataset": "world", "image/test": "a", "text/classes": "b"},
    )


def of(table: pd.DataFrame, task: str, by: str, query: str, column: str) -> pd.Series:
    rows = table[(table["task"] == task) & (table.iloc[:, 1] == by)]
    return rows.set_index(query)[column]


def test_every_number_by_hand() -> None:
    one, other = measured(0.2), measured()
    other.queries = other.queries.sample(frac=1, random_state=0)  # tables come in any order
    found = compare(one, other, resamples=999)
    assert list(found) == COLUMNS
    assert found[["family", "task", "relevance"]].to_numpy().tolist() == [
        ["retrieval", "text-text", "group"],
        ["retrieval", "image-image", "colour"],
        ["retrieval", "image-image", "shape"],
        ["classification", "image-text", "shape"],
    ]
    for row in found.to_dict("records"):
        retrieval = row["family"] == "retrieval"
        where = (row["task"], row["relevance"], *(("query", "ap") if retrieval else ("image", "correct")))
        sides = [
            of(side.queries if retrieval else side.predictions, *where).sort_index() for side in (one, other)
        ]
        difference = (sides[0] - sides[1]).to_numpy()
        assert row["value"] == pytest.approx(sides[0].mean()) and row["other_value"] == pytest.approx(
            sides[1].mean()
        )
        assert row["difference"] == pytest.approx(difference.mean()) and row["queries"] == 40
        assert row["metric"] == ("mAP" if retrieval else "accuracy")
        exact = permutation_test(
            (difference,), np.mean, permutation_type="samples", n_resamples=9999, random_state=1
        )
        assert row["p"] == pytest.approx(exact.pvalue, abs=0.03)
        assert row["low"] < row["difference"] < row["high"]
    for _, family in found.groupby("family"):
        np.testing.assert_array_equal(family["p_adjusted"], significance.holm(family["p"].to_numpy()))


def test_the_other_way_round_is_the_same_with_the_sign_turned() -> None:
    one, other = measured(0.1), measured()
    found, turned = compare(one, other, resamples=99), compare(other, one, resamples=99)
    np.testing.assert_allclose(found["difference"], -turned["difference"])
    np.testing.assert_array_equal(found["value"], turned["other_value"])
    np.testing.assert_allclose(found["low"], -turned["high"], atol=0.02)


def test_tasks_and_metric_are_those_asked_for() -> None:
    one, other = measured(), measured()
    found = compare(one, other, tasks=["image-image+centering", "2-shot"], metric="recall@1", resamples=99)
    assert found["task"].tolist() == ["image-image+centering"] * 2 + ["2-shot"]
    assert found["metric"].tolist() == ["recall@1", "recall@1", "accuracy"]
    expected = of(one.queries, "image-image+centering", "colour", "query", "recall@1").mean()
    assert found["value"][0] == pytest.approx(expected)


def test_a_task_of_both_families_is_that_of_the_family_asked_for() -> None:
    one, other = measured(), measured()
    for side in (one, other):
        side.queries["task"] = side.queries["task"].replace("text-text", "image-text")
    found = {
        task: compare(one, other, tasks=[task], resamples=99)["family"].tolist()
        for task in ("image-text", "retrieval/image-text", "classification/image-text")
    }
    assert found == {
        "image-text": ["retrieval", "classification"],
        "retrieval/image-text": ["retrieval"],
        "classification/image-text": ["classification"],
    }


def test_captions_of_one_image_are_drawn_together() -> None:
    one, other = measured(0.1), measured()
    captions = one.queries["task"] == "text-text"
    for side in (one, other):
        side.queries.loc[captions, "group"] = [f"i{query // 5}" for query in range(40)]
    found = compare(one, other, tasks=["text-text"], resamples=499).iloc[0]
    sides = [of(side.queries, "text-text", "group", "query", "ap").sort_index() for side in (one, other)]
    images = [int(query[1:]) // 5 for query in sides[0].index]
    expected = significance.paired(
        (sides[0] - sides[1]).to_frame().to_numpy(), groups=images, resamples=499
    ).iloc[0]
    np.testing.assert_allclose(found[["low", "high", "p"]].astype(float), expected[["low", "high", "p"]])


def test_only_queries_of_both_with_a_value_count() -> None:
    one, other = measured(), measured()
    one.queries.loc[(one.queries["task"] == "text-text") & (one.queries["query"] == "q3"), "ap"] = np.nan
    other.queries = other.queries[other.queries["query"] != "q7"]
    found = compare(one, other, tasks=["text-text"], resamples=99)
    kept = [f"q{k}" for k in range(40) if k not in (3, 7)]
    assert found["queries"].tolist() == [38]
    assert found["value"][0] == pytest.approx(
        of(one.queries, "text-text", "group", "query", "ap")[kept].mean()
    )


def test_what_can_not_be_compared_is_told() -> None:
    one = measured()
    with pytest.raises(CrossgapError, match=r"no metric 'map'.*; there are mAP, "):
        compare(one, measured(), metric="map")
    with pytest.raises(
        CrossgapError, match=r"'image-imag' is no task that both have; did you mean 'image-image'"
    ):
        compare(one, measured(), tasks=["image-imag"])
    with pytest.raises(CrossgapError) as told:
        compare(one, measured(), tasks=["foo"])
    assert "+" not in str(told.value).partition(", and ")[0] and len(str(told.value)) < 900
    for name, value, why in (
        ("dataset", "photos", "one was measured on world, the other on photos"),
        ("text/classes", "c", "on other items: text/classes differ, "),
        ("text/test", "c", "on other items: text/test differ, "),
    ):
        other = measured()
        other.measured_on[name] = value
        with pytest.raises(CrossgapError, match=why):
            compare(one, other)
    other = measured()
    other.set_aside = pd.DataFrame([("oti", "image/test", "q1")], columns=["inversion", "group", "id"])
    with pytest.raises(CrossgapError, match=r"set other items aside \(0 and 1\)"):
        compare(one, other)
    other = measured()
    other.queries["query"], other.predictions["image"] = "x" + other.queries["query"], "another"
    with pytest.raises(CrossgapError, match="no task with a query in common"):
        compare(one, other)
    with pytest.raises(ValueError, match="resamples is 0"):
        compare(one, measured(), resamples=0)


def test_what_a_cell_is_measured_on_is_told_apart_by_ids_labels_and_prompts_and_not_by_order(
    tmp_path,
) -> None:
    def cell(
        name: str,
        order: tuple[int, ...] = (0, 1, 2),
        label: str = "dog",
        prompts: int = 2,
        dataset: str = "d",
    ) -> Cell:
        features = RNG.normal(size=(3, 4))
        held = {
            "f": features,
            "id": np.array(["a", "b", "c"])[list(order)],
            "y": np.array(["cat", label, "cat"])[list(order)],
        }
        np.savez(
            tmp_path / f"{name}.npz",
            **held,
            p=features[:prompts],
            n=np.array(["cat", "dog", "fox"])[:prompts],
        )
        given = [
            "image/test=f",
            "image/test:id=id",
            "image/test:label.kind=y",
            "text/classes=p",
            "text/classes:label.kind=n",
        ]
        arrays = [one.replace("=", f"={tmp_path / name}.npz:") for one in given]
        store = importing.import_features(
            [importing.Assignment.parse(text) for text in arrays],
            tmp_path / f"{name}.zarr.zip",
            dataset=dataset,
            backbone="b",
            scratch=tmp_path / "s",
        )
        return Cell(store, None, None, "test", "test")

    first = measured_on(cell("a"))
    assert measured_on(cell("b", order=(2, 0, 1))) == first, "other features and order"
    for name, changed in (
        ("image/test", cell("c", label="fox")),
        ("text/classes", cell("d", prompts=3)),
        ("dataset", cell("e", dataset="other")),
        ("controls", replace(cell("f"), protocol="revisited")),
    ):
        other = measured_on(changed)
        assert {key for key in first if first[key] != other[key]} == {name}


def test_what_is_measured_with_the_queries_counts_too(tmp_path) -> None:
    held = groups()
    images, texts = held["image/train"], held["text/test"]
    judged = pd.DataFrame({"setting": "x", "query": TEST["id"][:2], "item": TEST["id"][2:4], "grade": [1, 2]})

    def changed(name: str, judgements: pd.DataFrame = judged, **changes: dict) -> set[str]:
        store = write(tmp_path / f"{name}.zip", held | changes, judgements=judgements)
        found = measured_on(Cell(store, None, None, "test", "test", support="train"))
        return {key for key in found.keys() | first.keys() if found.get(key) != first.get(key)}

    first: dict[str, str] = {}
    assert {"image/test", "image/train", "text/test", "text/classes", "judgements"} <= changed("as it is")
    store = write(tmp_path / "first.zip", held, judgements=judged)
    first |= measured_on(Cell(store, None, None, "test", "test", support="train"))
    other = ["green", *images["label.colour"][1:]], ["blue", *images["label.colour"][1:]]
    assert {"image/train"} in [
        changed(f"{n}", **{"image/train": images | {"label.colour": of}}) for n, of in enumerate(other)
    ]
    ranks = [1, 0, *texts["rank"][2:]]
    assert changed("ranks", **{"text/test": texts | {"rank": ranks}}) == {"text/test"}
    assert changed("order", judged[::-1]) == set()
    assert changed("grades", judged.assign(grade=[1, 1])) == {"judgements"}


def test_the_command_compares_what_a_project_measured(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    none = CliRunner().invoke(app, ["compare", "a/world", "b/world"])
    assert none.exit_code == 1 and "nothing is measured here" in none.output
    held = {"a/world": measured(0.25), "b/world": measured()}
    for name, side in held.items():
        (tables := tmp_path / "data/metrics" / name / "tables").mkdir(parents=True)
        side.queries.to_parquet(tables / "queries.parquet")
        side.predictions.to_parquet(tables / "predictions.parquet")
        said = {"not_inverted": side.set_aside.to_dict("records"), "measured_on": side.measured_on}
        (tables / "provenance.json").write_text(json.dumps(said))
    done = CliRunner().invoke(app, ["compare", "a/world", "b/world"])
    assert done.exit_code == 0, done.output
    head, *lines = done.output.splitlines()
    assert head.split()[:5] == ["task", "by", "metric", "a/world", "b/world"]
    expected = compare(*held.values())
    for line, row in zip(lines[:4], expected.to_dict("records"), strict=True):
        assert line.split()[:4] == [row["task"], row["relevance"], row["metric"], f"{100 * row['value']:.2f}"]
    assert "centroid distance" not in done.output
    for name, value in (("a", 0.6351), ("b", 0.71)):
        values = {
            "gap/centroid_distance": value,
            "gap/centroid_distance+centering": 0.0,
            "gap/alignment": 0.5 if name == "b" else 0.4999,
        }
        values |= {"gap/relative_modality_gap": float("nan")} | (
            {"gap/uniformity_text": -1.0} if name == "a" else {}
        )
        numbers.write(tmp_path / f"data/metrics/{name}/world/tables/metrics.csv", values)
    lines = CliRunner().invoke(app, ["compare", "a/world", "b/world"]).output.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("gap, native features"))
    assert [line.split() for line in lines[start + 1 : -1]] == [
        ["centroid", "distance", "0.635", "0.710", "−0.075"],
        ["alignment", "0.500", "0.500", "±0.000"],
    ]
    told = CliRunner().invoke(app, ["compare", "a/world", "b/world", "--json"])
    pd.testing.assert_frame_equal(pd.DataFrame(json.loads(told.output)), expected)
    few = CliRunner().invoke(app, ["compare", "a/world", "b/world", "--resamples", "99"])
    assert "classification: 1 comparisons" not in few.output
    words = ["compare", "a/world", "b/world", "--task", "classification/image-text"]
    asked = CliRunner().invoke(app, words)
    assert asked.exit_code == 0 and "gap, native features" not in asked.output
    unused = CliRunner().invoke(app, [*words, "--metric", "recall@1"])
    assert unused.exit_code == 1 and "--metric recall@1 is of retrieval, and classification/" in unused.output
    (tmp_path / "data/metrics/b/world/tables/provenance.json").write_text('{"not_inverted": []}')
    older = CliRunner().invoke(app, ["compare", "a/world", "b/world"])
    assert older.exit_code == 1 and "b/world was evaluated by an older crossgap" in older.output
    unknown = CliRunner().invoke(app, ["compare", "a/word", "b/world"])
    assert unknown.exit_code == 1 and "did you mean 'a/world'?" in unknown.output
    same = CliRunner().invoke(app, ["compare", "a/world", "a/world/"])
    assert same.exit_code == 1 and "a/world is compared with itself: name two cells" in same.output
    (tmp_path / "data/metrics/b/world/tables/predictions.parquet").unlink()
    half = CliRunner().invoke(app, ["compare", "a/world", "b/world"])
    assert (
        half.exit_code == 1
        and "no cell 'b/world' is measured here; did you mean 'a/world'?; there are a/world" in half.output
    )
    (tmp_path / "data/metrics/b/world/tables/provenance.json").write_text(json.dumps(said))
    whole = (tmp_path / "data/metrics/a/world/tables/predictions.parquet").read_bytes()
    for damaged in (b"PAR1", whole[:4] + b"\xff" * 60 + whole[64:]):
        assert damaged != whole
        (tmp_path / "data/metrics/b/world/tables/predictions.parquet").write_bytes(damaged)
        cut = CliRunner().invoke(app, ["compare", "a/world", "b/world"])
        assert cut.exit_code == 1 and "predictions.parquet is damaged (" in cut.output
