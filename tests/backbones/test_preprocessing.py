"""Which preprocessing a checkpoint gets, against open_clip's own registry, read here tag by tag."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import asdict

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip import factory
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from pydantic import ValidationError
from torchvision import transforms

from crossgap import load_backbone
from crossgap.backbones import BackboneError, preprocessing
from crossgap.errors import WeightsError
from crossgap.params.sections import Weights
from crossgap.params.wording import explain

KEYS = ("mean", "std", "interpolation", "resize_mode")
DIFFER = ("ViT-H-14", "ViT-H-14-quickgelu", "ViT-L-14")
GIVEN = {
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.3, 0.4],
    "interpolation": "bilinear",
    "resize_mode": "squash",
}


def published(name: str) -> dict[str, tuple]:
    return {
        tag: tuple(open_clip.get_pretrained_cfg(name, tag)[key] for key in KEYS)
        for tag in open_clip.list_pretrained_tags_by_model(name)
    }


@pytest.fixture
def file(tiny_folder, tmp_path, monkeypatch):
    """A checkpoint file of a registered model: the true name, of few and narrow layers."""

    def made(name: str, config: dict | None = None) -> str:
        small = config or json.loads((tiny_folder / "open_clip_config.json").read_text())["model_cfg"]
        monkeypatch.setitem(factory._MODEL_CONFIGS, name, copy.deepcopy(small))
        path = tmp_path / "own.pt"
        torch.save(open_clip.create_model(name).state_dict(), path)
        return str(path)

    return made


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    pixels = np.random.default_rng(0).random((48, 96, 3)) * [255, 160, 90]
    return Image.fromarray(pixels.astype(np.uint8))


def held(backbone) -> tuple:
    said = backbone.provenance["preprocessing"]
    return tuple(tuple(said[key]) if isinstance(said[key], list) else said[key] for key in KEYS)


def by_hand(mean, std, interpolation: str, resize_mode: str) -> transforms.Compose:
    """torchvision's transform to 32 × 32, written down without open_clip."""
    mode = transforms.InterpolationMode(interpolation)
    resize = [transforms.Resize((32, 32), mode)]
    if resize_mode == "shortest":
        resize = [transforms.Resize(32, mode), transforms.CenterCrop(32)]
    return transforms.Compose([*resize, transforms.ToTensor(), transforms.Normalize(mean, std)])


@pytest.mark.parametrize(
    "name",
    [
        "ViT-B-16-SigLIP",
        "ViT-B-16-SigLIP2",
        "MobileCLIP-B",
        "ViT-H-14-CLIPA",
        "PE-Core-B-16",
        "ViT-H-14-378-quickgelu",
        "ViT-B-16",
        "RN50-quickgelu",
    ],
)
def test_a_file_is_given_the_preprocessing_of_all_published_tags(file, photo, name) -> None:
    backbone = load_backbone(name, file(name))
    (right,) = set(published(name).values())
    assert held(backbone) == right
    assert torch.equal(backbone.transform(photo), by_hand(*right)(photo))
    assert backbone.provenance["preprocessing_from"].startswith(f"all published tags of {name}: ")


def test_so_it_is_for_every_model_of_open_clips() -> None:
    default = asdict(PreprocessCfg())
    kinds = {"agree": 0, "differ": 0, "none": 0}
    for name in open_clip.list_models():
        if name.startswith("SLIP-"):  # made known to open_clip when one of them is first loaded
            continue
        tags = published(name)
        values = set(tags.values())
        if len(values) > 1:
            kinds["differ"] += 1
            with pytest.raises(WeightsError, match="differ in their preprocessing"):
                preprocessing.of_file(name, None)
            continue
        found, why = preprocessing.of_file(name, None)
        assert tuple({**default, **found}[key] for key in KEYS) == next(
            iter(values), tuple(default[key] for key in KEYS)
        )
        kinds["agree" if values else "none"] += 1
        assert all(tag in why for tag in tags) and why.startswith(
            "all published" if tags else "open_clip's default"
        )
    assert kinds["differ"] >= len(DIFFER) and kinds["agree"] > 100 and kinds["none"]


@pytest.mark.parametrize("name", DIFFER)
def test_where_the_tags_differ_a_file_is_refused_until_one_is_named(file, photo, name) -> None:
    path = file(name)
    with pytest.raises(
        BackboneError, match=rf"(?s)weights of {name} differ.*name a tag.*mean, std, interpol"
    ):
        load_backbone(name, path)
    for tag, right in published(name).items():
        backbone = load_backbone(name, path, preprocess=tag)
        assert held(backbone) == right
        assert torch.equal(backbone.transform(photo), by_hand(*right)(photo))
        assert backbone.provenance["preprocessing_from"] == f"tag {tag}, named by `preprocess`"


def test_one_that_is_given_goes_before_the_tags(file, photo) -> None:
    for name in ("ViT-L-14", "ViT-B-16-SigLIP", "ViT-S-16"):
        backbone = load_backbone(name, file(name), preprocess=GIVEN)
        assert torch.equal(backbone.transform(photo), by_hand(*GIVEN.values())(photo))
        assert backbone.provenance["preprocessing_from"] == "given by `preprocess`"
        assert backbone.provenance["preprocessing"]["size"] == [32, 32]
        assert json.loads(json.dumps(backbone.provenance)) == backbone.provenance


def test_a_model_without_published_weights_has_open_clips_default(file) -> None:
    backbone = load_backbone("ViT-S-16", file("ViT-S-16"))
    assert backbone.provenance["preprocessing_from"] == "open_clip's default: it has no weights of ViT-S-16"
    assert held(backbone) == tuple(asdict(PreprocessCfg())[key] for key in KEYS)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "openia",
            r"preprocess 'openia' is no tag of ViT-L-14 \(its tags: openai, .*name one, or give an object",
        ),
        ({**GIVEN, "std": [0.2, 0, 0.4]}, r"preprocess\.std\.1: Input should be greater than 0"),
        ({**GIVEN, "resize_mode": "crop"}, r"preprocess\.resize_mode: .*'shortest', 'longest' or 'squash'"),
        ({**GIVEN, "size": 224}, r"preprocess\.size: Extra"),
        ({"mean": [0.5, 0.5, 0.5]}, r"preprocess\.std: Field required; needed are mean, std, interpolation"),
    ],
)
def test_one_that_can_not_be_had_is_refused(file, asked, said) -> None:
    with pytest.raises(BackboneError, match=rf"ViT-L-14: {said}"):
        load_backbone("ViT-L-14", file("ViT-L-14"), preprocess=asked)


def test_a_tag_brings_its_own() -> None:
    with pytest.raises(BackboneError, match=r"the tag 'webli' brings its own preprocessing: remove"):
        # before anything is downloaded: no network is asked
        load_backbone("ViT-B-16-SigLIP", "webli", preprocess="webli")


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """The tiny model's folder, its configuration changed."""

    def made(**document: object) -> str:
        place = tmp_path / "folder"
        shutil.copytree(tiny_folder, place, dirs_exist_ok=True)
        known = json.loads((tiny_folder / "open_clip_config.json").read_text())
        config = {"model_cfg": known["model_cfg"], **document}
        (place / "open_clip_config.json").write_text(json.dumps(config))
        return f"local-dir:{place}"

    return made


def test_a_folders_own_goes_before_all(folder, photo) -> None:
    name = folder(preprocess_cfg=GIVEN)
    backbone = load_backbone(name)
    assert torch.equal(backbone.transform(photo), by_hand(*GIVEN.values())(photo))
    assert backbone.provenance["preprocessing_from"] == "preprocess_cfg of open_clip_config.json"
    with pytest.raises(
        BackboneError, match="brings its own preprocess_cfg, so `preprocess` would be ignored"
    ):
        load_backbone(name, preprocess=GIVEN)


def test_a_folder_that_has_none_is_the_model_of_the_same_configuration_or_refused(
    folder, file, photo, monkeypatch
) -> None:
    name = folder()
    with pytest.raises(
        BackboneError, match=r"has no preprocess_cfg, and its model_cfg is none.*`preprocess`"
    ):
        load_backbone(name)
    backbone = load_backbone(name, preprocess=GIVEN)
    assert torch.equal(backbone.transform(photo), by_hand(*GIVEN.values())(photo))
    file("ViT-B-16-SigLIP")  # from here on the registered model has the folder's configuration
    backbone = load_backbone(name)
    assert held(backbone) == published("ViT-B-16-SigLIP")["webli"]
    assert backbone.provenance["preprocessing_from"] == "all published tags of ViT-B-16-SigLIP: webli"
    file("ViT-L-14")
    with pytest.raises(BackboneError, match="differ in their preprocessing"):
        load_backbone(name)


def test_one_of_the_hub_is_as_a_folder(folder, tmp_path, monkeypatch, photo) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    place = folder().removeprefix("local-dir:")
    cached = tmp_path / "cache" / "models--org--own"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("f" * 40)
    shutil.copytree(place, cached / "snapshots" / ("f" * 40))
    cache = {"cache_dir": str(tmp_path / "cache")}
    with pytest.raises(BackboneError, match="has no preprocess_cfg"):
        load_backbone("hf-hub:org/own", **cache)
    backbone = load_backbone("hf-hub:org/own", preprocess=GIVEN, **cache)
    assert torch.equal(backbone.transform(photo), by_hand(*GIVEN.values())(photo))


@pytest.fixture
def shallow(monkeypatch) -> None:
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **more: create(name, **{"depth": 1, **more}))


def test_a_file_for_an_architecture_of_timms_needs_a_tag_where_the_tags_differ(
    shallow, tmp_path, photo
) -> None:
    path = str(tmp_path / "own.pt")
    torch.save(timm.create_model("vit_base_patch16_224").state_dict(), path)
    with pytest.raises(
        BackboneError, match=r"differ in their transform.*name the tag.*augreg_in21k.*`preprocess`"
    ):
        load_backbone("timm:vit_base_patch16_224", path)
    for tag, mean in {"augreg_in1k": [0.5, 0.5, 0.5], "dino": [0.485, 0.456, 0.406]}.items():
        said = load_backbone(f"timm:vit_base_patch16_224.{tag}", path).provenance
        assert said["preprocessing"]["mean"] == mean and said["preprocessing_from"] == f"timm's tag {tag}"
    backbone = load_backbone("timm:vit_base_patch16_224", path, preprocess=GIVEN)
    right = image_transform_v2(PreprocessCfg(size=(224, 224), **GIVEN), is_train=False)
    assert torch.equal(backbone.transform(photo.convert("L")), right(photo.convert("L")))
    assert backbone.provenance["preprocessing_from"] == "given by `preprocess`" and backbone.dim == 768
    with pytest.raises(BackboneError, match=r"named by the tag in the model's name"):
        load_backbone("timm:vit_base_patch16_224", path, preprocess="dino")


def test_a_file_for_an_architecture_of_one_transform_needs_none(shallow, tmp_path) -> None:
    path = str(tmp_path / "own.pt")
    torch.save(timm.create_model("vit_small_patch14_dinov2", num_classes=0).state_dict(), path)
    said = load_backbone("timm:vit_small_patch14_dinov2", path).provenance
    assert said["preprocessing_from"] == "all tags of timm's vit_small_patch14_dinov2"
    assert said["preprocessing"]["input_size"] == [3, 518, 518]


def test_a_row_of_params_has_it_as_a_tag_or_an_object() -> None:
    row = Weights(model="ViT-L/14", pretrained="/own.pt", preprocess=GIVEN)
    assert row.model == "ViT-L-14"
    assert preprocessing.described(row.model_dump()["preprocess"])["mean"] == (0.4, 0.5, 0.6)
    assert Weights(model="ViT-L-14", pretrained="/own.pt", preprocess="openai").preprocess == "openai"
    with pytest.raises(ValidationError, match="brings its own preprocessing: remove `preprocess`"):
        Weights(model="timm:vit_base_patch16_224.dino", preprocess=GIVEN)
    with pytest.raises(ValidationError, match="greater than 0"):
        Weights(model="ViT-L-14", pretrained="/own.pt", preprocess={**GIVEN, "std": [0, 1, 1]})


@pytest.mark.parametrize(
    ("preprocess", "said"),
    [
        ({**GIVEN, "std": [0, 1, 1]}, ["preprocess.std.0: Input should be greater than 0 (got 0)"]),
        (
            {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1], "interpolation": "bicubic"},
            ["preprocess.resize_mode: missing; add it"],
        ),
        ({**GIVEN, "size": 224}, ["preprocess.size: unknown key; remove it or mend its spelling (got 224)"]),
        (
            {**GIVEN, "mean": [0.5]},
            ["preprocess.mean.1: missing; add it", "preprocess.mean.2: missing; add it"],
        ),
        (3, ["preprocess: give keys and values, as the other entries have them (got 3)"]),
    ],
)
def test_what_is_wrong_in_a_row_is_said_by_its_place(preprocess, said) -> None:
    with pytest.raises(ValidationError) as raised:
        Weights(model="ViT-L-14", pretrained="/own.pt", preprocess=preprocess)
    assert [explain(problem, Weights) for problem in raised.value.errors()] == said
