"""What each cell depends on: a setting changes the file of every cell whose work it decides, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crossgap.params import Params, load_text
from crossgap.planning import resolve

ROOT = Path(__file__).parents[2]
NANO = {"backbones": ["nano"], "datasets": ["world"]}


def declared() -> dict:
    held = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    run = held["run"] | NANO | {"oti": NANO, "ovi": NANO, "imports": []}
    run["sweep"] = {**NANO, "tokens": [2]}
    run["seeds"] = {**NANO, "methods": ["oti"], "seeds": [1, 2]}
    return held | {"run": run, "finetune": {}, "idealised": {}}


def resolved(held: dict) -> resolve.Resolved:
    params: Params = load_text(yaml.safe_dump(held), "params.yaml")
    return {name: of for name, of in resolve.resolved(params, {}).items() if name != resolve.MACHINE}


def put(held: dict, place: str, value: object) -> None:
    *above, last = place.split(".")
    for name in above:
        held = held.setdefault(name, {})
    held[last] = value


OTI = {"oti/nano/world.json", "sweep/nano/world/2.json", *(f"seeds/nano/world/oti/{n}.json" for n in (1, 2))}
EVALUATE, REPORT = {"evaluate/nano/world.json"}, {"report.json"}


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ("oti.steps", 7, OTI | REPORT),
        ("oti.gallery", True, {"oti/nano/world.json"} | REPORT),
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
        "distilled": [],
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
