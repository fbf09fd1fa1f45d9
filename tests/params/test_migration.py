"""A params.yaml of an older shape: what is said of it, and what it becomes. `older.yaml` is the file that shipped."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from typer.testing import CliRunner

from crossgap.catalogue import entries
from crossgap.cli import app
from crossgap.datasets import Declaration
from crossgap.params import ParamsError, load
from crossgap.params.editing import comments
from crossgap.params.migration import migrated
from crossgap.params.sections import BackboneSection
from crossgap.training.nano_recipe import NanoRecipe

OLDER = (Path(__file__).parent / "older.yaml").read_text(encoding="utf-8")
OURS = Path(__file__).parents[2] / "params.yaml"
MINE = """\
  # my own photos, of 2019
  mine:  # not for sharing
    layout: imagefolder
    root: /photos
    retrieval: {query: test, gallery: test}
"""


def said_of(text: str) -> list[str]:
    return [text[start:end] for start, end in comments(text)]


def written(text: str, folder: Path) -> Path:
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return folder / "params.yaml"


def test_every_field_that_moved_is_named_with_where_it_is_now(tmp_path):
    with pytest.raises(ParamsError) as error:
        load(written(OLDER, tmp_path))
    first, *lines = str(error.value).splitlines()
    assert first == f"{tmp_path / 'params.yaml'} can't be used:"
    fields = [line.strip().partition(":")[0] for line in lines]
    made = [f"backbones.nano-{name}" for name in ("clip", "cua", "cuaxu", "warm")]
    assert fields == [
        "nano",
        *made,
        "run.distil",
        "evaluate.fit_on",
        "backbones",
        "datasets",
        "`crossgap migrate` rewrites the file so, and keeps its comments",
    ]
    for section in ("backbones", "datasets"):
        (line,) = [line for line in lines if line.strip().startswith(f"{section}:")]
        assert all(name in line for name in entries.rows(section) if name in yaml.safe_load(OLDER)[section])


def test_the_file_that_shipped_says_the_same_in_todays_shape(tmp_path):
    text, done = migrated(OLDER)
    found, today = load(written(text, tmp_path)), load(OURS)
    assert found == today
    old = yaml.safe_load(OLDER)
    assert found.backbones == TypeAdapter(dict[str, BackboneSection]).validate_python(old["backbones"])
    kept = {name: found.datasets[name] for name in old["datasets"]}
    assert kept == TypeAdapter(dict[str, Declaration]).validate_python(old["datasets"])
    assert found.nano == NanoRecipe.model_validate(old["nano"])
    raw = yaml.safe_load(text)
    assert raw["backbones"] == raw["datasets"] == {} and "nano" not in raw
    assert len(done) == 1 + 4 + 2 + 2
    assert migrated(text) == (text, [])


def test_comments_stay_but_for_those_on_what_moved():
    text, _ = migrated(OLDER)
    gone = [line for line in said_of(OLDER) if line not in said_of(text)]
    assert len(said_of(OLDER)) == 33 and len(gone) == 17
    moved = OLDER[OLDER.index("# How the embedded backbone") :]
    assert all(line in moved for line in gone)
    assert "# true: captions of the gallery too, for OVI-OVI, at five times the cost here" in said_of(text)


def edited() -> str:
    """A user's: an own dataset, own settings, a changed row, a changed recipe, comments at every kind of place."""
    changes = [
        ("    root: data/raw/CUB_200_2011\n", "    root: /data/CUB_200_2011  # on the big disk\n"),
        ("  sop:\n    layout: sop\n", "  # products, read in March\n  sop:\n    layout: sop  # Ebay\n"),
        ("  steps: 3600\n", "  steps: 100  # quicker\n"),
        ("  merges: 1024\n", "  # smaller\n  merges: 512\n"),
        ("  simat:\n", MINE + "  simat:\n"),
        ("machine:\n  device: auto\n", "machine:\n  device: cpu  # the GPU is Anna's\n"),
        (
            "pretrain: {}\n",
            "pretrain:  # trained at night\n  # with SLIP's term\n  nano-slip: {intra_modal: {weight: 1.0}}\n",
        ),
        ("  # made by `finetune`\n", "  # ask Ben about these\n  # made by `finetune`\n"),
    ]
    text = OLDER
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text + "# the end\n"


def test_what_a_user_changed_is_kept_with_every_comment_of_theirs(tmp_path):
    old = edited()
    text, done = migrated(old)
    raw, was = yaml.safe_load(text), yaml.safe_load(old)
    assert raw["datasets"] == {name: was["datasets"][name] for name in ("cub", "mine")}
    assert raw["backbones"] == {}
    assert raw["pretrain"] == {
        "nano-slip": {"intra_modal": {"weight": 1.0}},
        "nano-own": {"steps": 100, "merges": 512},
    }
    params = load(written(text, tmp_path))
    assert params.pretrained("nano-own") == NanoRecipe.model_validate(was["nano"])
    assert params.machine.device == "cpu" and str(params.datasets["cub"].root) == "/data/CUB_200_2011"
    theirs = [line for line in said_of(old) if line not in said_of(OLDER)]
    assert len(theirs) == 12 and all(said_of(text).count(line) == 1 for line in theirs)
    assert any(line.startswith("datasets.cub: kept") for line in done)
    assert migrated(text) == (text, [])


def test_a_row_of_ones_own_by_the_name_of_a_dropped_anchor_is_written_out(tmp_path):
    old = OLDER.replace("backbones: &all [nano, nano-clip", "backbones: &all [nano, openai-b32, nano-clip")
    text, _ = migrated(old)
    assert "&" not in text and "*all" not in text
    assert load(written(text, tmp_path)).run.oti.backbones[:2] == ["nano", "openai-b32"]


def test_what_is_rewritten_is_in_the_form_that_dvc_writes():
    from ruamel.yaml import YAML

    for old in (OLDER, edited()):
        text, _ = migrated(old)
        writer, stream = YAML(), io.StringIO()
        writer.dump(writer.load(text), stream)
        assert stream.getvalue() == text


def test_the_command_rewrites_a_file_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(OLDER, tmp_path)
    asked = CliRunner().invoke(app, ["check"])
    assert asked.exit_code == 1 and "crossgap migrate" in str(asked.exception or asked.output)
    for told in ("nano: removed; it is the catalogue's", "params.yaml is of today's shape"):
        ran = CliRunner().invoke(app, ["migrate"])
        assert ran.exit_code == 0 and told == ran.output.splitlines()[0]
    assert path.read_text() == migrated(OLDER)[0]
    path.write_bytes(OLDER.encode().replace(b"\n", b"\r\n"))
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    assert path.read_bytes() == migrated(OLDER)[0].encode().replace(b"\n", b"\r\n")
    path.write_bytes(OLDER.encode().replace(b"\n", b"\r\n", 1))
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    assert path.read_bytes() == migrated(OLDER)[0].encode()
