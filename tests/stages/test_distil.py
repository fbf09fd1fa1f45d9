"""φ on the real DVC: distilled, inverting beside OTI, refused where it may not be; in order, each test editing what the
last one left."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossgap import distil, load_backbone, load_distilled, open_store, oti
from tests.report.conftest import Page

pytestmark = pytest.mark.slow

PHI = {
    "backbones": ["nano"], "datasets": ["world"], "sources": ["world"], "methods": ["oti", "ovi"],
    "losses": ["cosine", "tokens"],
}  # fmt: skip
CELL, KEPT = "data/features/nano/world", "data/distilled/nano/world"
DISTIL = {f"distil@nano-world-{method}-{loss}" for method in ("oti", "ovi") for loss in ("cosine", "tokens")}
DISTILLED = {name.replace("distil@nano-", "distilled@nano-world-") for name in DISTIL}
FEW = {"epochs": 2, "batch_size": 4}


def test_it_is_distilled_on_the_support_split_and_stands_beside_oti_in_every_table(project) -> None:
    project.edit(**{"run.distil": PHI, "run.sweep.backbones": [], "run.seeds.backbones": []})
    ran = project.repro("evaluate@nano-world")
    assert ran >= {*DISTIL, *DISTILLED, "oti@nano-world"}
    backbone = load_backbone(f"local-dir:{project / 'data/backbones/nano'}")
    native = open_store(project / f"{CELL}/native.zarr.zip")
    train, test = native["image/train"], native["image/test"]
    targets = {
        "cosine": None,
        "tokens": oti(train.features, backbone, 2, ids=train.ids, progress=False).tokens,
    }
    for loss, tokens in targets.items():
        phi = load_distilled(project / f"{KEPT}/oti-{loss}.safetensors", backbone)
        assert phi.said["on"] == {
            "dataset": "world", "split": "train", "features": native.provenance["fingerprint"], "items": 5,
            "held_out": 1,
        }  # fmt: skip
        plain = distil(train.features, backbone, ids=train.ids, loss=loss, targets=tokens, **FEW)
        wanted = plain.invert(test.features, test.ids, steps=1, snapshots=[0], progress=False)
        store = open_store(project / f"{CELL}/oti-{loss}-world.zarr.zip")
        np.testing.assert_allclose(store["image/test"].tokens, wanted.tokens, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(
            store["image/test"].snapshot(0), wanted.snapshots[:, 0], rtol=2e-3, atol=2e-3
        )
        assert store.provenance["start"]["digest"] == phi.digest and "seed" not in store.provenance["recipe"]
    found = project.metrics("nano/world")
    for loss in targets:
        distilled, warm = (f"oti.{how}.{loss}.world" for how in ("distilled", "warm"))
        assert {
            f"retrieval/{distilled}-image/shape/mAP", f"retrieval/{warm}-image/shape/mAP",
            f"classification/{distilled}-text/shape/accuracy", f"inversion/{warm}/loss",
            f"classification/image-ovi.distilled.{loss}.world/shape/accuracy",
            f"retrieval/ovi.distilled.{loss}.world-text/group/mAP",
        } <= set(found)  # fmt: skip
        assert found[f"inversion/{warm}/loss"] < found[f"inversion/{distilled}/loss"]
        assert f"retrieval/ovi.warm.{loss}.world-text/group/mAP" not in found, "no steps are asked for"
    tested = pd.read_csv(project / "data/metrics/nano/world/tables/comparisons.csv")
    both = tested[tested["task"].isin(["oti-image", "oti.warm.tokens.world-image"])]
    assert set(both["baseline"]) == {"image-image"} and both["task"].nunique() == 2
    assert "oti.warm.cosine.world-image" in set(
        pd.read_csv(project / "data/metrics/nano/world/curves.csv")["task"]
    )
    project.stage("report")
    page = Page((project / "data/report/index.html").read_text(encoding="utf-8"))
    assert {"OTI-image by φ (cosine, world)", "OVI-text by φ (tokens, world)"} <= {
        row["method"] for row in page.rows()
    }


def test_what_it_learns_from_and_what_it_inverts_run_apart(project) -> None:
    project.edit(**{"distil.oti": {**FEW, "steps": 2}})
    assert project.repro(*DISTILLED) == {"resolve", *(name for name in DISTILLED if "-oti-" in name)}
    project.edit(**{"distil.ovi": {**FEW, "lr": 0.001}})
    assert project.repro(*DISTILLED) == {"resolve", *(name for name in DISTIL | DISTILLED if "-ovi-" in name)}
    project.edit(**{"oti.steps": 3})  # a loss that is taught no tokens is not touched by how they are found
    assert project.repro(*DISTIL) == {"resolve", "distil@nano-world-oti-tokens"}


def test_a_phi_of_something_else_is_refused_before_any_work(project) -> None:
    said = (project / f"{KEPT}/oti-cosine.safetensors").read_bytes()
    (project / f"{KEPT}/ovi-cosine.safetensors").rename(project / f"{KEPT}/oti-cosine.safetensors")
    words = ("distilled", "nano", "world", "world", "oti", "cosine")
    printed = project.stage(*words, ok=False)
    assert "oti: data/distilled/nano/world/oti-cosine.safetensors was distilled for ovi" in printed.replace(
        "distilled: data", "oti: data"
    )
    assert "Traceback" not in printed
    (project / f"{KEPT}/oti-cosine.safetensors").write_bytes(said)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distil.oti": {"split": "test"}}, "distil.oti.split: 'test' is the split of the queries of 'world'"),
        ({"datasets.world.controls": {}}, "'world' has no support split to distil on: give datasets.world.controls"),
        ({"datasets.world.controls": {"support": "test"}}, "datasets.world.controls.support: 'test' is the split of"),
        ({"run.distil": {**PHI, "losses": ["mse"]}}, "run.distil.losses"),
        ({"run.distil": {**PHI, "sources": ["dtd"]}}, "run.distil.sources: 'dtd' is not in run.datasets"),
    ],
)  # fmt: skip
def test_a_split_that_is_not_there_or_has_the_queries_is_refused(project, values, message) -> None:
    before = {place: _at(project.declared, place) for place in values}
    project.edit(**values)
    printed = project.crossgap("check", ok=False)
    project.edit(**before)
    assert message in printed and "Traceback" not in printed


def test_a_split_without_items_is_named(project) -> None:
    project.edit(**{"distil.oti": {**FEW, "split": "val"}})
    printed = project.stage("resolve", ok=False)
    project.edit(**{"distil.oti": FEW})
    assert "distil.oti.split: 'val' is none of the splits read of 'world' (train, test)" in printed


def test_what_no_run_names_any_more_is_waste(project) -> None:
    project.edit(**{"run.distil": {**PHI, "losses": ["cosine"]}})
    printed = project.crossgap("clean", "--dry-run")
    assert f"{KEPT}/oti-tokens.safetensors" in printed and f"{KEPT}/oti-cosine.safetensors" not in printed
    assert f"{CELL}/oti-tokens-world.zarr.zip" in printed
    assert "oti-cosine-world.zarr.zip" in project.crossgap("status")


def _at(declared: dict, place: str) -> object:
    for name in place.split("."):
        declared = declared[name]
    return declared
