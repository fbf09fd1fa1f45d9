"""timm's models as backbones, with one layer and random weights in the files that timm and its sources write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

from crossgap import load_backbone
from crossgap.backbones import BackboneError
from crossgap.backbones.image_only import check_declared
from crossgap.inversion.methods import Oti, Ovi

DINOV2, DINOV3 = "vit_small_patch14_dinov2.lvd142m", "vit_small_patch16_dinov3.lvd1689m"
REGISTERS = "vit_small_patch14_reg4_dinov2.lvd142m"
SUPERVISED, CONVOLUTIONAL = "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "convnext_atto.d2_in1k"


@pytest.fixture(autouse=True)
def shallow(monkeypatch) -> None:
    create = timm.create_model

    def make(name: str, **options):
        depth = {"depths": (1, 1, 1, 1)} if name.startswith("convnext") else {"depth": 1}
        return create(name, **depth, **options)

    monkeypatch.setattr(timm, "create_model", make)


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))


def made(name: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """timm's model without its classifier, and its weights with it."""
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[0] == 1:  # biases and tokens begin at zero
            torch.nn.init.normal_(parameter, std=0.5)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    model.reset_classifier(0)
    return model, state


def save(state: dict[str, torch.Tensor], path: Path) -> str:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return str(path)


def check(backbone, model: torch.nn.Module, image: Image.Image) -> None:
    """The transform and the features are timm's own."""
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    pixels = transform(image).unsqueeze(0)
    assert torch.equal(backbone.transform(image).unsqueeze(0), pixels)
    grey = image.convert("L")
    assert torch.equal(backbone.transform(grey), transform(grey.convert("RGB")))
    with torch.no_grad():
        expected = model(pixels)
    found = backbone.encode_images(pixels)
    torch.testing.assert_close(found.features, expected, rtol=1e-5, atol=1e-5)
    assert found.features.dtype == torch.float32 and found.preprojection is None
    assert backbone.dim == expected.shape[1]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        (DINOV2, ".safetensors"),
        (DINOV3, ".safetensors"),
        (SUPERVISED, ".safetensors"),
        (SUPERVISED, ".pth"),
        (SUPERVISED, ".bin"),
        (CONVOLUTIONAL, ".pth"),
    ],
)
def test_features_are_those_of_timm_without_the_classifier(tmp_path, image, name, suffix) -> None:
    model, state = made(name)
    path = save(state, tmp_path / f"own{suffix}")
    backbone = load_backbone(f"timm:{name}", path)
    check(backbone, model, image)
    assert backbone.modalities == ("image",) and backbone.projections() == backbone.biases() == {}
    assert not backbone.model.training
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())


def test_a_checkpoint_of_training_and_one_without_the_classifier_will_do(tmp_path, image) -> None:
    model, state = made(SUPERVISED)
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}
    headless = {name: value for name, value in state.items() if not name.startswith("head.")}
    for number, kept in enumerate((wrapped, headless)):
        check(load_backbone(f"timm:{SUPERVISED}", save(kept, tmp_path / f"{number}.pth")), model, image)


def test_the_files_of_dinov2_itself_will_do(tmp_path, image) -> None:
    """They have a mask token, and with registers, a position of the class token, which timm adds to it."""
    model, state = made(DINOV2)
    theirs = {**state, "mask_token": torch.zeros(1, 384)}
    check(load_backbone(f"timm:{DINOV2}", save(theirs, tmp_path / "vits14.pth")), model, image)
    model, state = made(REGISTERS)
    position = torch.randn(1, 1, 384)
    theirs = {**state, "mask_token": torch.zeros(1, 384), "register_tokens": state["reg_token"]}
    theirs["pos_embed"] = torch.cat([position, state["pos_embed"]], dim=1)
    theirs["cls_token"] = state["cls_token"] - position
    del theirs["reg_token"]
    check(load_backbone(f"timm:{REGISTERS}", save(theirs, tmp_path / "reg4.pth")), model, image)


def test_a_tag_is_taken_from_the_cache_of_the_hub(tmp_path, image, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model, state = made(DINOV2)
    repository = tmp_path / f"models--timm--{DINOV2}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("f" * 40)
    (repository / "snapshots" / ("f" * 40)).mkdir(parents=True)
    path = save(state, repository / "snapshots" / ("f" * 40) / "model.safetensors")
    sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    for name in (DINOV2, DINOV2.partition(".")[0]):
        backbone = load_backbone(f"timm:{name}", cache_dir=str(tmp_path), sha256=sha256)
        check(backbone, model, image)
        assert backbone.provenance["pretrained"] == "lvd142m"


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        BackboneError, match=rf"'timm:{DINOV2}' can't be had.*checkpoint file as `pretrained`"
    ):
        load_backbone(f"timm:{DINOV2}", cache_dir=str(tmp_path))
    with pytest.raises(BackboneError, match=r"not on the hub: download https://.*gcvit.*as `pretrained`"):
        load_backbone("timm:gcvit_tiny.in1k", cache_dir=str(tmp_path))


def test_provenance_says_what_was_loaded_and_is_json(tmp_path) -> None:
    path = save(made(SUPERVISED)[1], tmp_path / "own.safetensors")
    provenance = load_backbone(f"timm:{SUPERVISED}", path, precision="bf16").provenance
    assert json.loads(json.dumps(provenance)) == provenance
    assert (provenance["model"], provenance["pretrained"]) == (f"timm:{SUPERVISED}", path)
    assert provenance["weights_sha256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert provenance["precision"] == "bf16" and provenance["versions"]["timm"] == timm.__version__
    assert provenance["preprocessing"]["input_size"] == [3, 224, 224]
    assert provenance["preprocessing"]["mean"] == [0.5, 0.5, 0.5]


def test_palettes_are_resized_as_the_one_whose_transform_it_is_does(tmp_path) -> None:
    """timm converts an image as it loads it, open_clip once it is resized, when a palette took the nearest pixel."""
    from open_clip import image_transform

    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::2] = 255
    palette = Image.fromarray(stripes).quantize(2)
    path = save(made(SUPERVISED)[1], tmp_path / "own.safetensors")
    own = load_backbone(f"timm:{SUPERVISED}", path).transform
    assert torch.equal(own(palette), own(palette.convert("RGB")))
    given = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    asked = load_backbone(f"timm:{SUPERVISED}", path, preprocess=given).transform
    assert not torch.equal(asked(palette), asked(palette.convert("RGB")))
    assert torch.equal(
        asked(palette), image_transform(224, is_train=False, mean=[0.5] * 3, std=[0.5] * 3)(palette)
    )


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.01), ("fp16", 0.001)])
@pytest.mark.parametrize("name", [SUPERVISED, DINOV3])
def test_half_precision_stays_within_a_bound(tmp_path, image, name, precision, bound) -> None:
    path = save(made(name)[1], tmp_path / "own.safetensors")
    exact, half = (load_backbone(f"timm:{name}", path, precision=of) for of in ("fp32", precision))
    pixels = exact.transform(image).unsqueeze(0)
    features, found = exact.encode_images(pixels).features, half.encode_images(pixels).features
    assert found.dtype == torch.float32 and not torch.equal(found, features)
    assert 1 - torch.cosine_similarity(found, features) < bound


def test_whatever_asks_for_texts_is_told_why_there_are_none(tmp_path) -> None:
    backbone = load_backbone(f"timm:{SUPERVISED}", save(made(SUPERVISED)[1], tmp_path / "own.pth"))
    asking = (
        lambda: backbone.tokenize(["a"]),
        lambda: backbone.tokenizer,
        lambda: backbone.context_length,
        lambda: backbone.encode_texts(torch.zeros(1, 4, dtype=torch.long)),
        lambda: Oti().inject(backbone),
        lambda: Ovi().inject(backbone),
    )
    for ask in asking:
        with pytest.raises(
            BackboneError, match=rf"'timm:{SUPERVISED}' is an image-only backbone: it has no text"
        ):
            ask()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "vit_base_patch14_dinov3.lvd142m",
            r"is none of timm's models; close to it: .*vit_base_patch14_dinov2",
        ),
        (
            "no such thing",
            r"'timm:no such thing' is none of timm's models; close to it: see timm.list_models",
        ),
        ("", r"'timm:' is none of timm's models"),
        (
            "vit_small_patch14_dinov2.lvd143m",
            r"'lvd143m' is no tag of vit_small_patch14_dinov2 .*: lvd142m\)",
        ),
        ("coatnet_0_224", r"timm has no weights of 'timm:coatnet_0_224'.*random weights mean nothing"),
    ],
)
def test_a_name_that_timm_does_not_have_is_an_error(name, message) -> None:
    with pytest.raises(BackboneError, match=message):
        load_backbone(f"timm:{name}")


QUICK = [
    name
    for name in timm.list_pretrained("*_clip_*")
    if "_clip_" in name.split(".")[0]
    and "quickgelu" not in name
    and timm.is_model(name.split(".")[0].replace("_clip_", "_clip_quickgelu_"))
]


@pytest.mark.parametrize("name", QUICK)
def test_weights_trained_with_quickgelu_are_refused_where_gelu_is_computed(name) -> None:
    # told another way than by timm's note: whether the twin, which computes QuickGELU, has the tag
    architecture, tag = name.split(".")
    twin = architecture.replace("_clip_", "_clip_quickgelu_") + f".{tag}"
    if twin not in timm.list_pretrained():
        assert check_declared(f"timm:{name}") == f"timm's tag {tag}"
        return
    with pytest.raises(BackboneError, match=f"trained with QuickGELU, .* computes GELU; use model '{twin}'"):
        check_declared(f"timm:{name}")
    assert check_declared(f"timm:{twin}") == f"timm's tag {tag}"


def test_a_file_that_is_said_to_be_a_tags_is_judged_as_the_tag_is(tmp_path) -> None:
    file = tmp_path / "own.pt"
    file.touch()
    with pytest.raises(BackboneError, match="trained with QuickGELU"):
        check_declared("timm:vit_huge_patch14_clip_378.dfn5b", str(file))
    assert check_declared("timm:vit_huge_patch14_clip_quickgelu_378.dfn5b", str(file)) == "timm's tag dfn5b"


def test_a_tag_or_a_lost_file_in_the_place_of_a_checkpoint_is_an_error(tmp_path) -> None:
    for pretrained in ("lvd142m", str(tmp_path / "lost.pth"), ""):
        with pytest.raises(BackboneError, match=r"is no file; a tag.*timm:vit_small_patch14_dinov2\.lvd142m"):
            load_backbone("timm:vit_small_patch14_dinov2", pretrained)


def test_weights_that_are_not_those_declared_are_refused(tmp_path) -> None:
    path = save(made(SUPERVISED)[1], tmp_path / "own.pth")
    with pytest.raises(BackboneError, match=rf"own\.pth has SHA-256 .*, not {'0' * 64}: not the weights"):
        load_backbone(f"timm:{SUPERVISED}", path, sha256="0" * 64)


@pytest.mark.parametrize("change", ["a missing tensor", "a strange tensor", "another shape"])
def test_weights_of_another_model_are_refused(tmp_path, change) -> None:
    state = made(SUPERVISED)[1]
    if change == "a missing tensor":
        del state["norm.weight"]
    elif change == "a strange tensor":
        state["norm.extra"] = torch.zeros(1)
    else:
        state["norm.weight"] = torch.zeros(7)
    path = save(state, tmp_path / "other.safetensors")
    with pytest.raises(BackboneError, match=r"(?s)other\.safetensors' can't be loaded.*norm\.(weight|extra)"):
        load_backbone(f"timm:{SUPERVISED}", path)


def test_weights_for_another_image_or_patch_size_are_refused_and_not_resized(tmp_path) -> None:
    state = made(SUPERVISED)[1]
    other = {**state, "pos_embed": torch.randn(1, 24 * 24 + 1, 192)}
    path = save(other, tmp_path / "at384.pth")
    with pytest.raises(
        BackboneError, match=r"at384\.pth has .*images of 384 × 384, the model takes .*224 × 224"
    ):
        load_backbone(f"timm:{SUPERVISED}", path)
    other = {**state, "patch_embed.proj.weight": torch.randn(192, 3, 8, 8)}
    path = save(other, tmp_path / "of8.pth")
    with pytest.raises(
        BackboneError, match=r"of8\.pth has patch_embed\.proj\.weight \(192, 3, 8, 8\), the model"
    ):
        load_backbone(f"timm:{SUPERVISED}", path)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path) -> None:
    torch.save({"norm.weight": Malicious(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(BackboneError, match=r"bad\.pth' can't be loaded"):
        load_backbone(f"timm:{SUPERVISED}", str(tmp_path / "bad.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors"])
def test_a_damaged_file_is_refused(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(BackboneError, match=r"bad\..* can't be loaded"):
        load_backbone(f"timm:{SUPERVISED}", str(tmp_path / name))
