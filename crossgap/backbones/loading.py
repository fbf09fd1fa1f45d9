"""Load a model, refusing what would give silently wrong features."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX, _find_checkpoint_in_dir
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from open_clip.pretrained import _PRETRAINED, download_pretrained_from_hf
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from crossgap.backbones import checkpoints, image_only, preprocessing, slip, towers
from crossgap.backbones.backbone import Backbone, BackboneError, check_finite, resolve_device, verified

PRECISIONS = ("fp32", "bf16", "fp16")
CONFIG = "open_clip_config.json"
POSITION_IDS = "text.transformer.embeddings.position_ids"  # a buffer that transformers had once
BIG_VISION = (".npz", ".npy")  # weights by the names of big_vision, which open_clip converts as it loads them


def load_backbone(
    model: str,
    pretrained: str | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    *,
    sha256: str | None = None,
    preprocess: preprocessing.Asked = None,
    cache_dir: str | None = None,
) -> Backbone:
    """Load a model by open_clip's names, or an image-only one by timm's.

    Args:
        model: a registered name (`ViT-B-32`, or `ViT-B/32`), `hf-hub:org/repo`, `local-dir:path` or
            `timm:architecture.tag`; beside open_clip's, `SLIP-ViT-B-16` and `SLIP-ViT-L-16`, for SLIP's checkpoints.
            A checkpoint that doesn't tell its activation is computed with the name's: GELU, or QuickGELU of a name
            that ends in `-quickgelu`.
        pretrained: a tag, or the path of a checkpoint; None with `hf-hub:` and `local-dir:`, which bring their
            own weights, and with `timm:`, whose tag is part of the name. None with a registered name gives random
            weights and a warning: for tests only.
        device: `cpu`, `cuda`, `cuda:1`, `mps` or `auto`.
        precision: `fp32`, `bf16` or `fp16`; features are always handed out as float32.
        sha256: what the weights' file must hash to, if given.
        preprocess: of weights that bring none, a checkpoint file's for one: the name of a tag of the model, or `mean`,
            `std`, `interpolation` and `resize_mode`. A file is taken for one with the preprocessing of all published
            tags of the model if None; where they differ, it must be given.
        cache_dir: where downloads are kept.

    Raises:
        BackboneError: unknown model or tag, a missing or unfit checkpoint, another hash, weights that aren't finite,
            a QuickGELU mismatch, a preprocessing that can't be told.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    model = towers.canonical(model)
    if precision not in PRECISIONS:
        raise BackboneError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if model.startswith(towers.TIMM_PREFIX):
        return image_only.load(
            model, pretrained, device, precision, sha256=sha256, preprocess=preprocess, cache_dir=cache_dir
        )
    if reason := towers.unloadable(model):
        raise BackboneError(reason)
    if model.startswith((LOCAL_DIR_PREFIX, HF_HUB_PREFIX)):
        if pretrained:
            raise BackboneError(
                f"{model!r} brings its own weights, so pretrained={pretrained!r} would be ignored"
            )
    else:
        check_name(model)
        _check_tag(model, pretrained)
    tag = _tag(model, pretrained)
    if tag:
        pretrained = open_clip.pretrained._clean_tag(pretrained)  # one name of one tag
    called = model if pretrained is None else f"{model} with {pretrained!r}"
    weights = _weights_file(model, pretrained, cache_dir)
    found = verified(weights, sha256, called) if weights else None

    # what open_clip reads by itself: random weights need none, and big_vision's are in a form of their own
    by_open_clip = weights is None or weights.suffix in BIG_VISION
    try:
        document = _document(model, cache_dir)
        shown, shown_by = _preprocessing(model, pretrained, tag, document, preprocess)
        held = {} if by_open_clip else checkpoints.read(weights)
        activation_from = _activation_from(model, pretrained, tag, document, weights, held, found)
        with warnings.catch_warnings(), unasked():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            module = open_clip.create_model(
                model,
                pretrained if tag or (weights is not None and by_open_clip) else None,
                load_weights=by_open_clip,
                precision=precision,
                device=resolve_device(device),
                cache_dir=cache_dir,
                require_pretrained=weights is not None and by_open_clip,
                force_preprocess_cfg=shown,
                pretrained_text=False,
            )
        if not by_open_clip:
            held = slip.renamed(held) if model.startswith(slip.PREFIX) else held
            _fill(module, checkpoints.named_as(module, held, weights), weights, called, resize=bool(tag))
    except BackboneError:
        raise
    except Exception as error:
        raise BackboneError(f"{called} can't be loaded: {error}") from error
    if weights is None:
        warnings.warn(f"{model} has random weights (pretrained=None): for tests only", stacklevel=2)
    check_finite(module, weights, called)
    module.eval().requires_grad_(False)
    processing = open_clip.get_model_preprocess_cfg(module)
    return Backbone(
        model=module,
        transform=image_transform_v2(PreprocessCfg(**processing), is_train=False),
        load_tokenizer=partial(load_tokenizer, model, cache_dir),
        device=resolve_device(device),
        provenance={
            "model": model,
            "pretrained": pretrained,
            "weights_sha256": found,
            "precision": precision,
            "quick_gelu": any(isinstance(part, QuickGELU) for part in module.modules()),
            "quick_gelu_from": activation_from,
            "preprocessing": json.loads(json.dumps(processing)),
            "preprocessing_from": shown_by,
            "versions": {
                name: version(name) for name in ("open_clip_torch", "torch", "torchvision", "timm", "pillow")
            },
        },
    )


def check_name(model: str) -> None:
    """BackboneError where open_clip doesn't know a model; those configured beside this module are made known to it."""
    name = towers.canonical(model)
    if (file := towers.OWN_CONFIGS / f"{name}.json").is_file() and name not in open_clip.list_models():
        open_clip.add_model_config(file)
    registered = open_clip.list_models()
    if name not in registered:
        raise BackboneError(
            f"{model!r} is none of open_clip's {len(registered)} models (open_clip.list_models()), "
            f"nor {', '.join(sorted(file.stem for file in towers.OWN_CONFIGS.glob('*.json')))}, "
            f"{LOCAL_DIR_PREFIX}, {HF_HUB_PREFIX} or {towers.TIMM_PREFIX}"
        )


@contextmanager
def unasked() -> Iterator[None]:
    """Without open_clip's warning of a model that it was given no weights for: it gets them, or needs none."""

    def other(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("No pretrained weights loaded")

    root = logging.getLogger()
    root.addFilter(other)
    try:
        yield
    finally:
        root.removeFilter(other)


def _check_tag(model: str, pretrained: str | None) -> None:
    tag = _tag(model, pretrained)
    if pretrained is not None and not tag and not Path(pretrained).is_file():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise BackboneError(
            f"pretrained {pretrained!r} is neither a file nor a tag of {model} (its tags: {tags})"
        )
    if tag:
        _check_activation(model, pretrained, tag.get("quick_gelu", False))


def _tag(model: str, pretrained: str | None) -> dict[str, Any]:
    return open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}


def _document(model: str, cache_dir: str | None) -> dict[str, Any]:
    """The `open_clip_config.json` of a folder or repository; of a registered name, open_clip's configuration in it."""
    if model.startswith(LOCAL_DIR_PREFIX):
        file = Path(model.removeprefix(LOCAL_DIR_PREFIX)) / CONFIG
    elif model.startswith(HF_HUB_PREFIX):
        file = download_pretrained_from_hf(
            model.removeprefix(HF_HUB_PREFIX), filename=CONFIG, cache_dir=cache_dir
        )
    else:
        return {"model_cfg": open_clip.get_model_config(model)}
    document = json.loads(Path(file).read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("model_cfg"), dict):
        raise ValueError(f"{file} has no `model_cfg`")
    return document


def _preprocessing(
    model: str, pretrained: str | None, tag: dict, document: dict, asked: preprocessing.Asked
) -> tuple[dict[str, Any], str]:
    """What is forced on open_clip's preprocessing, and where the whole of it is from."""
    try:
        if tag:
            return {}, preprocessing.of_tag(pretrained, asked)
        if model.startswith((LOCAL_DIR_PREFIX, HF_HUB_PREFIX)):
            return preprocessing.of_folder(model, document, asked)
        if pretrained is None and asked is None:
            return {}, "open_clip's default, for random weights"
        return preprocessing.of_file(model, asked)
    except preprocessing.PreprocessingError as error:
        raise BackboneError(f"{model}: {error}") from error


def _activation_from(
    model: str,
    pretrained: str | None,
    tag: dict,
    document: dict,
    weights: Path | None,
    held: dict[str, Tensor],
    sha256: str | None,
) -> str:
    """What says with which activation a model is computed; BackboneError where the weights say another."""
    if tag:
        return f"tag {pretrained}"
    folder = model.startswith((LOCAL_DIR_PREFIX, HF_HUB_PREFIX))
    published = {
        part for tags in _PRETRAINED.values() for part in tags.get("openai", {}).get("url", "").split("/")
    }
    if weights and (sha256 in published or (held and checkpoints.is_of_openai(held, weights))):
        if not folder:
            _check_activation(model, pretrained, wanted=True)
        elif "quick_gelu" not in document["model_cfg"]:
            raise BackboneError(
                f"QuickGELU mismatch: the weights of {model!r} are OpenAI's, trained with QuickGELU, and its {CONFIG} "
                'says nothing of it: add "quick_gelu": true to its model_cfg, or false if they are not'
            )
        return (
            f"{CONFIG}, which says so of weights of OpenAI's form"
            if folder
            else "the weights, of OpenAI's form"
        )
    if folder:
        return CONFIG
    tags = [
        open_clip.get_pretrained_cfg(model, name) for name in open_clip.list_pretrained_tags_by_model(model)
    ]
    if weights and tags and all(tag.get("quick_gelu", False) for tag in tags) and not _computes_quick(model):
        warnings.warn(
            f"{model} with {pretrained!r} is computed with GELU, as the model's name says, and all published weights "
            f"of {model} were trained with QuickGELU: if these are made from them, use model '{model}-quickgelu'",
            stacklevel=3,
        )
    return "the model's name"


def _computes_quick(model: str) -> bool:
    return open_clip.get_model_config(model).get("quick_gelu", False)


def _check_activation(model: str, pretrained: str, wanted: bool) -> None:
    """Error where the model's activation is not the one its weights were trained with."""
    uses = _computes_quick(model)
    if uses == wanted:
        return
    plain = model.removesuffix("-quickgelu")
    right = f"{plain}-quickgelu" if wanted else plain
    raise BackboneError(
        f"QuickGELU mismatch: the weights {pretrained!r} were trained with {'QuickGELU' if wanted else 'GELU'}, "
        f"model {model!r} computes {'QuickGELU' if uses else 'GELU'}; "
        + (
            f"use model {right!r}"
            if right in open_clip.list_models()
            else f"open_clip has no model {right!r}"
        )
    )


def _fill(module: nn.Module, state: dict[str, Tensor], weights: Path, called: str, *, resize: bool) -> None:
    """Load weights, every one and no other, as open_clip's `load_checkpoint` does with a file.

    Args:
        state: by the module's names, or by those that open_clip converts.
        resize: whether positions are resized to the module's, as of some tags; else that is an error.

    Raises:
        BackboneError: positions for another image size or context.
        RuntimeError: other names or shapes.
    """
    state = convert_state_dict(module, state)
    if "positional_embedding" in state and not hasattr(module, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    # no feature depends on the scale and the bias of the logits
    for name in ("logit_scale", "logit_bias"):
        ours = getattr(module, name, None)
        if ours is None:
            state.pop(name, None)
        elif name in state and state[name].numel() == 1:
            state[name] = state[name].reshape(ours.shape)
        elif name == "logit_bias":
            state[name] = torch.zeros_like(ours)
    if POSITION_IDS not in module.state_dict():
        state.pop(POSITION_IDS, None)
    if resize:
        resize_pos_embed(state, module)
        resize_text_pos_embed(state, module)
    for name, ours in module.named_parameters():
        theirs = state.get(name, ours)
        if name.rpartition(".")[2] in ("positional_embedding", "pos_embed") and theirs.shape != ours.shape:
            raise BackboneError(
                f"{called}: {weights} has {name} {tuple(theirs.shape)}, the model {tuple(ours.shape)}: they are "
                "weights for another image size or context length; name the model they belong to"
            )
    module.load_state_dict(state, strict=True)


def _weights_file(model: str, pretrained: str | None, cache_dir: str | None) -> Path | None:
    """The file the weights come from, downloaded if need be."""
    if model.startswith(LOCAL_DIR_PREFIX):
        folder = Path(model.removeprefix(LOCAL_DIR_PREFIX))
        if not (folder / CONFIG).is_file():
            raise BackboneError(f"{model!r}: {folder} holds no {CONFIG}")
        found = _find_checkpoint_in_dir(folder)
        if found is None:
            raise BackboneError(f"{model!r}: {folder} holds no weights (.safetensors, .bin or .pth)")
        return Path(found)
    try:
        if model.startswith(HF_HUB_PREFIX):
            return Path(download_pretrained_from_hf(model.removeprefix(HF_HUB_PREFIX), cache_dir=cache_dir))
        if tag := _tag(model, pretrained):
            return Path(open_clip.download_pretrained(tag, cache_dir=cache_dir))
    except Exception as error:
        raise BackboneError(
            f"the weights of {model!r} ({pretrained}) can't be had: {error}; where there is no network, "
            "put them into the cache beforehand or name a checkpoint file"
        ) from error
    return Path(pretrained) if pretrained else None


def load_tokenizer(model: str, cache_dir: str | None = None) -> Any:
    """open_clip's tokenizer of a model; a folder's own merges are found in that folder.

    Raises:
        BackboneError: it can't be had, for want of a library or a network.
    """
    options = {}
    if model.startswith(LOCAL_DIR_PREFIX):
        folder = Path(model.removeprefix(LOCAL_DIR_PREFIX))
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
        merges = config.get("tokenizer_kwargs", {}).get("bpe_path")
        if merges:
            # open_clip would look in the working directory
            options["bpe_path"] = str(folder / merges)
    try:
        return open_clip.get_tokenizer(towers.canonical(model), cache_dir=cache_dir, **options)
    except ImportError as error:
        raise BackboneError(
            f"the tokenizer of {model!r} is from Hugging Face: pip install 'crossgap[hub]' ({error})"
        ) from error
    except Exception as error:
        raise BackboneError(f"the tokenizer of {model!r} can't be had: {error}") from error
