"""What can be known to be missing without loading a model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import timm
import torch
import yaml
from typer.testing import CliRunner

from crossgap import load_backbone
from crossgap.backbones import BackboneError, declaring, towers
from crossgap.catalogue import entries, registered
from crossgap.cli import app
from crossgap.params import ParamsError, load
from crossgap.params.available import _missing, no_data, no_device, require, unavailable
from crossgap.params.sections import Weights
from tests.runs import run_of

ROOT = Path(__file__).parents[2]
SAME = {"query": "test", "gallery": "test"}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def asked(folder: Path, weights: dict | None = None, **sections: object) -> list[str]:
    """What is said of our params.yaml with a backbone `mine` of these weights in `run`, and other sections."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    if weights:
        raw["backbones"]["mine"] = {"weights": weights}
        raw["run"]["backbones"].append("mine")
    (folder / "params.yaml").write_text(yaml.safe_dump(raw | sections))
    return list(unavailable(load(folder / "params.yaml")))


def test_files_of_datasets(tmp_path) -> None:
    photos = {
        "layout": "captions",
        "root": f"{tmp_path}/no",
        "captions": f"{tmp_path}/c.csv",
        "retrieval": SAME,
    }
    table = {"layout": "table", "root": str(tmp_path), "table": "t.csv", "retrieval": SAME}
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    run = raw["run"] | {"datasets": ["world", "photos", "things"]}
    sections = {"run": run, "datasets": raw["datasets"] | {"photos": photos, "things": table}}
    there = ": put it there, or name where it is"
    assert asked(tmp_path, **sections) == []  # results of others need no images
    held = load(tmp_path / "params.yaml")
    assert list(no_data(held)) == [
        f"datasets.photos.root: there is no {tmp_path}/no{there}",
        f"datasets.photos.captions: there is no {tmp_path}/c.csv{there}",
        f"datasets.things.table: there is no {tmp_path}/t.csv{there}",
    ]
    with pytest.raises(ParamsError, match=r"datasets\.photos\.root: there is no"):
        require(held, data=True)
    for name in ("c.csv", "t.csv"):
        (tmp_path / name).touch()
    (tmp_path / "no").mkdir()
    assert list(no_data(held)) == []


def test_models_and_tags_are_those_of_the_library() -> None:
    # asked of a fresh process: in this one other tests may have registered models
    asked = (
        "import json, open_clip; tags = open_clip.list_pretrained();"
        "tags = [(model, tag, open_clip.get_pretrained_cfg(model, tag)) for model, tag in tags];"
        "print(json.dumps([open_clip.list_models(), tags]))"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    models, published = json.loads(told)
    assert set(registered.models()) == {*models, "SLIP-ViT-B-16", "SLIP-ViT-L-16"}
    found = registered.tags()
    assert {(model, tag) for model, tags in found.items() for tag in tags} == {
        (model, tag) for model, tag, _ in published
    }
    for model, tag, facts in published:
        for field in ("hf_hub", "url", "quick_gelu"):
            assert (found[model][tag].get(field) or None) == (facts.get(field) or None), (model, tag)


def test_activations_are_judged_as_loading_judges_them() -> None:
    refused = {True: 0, False: 0}
    for model in open_clip.list_models():
        for tag in open_clip.list_pretrained_tags_by_model(model.removesuffix("-quickgelu")):
            if registered.tag(model, tag) is None:
                continue
            try:
                declaring.declared(model, tag)
                wanted = None
            except BackboneError as error:
                wanted = str(error)
            if wanted is None or "QuickGELU mismatch" in wanted:  # else transformers is missing
                found = _missing(Weights(model=model, pretrained=tag))
                assert (found is None) == (wanted is None), (model, tag)
                refused[wanted is not None] += 1
    assert min(refused.values()) > 10


def test_an_import_that_is_not_there_is_named_with_how_it_is_had(tmp_path, monkeypatch) -> None:
    row = {"b32": {"backbone": "b32", "dataset": "dtd", "retrieval": {"query": "test", "gallery": "test"}}}
    given = {"run": run_of(imports=["b32"]), "imports": row, "finetune": {}, "idealised": {}}
    monkeypatch.chdir(tmp_path)
    store = "data/imports/b32/native.zarr.zip"
    (line,) = asked(tmp_path, **given)
    assert line.startswith(
        f"run.imports: there is no {store}: `crossgap import b32 …` makes it; who has it shares it"
    )
    Path("data/imports").mkdir(parents=True)
    Path("data/imports/b32.dvc").touch()
    (line,) = asked(tmp_path, **given)
    assert (
        line
        == f"run.imports: there is no {store}: `dvc pull data/imports/b32.dvc` brings it from where the team keeps it"
    )
    Path(store).parent.mkdir()
    Path(store).touch()
    assert asked(tmp_path, **given) == []


def test_every_model_of_timm_is_known_with_its_weights() -> None:
    found = registered.of_timm()
    assert set(found) == set(timm.list_models())
    for name in timm.list_pretrained():
        architecture, _, tag = name.partition(".")
        assert not tag or tag in found[architecture] or not found[architecture]
    assert sum(map(bool, found.values())) > 1000


def test_all_of_the_catalogue_is_there_but_for_files_of_ones_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(towers, "_installed", lambda library: True)
    rows = entries.rows("backbones")
    said = [line for row in rows.values() for line in asked(tmp_path, row["weights"])]
    assert [line.partition(" there is no file ")[2].partition(":")[0] for line in said] == [
        rows[name]["weights"]["pretrained"] for name in ("slip-b16", "slip-l16", "slip-clip-b16")
    ]


WRONG = [
    (
        {"model": "ViT-B-32-quickgel", "pretrained": "openai"},
        r"backbones.mine.weights.model: 'ViT-B-32-quickgel' is none of open_clip's \d+ models; did you mean "
        "'ViT-B-32-quickgelu'",
    ),
    (
        {"model": "ViT-B-33", "pretrained": "/models/mine.pt"},
        r"backbones.mine.weights.model: 'ViT-B-33' is none of open_clip's \d+ models; .*others are "
        r"local-dir:FOLDER with an open_clip_config\.json, hf-hub: and timm:$",
    ),
    (
        {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79"},
        "backbones.mine.weights.pretrained: 'laion2b_s34b_b79' is neither a file nor a tag of ViT-B-32; did you mean "
        r"'laion2b_s34b_b79k'\? \(its tags: openai, ",
    ),
    (
        {"model": "ViT-B/32", "pretrained": "openai"},
        "backbones.mine.weights.model: the weights 'openai' were trained with QuickGELU, and 'ViT-B-32' computes GELU: "
        "name ViT-B-32-quickgelu",
    ),
    (
        {"model": "ViT-L-14", "pretrained": "LICENSE"},
        "backbones.mine.weights.preprocess: .*the published weights of ViT-L-14 differ in their preprocessing",
    ),
    (
        {"model": "ViT-B/32", "pretrained": "/models/epoch_32.pt"},
        "backbones.mine.weights.pretrained: there is no file /models/epoch_32.pt: put it there, or name where it is",
    ),
    (
        {"model": "ViT-B/32", "pretrained": "~/epoch_32.pt"},
        f"backbones.mine.weights.pretrained: there is no file ~/epoch_32.pt: ~ is a shell's: write {Path.home()}/epoch",
    ),
    (
        {"model": "local-dir:/models/mine"},
        "backbones.mine.weights.model: /models/mine holds no open_clip_config.json: put the model there",
    ),
    (
        {"model": "timm:vit_base_patch14_dinov3.lvd142m"},
        "backbones.mine.weights.model: timm has no model 'vit_base_patch14_dinov3'; did you mean",
    ),
    (
        {"model": "timm:vit_base_patch14_dinov2.lvd142"},
        "backbones.mine.weights.model: timm has no weights 'lvd142' of vit_base_patch14_dinov2; did you mean 'lvd142m'",
    ),
    (
        {"model": "timm:vit_base_patch14_dinov2.lvd142m", "pretrained": "dino.pt"},
        "backbones.mine.weights.pretrained: there is no file dino.pt",
    ),
]


@pytest.mark.parametrize(("weights", "message"), WRONG, ids=[str(weights)[:50] for weights, _ in WRONG])
def test_a_backbone_of_the_run_that_cant_be_had_is_refused_with_its_field(tmp_path, weights, message) -> None:
    (line,) = asked(tmp_path, weights)
    assert re.match(message, line), line


def test_a_folder_without_weights_is_refused_and_open_clips_pt_is_named(tmp_path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    model = {"model": f"local-dir:{tmp_path}"}
    (line,) = asked(tmp_path, model)
    assert line == (
        f"backbones.mine.weights.model: {tmp_path} holds no weights (.safetensors, .bin or .pth): put them there"
    )
    (tmp_path / "epoch_32.pt").touch()
    (line,) = asked(tmp_path, model)
    assert line.endswith("name epoch_32.pt epoch_32.pth, which open_clip looks for")
    (tmp_path / "epoch_32.pt").rename(tmp_path / "epoch_32.pth")
    assert asked(tmp_path, model) == []


def test_a_folder_given_as_a_model_is_told(tmp_path) -> None:
    with pytest.raises(ParamsError, match=rf"weights.*: {tmp_path} is a folder: give local-dir:{tmp_path}"):
        asked(tmp_path, {"model": str(tmp_path)})


@pytest.mark.parametrize(
    "weights",
    [
        {"model": "ViT-B/32-quickgelu", "pretrained": "openai"},
        {"model": "ViT-B-32", "pretrained": "LAION2b-s34b-b79k"},
        {"model": "hf-hub:nobody/knows"},
        {"model": "ViT-B-32", "pretrained": "LICENSE"},
    ],
    ids=str,
)
def test_what_may_be_there_is_not_refused(tmp_path, weights) -> None:
    assert asked(tmp_path, weights) == []


def test_only_what_the_run_names_is_looked_for(tmp_path) -> None:
    run = run_of(backbones=["nano"], datasets=["world"])
    lost = {"lost": {"weights": {"model": "ViT-B-33", "pretrained": "openai"}}}
    assert asked(tmp_path, run=run, backbones=lost) == []
    # what a training makes isn't there yet; what it starts from is needed
    tuned = {"tuned": {"backbone": "lost", "dataset": "world"}}
    (line,) = asked(tmp_path, run=run | {"backbones": ["tuned"]}, backbones=lost, finetune=tuned)
    assert line.startswith("backbones.lost.weights.model: 'ViT-B-33' is none of open_clip's")
    (line,) = asked(tmp_path, idealised={"x": {"dataset": "world", "architecture": "ViT-B-33"}})
    assert line.startswith("idealised.x.architecture: 'ViT-B-33' is none of")


def test_a_device_that_is_not_there_is_named_as_the_setting(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert asked(tmp_path, machine={"device": "cuda"}) == [
        "machine.device: torch finds no GPU here, which 'cuda' asks for: give auto or cpu"
    ]
    assert asked(tmp_path, machine={"device": "auto"}) == asked(tmp_path, machine={"device": "cpu"}) == []
    assert asked(tmp_path, machine={"device": "cuda", "engine": "ray"}) == []  # its workers may have one
    monkeypatch.setitem(sys.modules, "ray", None)
    (line,) = asked(tmp_path, machine={"engine": "ray"})
    assert line.startswith("machine.engine: 'ray' needs Ray") and "pip install 'crossgap[ray]'" in line
    monkeypatch.setitem(sys.modules, "umap", None)
    (line,) = asked(tmp_path, evaluate={"plane": "umap"})
    assert (
        line.startswith("evaluate.plane: 'umap' needs umap-learn") and "pip install 'crossgap[umap]'" in line
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert no_device("cuda") is no_device("cuda:1") is None
    assert no_device("cuda:2") == "'cuda:2' is none of the 2 GPUs here: give cuda:0 to cuda:1"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert "no GPU of Apple's" in no_device("mps")


@pytest.mark.parametrize("name", ["ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"])
def test_a_cpu_that_is_asked_to_round_float32_is_refused(tmp_path, tiny_folder, monkeypatch, name) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(name, "BF16")
    for device in ("auto", "cpu"):
        line = f"machine.device: {name}=BF16 has oneDNN round float32 on a CPU: unset it"
        assert asked(tmp_path, machine={"device": device}) == [line]
        with pytest.raises(BackboneError, match=f"^device 'cpu': {name}=BF16 has oneDNN round"):
            load_backbone(f"local-dir:{tiny_folder}", device=device)
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "strict")
    assert asked(tmp_path, machine={"device": "cpu"}) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    assert no_device("auto") is None


def test_the_command_says_it_and_the_stage_can(tmp_path) -> None:
    asked(tmp_path, {"model": "ViT-B-33", "pretrained": "openai"}, machine={"device": "cpu"})
    path = tmp_path / "params.yaml"
    with pytest.raises(ParamsError, match=r"(?s)can't be used:\n  backbones.mine.weights.model: 'ViT-B-33'"):
        require(load(path), path)
    ran = CliRunner().invoke(app, ["check", str(path)])
    assert ran.exit_code == 1 and "backbones.mine.weights.model: 'ViT-B-33' is none of" in str(
        ran.exception or ran.output
    )


def test_looking_costs_no_torch() -> None:
    code = (
        "import sys; from crossgap.params import load; from crossgap.params.available import require; "
        "from crossgap.catalogue import registered; require(load()); registered.of_timm(); "
        "print({'torch', 'open_clip', 'timm', 'pandas'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
