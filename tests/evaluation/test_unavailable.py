"""What items don't allow is a row with its reason; everything else is measured as it would be without them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from crossgap import open_store
from crossgap.evaluation import Cell, EvaluationError, evaluate, gap
from crossgap.evaluation.items import Items
from crossgap.evaluation.supported import Probed, Shots, _by_probes
from crossgap.evaluation.unavailable import Reasons
from crossgap.stores import store
from tests.evaluation.small import DIM, TEST, captions, groups, write

SETTINGS = {"resamples": 19, "shots": (1,), "draws": 2, "clouds": 9}
INVERTED = {"oti": "tokens", "ovi": "patches"}


def rows(found, family: str) -> dict[str, str]:
    return found.unavailable.query("family == @family").set_index("name")["reason"].to_dict()


def unchanged(
    found, without, families=("retrieval", "classification", "clustering", "gap", "similarity")
) -> None:
    """All that `without` has is there."""
    named = {name: value for name, value in without.metrics.items() if name.split("/")[0] in families}
    assert named and named.items() <= found.metrics.items()


def cell_of(path, held: dict, **more) -> Cell:
    return Cell(write(path, held), more.pop("oti", None), None, "test", "test", **more)


def test_a_ridge_map_of_captions_that_are_all_the_same(tmp_path) -> None:
    held = groups()
    same = held["text/train"]
    held["text/train"] = same | {"features": np.repeat(same["features"][:1], len(same["id"]), axis=0)}
    cell = cell_of(tmp_path / "n.zip", held, support="train")
    found = evaluate(cell, corrections=["centering", "ridge"], **SETTINGS)
    reasons = found.corrections.set_index("name")["reason"]
    assert "one side is all the same" in reasons["ridge"] and reasons["centering"] == ""
    unchanged(found, evaluate(cell, corrections=["centering"], **SETTINGS))


@pytest.mark.parametrize(("images", "prompts"), [(1, 5), (9, 1)])
def test_a_single_image_or_prompt(tmp_path, images, prompts) -> None:
    held = {
        "image/test": {name: values[:images] for name, values in TEST.items()},
        "text/classes": {name: values[:prompts] for name, values in groups()["text/classes"].items()},
    }
    held["image/test"]["label.colour"] = ["red"] * images
    found = evaluate(cell_of(tmp_path / "n.zip", held), corrections=[], **SETTINGS)
    why = rows(found, "gap")
    assert why["linear_separability"] == (
        f"linear separability of {images} and {prompts} rows: give at least 2 on each side"
    )
    assert f"uniformity_{'image' if images == 1 else 'text'}" in why
    assert found.metrics["gap/centroid_distance"] > 0
    assert ("classification/image-text/shape/accuracy" in found.metrics) == (prompts > 1)


def test_one_class_is_no_classification(tmp_path) -> None:
    """Any image would be told right: of prompts and of the support split, corrected too."""
    held = groups()
    for name in ("text/classes", "image/train"):
        of = np.array(held[name]["label.colour"], object)
        held[name] = held[name] | {"label.colour": np.where(of != "", "red", "").astype(object)}
    found = evaluate(
        cell_of(tmp_path / "n.zip", held, support="train"), corrections=["centering"], **SETTINGS
    )
    assert not [name for name in found.metrics if name.startswith("classification/") and "/colour/" in name]
    assert "classification/1-shot+centering/shape/accuracy" in found.metrics
    why = {name: reason for name, reason in rows(found, "classification").items() if name.endswith("/colour")}
    assert why == {
        "image-text/colour": "all prompts are of one class, red: give prompts of two or more, which can be told apart",
        "support/colour": "all labelled images of the support split are of one class, red: give two or more",
    }


def inversion(path, lost: list[str], name: str = "image/test", method: str = "oti"):
    """As the stage writes it: a group of which every item was set aside has no arrays."""
    kept = [item for item in TEST["id"] if item not in lost]
    provenance = {
        "inverts": "native", "fingerprint": "x", "set_aside": {name: lost},
        "method": {"name": method, INVERTED[method]: 1}, "recipe": {"steps": 20, "seed": 0},
    }  # fmt: skip
    arrays = {"features": np.ones((len(kept), DIM)), "loss": [0.1] * len(kept)} if kept else {}
    with store.creating(path, path.parent / "scratch", provenance) as writer:
        columns = {"id": np.array(kept, object)}
        writer.add(
            name, columns, [{key: np.asarray(v, np.float32) for key, v in arrays.items()}] if kept else []
        )
    return open_store(path)


def test_an_inversion_that_set_every_item_aside_leaves_the_native_numbers(tmp_path) -> None:
    held = groups()
    oti = inversion(tmp_path / "oti.zarr.zip", list(TEST["id"]))
    found = evaluate(cell_of(tmp_path / "n.zip", held, oti=oti), corrections=[], **SETTINGS)
    alone = evaluate(cell_of(tmp_path / "n.zip", held), corrections=[], **SETTINGS)
    unchanged(found, alone)
    assert not [name for name in found.metrics if name.startswith(("retrieval/oti", "snapshots", "seeds"))]
    assert found.metrics["inversion/oti/set_aside"] == len(found.set_aside) == len(TEST["id"])
    assert found.metrics["inversion/oti/items"] == 0 and "inversion/oti/loss" not in found.metrics
    n = len(TEST["id"])
    assert rows(found, "inversion") == {
        "oti image/test": f"it holds 0 of {n} queries, and needs them all; it set {n} aside, whose loss was not finite"
    }


def test_texts_with_labels_that_images_lack(tmp_path) -> None:
    """Unlabelled images, labelled texts and labelled prompts, as an import may bring them."""
    held = {name: dict(columns) for name, columns in groups().items() if "vocabulary" not in name}
    for name in ("image/test", "image/train"):
        held[name] = {key: values for key, values in held[name].items() if not key.startswith("label.")}
    for name in ("text/test", "text/train"):
        del held[name]["group"], held[name]["rank"]
    found = evaluate(Cell(write(tmp_path / "n.zip", held), None, None, "test", "train"), **SETTINGS)
    assert found.metrics["retrieval/text-text/colour/mAP"] > 0
    assert found.metrics["similarity/text-text/colour/overlap"] >= 0
    # the bank of other queries is the gallery itself
    reasons = found.unavailable[~found.unavailable["family"].isin(["robustness", "significance"])]["reason"]
    assert {*reasons} == {f"no {one} query is left in the bank" for one in ("image", "text")}


def test_labels_that_are_written_differently_match_nothing(tmp_path) -> None:
    """ "01" is not "1": that none of the queries finds anything is said, once a task; one match is enough not to."""
    held = groups()
    numbers = {"red": "1", "green": "2", "blue": "3"}
    for name, form in (("image/test", "0{}"), ("image/train", "{}")):
        labels = [form.format(numbers[label]) for label in held[name]["label.colour"]]
        held[name] = held[name] | {"label.colour": labels}
    found = evaluate(
        Cell(write(tmp_path / "n.zip", held), None, None, "test", "train"),
        corrections=["centering"],
        **SETTINGS,
    )
    why = "none of 24 queries has a relevant item: labels, groups and judged ids match to the letter"
    assert rows(found, "retrieval") == {"image-image/colour": why}
    assert "retrieval/image-image/colour/mAP" not in found.metrics
    held["image/test"]["label.colour"][3] = "2"
    (tmp_path / "other").mkdir()
    found = evaluate(
        Cell(write(tmp_path / "other/n.zip", held), None, None, "test", "train"), corrections=[], **SETTINGS
    )
    assert "image-image/colour" not in rows(found, "retrieval")
    assert found.metrics["retrieval/image-image/colour/queries_without_relevant"] == 23


@pytest.mark.parametrize(("query", "asked"), [("test00#0", False), ("train00", False), ("test00", True)])
def test_judgements_that_no_retrieval_is_measured_by(tmp_path, query, asked) -> None:
    """Of a caption, or of an image of another split; a single judgement of an image is enough not to be said."""
    table = pd.DataFrame({"setting": "cross", "query": [query], "item": ["test01"], "grade": [1]})
    native = write(tmp_path / "n.zip", groups(), judgements=table)
    found = evaluate(Cell(native, None, None, "test", "test"), corrections=["centering"], **SETTINGS)
    why = (
        "no image of test is a query of these judgements, nor a text that belongs to no image: captions are judged by "
        "their images alone"
    )
    assert rows(found, "retrieval") == ({} if asked else {"cross": why})
    assert ("retrieval/image-image/cross/mAP" in found.metrics) == asked


def test_labels_without_a_prompt_cost_their_labelling_alone(tmp_path) -> None:
    held = groups()
    held["text/classes"] = {name: values[1:] for name, values in held["text/classes"].items()}  # without red
    found = evaluate(cell_of(tmp_path / "n.zip", held), corrections=[], **SETTINGS)
    assert rows(found, "classification")["image-text/colour"].startswith("no class for the labels red: add")
    assert "classification/image-text/colour/accuracy" not in found.metrics
    assert found.metrics["classification/image-text/shape/accuracy"] > 0
    assert "image-text/colour at +0.00" in rows(found, "shift")


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_features_that_are_not_finite_cost_what_needs_them(tmp_path, value) -> None:
    held = groups()
    spoilt = held["text/test"]["features"].copy()
    spoilt[4] = value  # the first caption of an image
    broken = held | {"text/test": held["text/test"] | {"features": spoilt}}
    found = evaluate(
        cell_of(tmp_path / "n.zip", broken, support="train"), **SETTINGS, corrections=["centering"]
    )
    whole = evaluate(
        cell_of(tmp_path / "w.zip", held, support="train"), **SETTINGS, corrections=["centering"]
    )
    lost = ("text-image", "image-text", "text-text")
    kept = {
        name: number
        for name, number in whole.metrics.items()
        if name.startswith(("retrieval/", "classification/"))
        and not name.split("/")[1].startswith(lost)
        and "_text+" not in name
    }
    assert len(kept) > 30 and kept.items() <= found.metrics.items()
    why = rows(found, "retrieval")
    assert {"text-text/group", "text-image/group", "image-text/group"} <= set(why)
    assert f"in 1 of {len(spoilt)} rows (4)" in why["text-image/group"]
    assert "uniformity_text" in rows(found, "gap") and "uniformity_image" not in rows(found, "gap")
    assert found.metrics["gap/uniformity_image"] == whole.metrics["gap/uniformity_image"]
    parameters = found.corrections.set_index("name").loc["centering", "parameters"]
    assert "text: not fitted: text_features holds" in parameters


def test_a_labelling_that_no_query_has(tmp_path) -> None:
    cell = Cell(write(tmp_path / "n.zip", groups()), None, None, "test", "test", ["shape", "shapes"])
    found = evaluate(cell, **SETTINGS, corrections=[])
    assert rows(found, "labelling") == {
        "shapes": "the queries have no such labelling; they have colour, shape"
    }
    assert "retrieval/image-image/shape/mAP" in found.metrics


def test_an_error_of_the_code_comes_out(tmp_path, monkeypatch) -> None:
    cell = cell_of(tmp_path / "n.zip", groups())
    for error in (ValueError("a mistake"), KeyError("colour"), TypeError("a mistake")):

        def mistaken(*_, error=error) -> None:
            raise error

        monkeypatch.setattr(gap, "explained_variance", mistaken)
        with pytest.raises(type(error)):
            evaluate(cell, **SETTINGS, corrections=[])


def test_a_damaged_store_is_an_error(tmp_path) -> None:
    native = write(tmp_path / "n.zip", groups())
    content = bytearray(native.path.read_bytes())
    at = content.find(b"image/test/features/c/0") + 60
    content[at : at + 200] = bytes(200)
    native.path.write_bytes(content)
    with pytest.raises(store.StoreError, match="damaged"):
        evaluate(Cell(open_store(native.path), None, None, "test", "test"), **SETTINGS)


@pytest.mark.parametrize(
    ("subsets", "setting", "message"),
    [
        (
            {"shape": {"colour": ["red", "green"]}},
            None,
            "a subset is called 'shape', which is a labelling already",
        ),
        ({"group": {"colour": ["red", "green"]}}, None, "'group', which is the relevance by image already"),
        ({"warm/2": {"colour": ["red", "green"]}}, None, "'warm/2', which may not hold a '/'"),
        ({}, "shape", "a setting is called 'shape', which is a labelling already"),
        (
            {"warm": {"colour": ["red", "green"]}},
            "warm",
            "a setting is called 'warm', which is a subset already: rename it",
        ),
    ],
)
def test_two_relevances_of_one_name_are_refused(tmp_path, subsets, setting, message) -> None:
    ids = TEST["id"]
    judged = None
    if setting:
        judged = pd.DataFrame({"setting": [setting], "query": ids[:1], "item": ids[1:2], "grade": [1]})
    native = write(tmp_path / "n.zip", groups(), judgements=judged)
    with pytest.raises(EvaluationError, match=message):
        Cell(native, None, None, "test", "test", subsets=subsets)


class Made:
    """A small cell by chance: few items, labels and prompts in part, features without direction or all the same."""

    def __init__(self, seed: int, folder) -> None:
        self.rng, self.folder = np.random.default_rng(seed), folder
        self.held: dict[str, dict] = {}

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def features(self, count: int) -> np.ndarray:
        found = self.rng.normal(size=(count, DIM)) + 1
        kind = self.rng.choice(["plain", "plain", "plain", "one point", "nan", "zero", "two points"])
        if kind == "one point":
            found[:] = found[0]
        elif kind == "two points":
            found = found[self.rng.integers(0, min(count, 2), count)]
        elif kind != "plain":
            found[self.rng.integers(count)] = np.nan if kind == "nan" else 0
        return found

    def items(self, prefix: str) -> dict:
        count = int(self.rng.choice([1, 2, 3, 5, 9]))
        found = {"id": [f"{prefix}{k}" for k in range(count)], "features": self.features(count)}
        for labelling in ("colour", "shape"):
            if self.chance(0.6):
                found[f"label.{labelling}"] = list(self.rng.choice(["red", "blue", "green", ""], count))
        return found

    def cell(self) -> Cell:
        for split in ("test", "train"):
            if self.chance(0.8) or split == "test":
                images = self.items(split)
                self.held[f"image/{split}"] = images | {
                    "group": images["id"],
                    "rank": [0] * len(images["id"]),
                }
            if self.chance(0.7):
                texts = self.items(f"{split}-text")
                if self.chance(0.5) and f"image/{split}" in self.held:
                    of = list(self.rng.choice(self.held[f"image/{split}"]["id"], len(texts["id"])))
                    texts |= {"group": of, "rank": pd.Series(of).groupby(of).cumcount().tolist()}
                self.held[f"text/{split}"] = texts
        if self.chance(0.6):
            names = [(a, b) for a in ("colour", "shape") for b in ("red", "blue", "green")]
            chosen = [names[k] for k in self.rng.permutation(6)[: self.rng.integers(1, 7)]]
            prompts = {
                "id": [f"prompt{k}" for k in range(len(chosen))],
                "features": self.features(len(chosen)),
            }
            for labelling in {name for name, _ in chosen}:
                prompts[f"label.{labelling}"] = [b if a == labelling else "" for a, b in chosen]
            self.held["text/classes"] = prompts
        if self.chance(0.5):
            words = self.items("word")
            self.held["text/vocabulary"] = {name: words[name] for name in ("id", "features")}
        native = write(self.folder / "native.zip", self.held)
        return Cell(
            native,
            self.inverted("oti", "oti", ["image/test"]),
            self.inverted("ovi", "ovi", ["text/test", "text/classes"]),
            "test",
            str(self.rng.choice([name.partition("/")[2] for name in self.held if name.startswith("image")])),
            seeds=[one for one in [self.inverted("oti-seed-1", "oti", ["image/test"], 1)] if one],
        )

    def inverted(self, name: str, method: str, names: list[str], seed: int = 0):
        names = [group for group in names if group in self.held]
        if not names or self.chance(0.4):
            return None
        aside = {}
        made_by = {"method": {"name": method, INVERTED[method]: 1}, "recipe": {"steps": 9, "seed": seed}}
        provenance = {"inverts": "native", "fingerprint": name, "set_aside": aside, **made_by}
        provenance["code"] = str(self.rng.choice(["new", "new", "old"]))
        with store.creating(self.folder / f"{name}.zip", self.folder / "scratch", provenance) as writer:
            for group in names:
                ids = list(self.held[group]["id"])
                lost = self.rng.choice([0, 0, 0, 1, len(ids)])
                if lost:
                    aside[group] = ids[:lost]
                ids = ids[lost:]
                if self.chance(0.1):
                    ids = ids[1:]
                arrays = {"features": self.features(len(ids)), "loss": np.ones(len(ids))} if ids else {}
                block = {key: np.asarray(values, np.float32) for key, values in arrays.items()}
                writer.add(group, {"id": np.array(ids, object)}, [block] if ids else [])
        return open_store(self.folder / f"{name}.zip")


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_items_are_a_cell_comes_to_its_end(tmp_path, seed) -> None:
    made = Made(seed, tmp_path)
    cell = made.cell()
    found = evaluate(cell, **SETTINGS, scratch=tmp_path / "parts")
    assert all(found.unavailable["reason"]) and all(found.unavailable["name"])
    assert np.isfinite(list(found.metrics.values())).all()
    kept = evaluate(cell, **SETTINGS, scratch=tmp_path / "parts")
    assert kept.metrics == found.metrics
    pd.testing.assert_frame_equal(kept.unavailable, found.unavailable)
    pd.testing.assert_frame_equal(kept.queries, found.queries)


def test_more_shots_than_any_class_has_images_are_a_row() -> None:
    class Support(NamedTuple):
        labels: dict
        ids: np.ndarray

    support = Support({"kind": np.array(["a", "a", "b"], object)}, np.array(["x", "y", "z"], object))
    reasons, sides = Reasons(), Probed(support, support.ids, support, None, 0)

    def drawn(kind: Shots, labelling: str) -> list[np.ndarray]:
        return kind.chosen(support, labelling)

    for kind in (Shots("8-shot", 8, 2), Shots("first-8", 8)):
        assert not list(_by_probes(kind, sides, drawn, "kind", None, reasons))
    assert reasons.table().to_numpy().tolist() == [
        ["classification", f"{name}/kind", "no class of the support split has 8 images"]
        for name in ("8-shot", "first-8")
    ]


def test_images_without_a_first_caption(tmp_path) -> None:
    """All captions are second and third ones, as of a table that ranks from 1: nothing asks, and the rest is there."""
    held = groups()
    held["text/test"] = captions(TEST) | {"rank": [1, 2] * 24}
    found = evaluate(
        cell_of(tmp_path / "n.zip", held, support="train"), corrections=["centering"], **SETTINGS
    )
    assert 0 < found.metrics["retrieval/text-image/group/mAP"] < 1
    assert not [name for name in found.metrics if name.startswith(("gap/f", "retrieval/text-text"))]


def test_a_gallery_of_one_item_finds_nothing_out(tmp_path) -> None:
    """One image with two captions: no 100 % of it, but a reason."""
    one = {name: values[:1] for name, values in TEST.items()}
    held = {"image/test": one, "text/test": captions(one)}
    found = evaluate(cell_of(tmp_path / "n.zip", held), corrections=["centering"], **SETTINGS)
    why = "gallery of 1 item finds it: give at least 2"
    assert why in rows(found, "retrieval")["text-image/group"] and not found.mixed.size
    assert "1 gallery item" in rows(found, "robustness")["text-image"]
    families = {name.split("/")[0] for name in found.metrics if not name.startswith("retrieval/image-text/")}
    assert not families & {"retrieval", "mixed", "hubness"}
    assert (
        found.shifts.query("family == 'retrieval' and task == 'text-image'").empty
        and why in rows(found, "shift")["text-image/group at +0.00"]
    )

    two = {name: values[:2] for name, values in TEST.items()}
    held = {"image/test": two, "text/test": captions(two)}
    found = evaluate(cell_of(tmp_path / "m.zip", held), corrections=["nnn"], **SETTINGS)
    assert why in rows(found, "hubness")["text-image half"]
    assert "hubness/text-image/all/recall@1" in found.metrics


@pytest.mark.parametrize("draws", [0, 2])
def test_as_many_shots_as_the_largest_class_has_can_be_had(draws) -> None:
    labels = np.array(["a", "a", "a", "b", "b"], object)
    ids = np.array([f"i{place}" for place in range(5)], object)
    support = Items(ids, ids, np.zeros(5, int), {"kind": labels})
    found = Shots("few", 3, draws).chosen(support, "kind")
    assert [sorted(rows) for rows in found] == [[0, 1, 2, 3, 4]] * max(draws, 1)
    assert Shots("few", 4, draws).chosen(support, "kind") == []
