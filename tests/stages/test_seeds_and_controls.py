"""Inversions with other seeds, and an image-only control beside a CLIP model, on the real DVC; in order, each test
editing what the last one left."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import timm
import torch

from crossgap import load_backbone, open_store, oti

pytestmark = pytest.mark.slow

CELL = "data/features/nano/world"
NO_TORCH = """
import runpy, sys
del sys.argv[0]
runpy.run_module(f"stages.{sys.argv[0]}", run_name="__main__", alter_sys=True)
assert not {"torch", "open_clip", "timm"} & set(sys.modules), "an empty store costs no model"
"""


def stages(project, of: str) -> set[str]:
    return {
        name
        for name in project.dvc("stage", "list", "--all", "--name-only").split()
        if name.startswith(f"{of}@")
    }


def test_a_seed_is_the_same_recipe_with_other_noise_and_queries_only(project) -> None:
    project.edit(**{"oti.gallery": True, "datasets.world.retrieval": {"query": "test", "gallery": "train"}})
    assert stages(project, "seeds") == {"seeds@nano-world-oti-1"}
    assert {"oti@nano-world", "seeds@nano-world-oti-1"} < project.repro(
        "oti@nano-world", "seeds@nano-world-oti-1"
    )
    native, main, seed = (
        open_store(project / f"{CELL}/{name}.zarr.zip") for name in ("native", "oti", "oti-seed-1")
    )
    assert main.groups == ["image/test", "image/train"] and seed.groups == ["image/test"]
    assert seed.provenance["recipe"] == {**main.provenance["recipe"], "seed": 1}
    assert seed.provenance["method"] == main.provenance["method"]
    backbone = load_backbone(f"local-dir:{project / 'data/backbones/nano'}")
    images = native["image/test"]
    wanted = oti(images.features, backbone, 2, 1, ids=images.ids, seed=1, progress=False)
    np.testing.assert_allclose(seed["image/test"].features, wanted.features, rtol=2e-3, atol=2e-3)
    assert np.abs(seed["image/test"].tokens - main["image/test"].tokens).max() > 0.01


def test_a_change_of_one_method_leaves_the_seeds_of_the_other_alone(project) -> None:
    project.edit(
        **{
            "run.seeds": {
                "backbones": ["nano"],
                "datasets": ["world"],
                "methods": ["oti", "ovi"],
                "seeds": [1],
            }
        }
    )
    both = ["seeds@nano-world-oti-1", "seeds@nano-world-ovi-1"]
    assert stages(project, "seeds") == set(both)
    assert project.repro(*both) == {"resolve", both[1]}
    found = open_store(project / f"{CELL}/ovi-seed-1.zarr.zip")
    assert found.provenance["recipe"]["seed"] == 1
    assert found.groups == ["text/test"] and len(found["text/test"]) == 8, "queries, and no class prompts"
    project.edit(**{"ovi.steps": 3})
    assert project.repro(*both) == {"resolve", both[1]}


@pytest.mark.parametrize("empty", ["datasets", "methods", "seeds"])
def test_an_empty_list_of_the_seeds_asks_for_none(project, empty) -> None:
    seeds = {"backbones": ["nano"], "datasets": ["world"], "methods": ["oti"], "seeds": [1], empty: []}
    project.edit(**{"run.seeds": seeds})
    assert stages(project, "seeds") == set() and stages(project, "oti") == {"oti@nano-world"}
    project.crossgap("check")


def test_a_control_without_texts_stands_in_every_list(project) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("convnext_atto").state_dict(), project / "control.pth")
    weights = {"model": "timm:convnext_atto.d2_in1k", "pretrained": "control.pth"}
    project.edit(
        **{
            "backbones.control": {"weights": weights, "oti": {"tokens": 1}, "ovi": {"patches": 1}},
            **{f"run.{name}.backbones": ["nano", "control"] for name in ("oti", "ovi", "sweep")},
            "run.backbones": ["nano", "control"],
            "run.seeds": {
                "backbones": ["nano", "control"],
                "datasets": ["world"],
                "methods": ["oti", "ovi"],
                "seeds": [1],
            },
        }
    )
    inverted = {
        "oti@control-world": "oti",
        "ovi@control-world": "ovi",
        "sweep@control-world-2": "oti-2",
        "seeds@control-world-oti-1": "oti-seed-1",
        "seeds@control-world-ovi-1": "ovi-seed-1",
    }
    assert project.repro(*inverted) == {"resolve", "weights", "encode@control-world", *inverted}
    folder = project / "data/features/control/world"
    native = open_store(folder / "native.zarr.zip")
    assert native.groups == ["image/test", "image/train"]
    assert native["image/test"].features.shape == (8, 320) and native.provenance["texts_left_out"] > 0
    for name in inverted.values():
        store = open_store(folder / f"{name}.zarr.zip")
        assert store.groups == []
        assert "'timm:convnext_atto.d2_in1k' is an image-only" in store.provenance["not_applicable"]


@pytest.mark.parametrize("words", [("sweep", "2"), ("seeds", "ovi", "1")])
def test_a_store_of_nothing_costs_no_model(project, words) -> None:
    name, *options = words
    project.command(sys.executable, "-c", NO_TORCH, name, "control", "world", *options)


def test_a_control_is_evaluated_by_its_images_alone(project) -> None:
    assert "evaluate@control-world" in project.repro("evaluate@control-world")
    found = project.metrics("control/world")
    assert {"retrieval/image-image/shape/mAP", "retrieval/image-image+centering/shape/mAP"} < set(found)
    tasks = {name.split("/")[1].partition("+")[0] for name in found if name.startswith("retrieval/")}
    assert tasks == {"image-image"}
    assert not any(name.startswith(("gap/", "inversion/", "items/text", "seeds/")) for name in found)


def test_a_seed_left_behind_by_another_template_is_not_counted(project) -> None:
    alone = {f"run.{name}.backbones": ["nano"] for name in ("oti", "ovi", "sweep")}
    seeds = {"backbones": ["nano"], "datasets": ["world"], "methods": ["oti"], "seeds": [2]}
    project.edit(
        **alone, **{"oti.template": "a picture of {}", "run.backbones": ["nano"], "run.seeds": seeds}
    )
    project.repro("evaluate@nano-world", "seeds@nano-world-oti-2")
    project.repro("evaluate@nano-world")
    assert not (project / f"{CELL}/oti-seed-1.zarr.zip").exists(), "run no longer names it"
    table = pd.read_csv(project / "data/metrics/nano/world/tables/seeds.csv")
    assert set(table.loc[table["task"] == "oti-image", "seed"]) == {0, 2}
