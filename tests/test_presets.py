from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from crossgap.cli import app
from crossgap.params import load
from crossgap.presets import PRESETS, applied

OURS = Path(__file__).parents[1] / "params.yaml"
COCO = {
    "layout": "captions",
    "root": "coco",
    "captions": "coco.csv",
    "retrieval": {"query": "train", "gallery": "train"},
}


def ours() -> dict:
    params = yaml.safe_load(OURS.read_text())
    params["datasets"]["coco"] = COCO
    return params


def written(params: dict, folder: Path) -> Path:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_valid_params_that_can_be_changed_again(name, tmp_path):
    params = load(written(applied(name, ours()), tmp_path))
    assert set(params.trained) < set(params.run.backbones), "what is trained is evaluated"
    assert load(written(applied("intra-modal", applied(name, ours())), tmp_path)).run.backbones == [
        "nano",
        "nano-slip",
    ]


def test_the_study_is_every_loss_by_width_by_seed_and_the_papers_but_for_the_rates():
    rows = applied("contrastive-gap-coco", ours())["finetune"]
    assert len(rows) == 3 * 3 * 3
    assert rows["openai-b32-cua-64-2"] == {
        "backbone": "openai-b32",
        "dataset": "coco",
        "losses": {"clip": 1, "uniformity": 1, "alignment": 1},
        "width": 64,
        "seed": 2,
    }
    assert len(applied("contrastive-gap-world", ours())["finetune"]) == 3 * 2 * 3


def test_nothing_is_lost_of_what_the_user_set():
    params = ours()
    params["machine"]["device"] = "cuda:1"
    params["datasets"]["world"]["seed"] = 5
    for name in PRESETS:
        changed = applied(name, params)
        assert changed["machine"] == params["machine"] and changed["datasets"] == params["datasets"]
        assert changed["backbones"]["openai-b32"] == params["backbones"]["openai-b32"]


def test_the_command_lists_prints_and_writes(tmp_path):
    run = CliRunner().invoke
    listed = run(app, ["preset"])
    assert listed.exit_code == 0 and [line.partition(":")[0] for line in listed.output.splitlines()] == list(
        PRESETS
    )
    path = written(ours(), tmp_path)
    printed = run(app, ["preset", "intra-modal", "--params", str(path)])
    assert printed.exit_code == 0 and "&id" not in printed.output
    assert run(app, ["preset", "intra-modal", "--params", str(path), "--output", str(path)]).exit_code == 0
    assert path.read_text() == printed.output
    assert load(path).pretrained("nano-slip").intra_modal.images == 64
    unknown = run(app, ["preset", "table-1"])
    assert unknown.exit_code != 0 and "no preset 'table-1'; there are contrastive-gap-world" in str(
        unknown.exception
    )
