"""The README: its YAML can be pasted, its commands are there, its paths and names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from crossgap import closure, corrections
from crossgap.cli import app
from crossgap.params import load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def sections() -> dict:
    """What all blocks say together; no section twice."""
    found: dict = {}
    for block in BLOCKS:
        held = yaml.safe_load(block)
        assert not held.keys() & found.keys()
        found |= held
    return found


def test_the_yaml_blocks_make_valid_params(tmp_path) -> None:
    """Pasted over the sections of the shipped file, as a user would."""
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    pasted = shipped | sections()
    assert {"run", "backbones", "datasets", "finetune"} <= sections().keys()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(pasted, sort_keys=False))
    params = load(tmp_path / "params.yaml")
    assert {"mine", "hub", "folder", "control", "openai-b32"} <= params.backbones.keys()
    assert set(sections()["datasets"]) <= params.datasets.keys()
    assert params.trained == {"mine-cua": "finetune"}


def test_every_command_is_there() -> None:
    command = get_command(app)
    named = set(re.findall(r"crossgap ([a-z]+)(?: (show|get|check)\b)?", README))
    assert {("check", ""), ("plan", ""), ("status", ""), ("datasets", "show")} <= named
    groups = command.commands
    for name, below in named:
        if name in ("is",):
            continue
        assert name in groups, f"crossgap {name}"
        if below and name in ("backbones", "datasets"):
            assert below in groups[name].commands


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:crossgap|tests|stages|data)/[\w./-]+)`", README)))
)
def test_every_path_is_there(path) -> None:
    made = ("data/resolved", "data/scratch", "data/report", "data/imports", "data/set-aside")
    assert (ROOT / path).exists() or path.startswith(made)


def test_every_correction_and_stage_stands_in_its_table() -> None:
    rows = set(re.findall(r"^\| `([\w]+)`", README, re.MULTILINE)) | set(re.findall(r", `([\w]+)`", README))
    assert set(corrections.RIVALS) <= rows
    stages = {path.parent.name for path in ROOT.glob("stages/*/__main__.py")} | {
        "resolve",
        "weights",
        "report",
    }
    assert stages <= rows


def test_every_module_at_the_top_stands_in_the_table() -> None:
    table = README[README.index("| module of `crossgap/`") :]
    named = {name.rstrip("/") for name in re.findall(r"`([\w]+/?)`", table)}
    tops = {name.split(".")[1] for name in closure.modules() if "." in name}
    small = {"arrays", "encode", "errors", "fingerprint"}
    assert tops - named == small
