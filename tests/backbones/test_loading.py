from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from crossgap.backbones import BackboneError, checkpoints, load_backbone, weights_files
from crossgap.backbones.declaring import declared
from crossgap.backbones.tokenizers import load_tokenizer
from crossgap.corrections.isoclip import PUBLISHED
from crossgap.training.bpe import learn_merges, write_merges

ROOT = Path(__file__).parents[2]
TRACING = pytest.mark.filterwarnings("ignore:.torch.(jit|load)")


@pytest.fixture(scope="module")
def registered(tiny_folder, tmp_path_factory):
    """The tiny model and its QuickGELU twin under names of open_clip's registry."""
    folder = tmp_path_factory.mktemp("configs")
    config = json.loads((tiny_folder / "open_clip_config.json").read_text())["model_cfg"]
    (folder / "tiny-test.json").write_text(json.dumps(config))
    (folder / "tiny-test-quickgelu.json").write_text(json.dumps({**config, "quick_gelu": True}))
    factory = open_clip.factory
    paths, configs = list(factory._MODEL_CONFIG_PATHS), dict(factory._MODEL_CONFIGS)
    open_clip.add_model_config(folder)
    yield "tiny-test"
    factory._MODEL_CONFIG_PATHS[:] = paths
    factory._MODEL_CONFIGS = configs


@pytest.fixture
def weights(tiny_folder) -> dict[str, torch.Tensor]:
    return load_file(tiny_folder / "open_clip_model.safetensors")


def features(backbone) -> torch.Tensor:
    pixels = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32).sin()
    texts = backbone.encode_texts(backbone.tokenize(["a red dog", "b"])[0]).features
    return torch.cat([backbone.encode_images(pixels).features, texts])


def save(state: dict, path: Path) -> Path:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def test_random_weights_are_warned_of(registered) -> None:
    with pytest.warns(UserWarning, match="tiny-test has random weights"):
        backbone = load_backbone(registered)
    assert backbone.provenance["weights_sha256"] is None


@pytest.mark.parametrize(
    ("suffix", "wrapped"), [(".pt", False), (".pt", True), (".bin", False), (".safetensors", False)]
)
def test_a_checkpoint_file_gives_the_features_of_its_weights(
    registered, tiny, weights, tmp_path, suffix, wrapped
) -> None:
    state = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}} if wrapped else weights
    path = save(state, tmp_path / f"own{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backbone = load_backbone(registered, str(path))
    torch.testing.assert_close(features(backbone), features(tiny), rtol=0, atol=0)
    assert backbone.provenance["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert backbone.provenance["model"] == registered and backbone.provenance["pretrained"] == str(path)


def test_provenance_says_what_was_loaded_and_is_json(tiny, tiny_folder) -> None:
    provenance = tiny.provenance
    assert json.loads(json.dumps(provenance)) == provenance
    file = tiny_folder / "open_clip_model.safetensors"
    assert provenance["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert provenance["precision"] == "fp32" and provenance["quick_gelu"] is False
    assert provenance["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert provenance["preprocessing"]["size"] == [32, 32]
    assert provenance["versions"]["open_clip_torch"] == open_clip.__version__


def test_other_weights_have_another_hash(registered, tiny, weights, tmp_path) -> None:
    weights["logit_scale"] = weights["logit_scale"] + 1
    other = load_backbone(registered, str(save(weights, tmp_path / "other.safetensors")))
    assert other.provenance["weights_sha256"] != tiny.provenance["weights_sha256"]


def test_weights_that_are_not_those_declared_are_refused(registered, weights, tmp_path) -> None:
    path = save(weights, tmp_path / "own.pt")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_backbone(registered, str(path), sha256=right).provenance["weights_sha256"] == right
    with pytest.raises(BackboneError, match=f"own.pt has SHA-256 {right}, not {'0' * 64}"):
        load_backbone(registered, str(path), sha256="0" * 64)


def test_files_that_change_while_they_are_read_are_refused(
    registered, tiny_folder, weights, tmp_path, monkeypatch
) -> None:
    """As those of a training that goes on: the provenance would name the file before."""
    own = shutil.copytree(tiny_folder, tmp_path / "own")
    alone = save(weights, tmp_path / "latest.pt")
    read = checkpoints.read

    def after_writing(file: Path) -> dict[str, torch.Tensor]:
        held = read(file)
        file.write_bytes(file.read_bytes() + b"\0")
        return held

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "read", after_writing)
        for given in ((f"local-dir:{own}",), (registered, str(alone))):
            with pytest.raises(BackboneError, match=r"its files changed while they were read.*begin again"):
                load_backbone(*given)
    shutil.copytree(tiny_folder, own, dirs_exist_ok=True)
    backbone = load_backbone(f"local-dir:{own}")
    with (own / "open_clip_config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(BackboneError, match="its files changed while they were read"):
        _ = backbone.tokenizer


@pytest.mark.parametrize(
    ("model", "right"),
    [
        ("ViT-B-32", "ViT-B-32-quickgelu"),
        ("ViT-L-14", "ViT-L-14-quickgelu"),
        ("ViT-B/16", "ViT-B-16-quickgelu"),
        ("RN50", "RN50-quickgelu"),
    ],
)
def test_openai_weights_in_a_gelu_model_are_refused_with_the_right_name(model, right) -> None:
    with pytest.raises(BackboneError, match=rf"QuickGELU mismatch.*'openai'.*use model '{right}'"):
        load_backbone(model, "openai")


def test_gelu_weights_in_a_quickgelu_model_are_refused_with_the_right_name(registered, monkeypatch) -> None:
    tags = {"plain": {"url": "https://localhost/plain.pt"}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, f"{registered}-quickgelu", tags)
    with pytest.raises(BackboneError, match=r"trained with GELU.*computes QuickGELU; use model 'tiny-test'$"):
        load_backbone(f"{registered}-quickgelu", "plain")


def openai_like(path: Path) -> Path:
    """An archive laid out as OpenAI's: TorchScript, with code beside the data."""
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), path)
    with zipfile.ZipFile(path) as archive:
        assert any("/code/" in name for name in archive.namelist())
    return path


@TRACING
def test_a_file_of_openai_in_a_gelu_model_is_refused_with_the_right_name(registered, tmp_path) -> None:
    path = openai_like(tmp_path / "ViT-B-32.pt")
    with pytest.raises(BackboneError, match=r"QuickGELU mismatch.*ViT-B-32\.pt.*'tiny-test-quickgelu'"):
        load_backbone(registered, str(path))
    with pytest.raises(BackboneError, match=r"QuickGELU mismatch.*use model 'ViT-B-32-quickgelu'"):
        load_backbone("ViT-B-32", str(path))


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(BackboneError, match=r"'ViT-B-33' is none of open_clip's \d+ models"):
        load_backbone("ViT-B-33", "openai")


def test_a_folder_given_as_a_model_is_told_as_given_and_how_it_is_loaded(tiny_folder) -> None:
    with pytest.raises(
        BackboneError, match=f"'{tiny_folder}' is none.*folder: give local-dir:{tiny_folder}$"
    ):
        load_backbone(tiny_folder)


def test_an_unknown_tag_is_named_beside_the_known_ones() -> None:
    with pytest.raises(BackboneError, match=r"'openia' is neither a file nor a tag of ViT-B-32 .*openai"):
        load_backbone("ViT-B-32", "openia")


def test_a_name_with_a_slash_is_the_one_with_a_hyphen(registered, weights, tmp_path) -> None:
    """In the provenance, which published cut-offs are looked up by, and for the tokenizer's context."""
    path = str(save(weights, tmp_path / "own.pt"))
    backbone = load_backbone("tiny/test", path)
    assert backbone.provenance == load_backbone(registered, path).provenance
    assert backbone.provenance["model"] == "tiny-test"
    assert backbone.tokenizer.context_length == 24
    assert load_tokenizer("tiny/test").context_length == 24


def test_a_tag_in_another_spelling_is_the_same_tag(monkeypatch, tiny_folder) -> None:
    """open_clip takes `WebLI` and hyphens for underscores."""
    tags = {
        "own_tag": {"file": str(tiny_folder / "open_clip_model.safetensors"), "interpolation": "bilinear"}
    }
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-S-16", tags)
    config = json.loads((tiny_folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-S-16", config)
    one, other = (load_backbone("ViT-S/16", tag).provenance for tag in ("own_tag", "Own-Tag"))
    assert (
        one == other
        and one["pretrained"] == "own_tag"
        and one["preprocessing"]["interpolation"] == "bilinear"
    )
    assert one["preprocessing_from"] == one["quick_gelu_from"] == "tag own_tag"


@pytest.fixture
def tagged(monkeypatch, tiny_folder, tmp_path):
    """Weights under a tag of open_clip's, their file here: the true names, of few and narrow layers."""

    def tagged(model: str, tag: str, state: dict, **config) -> None:
        known = json.loads((tiny_folder / "open_clip_config.json").read_text())["model_cfg"]
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, model, {**known, **config})
        published = {
            **open_clip.get_pretrained_cfg(model, tag),
            "file": str(save(state, tmp_path / "tag.pt")),
        }
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED[model], tag, published)

    return tagged


@pytest.mark.parametrize(
    ("model", "tag", "spelled"),
    [
        ("ViT-B-32", "datacomp_xl_s13b_b90k", ("ViT-B/32", "DataComp_XL_s13B-b90K")),
        ("ViT-B-16-SigLIP2", "webli", ("ViT-B/16-SigLIP2", "WebLI")),
    ],
)
def test_published_cut_offs_are_found_however_a_backbone_is_spelled(
    tagged, weights, model, tag, spelled
) -> None:
    tagged(model, tag, weights)
    provenance = load_backbone(*spelled).provenance
    assert (provenance["model"], provenance["pretrained"]) == (model, tag) and (model, tag) in PUBLISHED
    assert provenance["preprocessing_from"] == provenance["quick_gelu_from"] == f"tag {tag}"


@pytest.mark.parametrize("custom", [False, True])
def test_a_tags_weights_are_loaded_as_open_clip_loads_them(tagged, weights, custom) -> None:
    """With positions of another image size and context, which open_clip resizes; of a file that is an error."""
    weights["visual.positional_embedding"] = torch.randn(5 * 5 + 1, 48)
    weights["positional_embedding"] = torch.randn(20, 32)
    weights["logit_scale"] = weights["logit_scale"].reshape(1)
    tagged("ViT-B-16", "laion2b_s34b_b88k", weights, custom_text=custom)
    right = open_clip.create_model("ViT-B-16", "laion2b_s34b_b88k").state_dict()
    found = load_backbone("ViT-B-16", "laion2b_s34b_b88k").model.state_dict()
    assert set(found) == set(right) and all(torch.equal(found[name], right[name]) for name in right)


def test_numpys_files_are_left_to_open_clips_own_reader(tagged, weights, tmp_path, monkeypatch) -> None:
    tagged("ViT-B-16-SigLIP", "webli", weights, custom_text=True)
    np.savez(tmp_path / "own.npz", scale=np.float32(1.25))

    def own(model, path) -> None:
        model.logit_scale.data.fill_(float(np.load(path)["scale"]))

    monkeypatch.setattr(open_clip.convert, "load_big_vision_weights", own)
    backbone = load_backbone("ViT-B-16-SigLIP", str(tmp_path / "own.npz"))
    assert float(backbone.model.logit_scale) == 1.25
    assert backbone.provenance["preprocessing"]["resize_mode"] == "squash"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("ViT-B-32-quickgel", "openai"), "is none of open_clip's"),
        (("ViT-B-32", "openia"), "is neither a file nor a tag"),
        (("ViT-B/32", "openai"), "QuickGELU mismatch"),
        (("ViT-B-32", "/gone.pt"), "is neither a file nor a tag"),
        (("local-dir:/gone", "openai"), "brings its own weights"),
        (("timm:vit_small_patch14_dinov2.lvd143m",), "is no tag of"),
        (("timm:vit_small_patch14_dinov2", "/gone.pt"), "is no file"),
        (("ViT-B-16-SigLIP", "webli", "webli"), "brings its own preprocessing"),
    ],
)
def test_what_is_wrong_in_a_row_is_found_without_its_weights(row, said) -> None:
    for find in (lambda: declared(*row), lambda: load_backbone(*row[:2], preprocess=(*row, None, None)[2])):
        with pytest.raises(BackboneError, match=said):
            find()


def test_a_row_that_is_right_needs_no_weights() -> None:
    assert declared("ViT-B/32-quickgelu", "OpenAI").pretrained == "openai"
    assert declared("local-dir:/made/later").model == "local-dir:/made/later"
    assert declared("timm:vit_small_patch14_dinov2.lvd142m").pretrained is None


def test_a_missing_checkpoint_is_named(registered, tmp_path) -> None:
    path = tmp_path / "gone.pt"
    with pytest.raises(BackboneError, match=r"gone\.pt' is neither a file nor a tag of tiny-test .*none"):
        load_backbone(registered, str(path))


def test_empty_weights_are_not_random_weights(registered) -> None:
    with pytest.raises(BackboneError, match="pretrained ''"):
        load_backbone(registered, "")


@pytest.mark.parametrize("change", ["a missing tensor", "another shape", "a strange tensor"])
def test_a_checkpoint_of_another_architecture_is_refused(registered, weights, tmp_path, change) -> None:
    if change == "a missing tensor":
        del weights["visual.proj"]
    elif change == "another shape":
        weights["visual.proj"] = torch.zeros(48, 25)
    else:
        weights["visual.extra"] = torch.zeros(1)
    path = save(weights, tmp_path / "other.safetensors")
    with pytest.raises(BackboneError, match=r"(?s)tiny-test with .*other\.safetensors.*visual\.(proj|extra)"):
        load_backbone(registered, str(path))


@pytest.mark.parametrize("tower", ["visual.positional_embedding", "positional_embedding"])
def test_a_checkpoint_of_another_resolution_or_context_is_refused_and_not_resized(
    registered, weights, tmp_path, tower
) -> None:
    weights[tower] = torch.randn(5 * 5 + 1 if tower.startswith("visual") else 20, weights[tower].shape[1])
    path = save(weights, tmp_path / "resized.safetensors")
    with pytest.raises(BackboneError, match=rf"resized\.safetensors.*{tower}"):
        load_backbone(registered, str(path))


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(registered, tmp_path) -> None:
    torch.save({"weight": Malicious(tmp_path / "ran")}, tmp_path / "bad.pt")
    with pytest.raises(BackboneError, match=r"bad\.pt' can't be loaded"):
        load_backbone(registered, str(tmp_path / "bad.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["bad.pt", "bad.safetensors"])
def test_a_damaged_checkpoint_is_refused(registered, tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(BackboneError, match=r"tiny-test with .*bad\..*can't be loaded"):
        load_backbone(registered, str(tmp_path / name))


def test_an_unknown_precision_is_named(registered) -> None:
    with pytest.raises(BackboneError, match="'float32' is not one of fp32, bf16, fp16"):
        load_backbone(registered, precision="float32")


def test_a_folder_without_config_or_weights_is_named(tiny_folder, tmp_path) -> None:
    with pytest.raises(BackboneError, match=r"nowhere holds no open_clip_config\.json"):
        load_backbone(f"local-dir:{tmp_path / 'nowhere'}")
    shutil.copy(tiny_folder / "open_clip_config.json", tmp_path)
    with pytest.raises(BackboneError, match=r"holds no weights \(\.safetensors"):
        load_backbone(f"local-dir:{tmp_path}")
    with pytest.raises(
        BackboneError, match="brings its own weights, so pretrained='openai' would be ignored"
    ):
        load_backbone(f"local-dir:{tiny_folder}", "openai")


def test_a_broken_config_is_an_error(tiny_folder, tmp_path) -> None:
    shutil.copytree(tiny_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(BackboneError, match="can't be loaded"):
        load_backbone(f"local-dir:{tmp_path}")


def test_a_folder_brings_its_own_merges_whatever_the_working_directory(
    tiny_folder, tmp_path, monkeypatch
) -> None:
    folder = tmp_path / "own"
    shutil.copytree(tiny_folder, folder)
    merges = folder / "own_merges.txt.gz"
    write_merges(merges, learn_merges({"red": 3, "dog": 2, "blue": 1}, limit=10))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"bpe_path": merges.name}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    expected = open_clip.SimpleTokenizer(bpe_path=str(merges), context_length=24)(["red dog", "blue"])
    for name in (folder, os.path.relpath(folder)):
        backbone = load_backbone(f"local-dir:{name}")
        assert torch.equal(backbone.tokenize(["red dog", "blue"])[0], expected)
    assert not torch.equal(expected, open_clip.SimpleTokenizer(context_length=24)(["red dog", "blue"]))


@pytest.mark.parametrize(
    "names",
    [
        ["epoch_2.safetensors"],
        ["a.safetensors", "model.safetensors", "open_clip_pytorch_model.bin"],
        ["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"],
        ["a.bin", "z.safetensors"],
        ["b.pth", "a.pth", "c.bin"],
        ["model.pth", "pytorch_model.pth", "a.safetensors"],
    ],
    ids=" ".join,
)
def test_of_several_files_of_weights_open_clips_choice_is_taken(names, tiny_folder, tmp_path) -> None:
    state = load_file(tiny_folder / "open_clip_model.safetensors")
    shutil.copy(tiny_folder / "open_clip_config.json", tmp_path)
    for mark, name in enumerate(names):
        write = save_file if name.endswith(".safetensors") else torch.save
        write(state | {"logit_scale": torch.tensor(float(mark))}, tmp_path / name)
    guessed = len(names) > 1 and not set(names) & set(weights_files.NAMES)
    said = pytest.warns(UserWarning, match="the first is taken") if guessed else contextlib.nullcontext()
    with said:
        found = load_backbone(f"local-dir:{tmp_path}").model
    right = open_clip.create_model(f"local-dir:{tmp_path}")
    assert float(found.logit_scale) == float(right.logit_scale.detach())


def test_one_file_by_a_name_of_its_own_is_not_called_several(tiny_folder, tmp_path, caplog) -> None:
    shutil.copy(tiny_folder / "open_clip_config.json", tmp_path)
    torch.save(load_file(tiny_folder / "open_clip_model.safetensors"), tmp_path / "epoch_32.pth")
    load_backbone(f"local-dir:{tmp_path}")
    assert "checkpoints found" not in caplog.text


def test_a_hub_that_can_not_be_reached_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BackboneError, match=r"can't be had.*name a checkpoint file"):
        load_backbone("hf-hub:nobody/nothing", cache_dir=str(tmp_path))
    with pytest.raises(BackboneError, match=r"'ViT-B-32-quickgelu' \(openai\) can't be had"):
        load_backbone("ViT-B-32-quickgelu", "openai", cache_dir=str(tmp_path))


def test_the_embedded_backbone_loads_as_any_other() -> None:
    folder = ROOT / "data" / "backbones" / "nano"
    if not (folder / "open_clip_config.json").is_file():
        pytest.skip("data/backbones/nano is absent")
    backbone = load_backbone(f"local-dir:{folder}")
    assert torch.isfinite(features(backbone)).all()
