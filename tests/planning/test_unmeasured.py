"""Inverting images that nothing is relevant to is said to be in vain, and no other inversion is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from crossgap.cli import app
from crossgap.datasets.reading import captioned
from crossgap.planning import unmeasured
from crossgap.prepared import manifest
from crossgap.stores import store
from stages.inversion import _seen, _unmeasured
from tests.test_cli import ROOT

JUDGED = pd.DataFrame({"setting": ["judged"], "query": ["b"], "item": ["a"], "grade": [1]})


@pytest.mark.parametrize(
    ("ids", "labels", "judgements", "vain"),
    [
        (["a", "b"], [], None, True),
        (["a", "b"], [["", ""], [None, ""]], None, True),
        (["a", "b"], [["", "red"]], None, False),
        (["a", "b"], [], JUDGED, False),
        (["a", "c"], [], JUDGED, True),
        ([], [], None, False),
    ],
)
def test_labels_or_judgements_make_an_inversion_worth_it(ids, labels, judgements, vain) -> None:
    said = unmeasured.why("flickr30k", ids, labels, judgements)
    assert (said is not None) == vain
    assert not vain or f"the {len(ids)} images of flickr30k have neither labels nor judgements" in said


@pytest.mark.parametrize("labelled", [False, True])
def test_the_stage_knows_it_of_a_store(tmp_path, labelled) -> None:
    columns = {"id": np.array(["a", "b"], object)}
    if labelled:
        columns["label.class"] = np.array(["x", "y"], object)
    with store.creating(tmp_path / "s.zip", tmp_path, {}) as writer:
        writer.add("image/test", columns, [{"features": np.eye(2, dtype=np.float32)}])
    said = _unmeasured(store.open_store(tmp_path / "s.zip"), "mine", "test")
    assert (said is None) == labelled


def test_plan_says_it_of_a_prepared_dataset(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["datasets"]["mine"] = {
        "layout": "captions", "root": "x", "captions": "x.csv", "retrieval": {"query": "test", "gallery": "test"},
    }  # fmt: skip
    raw["run"]["datasets"].append("mine")
    raw["run"]["oti"]["datasets"] = ["mine"]
    raw["backbones"]["nano"]["weights"]["model"] = f"local-dir:{ROOT / 'data/backbones/nano'}"
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(raw))
    frame = captioned({"1.jpg": ("test", ["one", "two"]), "2.jpg": ("test", ["three", "four"])})
    frame["digest"] = [f"{number:032x}" for number in range(len(frame))]
    folder = tmp_path / "data/datasets/mine"
    folder.mkdir(parents=True)

    def planned() -> str:
        return CliRunner().invoke(app, ["plan", "--params", "other.yaml", "--no-probe"]).output

    manifest.write(frame, folder)
    assert "oti: the 2 images of mine have neither labels nor judgements" in planned()
    frame["label.kind"] = ["x" if path else None for path in frame["path"]]
    manifest.write(frame, folder)
    assert "neither labels" not in planned()


def test_queries_that_phi_was_distilled_on_are_known_by_what_they_hold(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, digests in {"mine": ["a", "b", "c"], "copy": ["c", "x", "a"], "other": ["x", "y", "z"]}.items():
        frame = captioned({f"{name}/{row}.jpg": ("test", []) for row in range(3)})
        manifest.write(frame.assign(digest=digests), Path("data/datasets", name))
    on = {"split": "test"}
    said = _seen("mine", "image", "test", {**on, "dataset": "copy"})
    assert said and said.startswith(
        "2 of the 3 images of mine in the split 'test' hold the same as those of copy"
    )
    assert _seen("mine", "image", "test", {**on, "dataset": "other"}) is None
    assert _seen("mine", "image", "test", {**on, "dataset": "not prepared here"}) is None
