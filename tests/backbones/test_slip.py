"""SLIP's checkpoints in their true form, against SLIP's forward pass written down again."""

from __future__ import annotations

import argparse
import copy
import functools
from pathlib import Path, PosixPath

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip import factory
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear
from torchvision import transforms

from crossgap import load_backbone
from crossgap.backbones import BackboneError, declaring, towers
from crossgap.backbones.injection import PseudoPatches, PseudoText

LAYERS = 2
SIZES = {"B": ("SLIP-ViT-B-16", "vit_base_patch16_224"), "L": ("SLIP-ViT-L-16", "vit_large_patch16_224")}


@pytest.fixture
def shallow(monkeypatch) -> None:
    """Both towers with two blocks, all else of true size."""
    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, **options: create(name, **{"depth": LAYERS, **options})
    )
    for model, _ in SIZES.values():
        declaring.check_name(model)
    for model, _ in SIZES.values():
        config = copy.deepcopy(open_clip.get_model_config(model))
        config["text_cfg"]["layers"] = LAYERS
        monkeypatch.setitem(factory._MODEL_CONFIGS, model, config)


@functools.cache
def plain(size: str = "B", ssl: bool = True, layers: int = LAYERS) -> Plain:
    return Plain(SIZES[size][1], ssl, layers)


class Plain:
    """SLIP, from its paper's architecture: a timm ViT, and a text tower of matrix products alone."""

    def __init__(self, vit: str, ssl: bool, layers: int) -> None:
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator) * shape[-1] ** -0.5

        torch.manual_seed(0)
        self.visual = timm.create_model(vit, num_classes=0, depth=layers).eval()
        for parameter in self.visual.parameters():
            if parameter.ndim < 2 or parameter.shape[0] == 1:  # biases and tokens begin at zero
                nn.init.normal_(parameter, std=0.2)
        width = self.visual.embed_dim
        self.state = {f"visual.{name}": tensor for name, tensor in self.visual.state_dict().items()}
        self.state |= {
            "token_embedding.weight": drawn(49408, 512),
            "positional_embedding": drawn(77, 512),
            "ln_final.weight": 1 + drawn(512),
            "ln_final.bias": drawn(512),
            "image_projection": drawn(width, 512),
            "text_projection": drawn(512, 512),
            "logit_scale": torch.tensor(2.66),
        }
        self.layers = layers
        for block in range(layers):
            shapes = {
                "attn.in_proj_weight": (1536, 512),
                "attn.in_proj_bias": (1536,),
                "attn.out_proj.weight": (512, 512),
                "attn.out_proj.bias": (512,),
                "mlp.c_fc.weight": (2048, 512),
                "mlp.c_fc.bias": (2048,),
                "mlp.c_proj.weight": (512, 2048),
                "mlp.c_proj.bias": (512,),
                "ln_1.weight": (512,),
                "ln_1.bias": (512,),
                "ln_2.weight": (512,),
                "ln_2.bias": (512,),
            }
            for name, shape in shapes.items():
                self.state[f"transformer.resblocks.{block}.{name}"] = drawn(*shape)
        if ssl:
            for layer, shape in {"layer1": (64, width), "layer2": (64, 64), "layer3": (8, 64)}.items():
                self.state[f"image_mlp.{layer}.weight"] = drawn(*shape)
                self.state[f"image_mlp.{layer}.bias"] = drawn(shape[0])
            for norm in ("bn1", "bn2"):
                for part in ("weight", "bias", "running_mean", "running_var"):
                    self.state[f"image_mlp.{norm}.{part}"] = torch.ones(64)
                self.state[f"image_mlp.{norm}.num_batches_tracked"] = torch.tensor(7)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        return self.visual(pixels) @ self.state["image_projection"]

    @torch.no_grad()
    def texts(self, ids: Tensor) -> Tensor:
        held = self.state
        x = held["token_embedding.weight"][ids] + held["positional_embedding"]
        unseen = torch.ones(77, 77).triu(1).bool()
        for block in range(self.layers):

            def of(name: str, prefix: str = f"transformer.resblocks.{block}.") -> Tensor:
                return held[prefix + name]

            normed = layer_norm(x, (512,), of("ln_1.weight"), of("ln_1.bias"))
            q, k, v = linear(normed, of("attn.in_proj_weight"), of("attn.in_proj_bias")).split(512, dim=-1)
            mixed = []
            for head in range(8):
                part = slice(64 * head, 64 * head + 64)
                scores = q[..., part] @ k[..., part].transpose(1, 2) / 8
                mixed.append(scores.masked_fill(unseen, -torch.inf).softmax(-1) @ v[..., part])
            x = x + linear(torch.cat(mixed, -1), of("attn.out_proj.weight"), of("attn.out_proj.bias"))
            normed = layer_norm(x, (512,), of("ln_2.weight"), of("ln_2.bias"))
            wide = linear(normed, of("mlp.c_fc.weight"), of("mlp.c_fc.bias"))
            wide = wide * torch.sigmoid(1.702 * wide)
            x = x + linear(wide, of("mlp.c_proj.weight"), of("mlp.c_proj.bias"))
        x = layer_norm(x, (512,), held["ln_final.weight"], held["ln_final.bias"])
        return x[torch.arange(len(ids)), ids.argmax(-1)] @ held["text_projection"]


def released(state: dict[str, Tensor], path: Path, **changed: object) -> str:
    """A file as SLIP's training writes it under submitit."""
    arguments = argparse.Namespace(
        model="SLIP_VITB16", ssl_mlp_dim=4096, betas=(0.9, 0.98), output_dir=PosixPath("/checkpoint/slip/1")
    )
    moments = {0: {"step": 3, "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}}
    checkpoint = {
        "epoch": 100,
        "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "optimizer": {"state": moments, "param_groups": [{"lr": np.float64(3e-3), "params": [0]}]},
        "scaler": {"scale": 65536.0, "_growth_tracker": 5},
        "best_acc1": 42.8,
        "args": arguments,
        **changed,
    }
    torch.save(checkpoint, path)
    return str(path)


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (260, 300, 3), np.uint8))


def check(backbone, plain: Plain) -> None:
    pixels = backbone.transform(photo()).unsqueeze(0)
    ids, _ = backbone.tokenize(["a photo of a dog", "a red square and two dogs"])
    for found, expected, projection in [
        (backbone.encode_images(pixels), plain.images(pixels), plain.state["image_projection"]),
        (backbone.encode_texts(ids), plain.texts(ids), plain.state["text_projection"]),
    ]:
        torch.testing.assert_close(found.features, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.preprojection @ projection, expected, rtol=1e-4, atol=1e-4)
    assert backbone.dim == 512 and backbone.context_length == 77 and not backbone.biases()
    np.testing.assert_array_equal(backbone.projections()["image"], plain.state["image_projection"].T)


@pytest.mark.parametrize(("size", "ssl"), [("B", True), ("B", False), ("L", True)])
def test_a_released_checkpoint_gives_the_features_of_slips_own_forward_pass(
    shallow, tmp_path, size, ssl
) -> None:
    model, _ = SIZES[size]
    backbone = load_backbone(model, released(plain(size, ssl).state, tmp_path / "slip.pt"))
    check(backbone, plain(size, ssl))
    assert backbone.provenance["quick_gelu"] is True and backbone.provenance["model"] == model


@pytest.mark.slow
def test_at_its_true_size_too(tmp_path) -> None:
    full = Plain(SIZES["B"][1], True, 12)
    check(load_backbone("SLIP-ViT-B-16", released(full.state, tmp_path / "slip_base_100ep.pt")), full)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    return released(plain().state, tmp_path_factory.mktemp("slip") / "slip.pt")


@pytest.fixture
def backbone(shallow, file):
    return load_backbone("SLIP-ViT-B-16", file)


def test_images_are_transformed_as_the_release_evaluates(backbone) -> None:
    own = transforms.Compose(
        [
            transforms.Resize(224),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    assert torch.equal(backbone.transform(photo()), own(photo()))
    said = backbone.provenance["preprocessing"]
    assert said["interpolation"] == "bilinear" and said["mean"] == [0.485, 0.456, 0.406]


def test_it_can_be_inverted_into(backbone) -> None:
    """Native embeddings, injected, give the native features."""
    assert towers.refusal("SLIP-ViT-B-16", "oti") is towers.refusal("SLIP-ViT-B-16", "ovi") is None
    encode = PseudoText(backbone, "a photo of {} on grass", 2)
    ids, _ = backbone.tokenize(["a photo of small dog on grass"])
    embedded = encode.embedding(ids)[:, encode.slots]
    assert encode.fast
    for found in (encode(embedded), encode._hooked(embedded)):
        torch.testing.assert_close(found, plain().texts(ids), rtol=1e-4, atol=1e-4)
    assert (encode(embedded.flip(-1)) - encode(embedded)).norm() > 0.1
    encode = PseudoPatches(backbone, 196)
    pixels = backbone.transform(photo()).unsqueeze(0)
    patches = plain().visual.patch_embed(pixels).detach()
    torch.testing.assert_close(encode(patches), plain().images(pixels), rtol=1e-4, atol=1e-4)
    assert (encode(patches.flip(-1)) - encode(patches)).norm() > 0.1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"visual.norm.weight": None}, r"(?s)Missing key.*visual\.trunk\.norm\.weight"),
        ({"strange": torch.zeros(1)}, r"(?s)Unexpected key.*strange"),
        ({"image_projection": torch.zeros(512, 512)}, r"(?s)size mismatch.*visual\.head\.proj\.weight"),
    ],
)
def test_every_weight_is_accounted_for(shallow, tmp_path, change, said) -> None:
    state = {**plain().state, **change}
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    with pytest.raises(BackboneError, match=said):
        load_backbone("SLIP-ViT-B-16", released(state, tmp_path / "other.pt"))


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_code_in_a_checkpoint_is_refused_and_not_run(shallow, tmp_path) -> None:
    path = released({"logit_scale": torch.zeros(())}, tmp_path / "bad.pt", args=Malicious(tmp_path / "ran"))
    with pytest.raises(BackboneError, match=r"bad\.pt' can't be loaded"):
        load_backbone("SLIP-ViT-B-16", path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("held", [[1, 2], {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_a_file_of_another_form_is_named(shallow, tmp_path, held) -> None:
    torch.save(held, tmp_path / "other.pt")
    with pytest.raises(BackboneError, match=r"other\.pt has no `state_dict` of tensors"):
        load_backbone("SLIP-ViT-B-16", str(tmp_path / "other.pt"))


def test_a_checkpoint_that_is_missing_is_named() -> None:
    with pytest.raises(BackboneError, match=r"'gone\.pt' is neither a file nor a tag of SLIP-ViT-L-16"):
        load_backbone("SLIP-ViT-L-16", "gone.pt")


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 1e-2), ("fp16", 1e-3)])
def test_half_precision_stays_within_the_bound(shallow, file, precision, bound) -> None:
    half = load_backbone("SLIP-ViT-B-16", file, precision=precision)
    pixels = half.transform(photo()).unsqueeze(0)
    ids, _ = half.tokenize(["a photo of a dog"])
    for found, exact in [
        (half.encode_images(pixels).features, plain().images(pixels)),
        (half.encode_texts(ids).features, plain().texts(ids)),
    ]:
        assert found.dtype == torch.float32 and not torch.equal(found, exact)
        assert 1 - torch.cosine_similarity(found, exact) < bound
