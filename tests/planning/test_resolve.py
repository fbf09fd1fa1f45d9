"""What each cell depends on: a setting changes the file of every cell whose work it decides, and of no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from crossgap.backbones import towers
from crossgap.params import Params, load_text
from crossgap.planning import resolve

ROOT = Path(__file__).parents[2]
NANO = {"backbones": ["nano"], "datasets": ["world"]}


def declared() -> dict:
    held = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    run = held["run"] | NANO | {"oti": NANO, "ovi": NANO, "imports": []}
    run["sweep"] = {**NANO, "tokens": [2]}
    run["seeds"] = {**NANO, "methods": ["oti"], "seeds": [1, 2]}
    run["distil"] = {**NANO, "sources": ["world"], "methods": ["oti"], "losses": ["cosine", "searle"]}
    return held | {"run": run, "finetune": {"nano-cua": held["finetune"]["nano-cua"]}}


def resolved(held: dict) -> resolve.Resolved:
    params: Params = load_text(yaml.safe_dump(held), "params.yaml")
    return {name: of for name, of in resolve.resolved(params, {}).items() if name != resolve.MACHINE}


def put(held: dict, place: str, value: object) -> None:
    *above, last = place.split(".")
    for name in above:
        held = held.setdefault(name, {})
    held[last] = value


OTI = {"oti/nano/world.json", "sweep/nano/world/2.json", *(f"seeds/nano/world/oti/{n}.json" for n in (1, 2))}
TAUGHT = {"distil/nano/world/oti/searle.json"}
DISTIL = TAUGHT | {"distil/nano/world/oti/cosine.json"}
DISTILLED = {f"distilled/nano/world/world/oti/{loss}.json" for loss in ("cosine", "searle")}
FINETUNE, IDEALISED = {"finetune/nano-cua.json"}, {"idealised/world.json"}
EVALUATE, REPORT = {"evaluate/nano/world.json"}, {"report.json"}


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ("oti.steps", 7, OTI | TAUGHT | REPORT),
        ("oti.snapshots", [3], OTI | REPORT),
        ("oti.snapshot_tokens", True, OTI | REPORT),
        ("oti.template", "an image of {}", OTI | DISTIL | DISTILLED | REPORT),
        ("oti.gallery", True, {"oti/nano/world.json"} | DISTILLED | REPORT),
        ("distil.oti.steps", 7, DISTILLED | REPORT),
        ("distil.oti.epochs", 7, DISTIL | REPORT),
        ("datasets.world.controls.published", "CUB", REPORT),
        ("backbones.nano.weights.sha256", None, {"weights.json"} | FINETUNE | REPORT),
        ("finetune.nano-cua.lr", 0.1, FINETUNE | REPORT),
        ("idealised.world.run.lr", 0.1, IDEALISED | REPORT),
        ("ovi.steps", 7, {"ovi/nano/world.json"} | REPORT),
        ("evaluate.shots", [3], EVALUATE | REPORT),
        ("evaluate.resamples", 99_999, EVALUATE | REPORT),
        ("report.queries", 3, EVALUATE | REPORT),
        ("machine.batch_size", 77, set()),
    ],
)
def test_a_setting_changes_the_cells_that_it_decides(monkeypatch, place, value, expected) -> None:
    monkeypatch.chdir(ROOT)
    held = declared()
    before = resolved(held)
    put(held, place, value)
    after = resolved(held)
    assert before.keys() == after.keys()
    assert {name for name, of in after.items() if of != before[name]} == expected


def test_each_inversion_has_its_own_tokens_and_seed(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    found = resolved(declared())
    seeds = [found[f"seeds/nano/world/oti/{number}.json"]["recipe"]["seed"] for number in (1, 2)]
    assert seeds == [1, 2] and found["sweep/nano/world/2.json"]["method"]["tokens"] == 2
    assert found["evaluate/nano/world.json"]["inversions"] == {
        "oti": ["oti.zarr.zip"],
        "ovi": ["ovi.zarr.zip"],
        "sweep": ["oti-2.zarr.zip"],
        "seeds": ["oti-seed-1.zarr.zip", "oti-seed-2.zarr.zip"],
        "distilled": ["oti-cosine-world.zarr.zip", "oti-searle-world.zarr.zip"],
    }


def test_the_corrections_that_are_asked_are_the_code_that_counts(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    codes = []
    for names in (None, ["centering"], ["whitening"]):
        held = declared()
        held["evaluate"]["corrections"] = names
        codes.append(resolved(held)["evaluate/nano/world.json"]["code"])
    assert len(set(codes)) == 3


def test_a_dataset_is_no_elsewhere_of_itself_and_what_is_fitted_there_is_beside_its_queries(
    monkeypatch,
) -> None:
    monkeypatch.chdir(ROOT)
    held = declared()
    other = {
        **held["datasets"]["world"],
        "images": {"train": 100, "test": 50},
        "controls": {"support": "test"},
    }
    held["datasets"]["other"] = other | {"retrieval": {"query": "train", "gallery": "train"}}
    held["run"]["datasets"] = ["world", "other"]
    held["evaluate"]["fit_on"]["datasets"] = ["world", "other"]
    found = resolved(held)
    assert found["evaluate/nano/world.json"]["elsewhere"] == ["other"]
    assert found["evaluate/nano/other.json"]["elsewhere"] == ["world"]
    cell = found["elsewhere/nano/world/other.json"]
    assert {name: cell[name] for name in cell if name != "code"} == {
        "query": "train",
        "gallery": "train",
        "support": "test",
    }


def test_an_inversion_of_queries_alone_has_no_gallery(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    held = declared()
    held["oti"]["gallery"] = True
    found = resolved(held)
    galleries = {name: found[name]["gallery"] for name in sorted(OTI)}
    assert galleries == dict.fromkeys(sorted(OTI)) | {"oti/nano/world.json": "test"}


def test_files_that_a_row_names_count_by_their_content(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(ROOT)
    folder = shutil.copytree(ROOT / "data/backbones/nano", tmp_path / "mine")
    (means := tmp_path / "means.npz").write_bytes(b"1")
    held = declared()
    held["backbones"]["mine"] = {"weights": {"model": f"local-dir:{folder}"}}
    held["finetune"] = {"tuned": held["finetune"]["nano-cua"] | {"backbone": "mine"}}
    held["idealised"]["world"]["architecture"] = f"local-dir:{folder}"
    held["evaluate"]["fit_on"]["files"] = {"means": {"image": str(means)}}
    tuned = {"finetune/tuned.json"}
    for file, expected in (
        (means, EVALUATE),
        (folder / towers.WEIGHTS, tuned),
        (folder / "bpe.txt.gz", tuned),
        (folder / towers.CONFIG, tuned | IDEALISED),
    ):
        before = resolved(held)
        file.write_bytes(file.read_bytes() + b" ")
        after = resolved(held)
        assert {name for name, of in after.items() if of != before[name]} == expected, file.name


@pytest.mark.parametrize(
    ("place", "cells"),
    [("distil.oti.split", {"distil"}), ("datasets.birds.controls.support", {"distil", "evaluate"})],
)
def test_phi_learns_from_the_split_that_it_is_given_or_else_from_the_support(
    monkeypatch, place, cells
) -> None:
    monkeypatch.chdir(ROOT)
    held = declared()
    held["datasets"]["birds"] = {
        "layout": "imagefolder",
        "root": "birds",
        "splits": ["train", "val", "test"],
        "retrieval": {"query": "test", "gallery": "test"},
        "controls": {"support": "train"},
    }
    held["run"]["datasets"] = ["world", "birds"]
    held["run"]["distil"] |= {"datasets": ["birds"], "sources": ["birds"]}
    before = resolved(held)
    put(held, place, "val")
    after = resolved(held)
    changed = {name for name, of in after.items() if of != before[name]}
    assert {name.partition("/")[0] for name in changed} == cells | REPORT
    assert {after[name]["split"] for name in changed if name.startswith("distil/")} == {"val"}


def test_a_dataset_is_prepared_by_the_code_of_its_own_reader(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(ROOT)
    held = declared()
    folder = {"layout": "imagefolder", "root": str(tmp_path), "retrieval": {"query": "test"}}
    table = {"layout": "table", "root": str(tmp_path), "table": "items.csv", "retrieval": {"query": "test"}}
    held["datasets"] |= {"birds": folder, "others": folder, "shop": table}
    held["run"]["datasets"] = ["world", "birds", "others", "shop"]
    found = resolved(held)
    birds, others, shop = (found[f"prepare/{name}.json"]["code"] for name in ("birds", "others", "shop"))
    assert birds == others != shop
