"""Trainings on the real DVC, in order as in `test_pipeline`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from crossgap import load_backbone, open_store

pytestmark = pytest.mark.slow
TUNED = {
    "backbone": "nano",
    "dataset": "world",
    "silent_on": ["texture"],
    "losses": {"clip": 1, "uniformity": 1, "alignment": 1},
    "width": 16,
    "epochs": 2,
    "batch_size": 8,
    "lr": 0.0001,
}
IDEALISED = {
    "dataset": "world",
    "images": 16,
    "run": {"width": 8, "batch_size": 8, "epochs": 2, "lr": 0.001},
    "toy": {"images": 8, "batch_sizes": [4], "epochs": 2, "frames": 2},
}
CELL = {f"{stage}@nano-tuned-world" for stage in ("encode", "oti", "evaluate")}
WEIGHTS = {"weights"}


@pytest.fixture(scope="module")
def project(project):
    cells = {"backbones": ["nano", "nano-tuned"], "datasets": ["world"]}
    project.edit(
        **{
            "datasets.world.images": {"train": 40, "test": 8},
            "finetune": {"nano-tuned": TUNED},
            "idealised": {"world": IDEALISED},
            "run": project.run_of(**cells, oti=cells),
        }
    )
    project.commit()  # DVCLive can't be in a repository of git without a commit
    return project


def test_a_training_makes_a_backbone_that_goes_through_every_stage(project, page_text):
    ran = project.repro()
    native = {f"{stage}@nano-world" for stage in ("encode", "oti", "evaluate")}
    assert ran == {
        "resolve", "prepare@world", "finetune@nano-tuned", "idealised@world", *WEIGHTS, *CELL, *native, "report",
    }  # fmt: skip
    store = open_store(project / "data/features/nano-tuned/world/native.zarr.zip")
    assert store["image/test"].features.shape == (8, 16), "the new projections' width"
    found = project.metrics("nano-tuned/world")
    assert {
        "gap/centroid_distance",
        "retrieval/oti-image/colour/mAP",
        "retrieval/text-image/group/mAP",
    } < set(found)
    assert {"classification/image-text/texture/accuracy", "arithmetic/colour/test/score"} < set(found)
    page = page_text(project / "data/report/index.html")
    assert (
        '{"backbone":"nano-tuned","dataset":"world","uncounted":["two-shapes"]}' in page
        and "Fine-tuned backbones" in page
    )


def test_curves_are_there_for_dvc(project):
    curves = project / "data/metrics/training/nano-tuned/plots/metrics"
    loss = pd.read_csv(curves / "loss.tsv", sep="\t")
    assert loss["step"].tolist() == list(range(1, len(loss) + 1)) and len(loss) >= 4
    assert {"clip.tsv", "uniformity.tsv", "alignment.tsv", "centroid_distance.tsv"} <= set(os.listdir(curves))
    assert "data/metrics/training/nano-tuned/metrics.json" in project.dvc("metrics", "show", "--json")
    runs = pd.read_csv(project / "data/metrics/idealised/world/tables/runs.csv")
    assert runs["run"].tolist() == ["base", "toy-4"]


def test_nothing_runs_again(project):
    assert project.repro() == set()


def test_another_recipe_runs_only_what_it_makes(project):
    project.edit(**{"finetune.nano-tuned.lr": 0.0002})
    assert project.repro() == {"resolve", "finetune@nano-tuned", *WEIGHTS, *CELL, "report"}


def test_the_idealised_experiment_stands_by_itself(project):
    project.edit(**{"idealised.world.run.lr": 0.002})
    assert project.repro() == {"resolve", "idealised@world", "report"}


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(project):
    """The stage's own command, killed after its first checkpoint."""
    weights = project / "data/backbones/nano-tuned/open_clip_model.safetensors"
    project.edit(**{"finetune.nano-tuned.epochs": 15, "machine.checkpoint_seconds": 0})
    project.stage("resolve")
    words = (sys.executable, "-m", "stages.finetune", "nano-tuned")
    project.stage("finetune", "nano-tuned")
    whole, curves = weights.read_bytes(), curve(project)
    weights.unlink()
    running = subprocess.Popen(words, cwd=project.folder, env=project.environment, stderr=subprocess.DEVNULL)
    scratch = project / "data/scratch/finetune"
    while not list(scratch.rglob("*.pt")):
        assert running.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL and not weights.exists()
    project.stage("finetune", "nano-tuned")
    assert weights.read_bytes() == whole and curve(project) == curves
    assert not list(scratch.rglob("*.pt"))


def curve(project) -> str:
    return (project / "data/metrics/training/nano-tuned/plots/metrics/loss.tsv").read_text()


def test_a_trained_backbone_loads_like_any_other(project):
    backbone = load_backbone(f"local-dir:{project / 'data/backbones/nano-tuned'}")
    assert backbone.dim == 16
    assert backbone.model.logit_scale.exp().item() == pytest.approx(100, rel=1e-4)
    recipe = json.loads((project / "data/metrics/training/nano-tuned/recipe.json").read_text())
    assert recipe["losses"] == TUNED["losses"] and recipe["betas"] == [0.9, 0.99]


def test_what_cannot_be_trained_stops_with_a_message(project):
    project.edit(**{"finetune.nano-tuned.epochs": 2, "finetune.nano-tuned.width": 500})
    said = project.dvc("repro", "finetune@nano-tuned", ok=False)
    assert "width: 500 is more than the 128" in said and "Traceback" not in said
    project.edit(**{"finetune.nano-tuned.width": 16, "finetune.nano-tuned.batch_size": 500})
    said = project.dvc("repro", "finetune@nano-tuned", ok=False)
    assert "batch_size: 500 is more than the" in said and "Traceback" not in said
    project.edit(**{"finetune.nano-tuned.batch_size": 8, "finetune.nano-tuned.lr": 1e30})
    said = project.dvc("repro", "finetune@nano-tuned", ok=False)
    assert "at step" in said and "are in data/scratch/finetune/" in said and "Traceback" not in said


def test_a_backbone_trained_from_nothing_with_an_intra_modal_term_goes_the_same_way(project):
    augment = {"crop": 0.5, "flip": 0.0, "hue": 0.0, "grey": 0.0}
    recipe = {"steps": 3, "warmup": 1, "intra_modal": {"weight": 1.0, "images": 8, "augment": augment}}
    cells = {"backbones": ["nano", "nano-slip"], "datasets": ["world"]}
    project.edit(
        **{
            "finetune": {},
            "pretrain": {"nano-slip": recipe},
            "run": project.run_of(**cells, oti=cells),
        }
    )
    cell = {f"{stage}@nano-slip-world" for stage in ("encode", "oti", "evaluate")}
    assert {"pretrain@nano-slip", "weights", *cell} <= project.repro()
    assert "retrieval/oti-image/shape/mAP" in project.metrics("nano-slip/world")
    assert project.repro() == set()


def test_weights_that_a_colleague_has_not_pulled_are_told(tmp_path) -> None:
    """As `dvc repro --allow-missing` meets them."""
    asked = {"nf": {"model": "local-dir:data/backbones/nf", "pretrained": None}}
    (tmp_path / "data/resolved").mkdir(parents=True)
    (tmp_path / "data/resolved/weights.json").write_text(json.dumps({"backbones": asked}))
    done = subprocess.run(
        [sys.executable, "-m", "stages.weights"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr == (
        "weights: backbone 'nf': data/backbones/nf is not there: `dvc pull` brings what a colleague trained, and `dvc "
        "repro` trains it\n"
    )
