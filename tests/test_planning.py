from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from dvc.repo import Repo
from PIL import Image

from crossgap import open_store
from crossgap.backbones import load_backbone
from crossgap.catalogue.backbones import described
from crossgap.cli import planning as planned
from crossgap.datasets import Size
from crossgap.datasets.preparing import prepare
from crossgap.datasets.world import FACTORS
from crossgap.encode import encode
from crossgap.evaluation import Cell, evaluate
from crossgap.evaluation.options import FAMILIES
from crossgap.inversion import stores
from crossgap.inversion.methods import Oti, Ovi
from crossgap.inversion.optimise import optimise
from crossgap.params import Import, Params, load
from crossgap.planning import evaluated, made_here, rates, timing
from crossgap.planning import probe as probing
from crossgap.planning.cells import StageCell, cells
from crossgap.planning.estimate import Cost, asked, cost
from crossgap.planning.items import distilled, inverted, of_datasets, of_declaration, of_manifest
from crossgap.planning.operations import Inverted, PlannedEvaluation
from crossgap.planning.pipeline import PipelineError, outdated
from crossgap.planning.probe import Asked, ProbeError, Speeds, probe
from crossgap.planning.timing import measure, rate
from crossgap.prepared import manifest
from crossgap.presets import applied
from crossgap.stores.store import Store
from crossgap.stores.writing import creating
from tests.evaluation.small import TEST, write
from tests.runs import run_of

ROOT = Path(__file__).parents[1]
SPEEDS = Speeds(
    start=2.0, image=0.5, text=0.25, tokens={1: 0.125, 2: 1.0}, patches={1: 0.0625}, measured={},
    batches={"oti of 1": 4, "oti of 2": 3, "ovi of 1": 5},
)  # fmt: skip


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
        "distil": {**cell, "sources": ["world"], "methods": ["oti", "ovi"], "losses": ["cosine", "tokens"]},
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
    changed = applied(preset, raw()) if preset else raw()
    changed["run"] |= {"seeds": {**changed["run"]["oti"], "methods": ["oti", "ovi"], "seeds": [1, 2]}}
    changed["run"]["seeds"]["backbones"] = ["nano"]
    changed["run"]["imports"] = ["mine"]
    changed["imports"] = {
        "mine": {"backbone": "x", "dataset": "y", "retrieval": {"query": "a", "gallery": "a"}}
    }
    found = cells(params_of(changed, tmp_path))
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    shutil.copytree(
        ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__", "*.lock")
    )
    monkeypatch.chdir(tmp_path)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        theirs = {stage.addressing for stage in repo.index.stages}
    names = [cell.name for cell in found]
    assert len(set(names)) == len(names) and set(names) == theirs - {"nano"}


def test_outdated_is_what_changed_and_what_comes_after(tmp_path, monkeypatch):
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
        assert outdated(tmp_path, set()) == {"first", "second", "other", "last"}
        repo.reproduce()
    assert outdated(tmp_path, set()) == set()
    (tmp_path / "x").write_text("3")
    assert outdated(tmp_path, set()) == {"other", "last"}
    (tmp_path / "c").unlink()
    assert outdated(tmp_path, set()) == {"other", "second", "last"}


def test_what_resolve_would_write_is_outdated_where_it_runs_and_nothing_else_for_it(tmp_path, monkeypatch):
    stages = {
        "resolve": {"cmd": "cp a r", "deps": ["a"], "outs": ["r"]},
        "one": {"cmd": "cp r one.out", "deps": ["r"], "outs": ["one.out"]},
        "two": {"cmd": "cp r two.out", "deps": ["r"], "outs": ["two.out"]},
        "last": {"cmd": "cp one.out z", "deps": ["one.out"], "outs": ["z"]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "a").write_text("1")
    monkeypatch.chdir(tmp_path)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        repo.reproduce()
    assert outdated(tmp_path, {"one"}) == set(), "resolve would not run"
    (tmp_path / "a").write_text("2")
    assert outdated(tmp_path, set()) == {"resolve"}
    assert outdated(tmp_path, {"one"}) == {"resolve", "one", "last"}
    (tmp_path / "two.out").unlink()
    assert outdated(tmp_path, {"one"}) == {"resolve", "one", "last", "two"}


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("dvc.yaml", "stages:\n  a: {cmd: x, outs: [q\n", "unable to read: 'dvc.yaml'"),
        ("dvc.yaml", "stages:\n  a: {nocmd: x}\n", "'./dvc.yaml' validation failed"),
        (
            "dvc.yaml",
            "stages:\n  a: {foreach: '${nothing}', do: {cmd: x}}\n",
            "failed to parse 'stages.a.foreach'",
        ),
        ("dvc.lock", "<<<<<<< ours\nschema: 2\n", "unable to read: 'dvc.lock'"),
    ],
)
def test_a_pipeline_that_dvc_cannot_read_is_one_sentence(file, text, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=re.escape(f"{tmp_path} is no project of DVC's: go to ")):
        outdated(tmp_path, set())
    with Repo.init(str(tmp_path), no_scm=True):
        (tmp_path / "dvc.yaml").write_text("stages:\n  a: {cmd: x}\n")
    (tmp_path / file).write_text(text)
    with pytest.raises(
        PipelineError, match=re.escape(f"DVC can't read the pipeline of {tmp_path}: {why}")
    ) as told:
        outdated(tmp_path, set())
    assert "\n" not in str(told.value)


def test_a_pipeline_that_dvc_works_on_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0)
    with (
        Repo.init(str(tmp_path), no_scm=True) as repo,
        repo.lock,
        pytest.raises(PipelineError, match="wait until"),
    ):
        outdated(tmp_path, set())


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
    assert found.texts == {"classes": 10, "vocabulary": 1000, "vocabulary-photo": 1000, "styles": 131}
    assert found.distinct == {"image": 50, "text": 2141}
    assert of_declaration(mine.model_copy(update={"sizes": {}})) is None
    assert found.classes["text/classes"] == {"class": 5}, "two templates of each"
    captioned = {
        "train": Size(images=30, texts=150),
        "test": Size(images=20, texts=100),
        "more": Size(texts=7),
    }
    found = of_declaration(mine.model_copy(update={"sizes": captioned}))
    assert found.texts["train"] == 150 and found.first["train"] == 30
    assert found.first["test"] == 20 and found.first["more"] == 7
    assert found.captions == {"train", "test"}
    news = of_declaration(load(ROOT / "params.yaml").datasets["newsgroups"])
    assert news.texts["query"] == 20 and news.texts["test"] == 7532 and news.images == {}


def test_phi_learns_from_what_is_not_held_out_and_is_measured_on_all_that_is(small, prepared):
    cell = next(one for one in cells(small) if one.stage == "distil" and one.method == "oti")
    items, shares = (
        of_manifest(prepared),
        small.distil.oti.model_copy(update={"held_out": 0.5, "items": None}),
    )
    for most, expected in ((None, 6), (2, 2 + 3), (5, 6)):
        settings = small.distil.model_copy(update={"oti": shares.model_copy(update={"items": most})})
        found = distilled(cell, small.model_copy(update={"distil": settings}), items)
        assert found == expected, "of 6 images 3 are held out"


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
        if not cell.method or cell.stage == "distil":
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
        estimated = cost([StageCell(stage, "", "tiny", "world", method and stage)], small, items, sizes)
        assert estimated.bytes == sum(array.nbytes for array in arrays)
        assert estimated.items == sum(len(found[name]) for name in found.groups)


def test_time_by_hand(small, prepared, tiny_folder):
    model = f"local-dir:{tiny_folder}"
    sizes, speeds = {model: described(model)}, {(model, "fp32"): SPEEDS}
    items = of_manifest(prepared)
    texts = prepared[prepared["modality"] == "text"]["text"].nunique()

    def seconds(**of) -> float:
        return cost(
            [StageCell(backbone="tiny", dataset="world", **of)], small, {"world": items}, sizes, speeds
        ).seconds

    assert seconds(stage="encode") == 2 + 10 * 0.5 + texts * 0.25
    # four items in batches of three: the second is filled up
    assert seconds(stage="oti", method="oti") == 2 + 6 * 3 * 1.0
    assert seconds(stage="sweep", method="oti", tokens=1) == 2 + 4 * 3 * 0.125
    assert seconds(stage="seeds", method="ovi") == 2 + 5 * 2 * 0.0625
    assert seconds(stage="distil", method="oti", loss="cosine") == 2 + 6 * 60 * 1.0
    assert seconds(stage="distil", method="oti", loss="tokens") == 2 + 6 * 3 * 1.0, "the tokens alone"
    assert seconds(stage="distil", method="oti", loss="searle") == 2 + 6 * (60 + 3) * 1.0
    assert seconds(stage="distilled", method="oti", loss="cosine", on="world") == 2 + 6 * 1.0
    assert seconds(stage="evaluate") == 0
    cell = StageCell("encode", "", "tiny", "world")
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
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(("fixed", "each", "most", "seconds"), [(3.0, 0.5, 100, 60), (0.0, 2.0, 64, 40)])
def test_a_rate_leaves_out_what_is_paid_once_and_keeps_to_its_time(clock, fixed, each, most, seconds):
    def work(n: int) -> None:
        clock[0] += fixed + each * n

    found, n = rate(work, most, seconds)
    assert found == pytest.approx(each) and 1 < n <= most
    assert clock[0] <= seconds + fixed + each, "beside the first, which is not measured"


def test_what_is_done_once_before_the_first_item_is_no_rate(clock):
    """As modules that are loaded: there is time for another item, which tells."""
    done: list[int] = []

    def work(n: int) -> None:
        clock[0] += 0.01 * n + (0 if done else 3)
        done.append(n)

    found, n = rate(work, 128, 7)
    assert found == pytest.approx(0.01) and n > 1 and clock[0] <= 7


def test_a_rate_of_what_takes_too_long_is_that_of_one(clock):
    def work(n: int) -> None:
        clock[0] += 10 * n

    assert rate(work, 64, 15) == (10, 1)
    assert rate(work, 64, 15, 0.5) == (0.5, 1), "or what it is guessed to be"


def test_speeds_are_measured(tiny_folder, prepared, tmp_path):
    manifest.write(prepared, tmp_path)
    wanted = Asked(
        f"local-dir:{tiny_folder}", "fp32", "cpu", 8, 0, None, "a photo of {}", [1, 2], [1], seconds=1.0,
        sample=(str(tmp_path), str(tmp_path)),
    )  # fmt: skip
    for found in (measure(wanted, time.monotonic()), measure(replace(wanted, sample=None), time.monotonic())):
        assert found.image > 0 and found.text > 0
        assert set(found.tokens) == {1, 2} and set(found.patches) == {1}
        assert min(*found.tokens.values(), *found.patches.values()) > 0
        assert set(found.measured) == {"images", "texts", "oti of 1", "oti of 2", "ovi of 1"}


@pytest.mark.slow
def test_in_a_process_of_its_own(tiny_folder):
    found = probe(
        Asked(
            f"local-dir:{tiny_folder}", "fp32", "cpu", 8, 0, 4, "a {}", patches=[1], images=False, seconds=1
        )
    )
    assert found.image is None and found.text > 0 and found.patches[1] > 0 and 0 < found.start < 120
    unknown = Asked("ViT-nothing", "fp32", "cpu", 8, 0, None, "a {}")
    with pytest.raises(ProbeError, match=r"^'ViT-nothing' is none of open_clip's") as told:
        probe(unknown)
    assert "\n" not in str(told.value)


def test_no_more_is_inverted_than_a_batch_holds(tiny_folder, monkeypatch):
    seen = []

    def counting(injection, targets, initial, recipe):
        seen.append(len(targets))
        return optimise(injection, targets, initial, recipe)

    monkeypatch.setattr("crossgap.inversion.invert.optimise", counting)
    measure(
        Asked(f"local-dir:{tiny_folder}", "fp32", "cpu", 8, 0, 4, "a {}", [1], [1], images=False, seconds=4),
        time.monotonic(),
    )
    assert min(seen) == 1 and max(seen) <= 4  # not filled up to a batch that memory can't hold


def test_a_probe_that_fails_by_a_mistake_shows_its_traceback(monkeypatch):
    traceback = "Traceback (most recent call last):\n  File x, line 1, in work\nTypeError: unsupported"
    failed = subprocess.CompletedProcess([], 1, "", f"a warning\ntexts: 100%| 64/64\n{traceback}\n")
    monkeypatch.setattr(probing.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ProbeError) as told:
        probe(Asked("ViT-B-32", "fp32", "cpu", 8, 0, None, "a {}"))
    assert str(told.value) == f"by a mistake of crossgap's or a library's:\n{traceback}"


def test_a_probe_that_was_killed_is_told(monkeypatch):
    killed = subprocess.CompletedProcess([], -9, "", "texts: 100%| 64/64")
    monkeypatch.setattr(probing.subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(ProbeError, match="SIGKILL, as where memory runs out"):
        probe(Asked("ViT-B-32", "fp32", "cpu", 8, 0, None, "a {}"))
    killed.returncode = -15
    with pytest.raises(ProbeError, match=r"^ended by SIGTERM$"):
        probe(Asked("ViT-B-32", "fp32", "cpu", 8, 0, None, "a {}"))


def test_an_evaluation_whose_rates_can_not_be_measured_is_planned_without_its_time(monkeypatch, capsys):
    """As where memory runs out."""
    killed = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr(probing.subprocess, "run", lambda *_, **__: killed)
    assert planned._rates({"evaluate": [(None, 8)]}) is None
    assert capsys.readouterr().out == "evaluation: not measured: ended by SIGKILL, as where memory runs out\n"


def test_a_control_is_measured_by_its_images_alone():
    found = measure(
        Asked("timm:vit_tiny_patch16_224", "fp32", "cpu", 2, 0, None, "a {}", texts=False, seconds=1),
        time.monotonic(),
    )
    assert found.image > 0 and found.text is None and found.measured.keys() == {"images"}


def written(path: Path, images: int, captions: int, width: int = 32) -> Store:
    """A store with a query and a gallery split of as many images of 10 kinds, with captions and class prompts."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, width))

    def group(ids: list[str], of: list[str], kinds: np.ndarray, ranks: list[int]) -> tuple[dict, list]:
        columns = {"id": ids, "group": of, "label.kind": [f"kind {kind}" for kind in kinds]}
        held = {name: np.array(values, object) for name, values in columns.items() if any(values)}
        features = (centres[kinds] + rng.normal(size=(len(ids), width))).astype(np.float32)
        return held | {"rank": np.array(ranks, np.int64)}, [{"features": features}]

    with creating(path, path.parent / "scratch", {"fingerprint": "native"}) as writer:
        for split in ("test", "train"):
            ids, kinds = [f"{split}{n}" for n in range(images)], np.arange(images) % 10
            writer.add(f"image/{split}", *group(ids, ids, kinds, [0] * images))
            every = [f"{name}#{rank}" for name in ids for rank in range(captions)]
            of, ranks = np.repeat(ids, captions).tolist(), list(range(captions)) * images
            writer.add(f"text/{split}", *group(every, of, np.repeat(kinds, captions), ranks))
        prompts = [f"prompt{n}" for n in range(10)]
        writer.add("text/classes", *group(prompts, [""] * 10, np.arange(10), [0] * 10))
    return open_store(path)


def all_corrections(params: Params) -> Params:
    settings = params.evaluate.model_copy(update={"corrections": None})
    return params.model_copy(update={"evaluate": settings})


@pytest.mark.parametrize(("images", "captions"), [(150, 2), (400, 3)])
@pytest.mark.slow
def test_an_evaluation_takes_about_as_long_as_it_is_estimated_to(small, tmp_path, images, captions):
    """Within a factor of 3, in processor time, the speeds measured before and after: a busy machine slows all.

    In processor seconds, estimated and measured, of CLIP ViT-B/32 features, 512 wide, with all corrections that can be
    had: 600 queries × 600 images of DTD 6.6 and 7.3, FGVC Aircraft's 3,333 × 3,333 53 and 42; Flickr8k's with noise,
    5 captions an image: 100 images 1.4 and 2.4, 600 images 8.5 and 8.8, 1,500 images 39 and 32; DTD whole with OTI at
    7 steps 15 and 16.
    """
    store = written(tmp_path / "native.zarr.zip", images, captions)
    retrieval = {"query": "test", "gallery": "train"}
    declared = Import.model_validate({"backbone": "x", "dataset": "y", "retrieval": retrieval})
    params = all_corrections(small)
    task, settings = evaluated.of_import(store, declared, params), params.evaluate.model_dump()
    settings.pop("fit_on")
    before = rates.measure(32, clock=time.process_time)
    start = time.process_time()
    found = evaluate(Cell(store, None, None, "test", "train"), **settings)
    took = time.process_time() - start
    after = rates.measure(32, clock=time.process_time)
    estimate = (task.seconds(before) + task.seconds(after)) / 2
    assert took / 3 < estimate < took * 3, (estimate, took)
    assert set(found.corrections["name"][found.corrections["reason"] == ""]) == set(task.fitted)


def test_operations_of_an_evaluation_by_hand():
    """40 images and 2 captions each against themselves, 4 kinds with prompts, one correction, no support."""
    sizes = {"image/test": 40, "text/test": 80, "text/classes": 4}
    classes = {"image/test": {"kind": 4}, "text/classes": {"kind": 4}}
    settings = {
        "families": None,
        "resamples": 100,
        "shots": [1, 2],
        "draws": 3,
        "corrections": ["centering"],
        "logistic": "native",
        "mixed_search": {"shares": [0, 0.5], "alphas": [0.5], "draws": 3},
    }
    none = Inverted()
    task = PlannedEvaluation(
        sizes, classes, 40, "test", "test", None, none, none, ("centering",), 0, (), settings
    )
    done = task.operations()
    ranked = 40 * 40 + 40 * 40 + 2 * 80 * 40  # image-image, text-text by the first captions, and across
    unshifted = 2 * ranked + 2 * 40 * 4  # natively and corrected, and 4 class means for each image
    shifted = 13 * (40 * 40 + 2 * 80 * 40 + 40 * 40 + 40 * 4)  # with the loss of 40 pairs, and the classes
    shifted += 10 * (40 * 40 + 2 * 80 * 40 + 40 * 4)  # without dimensions, of which there is no loss
    assert done["pair"] == unshifted + shifted
    # image-image, text-text, both ways across, zero-shot; the first four once more of queries that stay
    # and texts among images and texts: by 2 shares and one α, and by halves
    assert done["resample"] == 100 * (2 * (40 + 40 + 80 + 40) + 40 + 3 * 40 + 20)
    assert done["cluster"] == 2 * (40 + 40 + 80) * 4  # images, and both together, by their images' labels
    assert done["drawn"] == 0 and done["fit"] == 5 and done["start"] == 1
    for of in (task, replace(task, oti=Inverted(points=3, seeds=2))):
        alone = [replace(of, settings=settings | {"families": [name]}).operations() for name in FAMILIES]
        assert all(one["start"] == 1 for one in alone)
        beyond = [one - Counter(start=1, fit=len(of.fitted)) for one in alone]
        assert sum(beyond, Counter(start=1, fit=len(of.fitted))) == of.operations()
    few = replace(task, settings=settings | {"families": ["retrieval", "arithmetic"]}).operations()
    assert few["pair"] == 2 * ranked and few["resample"] == 100 * (40 + 40 + 80 + 40) and not few["cluster"]
    inverted = replace(task, oti=Inverted(points=3, seeds=2, gallery=True, ways=1))
    more = inverted.operations() - done
    assert more["pair"] == 6 * 40 * 40 + 40 * 4  # OTI-OTI too, and OTI to text
    # hubs of OTI-image and of OTI-OTI; texts among inverted images: halves, and 5 galleries at half a price
    assert more["similar"] == (3 + 2) * 40 * 40 + 20 * 60 + (15 // 2 - 10 // 2) * 40 * 40
    assert more["cluster"] == 40 * 4 and "resample" not in more
    by_phi = (
        replace(task, oti=Inverted(points=3, seeds=2, gallery=True, ways=3)).operations()
        - inverted.operations()
    )
    assert by_phi == {
        "similar": 2 * 20 * 60
        + 2 * 5 // 2 * 40 * 40,  # texts among images inverted by φ, and by steps from there
        "pair": 2 * 40 * 4,
        "row": 2 * 40,
    }
    supported = replace(task, sizes=sizes | {"image/train": 30}, support="train")
    supported = replace(supported, classes=classes | {"image/train": {"kind": 4}})
    more = supported.operations() - done
    assert more["drawn"] == 2 * 3 * 30, "of 1 and 2 images, three draws, the same with every correction"
    assert more["resample"] == 40 * 100 and more["gda"] == 2 * (1 + 2 * (3 + 1))
    assert more["logistic"] == (4 + 1) * 30 * 4, "natively; halves with four C, then all"


def test_evaluations_of_cells(small, prepared):
    """A cell's, with its inversions, by its manifest and before it is prepared."""
    small, items = all_corrections(small), of_manifest(prepared)
    cell = next(cell for cell in cells(small) if cell.stage == "evaluate")
    task = evaluated.of_cell(cell, small, items, True)
    assert (
        task.sizes["image/test"] == 4
        and task.first == 4
        and task.classes["image/test"].keys() == FACTORS.keys()
    )
    assert task.oti == Inverted((1 + 2) * 3 + 2, 1, True, 1 + 2), (
        "1, 2 and the last step; R = 2, 1 and 4; two φ"
    )
    assert task.ovi == Inverted(2 + 2, 1, False, 1 + 2)
    assert {"isoclip", "centering", "pca_plus_photo"} <= set(task.fitted)
    declared = evaluated.of_cell(cell, small, of_declaration(small.datasets["world"]), True)
    assert declared.operations().keys() == task.operations().keys()
    assert evaluated.of_cell(cell, small, items, False).fitted == tuple(
        name for name in task.fitted if name not in ("isoclip", "pseudo_inverse")
    )
    one = rates.Rates(1.0, *[0.0] * 11)
    known = [(task, 8), (declared, 8), None]
    assert evaluated.cost(known, {8: one}) == Cost(seconds=2.0, unknown=1)
    assert evaluated.cost(known, None) == Cost(seconds=None, unknown=1)


def test_what_an_evaluation_is_planned_with_depends_on_its_places_and_splits(small, prepared):
    """Pairs of another split alone are fitted on, and several other datasets make one more place of all of them."""
    small, items = all_corrections(small), of_manifest(prepared)
    cell = next(cell for cell in cells(small) if cell.stage == "evaluate")
    world = small.datasets["world"]

    def fitted(support: str | None, gallery: str = "test", others: tuple[str, ...] = ()) -> set[str]:
        retrieval = world.retrieval.model_copy(update={"query": "test", "gallery": gallery})
        controls = world.controls.model_copy(update={"support": support})
        changed = world.model_copy(update={"retrieval": retrieval, "controls": controls})
        fit_on = small.evaluate.fit_on.model_copy(update={"datasets": ["world", *others]})
        settings = small.evaluate.model_copy(update={"fit_on": fit_on})
        params = small.model_copy(update={"datasets": {"world": changed}, "evaluate": settings})
        return set(evaluated.of_cell(cell, params, items, True).fitted)

    assert "ridge" in fitted("train") & fitted(None, "train") and "ridge" not in fitted(None)
    one, two = fitted(None, others=("a",)), fitted(None, others=("a", "b"))
    assert "centering@a" in one and "centering@others" not in one
    assert {"centering@a", "centering@b", "centering@others"} <= two and "centering@world" not in two


def test_steps_from_phi_are_one_more_way(small, prepared):
    steps = small.distil.oti.model_copy(update={"steps": 7})
    changed = small.model_copy(update={"distil": small.distil.model_copy(update={"oti": steps})})
    cell = next(cell for cell in cells(small) if cell.stage == "evaluate")
    assert evaluated.of_cell(cell, changed, of_manifest(prepared), True).oti.ways == 1 + 2 * 2


def test_a_blank_label_of_an_import_is_no_class(tmp_path):
    labels = ["", *TEST["label.colour"][1:]]
    store = write(tmp_path / "s.zip", {"image/test": TEST | {"label.colour": labels}})
    declared = Import(backbone="b", dataset="d", retrieval={"query": "test", "gallery": "test"})
    found = evaluated.of_import(store, declared, load(ROOT / "params.yaml"))
    assert found.classes["image/test"] == {
        "colour": len({*labels} - {""}),
        "shape": len({*TEST["label.shape"]}),
    }


def test_a_rate_is_the_middle_one_of_three_and_leaves_out_what_a_task_costs_in_any_case():
    now, lengths = [0.0], iter([9.0, 5.0, 1.0, 3.0])

    def work() -> None:
        now[0] += next(lengths)

    assert rates._median(work, lambda: now[0]) == 3, "the first does what is done only once"
    asked = count()

    def clock() -> float:
        """Each piece of work, thrice, takes a second more than the one before: first a task, second its pairs."""
        number = next(asked)
        return (number // 6 + 1) * (number % 2)

    found = rates.measure(8, clock=clock)
    assert found.task == 1 and found.pair == pytest.approx(1 / 1000**2)


def test_rates_in_a_process_of_their_own():
    found = rates.probe([8])
    assert set(found) == {8} and 0 < found[8].start < 120
    assert min(found[8].pair, found[8].resample, found[8].cluster, found[8].task) > 0


def test_new_data_is_counted_by_its_files(tmp_path, monkeypatch):
    """A dataset that is neither prepared nor has sizes; what can't be counted says why."""
    monkeypatch.chdir(tmp_path)
    for split, kinds in {"train": "ab", "test": "a"}.items():
        for kind in kinds:
            (tmp_path / "photos" / split / kind).mkdir(parents=True)
            for number in range(3):
                path = tmp_path / "photos" / split / kind / f"{number}.png"
                Image.new("RGB", (4, 4)).save(path)
    (tmp_path / "photos" / "rows.csv").write_text(
        "image,caption\ntrain/a/0.png,one\ntrain/a/0.png,two\ntrain/a/1.png,three\n"
    )
    changed = raw()
    split = {"root": "photos", "retrieval": {"query": "test", "gallery": "test"}}
    changed["datasets"] = {
        "folders": {**split, "layout": "imagefolder", "splits": ["train", "test"]},
        "rows": {**split, "layout": "captions", "captions": "photos/rows.csv"},
        "nowhere": {**split, "layout": "imagefolder", "splits": ["test"], "root": "nothing"},
        "written": {**split, "layout": "cifar"},
    }
    changed["run"] = run_of(backbones=["nano"], datasets=list(changed["datasets"]))
    changed |= {"finetune": {}, "idealised": {}}
    found, reasons = of_datasets(params_of(changed, tmp_path), tmp_path / "prepared")
    assert found["folders"].images == {"train": 6, "test": 3} and found["folders"].known_by == "files"
    assert found["folders"].texts["classes"] == 2 and found["folders"].classes["image/train"] == {"class": 2}
    assert found["rows"].images == {"test": 2} and found["rows"].texts["test"] == 3
    assert found["rows"].first["test"] == 2 and found["rows"].captions == {"test"}
    assert found["nowhere"] is None and "nothing does not exist" in reasons["nowhere"]
    assert found["written"] is None and "counted only while it is prepared" in reasons["written"]


def test_every_stage_has_its_place_among_those_that_a_run_has_made():
    files = [ROOT / "dvc.yaml", *ROOT.glob("stages/*/dvc.yaml")]
    named = {stage for file in files for stage in yaml.safe_load(file.read_text())["stages"]}
    assert sorted({made_here.place(stage) for stage in named}) == list(range(len(made_here.ORDER)))


def test_what_changed_since_the_revision_is_named(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    names = ["params.yaml", "my notes.txt", "new (1).txt"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / names[0]).write_text("1")
    (tmp_path / names[1]).write_text("a text that is moved")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "all"], check=True)
    clean = dict(made_here.facts(tmp_path))
    assert "with changes" not in clean["revision of git"] and "git checkout" in clean["exactly again by"]
    (tmp_path / names[0]).write_text("2")
    subprocess.run([*git, "mv", names[1], names[2]], check=True)
    changed = dict(made_here.facts(tmp_path))
    named = changed["revision of git"].partition("not committed in ")[2].split(", ")
    assert set(names) - {names[1]} <= set(named) <= set(names)
    assert changed["exactly again by"] == "dvc repro"
