from __future__ import annotations

import dataclasses
import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from crossgap import load_backbone

TEXTS = ["a red square", "two dogs", "", "a photo of a cat, seen from above"]


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)) for _ in range(3)]


@pytest.fixture(scope="module")
def plain(tiny_folder):
    """open_clip's own model, transform and tokenizer of the same folder."""
    name = f"local-dir:{tiny_folder}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    return model.eval(), transform, open_clip.get_tokenizer(name)


def test_features_are_those_of_open_clip_itself(tiny, plain, images) -> None:
    model, transform, tokenizer = plain
    pixels = torch.stack([tiny.transform(image) for image in images])
    assert torch.equal(pixels, torch.stack([transform(image) for image in images]))
    ids, cut = tiny.tokenize(TEXTS)
    assert torch.equal(ids, tokenizer(TEXTS)) and not cut.any()
    with torch.no_grad():
        pairs = [
            (tiny.encode_images(pixels), model.encode_image(pixels), model.visual.proj),
            (tiny.encode_texts(ids), model.encode_text(ids), model.text_projection),
        ]
    for found, features, projection in pairs:
        torch.testing.assert_close(found.features, features)
        torch.testing.assert_close(found.preprojection @ projection.detach(), features)
        assert found.features.dtype == found.preprojection.dtype == torch.float32
    assert tiny.dim == 24 and tiny.context_length == 24
    # the projections are back in their place
    with torch.no_grad():
        torch.testing.assert_close(tiny.model.encode_image(pixels), pairs[0][1])
        torch.testing.assert_close(tiny.model.encode_text(ids), pairs[1][1])


def test_the_model_is_frozen_and_in_evaluation_mode(tiny) -> None:
    assert not tiny.model.training
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.01), ("fp16", 0.001)])
def test_half_precision_stays_within_a_bound_and_is_handed_out_as_float32(
    tiny, tiny_folder, images, precision, bound
) -> None:
    half = load_backbone(f"local-dir:{tiny_folder}", precision=precision)
    pixels = torch.stack([tiny.transform(image) for image in images])
    ids, _ = tiny.tokenize(TEXTS)
    assert half.provenance["precision"] == precision
    for found, exact in [
        (half.encode_images(pixels), tiny.encode_images(pixels)),
        (half.encode_texts(ids), tiny.encode_texts(ids)),
    ]:
        assert found.features.dtype == torch.float32
        cosines = torch.cosine_similarity(found.features, exact.features)
        assert (1 - cosines < bound).all() and not torch.equal(found.features, exact.features)


def test_texts_that_the_context_cuts_are_told(tiny) -> None:
    # 24 positions hold 22 words between the start and the end token
    texts = [" ".join(["dog"] * words) for words in (1, 21, 22, 23, 40)]
    ids, cut = tiny.tokenize(texts)
    assert cut.tolist() == [False, False, False, True, True]
    assert (ids[2:, -1] == 49407).all()


class PaddedWithEnd:
    """Pads with its end token, as SigLIP's does; a word is its length."""

    def __init__(self, ends: bool) -> None:
        self.ends = ends

    def __call__(self, texts: list[str], context_length: int) -> torch.Tensor:
        rows = []
        for text in texts:
            words = [2 + len(word) for word in text.split()][: context_length - self.ends]
            rows.append(words + [1] * (context_length - len(words)))
        return torch.tensor(rows)


@pytest.mark.parametrize(("ends", "held"), [(True, 23), (False, 24)])
def test_cut_texts_are_told_where_padding_is_the_end_token(tiny, ends, held) -> None:
    backbone = dataclasses.replace(tiny, load_tokenizer=lambda: PaddedWithEnd(ends))
    _, cut = backbone.tokenize([" ".join(["dog"] * words) for words in (0, 1, held, held + 1, held + 2, 60)])
    assert cut.tolist() == [False, False, False, True, True, True]


def test_cut_texts_are_told_where_a_token_of_its_own_closes_every_text(tiny) -> None:
    """As CLIPS has it: a class token behind the padding, which a start, an end and a third position leave room for."""

    def tokenizer(texts: list[str], context_length: int) -> torch.Tensor:
        words = [[10 + len(word) for word in text.split()][: context_length - 3] for text in texts]
        padding = (context_length - 3 - len(held) for held in words)
        return torch.tensor(
            [[1, *held, 2, *[0] * count, 3] for held, count in zip(words, padding, strict=True)]
        )

    backbone = dataclasses.replace(tiny, load_tokenizer=lambda: tokenizer)
    ids, cut = backbone.tokenize([" ".join(["dog"] * words) for words in (0, 1, 21, 22, 60)])
    assert cut.tolist() == [False, False, False, True, True]
    assert (ids[:, -1] == 3).all()


def test_the_tokenizer_is_loaded_when_first_asked_for(tiny) -> None:
    calls = []

    def load():
        calls.append(1)
        return tiny.tokenizer

    backbone = dataclasses.replace(tiny, load_tokenizer=load)
    backbone.encode_images(torch.zeros(1, 3, 32, 32))
    assert not calls
    backbone.tokenize(["a"]), backbone.tokenize(["b"])
    assert calls == [1]


VIT = {"image_size": 32, "layers": 1, "width": 48, "patch_size": 8, "head_width": 16}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
TRUNK = {"timm_model_name": "vit_tiny_patch16_224", "timm_model_pretrained": False, "image_size": 224}
RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32}


@pytest.mark.parametrize(
    ("vision", "text", "expected"),
    [
        (VIT, TEXT, {"image": False, "text": False}),
        (VIT, {**TEXT, "proj_type": "linear", "proj_bias": True}, {"image": False, "text": True}),
        (VIT, {**TEXT, "proj_type": "none", "width": 24}, {"image": False}),
        ({**TRUNK, "timm_pool": "token", "timm_proj": "linear"}, TEXT, {"image": False, "text": False}),
        ({**TRUNK, "timm_proj": "linear", "timm_proj_bias": True}, TEXT, {"image": True, "text": False}),
        ({**TRUNK, "timm_pool": "token", "timm_proj": ""}, TEXT, {"image": True, "text": False}),
        ({**TRUNK, "timm_proj": "mlp"}, TEXT, {"text": False}),
        (RESNET, TEXT, {"text": False}),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_projections_make_features_of_what_is_before_them(
    tmp_path, images, vision, text, expected, precision
) -> None:
    """Named by modality, each with whether it has a bias; a tower is left out where none stands apart."""
    if expected.get("text") and precision == "bf16":
        pytest.skip("open_clip converts no text projection with a bias, SigLIP's")
    custom = "proj_type" in text
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    kind = open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP
    torch.manual_seed(0)
    model = kind(**config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    saved = {"model_cfg": {**config, "custom_text": custom}, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(saved))
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    backbone = load_backbone(f"local-dir:{tmp_path}", precision=precision)
    encoded = {
        "image": backbone.encode_images(torch.stack([backbone.transform(image) for image in images])),
        "text": backbone.encode_texts(backbone.tokenize(["a red dog", "b"])[0]),
    }
    weights, biases = backbone.projections(), backbone.biases()
    assert set(weights) == set(expected)
    assert set(biases) == {modality for modality, has_bias in expected.items() if has_bias}
    for modality, found in encoded.items():
        assert (found.preprojection is None) == (modality not in weights)
        if modality in weights:
            weight = weights[modality]
            assert weight.dtype == np.float32 and weight.shape == (24, found.preprojection.shape[1])
            made = found.preprojection.numpy() @ weight.T + biases.get(modality, 0)
            close = {"atol": 1e-5} if precision == "fp32" else {"atol": 0.03 * np.abs(made).max()}
            np.testing.assert_allclose(made, found.features.numpy(), **close)
