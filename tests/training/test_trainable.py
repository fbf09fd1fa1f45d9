"""Projections of another width, what can't have them, and the folder that a backbone is written to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip import CustomTextCLIP
from open_clip.coca_model import CoCa
from torch import nn

from crossgap import load_backbone
from crossgap.backbones import Backbone
from crossgap.backbones.towers import CONFIG
from crossgap.training import made_by
from crossgap.training.trainable import WEIGHTS, trainable, writer
from crossgap.training.trainer import TrainingError

VISION = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 40, "head_width": 20}
TEXT = {"context_length": 12, "vocab_size": 100, "layers": 1, "width": 32, "heads": 2}


@pytest.fixture
def saved(save_model):
    """A model of random weights, saved and loaded."""

    def make(folder: Path, **more) -> Backbone:
        preprocessing = {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.2, 0.3], "interpolation": "bilinear"}
        return load_backbone(f"local-dir:{save_model(folder, preprocessing=preprocessing, **more)}")

    return make


def built(model: nn.Module, name: str = "built for a test") -> Backbone:
    model.eval().requires_grad_(False)
    return Backbone(
        model, lambda x: x, lambda: None, torch.device("cpu"), {"model": name, "preprocessing": {}}
    )


def features(backbone: Backbone) -> dict[str, torch.Tensor]:
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return {
        "image": backbone.encode_images(pixels).features,
        "text": backbone.encode_texts(backbone.tokenize(["a red dog", "b", "a cat on grass"])[0]).features,
    }


def test_new_projections_have_the_width_and_are_drawn_from_the_seed(tmp_path, saved) -> None:
    backbone = saved(tmp_path / "from")
    before = {name: weight.copy() for name, weight in backbone.projections().items()}
    others = {name: p.clone() for name, p in backbone.model.named_parameters() if "proj" not in name[-4:]}
    new = trainable(backbone, 16, 0)
    assert [tuple(p.shape) for p in new] == [(40, 16), (32, 16)]
    assert new[0] is backbone.model.visual.proj and new[1] is backbone.model.text_projection
    for modality, found in features(backbone).items():
        assert found.shape == (3, 16), modality
    for name, p in backbone.model.named_parameters():
        if "projection" not in name and name in others:
            assert torch.equal(p, others[name])
    again = trainable(saved(tmp_path / "again"), 16, 0)
    other = trainable(saved(tmp_path / "other"), 16, 1)
    for one, same, different in zip(new, again, other, strict=True):
        assert torch.equal(one, same) and not torch.equal(one, different)
    assert before["image"].shape == (24, 40)


def test_new_projections_are_drawn_as_wide_as_the_tower_is(tmp_path, saved) -> None:
    draws = [trainable(saved(tmp_path / str(seed)), 32, seed) for seed in range(3)]
    for side, inputs in enumerate((40, 32)):
        values = torch.cat([draw[side].detach().flatten() for draw in draws]).double()
        deviations = 4 / len(values) ** 0.5  # four standard errors
        assert abs(values.mean()) < deviations * inputs**-0.5
        assert values.std().item() * inputs**0.5 == pytest.approx(1, abs=deviations / 2**0.5)


def test_kept_projections_and_what_learns(tmp_path, saved) -> None:
    backbone = saved(tmp_path / "from", init_logit_bias=-10)
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    assert trainable(backbone, None, 0) == []
    assert all(torch.equal(before[name], value) for name, value in backbone.model.state_dict().items())
    still = [name for name, p in backbone.model.named_parameters() if not p.requires_grad]
    assert sorted(still) == ["logit_bias", "logit_scale"]


def test_a_width_beyond_the_towers(tmp_path, saved) -> None:
    backbone = saved(tmp_path / "from")
    with pytest.raises(
        TrainingError, match=r"width: 41 is more than the 40 that the image tower gives.*at most 40"
    ):
        trainable(backbone, 41, 0)
    with pytest.raises(TrainingError, match="width: 33 is more than the 32 that the text tower gives"):
        trainable(backbone, 33, 0)


def siglip() -> CustomTextCLIP:
    """A tower of timm's that pools its features itself, as SigLIP's."""
    model = CustomTextCLIP(24, vision_cfg=VISION, text_cfg={**TEXT, "proj_bias": True})
    visual = open_clip.timm_model.TimmModel.__new__(open_clip.timm_model.TimmModel)
    nn.Module.__init__(visual)
    sizes = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
    visual.trunk = timm.create_model("vit_tiny_patch16_224", num_classes=0, **sizes)
    visual.head = nn.Sequential()
    model.visual = visual
    return model


def coca() -> CoCa:
    decoder = {"context_length": 12, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
    return CoCa(
        24,
        multimodal_cfg={**decoder, "attn_pooler_heads": 2},
        text_cfg={**TEXT, "embed_cls": True, "output_tokens": True},
        vision_cfg={**VISION, "output_tokens": True, "attentional_pool": True, "attn_pooler_heads": 4},
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (siglip, "width: the image tower of .* has no projection that stands apart; set width to null"),
        (coca, "width: the projections of CoCa are used elsewhere too; set width to null"),
    ],
)
def test_towers_whose_projections_stay(make, said) -> None:
    backbone = built(make())
    with pytest.raises(TrainingError, match=said):
        trainable(backbone, 8, 0)
    assert trainable(backbone, None, 0) == []
    assert backbone.model.visual is not None and next(backbone.model.visual.parameters()).requires_grad


def test_a_backbone_without_texts() -> None:
    backbone = built(nn.Linear(2, 2), "timm:vit_tiny_patch16_224")
    for ask in (lambda: trainable(backbone, None, 0), lambda: writer(backbone, None)):
        with pytest.raises(
            TrainingError, match="backbone: 'timm:vit_tiny_patch16_224' has no text tower; take one"
        ):
            ask()


def test_a_model_without_configuration() -> None:
    with pytest.raises(TrainingError, match="backbone: open_clip has no configuration of 'built for a test'"):
        writer(built(coca()), None)


@pytest.mark.parametrize("width", [None, 16])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"quick_gelu": True},
        {"init_logit_bias": -10, "init_logit_scale": 1.0},
        {"custom_text": True, "text": {"proj_bias": True}},
    ],
    ids=["plain", "quick-gelu", "bias", "linear"],
)
def test_what_is_written_loads_with_the_same_features(tmp_path, saved, width, more) -> None:
    backbone = saved(tmp_path / "from", **more)
    (tmp_path / "from" / "words.txt").write_text("beside")
    (tmp_path / "from" / "old.bin").write_bytes(b"weights of before")
    write = writer(backbone, width)
    trainable(backbone, width, 0)
    with torch.no_grad():
        for parameter in backbone.model.parameters():
            parameter.add_(0.01)
    backbone.model.requires_grad_(False)
    expected = features(backbone)
    folder = tmp_path / "a" / "to"
    write(folder)
    again = load_backbone(f"local-dir:{folder}")
    for modality, found in features(again).items():
        assert torch.equal(found, expected[modality])
    assert expected["image"].shape[1] == (width or 24)
    names = {path.name for path in folder.iterdir()}
    assert names == {CONFIG, "open_clip_model.safetensors", "bpe.txt.gz", "words.txt"}
    assert again.provenance["quick_gelu"] == more.get("quick_gelu", False)
    assert again.provenance["preprocessing"] == backbone.provenance["preprocessing"]
    first, second = (json.loads((at / CONFIG).read_text())["model_cfg"] for at in (tmp_path / "from", folder))
    assert second == {**first, "embed_dim": width or 24}


@pytest.mark.parametrize("link", [Path.hardlink_to, Path.symlink_to])
def test_what_is_written_takes_the_place_of_links(tmp_path, saved, link) -> None:
    """Also of a link to the very file that is copied, which a cache holds once."""
    backbone = saved(tmp_path / "from")
    folder, cache = tmp_path / "to", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    merges = "bpe.txt.gz"
    (tmp_path / "from" / merges).rename(cache / merges)
    link(tmp_path / "from" / merges, cache / merges)
    names = (CONFIG, WEIGHTS, merges, made_by.FILE)
    for name in names:
        if name != merges:
            (cache / name).write_bytes(b"shared")
        link(folder / name, cache / name)
    held = {name: (cache / name).read_bytes() for name in names}
    writer(backbone, None)(folder)
    made_by.mark(folder, "finetune", "to")
    assert {name: (cache / name).read_bytes() for name in names} == held
    assert (folder / merges).read_bytes() == held[merges] and not (folder / merges).is_symlink()
    assert load_backbone(f"local-dir:{folder}").dim == 24


def test_a_backbone_is_written_over_itself(tmp_path, saved) -> None:
    folder = tmp_path / "from"
    backbone = saved(folder)
    before = {path.name: path.stat().st_size for path in folder.iterdir()}
    writer(backbone, None)(folder)
    assert before.keys() == {path.name for path in folder.iterdir()}
    assert load_backbone(f"local-dir:{folder}").dim == 24


def test_a_registered_name_is_written_with_its_configuration(tmp_path) -> None:
    config = open_clip.get_model_config("ViT-B-32-quickgelu")
    assert config["quick_gelu"]
    model = nn.Linear(2, 2)
    writer(built(model, "ViT-B-32-quickgelu"), 64)(tmp_path)
    written = json.loads((tmp_path / CONFIG).read_text())["model_cfg"]
    assert written == {**config, "embed_dim": 64}


def test_a_linear_projection_starts_without_bias(tmp_path, saved) -> None:
    backbone = saved(tmp_path / "from", custom_text=True, text={"proj_bias": True})
    before = torch.random.get_rng_state()
    new = trainable(backbone, 16, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [tuple(p.shape) for p in new] == [(40, 16), (16, 32), (16,)]
    assert not backbone.biases()["text"].any()
    plain = trainable(saved(tmp_path / "plain"), 16, 0)
    np.testing.assert_array_equal(backbone.projections()["text"], plain[1].detach().numpy().T)
