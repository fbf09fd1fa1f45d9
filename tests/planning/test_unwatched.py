from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from crossgap.backbones import towers
from crossgap.backbones.noted import require_noted, require_noted_architecture
from crossgap.cli import app
from crossgap.datasets.preparing import prepare
from crossgap.errors import BackboneError
from crossgap.params import load
from crossgap.planning import resolve, unwatched
from crossgap.prepared import judgements, manifest
from crossgap.stores import store
from stages.common import weights
from stages.computing import loaded, require_as_before

ROOT = Path(__file__).parents[2]


def test_files_that_changed_since_they_were_read_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data/backbones/nano", "mine")
    Path("stages").symlink_to(ROOT / "stages")  # what cells depend on is their code, too
    np.save("banner.npy", np.eye(3))
    asked = yaml.safe_load((ROOT / "params.yaml").read_text())
    weights = {"model": "local-dir:mine"}
    asked["backbones"] = {
        **(asked["backbones"] or {}),
        "mine": {**asked["backbones"]["nano"], "weights": weights},
    }
    asked["run"]["backbones"] = ["mine"]
    asked["finetune"] = {"nano-clip": {**asked["finetune"]["nano-clip"], "backbone": "mine"}}
    for name in ("oti", "ovi", "sweep", "seeds", "distil"):
        asked["run"][name]["backbones"] = []
    asked["evaluate"]["fit_on"]["files"] = {"banner": {"backbones": ["mine"], "image": "banner.npy"}}
    Path("params.yaml").write_text(yaml.safe_dump(asked))
    params, data = load(), Path("data")
    assert list(unwatched.changed(params, data)) == [], "nothing was read yet"

    resolve.write(resolve.resolved(params, {}), data / "resolved")
    (data / "weights").mkdir()
    read = {"model": "local-dir:mine", "pretrained": None, "files": towers.local_files("local-dir:mine")}
    (data / "weights/mine.json").write_text(json.dumps(read))
    assert list(unwatched.changed(params, data)) == []
    assert resolve.changed(params, resolve.resolved(params, {}), data / "resolved") == set()

    np.save("banner.npy", np.eye(3) * 2)
    with open("mine/open_clip_model.safetensors", "ab") as file:
        file.write(b"\0")
    first, second, third = unwatched.changed(params, data)
    assert first.startswith(
        "backbones.mine.weights: open_clip_model.safetensors: `dvc repro -f -s weights` reads"
    )
    assert second.startswith(
        "finetune.nano-clip.backbone: open_clip_model.safetensors of mine: `dvc repro -f -s resolve` reads"
    )
    assert third.startswith("evaluate.fit_on.files.banner.image: banner.npy: `dvc repro -f -s resolve` reads")
    found = resolve.changed(params, resolve.resolved(params, {}), data / "resolved")
    assert {name.rpartition(":")[2] for name in found} == {
        "finetune@nano-clip",
        *(f"evaluate@mine-{dataset}" for dataset in params.run.datasets),
    }

    np.save("other.npy", np.eye(3))
    place = asked["evaluate"]["fit_on"]["files"]["banner"]
    Path("params.yaml").write_text(yaml.safe_dump(asked).replace("banner.npy", "other.npy"))
    assert place["image"] == "banner.npy"
    assert [line for line in unwatched.changed(load(), data) if "banner" in line] == [], (
        "params.yaml names another file, which resolve sees"
    )

    Path("banner.npy").unlink()
    shutil.rmtree("mine")
    assert [line for line in unwatched.changed(params, data) if "mine" in line] == [], (
        "who has pulled has no weights"
    )


def test_a_stage_computes_with_no_other_weights_than_were_noted(tmp_path, monkeypatch, tiny_folder) -> None:
    """DVC would keep what it made as made by those noted, and hand it out whenever they are there again."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_folder, "mine")
    row = {
        "model": "local-dir:mine",
        "pretrained": None,
        "precision": "fp32",
        "sha256": None,
        "preprocess": None,
    }
    files = towers.local_files("local-dir:mine")
    for path, content in (
        ("weights/mine.json", {**row, "files": files}),
        ("resolved/machine.json", {"engine": "local", "device": "cpu"}),
    ):
        target = Path("data", path)
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps(content))
    assert (
        loaded("mine", weights("mine")).provenance["weights_sha256"] == files["open_clip_model.safetensors"]
    )

    Path("mine/.DS_Store").write_bytes(b"left by a file manager")
    loaded("mine", weights("mine"))
    held = Path("mine/open_clip_model.safetensors")
    held.write_bytes(held.read_bytes()[:-1] + b"\1")
    words = r"backbones\.mine\.weights: open_clip_model\.safetensors: changed since a run read it: `dvc repro -f -s "
    with pytest.raises(BackboneError, match=words + "weights`"):
        loaded("mine", weights("mine"))
    # as a training asks, of its own resolved file
    with pytest.raises(BackboneError, match=words + "resolve`"):
        require_noted("mine", row, files, "resolve")
    require_noted("mine", {**row, "model": "ViT-B-32", "pretrained": "openai"}, {}, "weights")


def test_an_architecture_that_changed_is_told(tmp_path, monkeypatch) -> None:
    """The idealised experiment reads a folder's configuration alone."""
    monkeypatch.chdir(tmp_path)
    Path("stages").symlink_to(ROOT / "stages")
    asked = yaml.safe_load((ROOT / "params.yaml").read_text())
    asked["idealised"]["world"]["architecture"] = "local-dir:mine"
    Path("params.yaml").write_text(yaml.safe_dump(asked))
    params = load()
    config = Path("mine/open_clip_config.json")
    config.parent.mkdir()
    config.write_text("{}")
    Path("mine/open_clip_model.safetensors").write_bytes(b"1")
    resolve.write(resolve.resolved(params, {}), Path("data/resolved"))
    Path("mine/open_clip_model.safetensors").write_bytes(b"2")
    assert [line for line in unwatched.changed(params, Path("data")) if "idealised" in line] == []
    config.write_text("{ }")
    (line,) = (line for line in unwatched.changed(params, Path("data")) if "idealised" in line)
    assert line == (
        "idealised.world.architecture: open_clip_config.json: `dvc repro -f -s resolve` reads it again, "
        "then `dvc repro`"
    )
    found = resolve.changed(params, resolve.resolved(params, {}), Path("data/resolved"))
    assert found == {"stages/idealised/dvc.yaml:idealised@world"}
    words = r"idealised\.world\.architecture: open_clip_config\.json: changed since a run read it: `dvc repro -f -s res"
    done = subprocess.run([sys.executable, "-m", "stages.idealised", "world"], capture_output=True, text=True)
    assert done.returncode == 1 and re.match(f"idealised: {words}", done.stderr), done.stderr
    config.unlink()
    noted = json.loads(Path("data/resolved/idealised/world.json").read_text())["files"]
    with pytest.raises(BackboneError, match=words):
        require_noted_architecture("world", "local-dir:mine", noted)
    config.write_text("{}")
    require_noted_architecture("world", "local-dir:mine", noted)


def test_weights_that_were_put_in_the_place_of_others_under_one_name_are_told(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = {"model": "hf-hub:a/b", "pretrained": None}
    before = {
        "old": {**said, "weights_sha256": "1"},
        "named": {**said, "model": "other", "weights_sha256": "3"},
    }
    for dataset, made_by in before.items():
        path = Path("data/features/mine", dataset, "native.zarr.zip")
        with store.creating(path, tmp_path / "scratch", {"backbone_provenance": made_by}):
            pass
    (path.parent.parent / "damaged").mkdir()
    (path.parent.parent / "damaged/native.zarr.zip").write_bytes(b"x")

    def row(**given: object) -> None:
        Path("data/weights").mkdir(parents=True, exist_ok=True)
        Path("data/weights/mine.json").write_text(json.dumps({**said, "sha256": None, "files": {}, **given}))

    row()
    require_as_before("mine", weights("mine"), SimpleNamespace(provenance={**said, "weights_sha256": "1"}))
    others = SimpleNamespace(provenance={**said, "weights_sha256": "2"})
    with pytest.raises(
        BackboneError, match=r"hf-hub:a/b has other weights than .*old/native.* give the row sha256: 2$"
    ):
        require_as_before("mine", weights("mine"), others)
    for given in ({"sha256": "2"}, {"files": {"open_clip_model.safetensors": "2"}}):
        row(**given)
        require_as_before("mine", weights("mine"), others)


@pytest.fixture
def asked(tmp_path, monkeypatch) -> dict:
    """Of a project whose dataset `photos` has images a, b and c, with a caption each; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("stages").symlink_to(ROOT / "stages")
    shutil.copytree(ROOT / "data/backbones/nano", "data/backbones/nano")
    Path("photos").mkdir()
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green")):
        Image.new("RGB", (8, 8), colour).save(f"photos/{name}.png")
    Path("photos/captions.csv").write_text("image,caption\na.png,one\nb.png,two\nc.png,three\n")
    asked = yaml.safe_load((ROOT / "params.yaml").read_text())
    asked["datasets"]["photos"] = {
        "layout": "captions",
        "root": "photos",
        "captions": "photos/captions.csv",
        "vocabulary": "none",
        "retrieval": {},
    }
    asked |= {"finetune": {}, "idealised": {}}
    asked["run"] |= {"datasets": ["photos"], "backbones": ["nano"]}
    for name in ("oti", "ovi", "sweep", "seeds", "distil"):
        asked["run"][name] |= {"backbones": [], "datasets": []}
    return asked


def test_a_dataset_whose_files_were_edited_under_one_revision_is_told(asked) -> None:
    captions, judged = Path("photos/captions.csv"), Path("photos/judged.csv")
    judged.write_text("query,item,grade\na,b,1\nb,a,1\n")
    asked["datasets"]["photos"]["judgements"] = str(judged)

    def checked() -> tuple[int, str]:
        Path("params.yaml").write_text(yaml.safe_dump(asked))
        result = CliRunner().invoke(app, ["datasets", "check", "photos"])
        return result.exit_code, result.stdout.splitlines()[-1]

    assert checked() == (0, "photos is as declared"), "nothing was read yet"
    resolve.write(resolve.resolved(load(), {}), Path("data/resolved"))
    folder = Path("data/datasets/photos")
    folder.mkdir(parents=True)
    made = prepare(load().datasets["photos"], folder)
    manifest.write(made.items, folder)
    judgements.write(made.judgements, folder)
    assert checked() == (0, "photos is as declared")

    judged.write_text("query,item,grade\nb,a,1\na,b,1\n")
    assert checked() == (0, "photos is as declared"), "the order of lines makes no difference"
    judged.write_text("query,item,grade\na,b,2\nb,a,1\n")
    code, said = checked()
    assert (code, said) == (
        1,
        "photos is not what a run read, which `dvc repro` alone doesn't see: of its items and texts, other "
        "judgements: give its row in params.yaml `revision: 1`, then `dvc repro`",
    )
    captions.write_text("image,caption\na.png,one\nb.png,another\n")
    Image.new("RGB", (8, 8), "yellow").save("photos/a.png")
    judged.unlink()
    del asked["datasets"]["photos"]["judgements"]
    assert checked() == (0, "photos is as declared"), "the row is another: `dvc repro` sees it"
    judged.write_text("query,item,grade\na,b,1\nb,a,1\n")
    asked["datasets"]["photos"]["judgements"] = str(judged)
    _, said = checked()
    for part in ("1 changed (a)", "1 new (b#", "3 gone (c, b#", "revision: 1"):
        assert part in said
    assert "judgements" not in said
    asked["datasets"]["photos"]["revision"] = 1
    assert checked() == (0, "photos is as declared")


def test_a_dataset_that_may_have_changed_is_told_until_what_it_holds_was_compared(asked) -> None:
    captions = Path("photos/captions.csv")

    def run() -> None:
        """What resolve and prepare leave."""
        Path("params.yaml").write_text(yaml.safe_dump(asked))
        resolve.write(resolve.resolved(load(), {}), Path("data/resolved"))
        subprocess.run([sys.executable, "-m", "stages.prepare", "photos"], check=True, capture_output=True)

    def told(*words: str) -> str:
        Path("params.yaml").write_text(yaml.safe_dump(asked))
        done = CliRunner().invoke(app, [*words])
        return " ".join((done.stdout + done.stderr).split()) if done.exit_code else ""

    assert told("check") == "", "nothing was read yet"
    run()
    assert told("check") == ""
    captions.write_text("image,caption\nb.png,two\na.png,one\nc.png,three\n")
    said = told("check")
    assert (
        "files changed since a run read them, which `dvc repro` alone doesn't see: datasets.photos: 1 changed "
        "(photos/captions.csv): give it `revision: 1`, or see by `crossgap datasets check photos` whether"
    ) in said
    assert told("datasets", "check", "photos") == "", "the order of lines makes no difference"
    assert told("check") == ""

    captions.write_text("image,caption\na.png,one\nb.png,three\nc.png,three\n")
    assert "1 changed (photos/captions.csv)" in told("check")
    assert "revision: 1" in told("datasets", "check", "photos")
    assert "1 changed (photos/captions.csv)" in told("check")

    # another row is read, the first one comes back, and DVC would hand out what was made by it before
    asked["datasets"]["photos"]["revision"] = 1
    run()
    assert told("check") == ""
    del asked["datasets"]["photos"]["revision"]
    assert "1 changed (photos/captions.csv)" in told("check")
    assert told("datasets", "check", "photos") == "", "the last run read another row"
    assert "1 changed (photos/captions.csv)" in told("check")
    asked["datasets"]["photos"]["revision"] = 1
    shutil.rmtree("photos")
    assert "datasets.photos.root: there is no photos" in told("check")


def test_the_world_with_other_names_in_a_file_of_one_s_own_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stages").symlink_to(ROOT / "stages")
    asked = yaml.safe_load((ROOT / "params.yaml").read_text())
    asked["datasets"]["world"] |= {"vocabulary": "names.txt", "images": {"train": 2, "test": 2}}
    asked["datasets"]["world"]["controls"] = {}
    Path("params.yaml").write_text(yaml.safe_dump(asked))
    names, folder = Path("names.txt"), Path("data/datasets/world")
    names.write_text("dog\ncat\n")
    resolve.write(resolve.resolved(load(), {}), Path("data/resolved"))
    folder.mkdir(parents=True)
    manifest.write(prepare(load().datasets["world"], folder).items, folder)
    names.write_text("dog\nbird\n")
    result = CliRunner().invoke(app, ["datasets", "check", "world"])
    said = result.stdout.splitlines()[-1]
    assert said.startswith("world is not what a run read") and said.endswith(
        "give its row in params.yaml `revision: 1`, then `dvc repro`"
    )
    asked["datasets"]["world"]["revision"] = 1
    Path("params.yaml").write_text(yaml.safe_dump(asked))
    found = resolve.changed(load(), resolve.resolved(load(), {}), Path("data/resolved"))
    assert "stages/prepare/dvc.yaml:prepare@world" in found
