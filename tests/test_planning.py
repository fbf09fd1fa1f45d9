from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from crossgap import manifest, open_store
from crossgap.backbones import load_backbone
from crossgap.catalogue.backbones import described
from crossgap.datasets.preparing import prepare
from crossgap.encode import encode
from crossgap.inversion import stores
from crossgap.inversion.methods import Oti, Ovi
from crossgap.inversion.optimise import optimise
from crossgap.params import load
from crossgap.planning import probe as probing
from crossgap.planning.cells import Cell, cells
from crossgap.planning.estimate import Cost, asked, cost
from crossgap.planning.items import inverted, of_declaration, of_manifest
from crossgap.planning.pipeline import outdated
from crossgap.planning.probe import Asked, ProbeError, Speeds, measure, probe, rate
from crossgap.presets import applied

ROOT = Path(__file__).parents[1]
SPEEDS = Speeds(start=2.0, image=0.5, text=0.25, tokens={1: 0.125, 2: 1.0}, patches={1: 0.0625}, measured={})


def raw() -> dict:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def params_of(raw: dict, folder: Path):
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    return load(folder / "params.yaml")


@pytest.fixture
def small(tiny_folder, tmp_path):
    """Params of one tiny backbone on a small world, with every inversion, few steps and snapshots."""
    found = applied("contrastive-gap-world", raw())
    cell = {"backbones": ["tiny"], "datasets": ["world"]}
    found["backbones"]["tiny"] = {
        "weights": {"model": f"local-dir:{tiny_folder}"},
        "oti": {"tokens": 2},
        "ovi": {"patches": 1},
    }
    found |= {"finetune": {}, "backbones": {"tiny": found["backbones"]["tiny"]}}
    found["run"] = {
        **cell,
        "oti": cell,
        "ovi": cell,
        "sweep": {**cell, "tokens": [1, 4]},
        "seeds": {**cell, "methods": ["oti", "ovi"], "seeds": [1]},
        "imports": [],
    }
    found["datasets"]["world"]["images"] = {"train": 6, "test": 4}
    found["oti"] |= {"steps": 3, "snapshots": [1, 2, 50], "gallery": True}
    found["ovi"] |= {"steps": 2, "snapshots": [1], "snapshot_tokens": True, "gallery": False}
    return params_of(found, tmp_path)


@pytest.fixture
def prepared(small, tmp_path) -> pd.DataFrame:
    return prepare(small.datasets["world"], tmp_path).items


@pytest.mark.parametrize("preset", [None, "contrastive-gap-world", "idealised-world", "intra-modal"])
def test_the_cells_are_dvcs_under_its_names(tmp_path, monkeypatch, preset):
    from dvc.repo import Repo

    changed = applied(preset, raw()) if preset else raw()
    changed["run"] |= {"seeds": {**changed["run"]["oti"], "methods": ["oti", "ovi"], "seeds": [1, 2]}}
    changed["run"]["seeds"]["backbones"] = ["nano"]
    changed["run"]["imports"] = ["mine"]
    changed["imports"] = {
        "mine": {"backbone": "x", "dataset": "y", "retrieval": {"query": "a", "gallery": "a"}}
    }
    found = cells(params_of(changed, tmp_path))
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        theirs = {stage.addressing for stage in repo.index.stages}
    names = [cell.name for cell in found]
    assert len(set(names)) == len(names) and set(names) == theirs - {"nano"}


def test_outdated_is_what_changed_and_what_comes_after(tmp_path, monkeypatch):
    from dvc.repo import Repo

    stages = {
        "first": {"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
        "second": {"cmd": "cp b c", "deps": ["b"], "outs": ["c"]},
        "other": {"cmd": "cp x y", "deps": ["x"], "outs": ["y"]},
        "last": {"cmd": "cat c y > z", "deps": ["c", "y"], "outs": ["z"]},
        "kept": {"cmd": "cp a k", "deps": ["a"], "outs": ["k"], "frozen": True},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "a").write_text("1")
    (tmp_path / "x").write_text("2")
    (tmp_path / "k").write_text("made before")
    monkeypatch.chdir(tmp_path)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        assert outdated(tmp_path) == {"first", "second", "other", "last"}
        repo.reproduce()
    assert outdated(tmp_path) == set()
    (tmp_path / "x").write_text("3")
    assert outdated(tmp_path) == {"other", "last"}
    (tmp_path / "c").unlink()
    assert outdated(tmp_path) == {"other", "second", "last"}


def test_items_of_a_manifest_by_hand():
    rows = [
        ("i1", "image", "test", None, "i1", 0, "d1"),
        ("i2", "image", "test", None, "i2", 0, "d1"),
        ("i3", "image", "train", None, "i3", 0, "d2"),
        ("c1", "text", "test", "a", "i1", 0, "t1"),
        ("c2", "text", "test", "b", "i1", 1, "t2"),
        ("c3", "text", "test", "a", "i2", 0, "t1"),
        ("p1", "text", "classes", "x", None, 3, "t3"),
        ("q1", "text", "corpus", "y", None, 1, "t4"),
    ]
    names = ["id", "modality", "split", "text", "group", "rank", "digest"]
    found = of_manifest(pd.DataFrame(rows, columns=names))
    assert found.images == {"test": 2, "train": 1}
    assert found.texts == {"test": 3, "classes": 1, "corpus": 1}
    assert found.first == {"test": 2, "classes": 1, "corpus": 1}
    assert found.distinct == {"image": 2, "text": 4}


def test_the_worlds_items_are_known_before_it_is_prepared(small, prepared):
    declared, found = of_declaration(small.datasets["world"]), of_manifest(prepared)
    assert (declared.images, declared.texts, declared.first) == (found.images, found.texts, found.first)


def test_items_by_declared_sizes(tmp_path):
    changed = raw()
    changed["datasets"]["mine"] = {
        "layout": "imagefolder",
        "root": "x",
        "splits": ["train", "test"],
        "retrieval": {"query": "test", "gallery": "train"},
        "templates": ["a {}.", "the {}."],
        "sizes": {"train": {"images": 30, "classes": 5}, "test": {"images": 20, "classes": 4}},
    }
    mine = params_of(changed, tmp_path).datasets["mine"]
    found = of_declaration(mine)
    assert found.images == {"train": 30, "test": 20}
    assert found.texts == {"classes": 10, "vocabulary": 1000, "vocabulary-photo": 1000}
    assert found.distinct == {"image": 50, "text": 2010}
    assert of_declaration(mine.model_copy(update={"sizes": {}})) is None
    news = of_declaration(load(ROOT / "params.yaml").datasets["newsgroups"])
    assert news.texts["query"] == 20 and news.texts["test"] == 7532 and news.images == {}


class Group(dict):
    """As much of a store's group as choosing needs."""

    def __len__(self) -> int:
        return len(self["id"])


@pytest.mark.parametrize("gallery", [True, False])
@pytest.mark.parametrize("splits", [("test", "test"), ("test", "train")])
def test_inverted_items_are_those_that_the_stages_choose(small, prepared, gallery, splits):
    retrieval = small.datasets["world"].retrieval.model_copy(
        update=dict(zip(("query", "gallery"), splits, strict=True))
    )
    world = small.datasets["world"].model_copy(update={"retrieval": retrieval})
    sections = {name: getattr(small, name).model_copy(update={"gallery": gallery}) for name in ("oti", "ovi")}
    params = small.model_copy(update={"datasets": {"world": world}, **sections})
    native = {
        f"{modality}/{split}": Group(
            {name: rows[name].to_numpy() for name in ("id", "rank")}
            | ({"group": rows["group"]} if rows["group"].notna().any() else {})
        )
        for (modality, split), rows in prepared.groupby(["modality", "split"])
    }
    items = of_manifest(prepared)
    for cell in cells(params):
        if cell.method is None:
            continue
        beside = cell.stage in ("sweep", "seeds")
        choose = stores.chosen_images if cell.method == "oti" else stores.chosen_texts
        chosen = choose(native, splits[0], splits[1] if gallery and not beside else None)
        if beside:
            chosen = {name: rows for name, rows in chosen.items() if name.endswith(f"/{splits[0]}")}
        assert inverted(cell, params, items) == sum(map(len, chosen.values())) > 0, cell


def test_room_is_what_the_stores_arrays_take(small, prepared, tiny_folder, tmp_path):
    """Encoded and inverted in truth: every float32 of the stores."""
    backbone = load_backbone(f"local-dir:{tiny_folder}", None)
    encode(
        prepared,
        tmp_path,
        backbone,
        tmp_path / "native.zarr.zip",
        provenance={},
        scratch=tmp_path / "scratch",
    )
    native = open_store(tmp_path / "native.zarr.zip")
    sizes = {f"local-dir:{tiny_folder}": described(f"local-dir:{tiny_folder}")}
    items = {"world": of_manifest(prepared)}
    for stage, method, choose in (
        ("encode", None, None),
        ("oti", Oti(tokens=2), stores.chosen_images),
        ("ovi", Ovi(1), stores.chosen_texts),
    ):
        found = native
        if method:
            path = tmp_path / f"{stage}.zarr.zip"
            chosen = choose(native, "test", "test" if stage == "oti" else None)
            recipe = getattr(small, stage).recipe
            stores.invert_store(
                native, chosen, backbone, method, recipe, path, scratch=tmp_path / "s", batch_size=64
            )
            found = open_store(path)
        arrays = [
            array
            for name in found.groups
            for _, array in found[name].zarr_group.arrays()
            if array.dtype == np.float32
        ]
        estimated = cost([Cell(stage, "", "tiny", "world", method and stage)], small, items, sizes)
        assert estimated.bytes == sum(array.nbytes for array in arrays)
        assert estimated.items == sum(len(found[name]) for name in found.groups)


def test_time_by_hand(small, prepared, tiny_folder):
    model = f"local-dir:{tiny_folder}"
    sizes, speeds = {model: described(model)}, {(model, "fp32"): SPEEDS}
    items = of_manifest(prepared)
    texts = prepared[prepared["modality"] == "text"]["text"].nunique()

    def seconds(**of) -> float:
        return cost(
            [Cell(backbone="tiny", dataset="world", **of)], small, {"world": items}, sizes, speeds
        ).seconds

    assert seconds(stage="encode") == 2 + 10 * 0.5 + texts * 0.25
    assert seconds(stage="oti", method="oti") == 2 + 4 * 3 * 1.0
    assert seconds(stage="sweep", method="oti", tokens=1) == 2 + 4 * 3 * 0.125
    assert seconds(stage="seeds", method="ovi") == 2 + 4 * 2 * 0.0625
    assert seconds(stage="evaluate") == 0
    cell = Cell("encode", "", "tiny", "world")
    assert cost([cell], small, {"world": None}, sizes, speeds) == Cost(seconds=0.0, unknown=1)
    assert cost([cell], small, {"world": items}, sizes, {}) == Cost(seconds=0.0, unknown=1)
    assert cost([cell], small, {"world": items}, sizes).seconds is None


def test_what_is_measured_is_what_the_cells_need_and_once_for_those_built_alike(small, tmp_path):
    (one,) = asked(cells(small), small)
    assert (one.tokens, one.patches, one.images, one.texts) == ([1, 2, 4], [1], True, True)
    params = params_of(applied("contrastive-gap-world", raw()), tmp_path)
    (one,) = asked(cells(params), params)
    assert one.model == "local-dir:data/backbones/nano" and one.tokens == []
    (one,) = asked([cell for cell in cells(small) if cell.stage == "sweep"], small)
    assert (one.tokens, one.images, one.texts) == ([1, 4], False, False)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only goes when it is told to."""
    now = [0.0]
    monkeypatch.setattr(probing.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(("fixed", "each", "most", "seconds"), [(3.0, 0.5, 100, 60), (0.0, 2.0, 64, 40)])
def test_a_rate_leaves_out_what_is_paid_once_and_keeps_to_its_time(clock, fixed, each, most, seconds):
    def work(n: int) -> None:
        clock[0] += fixed + each * n

    found, n = rate(work, most, seconds)
    assert found == pytest.approx(each) and 1 < n <= most
    assert clock[0] <= seconds + fixed + each, "beside the first, which is not measured"


def test_a_rate_of_what_takes_too_long_is_that_of_one(clock):
    def work(n: int) -> None:
        clock[0] += 10 * n

    assert rate(work, 64, 15) == (10, 1)


def test_speeds_are_measured(tiny_folder, prepared, tmp_path):
    manifest.write(prepared, tmp_path)
    wanted = Asked(
        f"local-dir:{tiny_folder}", "fp32", "cpu", 8, 0, None, "a photo of {}", [1, 2], [1], seconds=1.0,
        sample=(str(tmp_path), str(tmp_path)),
    )  # fmt: skip
    for found in (measure(wanted, time.time()), measure(replace(wanted, sample=None), time.time())):
        assert found.image > 0 and found.text > 0
        assert set(found.tokens) == {1, 2} and set(found.patches) == {1}
        assert min(*found.tokens.values(), *found.patches.values()) > 0
        assert set(found.measured) == {"images", "texts", "oti of 1", "oti of 2", "ovi of 1"}


def test_in_a_process_of_its_own(tiny_folder):
    found = probe(
        Asked(
            f"local-dir:{tiny_folder}", "fp32", "cpu", 8, 0, 4, "a {}", patches=[1], images=False, seconds=1
        )
    )
    assert found.image is None and found.text > 0 and found.patches[1] > 0 and 0 < found.start < 120
    with pytest.raises(ProbeError, match="ViT-nothing"):
        probe(Asked("ViT-nothing", "fp32", "cpu", 8, 0, None, "a {}"))


def test_no_more_is_inverted_than_a_batch_holds(tiny_folder, monkeypatch):
    seen = []

    def counting(injection, targets, initial, recipe):
        seen.append(len(targets))
        return optimise(injection, targets, initial, recipe)

    monkeypatch.setattr("crossgap.inversion.invert.optimise", counting)
    measure(
        Asked(
            f"local-dir:{tiny_folder}", "fp32", "cpu", 8, 0, 4, "a {}", [1], [1], images=False, seconds=4
        ),
        time.time(),
    )
    assert min(seen) == 1 and max(seen) <= 4  # not filled up to a batch that memory can't hold


def test_a_probe_that_was_killed_is_told(monkeypatch):
    killed = subprocess.CompletedProcess([], -9, "", "texts: 100%| 64/64")
    monkeypatch.setattr(probing.subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(ProbeError, match="SIGKILL, as where memory runs out"):
        probe(Asked("ViT-B-32", "fp32", "cpu", 8, 0, None, "a {}"))


def test_a_control_is_measured_by_its_images_alone():
    found = measure(
        Asked("timm:vit_tiny_patch16_224", "fp32", "cpu", 2, 0, None, "a {}", texts=False, seconds=1),
        time.time(),
    )
    assert found.image > 0 and found.text is None and found.measured.keys() == {"images"}
