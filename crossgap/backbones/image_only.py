"""Image-only backbones, the controls: timm's models by name, without their classifiers."""

from __future__ import annotations

import json
import math
import sys
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from timm.models import (
    PretrainedCfg,
    get_pretrained_cfg,
    list_pretrained,
    load_checkpoint,
    split_model_name_tag,
)
from torch import Tensor, nn
from torchvision.transforms import Compose

from crossgap.backbones import activations, checkpoints, hub, preprocessing, towers
from crossgap.backbones.backbone import Backbone, check_finite, require_unchanged, resolve_device, verified
from crossgap.backbones.settings import own_settings
from crossgap.errors import BackboneError, WeightsError, of_machine

if TYPE_CHECKING:
    from jaxtyping import Float

# the fields of a tag that decide timm's transform for inference
KEYS = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class ImageTower(nn.Module):
    """A timm model in the place of open_clip's vision tower."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, pixels: Float[Tensor, "n 3 h w"], normalize: bool = False) -> Float[Tensor, "n d"]:
        """`(n, 3, h, w)` → `(n, d)`, the pooled feature that timm's classifier would see."""
        features = self.visual(pixels)
        return nn.functional.normalize(features, dim=-1) if normalize else features


def load(
    model: str,
    pretrained: str | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    *,
    sha256: str | None = None,
    preprocess: preprocessing.Asked = None,
    cache_dir: str | None = None,
) -> Backbone:
    """Load a model of timm's, with no classifier and timm's own transform for inference.

    Args:
        model: `timm:architecture.tag`; without a tag, timm's default one.
        pretrained: the path of a checkpoint, in timm's format or one that timm converts; the tag's own weights,
            downloaded or from the cache, if None. What the tag says of the transform holds in either case; of a file
            without a tag in the name, what all tags of the architecture say.
        preprocess: of a checkpoint file, `mean`, `std`, `interpolation` and `resize_mode` in place of the tag's
            transform.
        device, precision, sha256, cache_dir: as for `load_backbone`.

    Raises:
        BackboneError: unknown model or tag, no weights, weights of another model or image size, another hash, a file
            without a tag where the architecture's tags differ in their transform.
    """
    name = model.removeprefix(towers.TIMM_PREFIX)
    called = model if pretrained is None else f"{model} with {pretrained!r}"
    shown_by = check_declared(model, pretrained, preprocess)
    config = _config(name)
    weights = Path(pretrained) if pretrained else _downloaded(model, config, cache_dir)
    files = towers.local_files(model, str(weights))
    found = verified(weights, sha256, called)
    with own_settings(), checkpoints.loading(called):
        with checkpoints.by_library():
            tower = timm.create_model(name, pretrained=False, num_classes=0)
        shapes = _load_weights(tower, weights)
    if pretrained:
        _check_sizes(tower, shapes, weights, called)
    check_finite(tower, weights, called)
    require_unchanged(towers.local_files(model, str(weights)), files, called)
    processing = resolve_model_data_config(tower)
    if preprocess is None:
        transform = Compose([_rgb, create_transform(**processing, is_training=False)])
    else:
        given = preprocessing.described(preprocess)
        processing = {"input_size": processing["input_size"], **given}
        transform = image_transform_v2(
            PreprocessCfg(size=processing["input_size"][1:], **given), is_train=False
        )
    module = ImageTower(tower).to(resolve_device(device), DTYPES[precision])
    return Backbone(
        model=module.eval().requires_grad_(False),
        transform=transform,
        load_tokenizer=None,
        device=resolve_device(device),
        provenance={
            "model": model,
            "pretrained": pretrained or config.tag,
            "weights_sha256": found,
            "precision": precision,
            "preprocessing": json.loads(json.dumps(processing)),
            "preprocessing_from": shown_by,
            "versions": {name: version(name) for name in ("timm", "torch", "torchvision", "pillow")},
        },
    )


def check_declared(model: str, pretrained: str | None = None, preprocess: preprocessing.Asked = None) -> str:
    """Check what can be checked without the weights, and say what tells the transform; see `load`."""
    name = model.removeprefix(towers.TIMM_PREFIX)
    _check_names(model, name, pretrained)
    if not pretrained or split_model_name_tag(name)[1]:  # of a bare file nothing tells it but the name
        try:
            activations.of_timms_tag(name)
        except WeightsError as error:
            raise BackboneError(f"{model}: {error}") from error
    return _preprocessing_from(model, name, pretrained, preprocess)


def built(model: str) -> ImageTower:
    """The module of `timm:architecture.tag`, its weights not loaded.

    Raises:
        BackboneError: an architecture that timm doesn't have.
    """
    name = model.removeprefix(towers.TIMM_PREFIX)
    _check_architecture(model, name)
    return ImageTower(timm.create_model(name, pretrained=False, num_classes=0))


def _rgb(image: Image.Image) -> Image.Image:
    # timm's loader does so, its transform doesn't; open_clip's transform does, once it has resized
    return image.convert("RGB")


def _check_architecture(model: str, name: str) -> None:
    if not timm.is_model(split_model_name_tag(name)[0]):
        close = get_close_matches(name, timm.list_models(pretrained=True)) or ["see timm.list_models()"]
        raise BackboneError(f"{model!r} is none of timm's models; close to it: {', '.join(close)}")


def _check_names(model: str, name: str, pretrained: str | None) -> None:
    _check_architecture(model, name)
    architecture, tag = split_model_name_tag(name)
    tags = [split_model_name_tag(known)[1] for known in list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise BackboneError(
            f"{model!r}: {tag!r} is no tag of {architecture} (its tags: {', '.join(tags) or 'none'})"
        )
    if pretrained is None and not tags:
        raise BackboneError(
            f"timm has no weights of {model!r}, and features of random weights mean nothing: "
            "give a checkpoint file as `pretrained`"
        )
    if pretrained is not None and not Path(pretrained).is_file():
        raise BackboneError(
            f"pretrained {pretrained!r} of {model!r} is no file; a tag of timm's stands in the model's name: "
            f"{towers.TIMM_PREFIX}{architecture}.{tags[0] if tags else 'tag'}"
        )


def _preprocessing_from(model: str, name: str, pretrained: str | None, asked: preprocessing.Asked) -> str:
    """What tells the transform of weights; BackboneError if nothing does, or if the one asked for is not valid."""
    architecture, tag = split_model_name_tag(name)
    tags = list_pretrained(f"{architecture}.*")
    if asked is not None:
        if isinstance(asked, str) or not pretrained:
            raise BackboneError(
                f"{model!r}: a transform of timm's is named by the tag in the model's name "
                f"({towers.TIMM_PREFIX}{architecture}.tag): remove `preprocess`"
                + ("" if not pretrained else f", or give {', '.join(preprocessing.KEYS)} there")
            )
        try:
            preprocessing.described(asked)
        except WeightsError as error:
            raise BackboneError(f"{model}: {error}") from error
        return "given by `preprocess`"
    if tag or not pretrained:
        return f"timm's tag {tag or _config(name).tag}"
    said = {known: tuple(getattr(get_pretrained_cfg(known), key) for key in KEYS) for known in tags}
    if len(set(said.values())) > 1:
        raise BackboneError(
            f"the published weights of {architecture} differ in their transform, and a file doesn't say which it "
            f"needs: name the tag that it goes by in the model's name, one of {', '.join(tags)}, or give `preprocess` "
            f"with {', '.join(preprocessing.KEYS)}"
        )
    return f"all tags of timm's {architecture}" if tags else f"timm's default of {architecture}"


def _config(name: str) -> PretrainedCfg:
    """The configuration of timm's tag, or of the architecture's default tag."""
    found = get_pretrained_cfg(name)
    if found is None:
        raise BackboneError(f"timm has no weights of {name}: give one of timm.list_pretrained()")
    return found


def _downloaded(model: str, config: PretrainedCfg, cache_dir: str | None) -> Path:
    """The file that a tag stands for, from timm's place on the hub or from the cache."""
    if not config.hf_hub_id:
        raise BackboneError(
            f"the weights of {model!r} are not on the hub: download {config.url} and name it as `pretrained`"
        )
    repository, _, revision = config.hf_hub_id.partition("@")
    file = config.hf_hub_filename or "model.safetensors"
    try:
        with hub.asked_if_reachable():
            return Path(download_pretrained_from_hf(repository, file, revision or None, cache_dir))
    except Exception as error:
        if of_machine(error):
            raise
        raise BackboneError(
            f"the weights of {model!r} can't be had: {hub.why(error)}; where there is no network, "
            "put them into the cache beforehand or name a checkpoint file as `pretrained`"
        ) from error


def _load_weights(tower: Any, weights: Path) -> dict[str, tuple[int, ...]]:
    """Load a file's weights, whose names must be the module's, but for the classifier's. Gives the file's shapes."""
    if weights.suffix in checkpoints.NUMPY:
        checkpoints.check_is_one(weights)
        with checkpoints.by_library():
            # by the names of another library, which the architecture knows
            load_checkpoint(tower, str(weights))
        return {}
    classifiers = tower.pretrained_cfg.get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else classifiers
    left_out = {f"{classifier}.{part}" for classifier in classifiers for part in ("weight", "bias")}
    convert = getattr(sys.modules[type(tower).__module__], "checkpoint_filter_fn", None)
    # where a training kept an average too, timm takes that
    held = checkpoints.read(weights, (*checkpoints.AVERAGED, *checkpoints.TRAINED))
    held = checkpoints.named_as(tower, held, weights)
    state = {name: tensor for name, tensor in held.items() if name not in left_out}
    if convert:
        with checkpoints.by_library():
            state = convert(state, tower)
    checkpoints.load_strictly(tower, state, weights)
    return {name: tuple(tensor.shape) for name, tensor in held.items()}


def _check_sizes(tower: Any, shapes: dict[str, tuple[int, ...]], weights: Path, called: str) -> None:
    """Refuse a checkpoint of another image or patch size, which timm would silently resize."""
    for name, tensor in tower.state_dict().items():
        ours, theirs = tuple(tensor.shape), shapes.get(name, tuple(tensor.shape))
        if name == "pos_embed" and len(ours) == len(theirs) == 3:
            # beside the grid there may be a position for each token before it
            sides = [math.isqrt(shape[1]) for shape in (theirs, ours)]
            if sides[0] != sides[1]:
                patch = max(tower.patch_embed.patch_size)
                given, taken = (f"images of {side * patch} × {side * patch}" for side in sides)
                raise BackboneError(
                    f"{called}: {weights} has a position for every patch in {given}, the model takes {taken}: "
                    "name the model that the weights belong to"
                )
        elif math.prod(ours) != math.prod(theirs):
            raise BackboneError(
                f"{called}: {weights} has {name} {theirs}, the model {ours}: they are weights for another image "
                "or patch size; name the model that they belong to"
            )
