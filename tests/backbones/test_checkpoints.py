"""Checkpoints in the forms that people have, against the features of the weights in them."""

from __future__ import annotations

import argparse
import collections
import copy
import io
import json
import os
import pathlib
import re
import warnings
import zipfile
from collections import OrderedDict
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip import factory
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from crossgap import load_backbone
from crossgap.backbones import BackboneError

MODEL = "ViT-B-32"
BIAS = torch.tensor(-10.0)


@pytest.fixture(autouse=True)
def small(tiny_folder, monkeypatch) -> None:
    """True names, of few and narrow layers."""
    config = json.loads((tiny_folder / "open_clip_config.json").read_text())["model_cfg"]
    for name in (MODEL, "ViT-L-14-336", "ViT-B-16-SigLIP"):
        own = copy.deepcopy(config) | (
            {"custom_text": True, "init_logit_bias": -10} if "SigLIP" in name else {}
        )
        monkeypatch.setitem(factory._MODEL_CONFIGS, name, own)
        monkeypatch.setitem(factory._MODEL_CONFIGS, f"{name}-quickgelu", {**own, "quick_gelu": True})


@pytest.fixture
def state(tiny_folder) -> dict[str, Tensor]:
    return load_file(tiny_folder / "open_clip_model.safetensors")


@cache
def tokens() -> Tensor:
    return open_clip.SimpleTokenizer(context_length=24)(["a red dog", "b"])


def features(backbone) -> Tensor:
    pixels = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32).sin()
    texts = backbone.encode_texts(tokens()).features
    return torch.cat([backbone.encode_images(pixels).features, texts])


def prefixed(state: dict[str, Tensor], prefix: str) -> OrderedDict[str, Tensor]:
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def other(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor + 1 for name, tensor in state.items()}


FORMS = {
    "plain": lambda s: s,
    "of --siglip": lambda s: {"epoch": 1, "name": "run", "state_dict": {**s, "logit_bias": BIAS}},
    "of --siglip under DataParallel": lambda s: {
        "state_dict": prefixed({**s, "logit_bias": BIAS}, "module.")
    },
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "compiled, then parallel": lambda s: {"state_dict": prefixed(s, "module._orig_mod.")},
    "parallel, then compiled": lambda s: {"state_dict": prefixed(s, "_orig_mod.module.")},
    "one tower compiled": lambda s: {n.replace("visual.", "visual._orig_mod."): t for n, t in s.items()},
    "of Lightning": lambda s: {
        "state_dict": {**prefixed(s, "model."), "loss.weight": torch.ones(3)},
        "pytorch-lightning_version": "2.4.0",
        "hyper_parameters": {"lr": 1e-3, "model": "ViT-B-32"},
    },
    "of Lightning, deeper": lambda s: {"state_dict": prefixed(s, "model.clip.module.")},
    "under model": lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}},
    "under model_state_dict": lambda s: {"model_state_dict": s, "step": 3},
    "of DeepSpeed": lambda s: {"module": s, "global_steps": 3},
    "under model, then state_dict": lambda s: {"model": {"state_dict": prefixed(s, "module.")}},
    "an average alone": lambda s: {"state_dict_ema": prefixed(s, "module.")},
    "arguments beside it": lambda s: {
        "state_dict": s,
        "args": argparse.Namespace(out=pathlib.PosixPath("/out"), lr=np.float64(1e-3), names={1, 2}),
        "rng": collections.Counter("abc"),
        "steps": np.arange(3),
    },
    "under a key of its own": lambda s: {"net": s, "optimizer": {"state": {0: {"step": BIAS}}}, "step": 3},
    "numbers among the tensors": lambda s: {**s, "epoch": 3},
    "a scale of another shape": lambda s: {**s, "logit_scale": s["logit_scale"].reshape(1)},
    "a student among others": lambda s: {
        **prefixed(s, "student."),
        **prefixed({name: torch.zeros(*tensor.shape, 2) for name, tensor in s.items()}, "teacher."),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_the_weights_of_a_file_are_found_in_it(tiny, state, tmp_path, form) -> None:
    torch.save(FORMS[form](state), tmp_path / "own.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backbone = load_backbone(MODEL, str(tmp_path / "own.pt"))
    assert torch.equal(features(backbone), features(tiny))


@pytest.mark.parametrize("form", [f for f in FORMS if "state_dict" not in FORMS[f]({"logit_scale": BIAS})])
def test_so_they_are_in_safetensors_and_in_files_of_old_torch(tiny, state, tmp_path, form) -> None:
    held = FORMS[form](state)
    if all(isinstance(tensor, Tensor) for tensor in held.values()):
        save_file(held, tmp_path / "own.safetensors")
        assert torch.equal(features(load_backbone(MODEL, str(tmp_path / "own.safetensors"))), features(tiny))
        save_file(held, tmp_path / "misnamed.pt")
        assert torch.equal(features(load_backbone(MODEL, str(tmp_path / "misnamed.pt"))), features(tiny))
    if form != "arguments beside it":
        torch.save(held, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        assert torch.equal(features(load_backbone(MODEL, str(tmp_path / "old.pth"))), features(tiny))


@pytest.mark.parametrize("form", ["compiled", "of Lightning", "under model", "of --siglip"])
def test_so_they_are_in_a_folder(tiny, tiny_folder, state, tmp_path, form) -> None:
    (tmp_path / "open_clip_config.json").write_text((tiny_folder / "open_clip_config.json").read_text())
    torch.save(FORMS[form](state), tmp_path / "open_clip_pytorch_model.bin")
    assert torch.equal(features(load_backbone(f"local-dir:{tmp_path}")), features(tiny))


def test_a_model_of_siglips_takes_weights_without_its_bias(tiny, state, tmp_path) -> None:
    """And names of the text tower as models had them that keep it in their root."""
    for held in (state, {**state, "logit_bias": BIAS}, {**state, "logit_bias": BIAS.reshape(1)}):
        torch.save(held, tmp_path / "own.pt")
        backbone = load_backbone("ViT-B-16-SigLIP", str(tmp_path / "own.pt"))
        assert torch.equal(features(backbone), features(tiny))


def test_a_model_that_is_there_twice_is_not_guessed(state, tmp_path) -> None:
    torch.save({**prefixed(state, "teacher."), **prefixed(other(state), "student.")}, tmp_path / "own.pt")
    with pytest.raises(BackboneError, match=r"holds the model 2 times, under 'student\.', 'teacher\.': save"):
        load_backbone(MODEL, str(tmp_path / "own.pt"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"is empty \(0 bytes\): get it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "is a pointer of git-lfs, not the weights: run git lfs pull",
        ),
        (b"\n <!DOCTYPE html><html><title>Sign in</title>", "is a web page, not weights"),
        (b"<html>\n<head><title>504</title>", "is a web page, not weights"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page, not weights"),
        (b"no weights", "is damaged, or holds other than tensors|is not what numpy writes"),
        (b"\x80\x02}q\x00.", "is damaged|is not what numpy writes"),
        (b"{'error': 'not found'}", "is damaged|is not what numpy writes"),
    ],
)
@pytest.mark.parametrize("name", ["own.pt", "own.safetensors", "own.bin", "own.npz"])
def test_what_is_left_of_a_failed_download_is_named(tmp_path, content, said, name) -> None:
    (tmp_path / name).write_bytes(content)
    for model in (MODEL, "SLIP-ViT-B-16", "timm:vit_tiny_patch16_224.augreg_in21k"):
        with pytest.raises(BackboneError, match=said) as raised:
            load_backbone(model, str(tmp_path / name))
        assert not {"weights_only", "allow_pickle", "\n"} & set(re.findall(r"\w+|\n", str(raised.value)))


@pytest.mark.parametrize("part", [0.3, 0.999])
@pytest.mark.parametrize("name", ["own.pt", "own.safetensors"])
def test_a_file_that_is_cut_short_is_named(state, tmp_path, name, part) -> None:
    path = tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(BackboneError, match=r"own\.\w+ is (damaged or )?cut short.*: get it again"):
        load_backbone(MODEL, str(path))


class Calling:
    """An object whose unpickling calls a function."""

    def __init__(self, function, *arguments: object) -> None:
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize("place", ["among the weights", "beside them"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("function", ["touch", "system", "eval", "mkdir"])
def test_no_code_in_a_file_is_run(state, tmp_path, place, protocol, function) -> None:
    mark = tmp_path / "ran"
    bad = {
        "touch": Calling(Path.touch, mark),
        "system": Calling(os.system, f"touch {mark}"),
        "eval": Calling(eval, f"open({str(mark)!r}, 'w')"),
        "mkdir": Calling(os.mkdir, str(mark)),
    }[function]
    held = (
        {**state, "visual.proj": bad} if place == "among the weights" else {"state_dict": state, "args": bad}
    )
    torch.save(held, tmp_path / "bad.pt", pickle_protocol=protocol)
    with pytest.raises(BackboneError, match=r"bad\.pt") as raised:
        load_backbone(MODEL, str(tmp_path / "bad.pt"))
    assert "weights_only" not in str(raised.value) and not mark.exists()


def test_an_object_of_any_type_beside_the_weights_is_left_as_it_lies(tiny, state, tmp_path) -> None:
    """The call of its class would leave a mark: it isn't even imported."""
    held = {"state_dict": state, "callbacks": Calling(zipfile.ZipFile, str(tmp_path / "ran"), "w")}
    torch.save(held, tmp_path / "own.pt")
    assert torch.equal(features(load_backbone(MODEL, str(tmp_path / "own.pt"))), features(tiny))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("held", [[1, 2], {"epoch": 3}, {"state_dict": {"a": 1}}, torch.zeros(3)])
def test_a_file_without_a_state_dict_is_named(tmp_path, held) -> None:
    torch.save(held, tmp_path / "other.pt")
    with pytest.raises(
        BackboneError, match=r"other\.pt has no `state_dict` of tensors, nor one under any of"
    ):
        load_backbone(MODEL, str(tmp_path / "other.pt"))


def test_a_whole_module_is_named_and_not_built(tmp_path) -> None:
    torch.save(open_clip.create_model(MODEL), tmp_path / "whole.pt")
    with pytest.raises(
        BackboneError, match=r"whole\.pt is a whole module .*: save its state_dict\(\) instead"
    ):
        load_backbone(MODEL, str(tmp_path / "whole.pt"))


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path) -> None:
    with pytest.raises(BackboneError, match=rf"it is a folder: give it as the model, local-dir:{tmp_path}"):
        load_backbone(MODEL, str(tmp_path))


def test_what_another_model_lacks_and_has_is_said_in_a_line(state, tmp_path) -> None:
    """A ViT of more layers, and transformers' names."""
    more = {n.replace("resblocks.1", "resblocks.7"): t for n, t in state.items() if "resblocks.1" in n}
    for held in ({**state, **more}, more, {"vision_model.embeddings.class_embedding": torch.zeros(48)}):
        torch.save(held, tmp_path / "other.pt")
        with pytest.raises(BackboneError, match=r"Unexpected key|names that transformers gives") as raised:
            load_backbone(MODEL, str(tmp_path / "other.pt"))
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 1200


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_quantised_weights_are_refused_whose_numbers_torch_would_take(state, tmp_path, dtype) -> None:
    state["visual.proj"] = (state["visual.proj"] * 100).to(dtype)
    torch.save(state, tmp_path / "small.pt")
    with pytest.raises(BackboneError, match=r"small\.pt has visual\.proj in u?int8: quant") as raised:
        load_backbone(MODEL, str(tmp_path / "small.pt"))
    assert "floating point" in str(raised.value)


def test_matrices_of_lora_that_are_not_merged_are_called_so(state, tmp_path) -> None:
    name = "visual.transformer.resblocks.0.mlp.c_fc"
    held = {n.replace(f"{name}.", f"{name}.base_layer."): t for n, t in state.items()}
    held |= {
        f"{name}.lora_A.default.weight": torch.zeros(4, 48),
        f"{name}.lora_B.default.weight": torch.zeros(192, 4),
    }
    for prefix in ("", "base_model.model."):
        torch.save({prefix + n: t for n, t in held.items()}, tmp_path / "adapted.pt")
        with pytest.raises(BackboneError, match=r"matrices of LoRA .*merge them"):
            load_backbone(MODEL, str(tmp_path / "adapted.pt"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(state, tmp_path, value) -> None:
    state["visual.proj"][3, 2] = value
    torch.save(state, tmp_path / "diverged.pt")
    with pytest.raises(
        BackboneError, match=r"diverged\.pt has values that are NaN or infinite in 1 .*visual\.proj"
    ):
        load_backbone(MODEL, str(tmp_path / "diverged.pt"))


def test_weights_that_are_not_finite_in_half_precision_alone_say_so(state, tmp_path) -> None:
    state["visual.proj"][3, 2] = 1e6
    torch.save(state, tmp_path / "wide.pt")
    load_backbone(MODEL, str(tmp_path / "wide.pt"))
    with pytest.raises(BackboneError, match=r"the precision is too narrow for it; .*use fp32"):
        load_backbone(MODEL, str(tmp_path / "wide.pt"), precision="fp16")


NUMBERS = {
    "input_resolution": torch.tensor(32),
    "context_length": torch.tensor(24),
    "vocab_size": torch.tensor(49408),
}


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-B/32"])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": prefixed(s, "module.")}])
def test_weights_with_openais_numbers_are_openais_whatever_the_models_name_looks_like(
    state, tmp_path, model, wrap
) -> None:
    torch.save(wrap({**state, **NUMBERS}), tmp_path / "own.pt")
    with pytest.raises(BackboneError, match=r"QuickGELU mismatch.*use model 'ViT-B-32-quickgelu'"):
        load_backbone(model, str(tmp_path / "own.pt"))
    twin = load_backbone(f"{model}-quickgelu", str(tmp_path / "own.pt"))
    assert (
        twin.provenance["quick_gelu"]
        and twin.provenance["quick_gelu_from"] == "the weights, of OpenAI's form"
    )
    assert twin.provenance["model"] == "ViT-B-32-quickgelu"


def test_so_they_are_in_safetensors_and_in_a_folder_that_does_not_say(
    tiny, tiny_folder, state, tmp_path
) -> None:
    path = tmp_path / "open_clip_model.safetensors"
    save_file({**state, **NUMBERS}, path)
    with pytest.raises(BackboneError, match="QuickGELU mismatch"):
        load_backbone(MODEL, str(path))
    document = json.loads((tiny_folder / "open_clip_config.json").read_text())
    file = tmp_path / "open_clip_config.json"
    file.write_text(json.dumps(document))
    with pytest.raises(
        BackboneError, match=r'QuickGELU mismatch.*add "quick_gelu": true to its model_cfg, or false'
    ):
        load_backbone(f"local-dir:{tmp_path}")
    for said in (True, False):
        file.write_text(json.dumps({**document, "model_cfg": {**document["model_cfg"], "quick_gelu": said}}))
        backbone = load_backbone(f"local-dir:{tmp_path}")
        assert backbone.provenance["quick_gelu"] is said
        assert torch.equal(features(backbone), features(tiny)) is not said


def test_what_a_file_does_not_tell_the_models_name_does(tiny, state, tmp_path) -> None:
    torch.save(state, tmp_path / "own.pt")
    for model, quick in {"ViT-B/32": False, "ViT-B/32-quickgelu": True}.items():
        backbone = load_backbone(model, str(tmp_path / "own.pt"))
        assert backbone.provenance["quick_gelu"] is quick
        assert backbone.provenance["quick_gelu_from"] == "the model's name"
        assert torch.equal(features(backbone), features(tiny)) is not quick


def test_a_name_whose_every_published_weight_is_of_quickgelu_is_warned_of(state, tmp_path) -> None:
    torch.save(state, tmp_path / "own.pt")
    with pytest.warns(UserWarning, match=r"computed with GELU.*use model 'ViT-L-14-336-quickgelu'"):
        load_backbone("ViT-L-14-336", str(tmp_path / "own.pt"))


class Scripted(nn.Module):
    """A tower's activation, and a weight of the model's."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.logit_scale, self.activation = nn.Parameter(torch.zeros(())), activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x) * self.logit_scale


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("activation", ["GELU", "QuickGELU"])
def test_an_archive_whose_code_computes_gelu_is_not_openais(tmp_path, activation) -> None:
    module = Scripted(nn.GELU() if activation == "GELU" else open_clip.transformer.QuickGELU())
    torch.jit.save(torch.jit.script(module), tmp_path / "jit.pt")
    said = r"(?s)Missing key" if activation == "GELU" else "QuickGELU mismatch"
    with pytest.raises(BackboneError, match=said):
        load_backbone(MODEL, str(tmp_path / "jit.pt"))


def test_of_trained_weights_and_their_average_the_trained_are_taken_and_told(tiny, state, tmp_path) -> None:
    torch.save({"state_dict_ema": other(state), "state_dict": state}, tmp_path / "epoch.pt")
    with pytest.warns(
        UserWarning, match="their average: state_dict is taken, not state_dict_ema; save the one"
    ):
        backbone = load_backbone(MODEL, str(tmp_path / "epoch.pt"))
    assert torch.equal(features(backbone), features(tiny))


def test_a_file_of_timms_training_gives_its_average(monkeypatch, tmp_path) -> None:
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **more: create(name, **{"depth": 1, **more}))
    name, pixels = "vit_tiny_patch16_224.augreg_in21k", torch.zeros(1, 3, 224, 224)
    trained, average = (create(name, depth=1, num_classes=0).eval() for _ in range(2))
    held = {
        "state_dict": trained.state_dict(),
        "state_dict_ema": average.state_dict(),
        "args": argparse.Namespace(),
    }
    torch.save(held, tmp_path / "last.pth.tar")
    with torch.no_grad():
        expected = average(pixels)
    with pytest.warns(
        UserWarning, match="their average: state_dict_ema is taken, not state_dict; save the one"
    ):
        backbone = load_backbone(f"timm:{name}", str(tmp_path / "last.pth.tar"))
    torch.testing.assert_close(backbone.encode_images(pixels).features, expected)
    torch.save(prefixed(average.state_dict(), "model._orig_mod."), tmp_path / "lightning.ckpt")
    torch.testing.assert_close(
        load_backbone(f"timm:{name}", str(tmp_path / "lightning.ckpt")).encode_images(pixels).features,
        expected,
    )


def test_reading_leaves_no_stand_in_behind(state, tmp_path) -> None:
    before = set(torch.serialization.get_safe_globals())  # which torch lists in any order
    torch.save(FORMS["arguments beside it"](state), buffer := io.BytesIO())
    (tmp_path / "own.pt").write_bytes(buffer.getvalue())
    load_backbone(MODEL, str(tmp_path / "own.pt"))
    assert set(torch.serialization.get_safe_globals()) == before
