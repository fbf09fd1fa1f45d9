"""Load a model, refusing what would give silently wrong features."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX, _find_checkpoint_in_dir, load_state_dict
from open_clip.pretrained import _PRETRAINED, download_pretrained_from_hf
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import QuickGELU
from torch import Tensor

from crossgap.backbones import image_only, openai, slip, towers
from crossgap.backbones.backbone import Backbone, BackboneError, resolve_device, verified

PRECISIONS = ("fp32", "bf16", "fp16")


def load_backbone(
    model: str,
    pretrained: str | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    *,
    sha256: str | None = None,
    cache_dir: str | None = None,
) -> Backbone:
    """Load a model by open_clip's names, or an image-only one by timm's.

    Args:
        model: a registered name (`ViT-B-32`), `hf-hub:org/repo`, `local-dir:path` or `timm:architecture.tag`; beside
            open_clip's, `SLIP-ViT-B-16` and `SLIP-ViT-L-16`, for SLIP's checkpoints.
        pretrained: a tag, or the path of a checkpoint; None with `hf-hub:` and `local-dir:`, which bring their
            own weights, and with `timm:`, whose tag is part of the name. None with a registered name gives random
            weights and a warning: for tests only.
        device: `cpu`, `cuda`, `cuda:1`, `mps` or `auto`.
        precision: `fp32`, `bf16` or `fp16`; features are always handed out as float32.
        sha256: what the weights' file must hash to, if given.
        cache_dir: where downloads are kept.

    Raises:
        BackboneError: unknown model or tag, a missing or unfit checkpoint, another hash, a QuickGELU mismatch.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    called = model if pretrained is None else f"{model} with {pretrained!r}"
    if precision not in PRECISIONS:
        raise BackboneError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if model.startswith(towers.TIMM_PREFIX):
        return image_only.load(model, pretrained, device, precision, sha256=sha256, cache_dir=cache_dir)
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
    weights = _weights_file(model, pretrained, cache_dir)
    found = verified(weights, sha256, called) if weights else None
    if weights and weights.suffix != ".safetensors":
        _check_openai_file(model, weights, found)

    try:
        state = _foreign_state(model, weights)
        with warnings.catch_warnings(), unasked() if state else nullcontext():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            module = open_clip.create_model(
                model,
                pretrained if state is None else None,
                precision=precision,
                device=resolve_device(device),
                cache_dir=cache_dir,
                require_pretrained=weights is not None and state is None,
                force_preprocess_cfg=slip.PREPROCESSING if model.startswith(slip.PREFIX) else None,
            )
        if state is not None:
            module.load_state_dict(state, strict=True)
    except Exception as error:
        raise BackboneError(f"{called} can't be loaded: {error}") from error
    if weights and state is None and not _tag(model, pretrained):
        _check_positions(module, weights, called)
    if weights is None:
        warnings.warn(f"{model} has random weights (pretrained=None): for tests only", stacklevel=2)
    module.eval().requires_grad_(False)
    preprocessing = open_clip.get_model_preprocess_cfg(module)
    return Backbone(
        model=module,
        transform=image_transform_v2(PreprocessCfg(**preprocessing), is_train=False),
        load_tokenizer=partial(load_tokenizer, model, cache_dir),
        device=resolve_device(device),
        provenance={
            "model": model,
            "pretrained": pretrained,
            "weights_sha256": found,
            "precision": precision,
            "quick_gelu": any(isinstance(part, QuickGELU) for part in module.modules()),
            "preprocessing": json.loads(json.dumps(preprocessing)),
            "versions": {
                name: version(name) for name in ("open_clip_torch", "torch", "torchvision", "timm", "pillow")
            },
        },
    )


def check_name(model: str) -> None:
    """BackboneError where open_clip doesn't know a model; those configured beside this module are made known to it."""
    name = model.replace("/", "-")
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
    return open_clip.get_pretrained_cfg(model.replace("/", "-"), pretrained) if pretrained else {}


def _check_activation(model: str, pretrained: str, wanted: bool) -> None:
    """Error where the model's activation is not the one its weights were trained with."""
    uses = open_clip.get_model_config(model.replace("/", "-")).get("quick_gelu", False)
    if uses == wanted:
        return
    plain = model.replace("/", "-").removesuffix("-quickgelu")
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


def _check_openai_file(model: str, weights: Path, sha256: str | None) -> None:
    """A checkpoint file that is one of OpenAI's, by its published hash or by being a JIT archive of theirs."""
    published = {
        part for tags in _PRETRAINED.values() for part in tags.get("openai", {}).get("url", "").split("/")
    }
    if model in open_clip.list_models() and (sha256 in published or openai.is_archive(weights)):
        _check_activation(model, str(weights), wanted=True)


def _check_positions(module: torch.nn.Module, weights: Path, called: str) -> None:
    """Error where a checkpoint is of another image size or context: open_clip resizes what doesn't fit, silently."""
    if weights.suffix in (".npz", ".npy"):
        return
    state = load_state_dict(weights)
    for name, ours in module.named_parameters():
        theirs = state.get(name, state.get(name.removeprefix("text.")))
        if name.endswith("positional_embedding") and theirs is not None and theirs.shape != ours.shape:
            raise BackboneError(
                f"{called}: {weights} has {name} {tuple(theirs.shape)}, the model {tuple(ours.shape)}: they are "
                "weights for another image size or context length; name the model they belong to"
            )


def _foreign_state(model: str, weights: Path | None) -> dict[str, Tensor] | None:
    """The weights of a file that open_clip doesn't read by itself: SLIP's, and OpenAI's archives."""
    if weights is None or weights.suffix == ".safetensors":
        return None
    return slip.state(weights) if model.startswith(slip.PREFIX) else openai.state(weights)


def _weights_file(model: str, pretrained: str | None, cache_dir: str | None) -> Path | None:
    """The file the weights come from, downloaded if need be."""
    if model.startswith(LOCAL_DIR_PREFIX):
        folder = Path(model.removeprefix(LOCAL_DIR_PREFIX))
        if not (folder / "open_clip_config.json").is_file():
            raise BackboneError(f"{model!r}: {folder} holds no open_clip_config.json")
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
        config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
        merges = config.get("tokenizer_kwargs", {}).get("bpe_path")
        if merges:
            # open_clip would look in the working directory
            options["bpe_path"] = str(folder / merges)
    try:
        return open_clip.get_tokenizer(model, cache_dir=cache_dir, **options)
    except ImportError as error:
        raise BackboneError(
            f"the tokenizer of {model!r} is from Hugging Face: pip install 'crossgap[hub]' ({error})"
        ) from error
    except Exception as error:
        raise BackboneError(f"the tokenizer of {model!r} can't be had: {error}") from error
