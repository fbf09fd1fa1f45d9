"""The commands of the README, in a copy of the project where nothing has run yet."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from crossgap import open_store
from crossgap.cli import app
from crossgap.params import load

_SPEC = importlib.util.spec_from_file_location("readme", Path(__file__).parents[1] / "test_readme.py")
readme = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(readme)
HERE = [command for command in readme.COMMANDS if command not in readme.ELSEWHERE]
SAID = {  # a word of what each prints
    "crossgap backbones": "nano",
    "crossgap backbones check nano": "known cosine",
    "crossgap backbones show openai-b32": "model: ViT-B-32-quickgelu",
    "crossgap backbones towers": " models. OTI inverts into",
    "crossgap backbones towers siglip": "ViT-B-16-SigLIP2 ",
    "crossgap check": "params.yaml is valid",
    "crossgap clean --dry-run": "would remove",
    "crossgap corrections": "GR-CLIP",
    "crossgap datasets": "11,788",
    "crossgap datasets check cub": "unpack CUB_200_2011.tgz",
    "crossgap datasets layouts": "webdataset",
    "crossgap datasets layouts captions": "caption_column",
    "crossgap datasets show cub": "layout: cub",
    "crossgap plan": "encode",
    "crossgap preset": "cross-the-gap-table1",
    "crossgap preset intra-modal": "nano-slip",
    "crossgap status": "0 stores",
    "crossgap table": "cross-the-gap-table1",
}


def test_every_command_of_the_readme_is_run() -> None:
    assert set(HERE) == SAID.keys()


@pytest.mark.parametrize("command", HERE)
def test_a_command_says_what_it_should(project, monkeypatch, command) -> None:
    monkeypatch.chdir(project.folder)
    words = shlex.split(command)[1:] + (["--no-probe"] if command == "crossgap plan" else [])
    ran = CliRunner().invoke(app, words)
    said = f"{ran.output}{ran.exception}"
    assert SAID[command] in said
    if command == "crossgap datasets check cub":
        assert ran.exit_code == 1, "it is not there"
    else:
        assert ran.exit_code == 0, said


def test_features_are_imported_as_it_says(project, monkeypatch) -> None:
    """The block as it stands; what it prints is put into params.yaml, and valid."""
    monkeypatch.chdir(project.folder)
    rng = np.random.default_rng(0)
    made = {"test_features": rng.normal(size=(6, 4)), "test_labels": [0, 1, 0, 1, 0, 1]}
    np.savez("dtd.npz", **made, val_features=rng.normal(size=(4, 4)), val_labels=[0, 0, 1, 1])
    np.savez("names.npz", imagenet_class_names=rng.normal(size=(9, 4)))
    said = project.command("bash", "-c", readme.SHELL[2])
    assert "data/imports/b32-dtd.dvc is added to git" in said
    store = open_store(project / "data/imports/b32-dtd/native.zarr.zip")
    assert [len(store[group]) for group in ("image/test", "image/val", "text/vocabulary")] == [6, 4, 9]
    row = yaml.safe_load(said.partition("`dvc repro`\n\n")[2])
    project.edit(run=project.run_of(imports=["b32-dtd"]), imports=row)
    assert load(project / "params.yaml").imports["b32-dtd"].backbone == "ViT-B/32 openai"
