"""Files as each family's release has them, of the true names with few layers: they load strictly, and into no other."""

from __future__ import annotations

import copy

import open_clip
import pytest
import timm
import torch
from open_clip import factory
from safetensors.torch import save_file

from crossgap import load_backbone
from crossgap.backbones import BackboneError

# a model of each family, the release's kind of file
FAMILIES = {
    "ViT-B-32-quickgelu": ".pt",  # OpenAI's, as a state dict, and MetaCLIP's
    "ViT-B-16": ".bin",  # DataComp's and LAION's
    "ViT-B-16-SigLIP": ".safetensors",
    "ViT-B-16-SigLIP2": ".safetensors",
    "PE-Core-B-16": ".safetensors",
    "EVA02-B-16": ".safetensors",
    "coca_ViT-B-32": ".bin",
    "MobileCLIP-S2": ".safetensors",
    "MobileCLIP-B": ".safetensors",
}
VOCABULARY = 600


@pytest.fixture(autouse=True)
def shallow(monkeypatch) -> None:
    """A block a tower, a small vocabulary, all else of true size."""
    create = timm.create_model

    def make(name: str, **options):
        few = {"layers": (1, 1, 1, 1)} if name.startswith("fastvit") else {"depth": 1}
        return create(name, **few, **options)

    monkeypatch.setattr(timm, "create_model", make)
    for name in FAMILIES:
        config = copy.deepcopy(open_clip.get_model_config(name))
        for tower in (config["vision_cfg"], config["text_cfg"], config.get("multimodal_cfg", {})):
            if "layers" in tower:
                tower["layers"] = 1
        config["text_cfg"]["vocab_size"] = VOCABULARY
        monkeypatch.setitem(factory._MODEL_CONFIGS, name, config)


def made(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained_text=False).eval()
    if hasattr(model, "text_decoder"):  # of CoCa: open_clip leaves it as the memory was
        torch.nn.init.normal_(model.text_decoder.text_projection, std=0.02)
    return model


@pytest.mark.parametrize(("name", "suffix"), FAMILIES.items())
@torch.inference_mode()
def test_a_file_of_the_family_gives_the_features_of_its_weights(name, suffix, tmp_path) -> None:
    model = made(name)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    path = tmp_path / f"open_clip{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    elif suffix == ".pt":  # as MetaCLIP's and open_clip's training write it
        torch.save(
            {"epoch": 1, "name": name, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path
        )
    else:
        torch.save(state, path)
    backbone = load_backbone(name, str(path))
    pixels = torch.randn(1, 3, *model.visual.image_size, generator=torch.Generator().manual_seed(1))
    ids = torch.arange(2, 2 + backbone.model.context_length)[None] % VOCABULARY
    ids[0, -1] = VOCABULARY - 1
    native = [
        encode(x, normalize=False) for encode, x in ((model.encode_image, pixels), (model.encode_text, ids))
    ]
    found = backbone.encode_images(pixels), backbone.encode_texts(ids)
    for encoded, expected in zip(found, native, strict=True):
        torch.testing.assert_close(encoded.features, expected, rtol=1e-5, atol=1e-5)
        assert expected.std() > 0
    lost = next(key for key in state if key.endswith("weight") and key.startswith("visual."))
    del state[lost]
    torch.save(state, tmp_path / "lost.pt")
    with pytest.raises(BackboneError, match=lost.replace(".", r"\.")):
        load_backbone(name, str(tmp_path / "lost.pt"))
