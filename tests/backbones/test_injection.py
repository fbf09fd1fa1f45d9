"""Pseudo-tokens that are the native embeddings must give the native features, in every kind of tower."""

from __future__ import annotations

import dataclasses

import open_clip
import pytest
import timm
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from timm.models import vitamin
from torch import nn

from crossgap.backbones import Backbone, BackboneError
from crossgap.backbones.injection import PseudoPatches, PseudoText

VISION = {"image_size": 32, "layers": 2, "width": 48, "patch_size": 8, "head_width": 16}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
TOKENIZER = open_clip.SimpleTokenizer(context_length=16)
CUSTOM = {"qk_norm": True, "scale_attn": True, "scale_fc": True}


class LengthTokenizer:
    """A tokenizer without start token that pads with its end token, as SigLIP's: a word is a hash of it."""

    def __call__(self, texts: list[str], context_length: int) -> torch.Tensor:
        rows = []
        for text in texts:
            words = [2 + sum(word.encode()) % 90 for word in text.split()][: context_length - 1]
            rows.append(words + [1] * (context_length - len(words)))
        return torch.tensor(rows)


def build(make, tokenizer=None) -> Backbone:
    torch.manual_seed(0)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2 or parameter.std() < 0.015:  # zeros and ones hide what is left out
                parameter += 0.1 * torch.randn_like(parameter)
    model.eval().requires_grad_(False)
    return Backbone(
        model=model,
        transform=lambda image: image,
        load_tokenizer=lambda: tokenizer or TOKENIZER,
        device=torch.device("cpu"),
        provenance={"model": "built for a test"},
    )


def clip(text=None, vision=None, model=CLIP, **more):
    return lambda: model(
        24, vision_cfg={**VISION, **(vision or {})}, text_cfg={**TEXT, **(text or {})}, **more
    )


def coca():
    decoder = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    return CoCa(
        24,
        multimodal_cfg={**decoder, "attn_pooler_heads": 2},
        text_cfg={**TEXT, "embed_cls": True, "output_tokens": True},
        vision_cfg={**VISION, "output_tokens": True, "attentional_pool": True, "attn_pooler_heads": 4},
    )


def with_trunk(name: str, **sizes):
    """A CustomTextCLIP around a shrunk timm model, put together as open_clip's TimmModel does."""

    def make():
        model = clip(model=CustomTextCLIP)()
        visual = open_clip.timm_model.TimmModel.__new__(open_clip.timm_model.TimmModel)
        nn.Module.__init__(visual)
        size = sizes.get("img_size", 32)
        visual.image_size = (size, size)
        visual.trunk = timm.create_model(name, num_classes=24, **sizes)
        visual.head = nn.Sequential()
        model.visual = visual
        return model

    return make


VITAMIN_STEM = vitamin.VitCfg(
    embed_dim=(16, 24, 48),
    depths=(1, 1, 1),
    stem_width=16,
    conv_cfg=vitamin.VitConvCfg(norm_layer="layernorm2d", norm_eps=1e-6),
    head_type="1d",
)
SIGLIP_TEXT = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True, "vocab_size": 100}
TEXT_TOWERS = {
    "clip": (clip(), None, True),
    "clip-quickgelu": (clip(quick_gelu=True), None, True),
    "custom-text": (clip(model=CustomTextCLIP), None, True),
    "layer-scale": (clip({"ls_init_value": 0.3}), None, True),
    "linear-projection": (clip({"proj_bias": True}, model=CustomTextCLIP), None, True),
    "no-projection": (clip({"proj_type": "none"}, model=CustomTextCLIP), None, True),
    "eos-pool": (clip({"pool_type": "eos", "eos_id": 49407}), None, True),
    "eos-without-start": (
        clip({"pool_type": "eos", "eos_id": 1, "vocab_size": 100}, model=CustomTextCLIP),
        LengthTokenizer(),
        True,
    ),
    "custom-blocks": (clip(CUSTOM, model=CustomTextCLIP), None, False),
    "last-pool": (clip({"pool_type": "last"}), None, False),
    "coca": (coca, None, False),
    # as MobileCLIP: the end token sees the positions after it
    "both-ways": (clip({"no_causal_mask": True}), None, False),
    "custom-text-both-ways": (clip({"no_causal_mask": True}, model=CustomTextCLIP), None, False),
    "siglip": (clip(SIGLIP_TEXT, model=CustomTextCLIP), LengthTokenizer(), False),
}
VISION_TOWERS = {
    "clip": (clip(), True),
    "no-ln-pre": (clip(vision={"no_ln_pre": True, "final_ln_after_pool": True}), True),
    "layer-scale": (clip(vision={"ls_init_value": 0.3}), True),
    "average-pool": (clip(vision={"pool_type": "avg"}), False),
    "oblong": (clip(vision={"image_size": (32, 48)}), True),
    "custom-blocks": (clip(vision=CUSTOM), False),
    "coca": (coca, False),
    "eva02": (
        with_trunk(
            "eva02_base_patch16_clip_224", embed_dim=48, depth=2, num_heads=4, img_size=32, patch_size=8
        ),
        False,
    ),
    "pe": (
        with_trunk(
            "vit_pe_core_tiny_patch16_384", embed_dim=48, depth=2, num_heads=4, img_size=32, patch_size=8
        ),
        False,
    ),
    "siglip": (
        with_trunk(
            "vit_base_patch16_siglip_224", embed_dim=48, depth=2, num_heads=4, img_size=32, patch_size=8
        ),
        False,
    ),
    "siglip-dynamic": (
        with_trunk(
            "vit_base_patch16_siglip_224",
            embed_dim=48,
            depth=2,
            num_heads=4,
            img_size=32,
            patch_size=8,
            dynamic_img_size=True,
        ),
        False,
    ),
    "registers": (
        with_trunk(
            "vit_small_patch14_reg4_dinov2", embed_dim=48, depth=2, num_heads=4, img_size=32, patch_size=8
        ),
        False,
    ),
    "swin": (
        with_trunk(
            "swin_tiny_patch4_window7_224",
            embed_dim=24,
            depths=(2, 1),
            num_heads=(2, 4),
            img_size=32,
            window_size=4,
        ),
        False,
    ),
    "vitamin": (
        with_trunk(
            "vitamin_small_224", embed_dim=48, depth=1, num_heads=4, img_size=64, embed_cfg=VITAMIN_STEM
        ),
        False,
    ),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread(tiny_folder) -> None:
    """Towers this small only wait for more threads; `tiny_folder` sees to it."""


@pytest.fixture(scope="module", params=TEXT_TOWERS)
def text_tower(request):
    make, tokenizer, fast = TEXT_TOWERS[request.param]
    return build(make, tokenizer), fast


@pytest.fixture(scope="module", params=VISION_TOWERS)
def vision_tower(request):
    make, fast = VISION_TOWERS[request.param]
    return build(make), fast


def native_text(backbone: Backbone, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings `(context, width)` of the text and its feature."""
    ids, _ = backbone.tokenize([text])
    embedding = getattr(backbone.model, "text", backbone.model).token_embedding
    return embedding(ids)[0], backbone.model.encode_text(ids, normalize=False)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("a photo of {}", "cat"),
        ("{}", "small dog"),
        ("{} on a table", "cat"),
        ("the {} of it", "old red hat"),
    ],
)
def test_native_word_embeddings_give_the_native_text_feature(text_tower, template, words) -> None:
    backbone, fast = text_tower
    embedded, feature = native_text(backbone, template.format(words))
    before = template.split("{}")[0].split()
    start = len(before) + (0 if isinstance(backbone.tokenizer, LengthTokenizer) else 1)
    count = len(words.split())
    encode = PseudoText(backbone, template, count)
    assert encode.shape == (count, 32) and encode.fast == fast
    pseudo = embedded[start : start + count]
    other = torch.randn_like(pseudo)
    found = encode(torch.stack([pseudo, other, pseudo]))
    torch.testing.assert_close(found[0], feature[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[2], feature[0], rtol=1e-4, atol=1e-5)
    assert (found[1] - found[0]).norm() > 1e-3 * found[0].norm()


def test_fast_text_gives_the_features_and_gradients_of_the_whole_tower(text_tower) -> None:
    backbone, fast = text_tower
    encode = PseudoText(backbone, "a {} photo", 2)
    results = []
    for run in (encode, encode._hooked):
        pseudo = (0.1 * torch.randn(3, 2, 32, generator=torch.Generator().manual_seed(1))).requires_grad_()
        feature = run(pseudo)
        (gradient,) = torch.autograd.grad(feature.sin().sum(), pseudo)
        results.append((feature.detach(), gradient))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)
    assert all(gradient.abs().max() > 0 for _, gradient in results)
    if not fast:
        assert torch.equal(results[0][0], results[1][0])


def test_encoding_pseudo_tokens_leaves_the_model_as_it_was(text_tower) -> None:
    backbone, _ = text_tower
    _, before = native_text(backbone, "a photo of a dog")
    encode = PseudoText(backbone, "a photo of {}", 1)
    encode(torch.randn(2, 1, 32))
    with pytest.raises((RuntimeError, ValueError)):
        encode(torch.randn(2, 1, 31))
    _, after = native_text(backbone, "a photo of a dog")
    assert torch.equal(before, after)


def native_image(backbone: Backbone, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Patch embeddings `(n, patches, width)` of the images and their features."""
    visual, seen = backbone.model.visual, []
    layer = visual.conv1 if hasattr(visual, "conv1") else visual.trunk.patch_embed
    handle = layer.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    features = backbone.model.encode_image(images, normalize=False)
    handle.remove()
    (patches,) = seen
    if patches.ndim == 4:  # channels first from a convolution, last from timm with dynamic sizes
        patches = patches.flatten(2).transpose(1, 2) if hasattr(visual, "conv1") else patches.flatten(1, 2)
    return patches, features


def size(backbone: Backbone) -> tuple[int, int]:
    found = backbone.model.visual.image_size
    return found if isinstance(found, tuple) else (found, found)


def test_native_patch_embeddings_give_the_native_image_feature(vision_tower) -> None:
    backbone, fast = vision_tower
    images = torch.randn(2, 3, *size(backbone), generator=torch.Generator().manual_seed(2))
    patches, features = native_image(backbone, images)
    encode = PseudoPatches(backbone, patches.shape[1])
    assert encode.shape == tuple(patches.shape[1:]) and encode.fast == fast
    torch.testing.assert_close(encode(patches), features, rtol=1e-4, atol=1e-5)
    assert (features[0] - features[1]).norm() > 1e-3 * features[0].norm()


def test_pseudo_patches_fill_equal_runs_of_the_grid_in_raster_order(vision_tower) -> None:
    backbone, _ = vision_tower
    all_patches = PseudoPatches(backbone, 1).source.numel()
    whole = PseudoPatches(backbone, all_patches)
    for count in (1, 2, 3, 4):
        encode = PseudoPatches(backbone, count)
        pseudo = torch.randn(2, *encode.shape, generator=torch.Generator().manual_seed(count))
        # what nearest-neighbour upsampling of the token sequence does
        raster = nn.functional.interpolate(pseudo.transpose(1, 2), size=all_patches, mode="nearest")
        torch.testing.assert_close(encode(pseudo), whole(raster.transpose(1, 2)), rtol=1e-4, atol=1e-5)


def test_fast_patches_give_the_features_and_gradients_of_the_whole_tower(vision_tower) -> None:
    backbone, _ = vision_tower
    encode = PseudoPatches(backbone, 2)
    results = []
    for run in (encode, lambda pseudo: encode._hooked(pseudo[:, encode.source])):
        pseudo = torch.randn(3, *encode.shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        feature = run(pseudo)
        (gradient,) = torch.autograd.grad(feature.sin().sum(), pseudo)
        results.append((feature.detach(), gradient))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-5)
    assert results[0][1].abs().max() > 0


def test_encoding_pseudo_patches_leaves_the_model_as_it_was(vision_tower) -> None:
    backbone, _ = vision_tower
    images = torch.randn(1, 3, *size(backbone))
    before = backbone.model.encode_image(images)
    encode = PseudoPatches(backbone, 1)
    encode(torch.randn(2, *encode.shape))
    assert torch.equal(before, backbone.model.encode_image(images))


def test_precision_of_the_tower_is_kept(tiny, tiny_folder) -> None:
    from crossgap import load_backbone

    half = load_backbone(f"local-dir:{tiny_folder}", precision="bf16")
    for kind, count in ((PseudoText, ("a photo of {}", 2)), (PseudoPatches, (2,))):
        exact, rough = kind(tiny, *count), kind(half, *count)
        pseudo = 0.1 * torch.randn(3, *exact.shape, generator=torch.Generator().manual_seed(3))
        cosines = torch.cosine_similarity(exact(pseudo), rough(pseudo).float())
        assert (1 - cosines < 0.01).all()


@pytest.mark.parametrize(
    ("vision", "name"),
    [
        ({"layers": (1, 1, 1, 1), "width": 8, "patch_size": None}, "ModifiedResNet"),
        ({"timm_model_name": "convnext_atto", "timm_pool": "", "timm_proj": "linear"}, "ConvNeXt"),
    ],
)
def test_towers_without_patch_tokens_are_refused_by_name_and_still_give_text(vision, name) -> None:
    backbone = build(clip(vision=vision))
    with pytest.raises(BackboneError, match=f"OVI needs a vision tower over patch tokens; {name}"):
        PseudoPatches(backbone, 1)
    assert PseudoText(backbone, "a photo of {}", 1)(torch.randn(2, 1, 32)).shape == (2, 24)


@pytest.mark.parametrize(
    ("trunk", "name"),
    [("crossvit_tiny_240", "CrossVit"), ("xcit_nano_12_p16_224", "Xcit"), ("mixer_s32_224", "MlpMixer")],
)
def test_trunks_without_one_sequence_of_patches_are_refused_by_name(trunk, name) -> None:
    size = timm.get_pretrained_cfg(trunk).input_size[1]
    with pytest.raises(BackboneError, match=f"OVI needs a vision tower over patch tokens; {name} is none"):
        PseudoPatches(build(with_trunk(trunk, img_size=size)), 1)


def test_a_text_tower_without_token_embedding_is_refused_by_name(tiny) -> None:
    class Bag(nn.Module):
        pass

    model = clip(model=CustomTextCLIP)()
    model.text = Bag()
    with pytest.raises(BackboneError, match="OTI needs a text tower with a token embedding; Bag has none"):
        PseudoText(dataclasses.replace(tiny, model=model), "a photo of {}", 1)


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "{0}", "{x}"])
def test_a_template_needs_exactly_one_slot(tiny, template) -> None:
    with pytest.raises(BackboneError, match=r"needs exactly one \{\}"):
        PseudoText(tiny, template, 1)


def test_a_template_may_hold_other_braces(tiny) -> None:
    assert PseudoText(tiny, "a {x} of {}", 1)(torch.randn(1, 1, 32)).shape == (1, 24)


@pytest.mark.parametrize("template", ["a photo{}", "a photo of {}s", "x{}z", "{}2"])
def test_a_slot_must_stand_apart_from_the_words(tiny, template) -> None:
    with pytest.raises(BackboneError, match="must stand apart from the words"):
        PseudoText(tiny, template, 2)


def test_punctuation_may_touch_a_slot(tiny) -> None:
    assert PseudoText(tiny, "a photo: ({}).", 2).slots.tolist() == [5, 6]


def test_pseudo_tokens_must_fit_the_context(tiny) -> None:
    # 24 positions: start, "a photo of", end leave 19
    PseudoText(tiny, "a photo of {}", 19)
    with pytest.raises(BackboneError, match=r"'a photo of \{\}' with 20 pseudo-tokens doesn't fit 24"):
        PseudoText(tiny, "a photo of {}", 20)


def test_pseudo_patches_must_fit_the_grid(tiny) -> None:
    PseudoPatches(tiny, 16)
    with pytest.raises(BackboneError, match="17 pseudo-patches don't fit a grid of 16 patches"):
        PseudoPatches(tiny, 17)


def test_there_is_at_least_one_pseudo_token(tiny) -> None:
    with pytest.raises(ValueError, match="tokens is 0: give at least 1"):
        PseudoText(tiny, "a photo of {}", 0)
    with pytest.raises(ValueError, match="patches is 0: give at least 1"):
        PseudoPatches(tiny, 0)


def test_a_template_is_a_string(tiny) -> None:
    with pytest.raises(BackboneError, match="template None needs exactly one"):
        PseudoText(tiny, None, 1)
