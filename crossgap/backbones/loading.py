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
from open_clip import hf_model
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import QuickGELU
from torch import nn

from crossgap import fingerprint
from crossgap.backbones import activations, checkpoints, hub, image_only, preprocessing, slip, towers
from crossgap.backbones.backbone import Backbone, check_finite, require_unchanged, resolve_device, verified
from crossgap.backbones.declaring import declared
from crossgap.backbones.settings import own_settings
from crossgap.backbones.tokenizers import load_tokenizer
from crossgap.backbones.towers import HUB_PREFIX, LOCAL_DIR_PREFIX
from crossgap.backbones.weights_files import document_of, weights_file
from crossgap.errors import BackboneError, WeightsError

PRECISIONS = ("fp32", "bf16", "fp16")


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
            A checkpoint that doesn't tell its activation is computed as the name says: with QuickGELU if it ends in
            `-quickgelu`, else with GELU.
        pretrained: a tag, or the path of a checkpoint; None with `hf-hub:` and `local-dir:`, which bring their
            own weights, and with `timm:`, whose tag is part of the name. None with a registered name gives random
            weights and a warning: for tests only.
        device: `cpu`, `cuda`, `cuda:1`, `mps` or `auto`.
        precision: `fp32`, `bf16` or `fp16`; features are always handed out as float32.
        sha256: what the weights' file must hash to, if given.
        preprocess: for weights that don't tell their preprocessing, such as a checkpoint file: the name of a tag of the
            model, or `mean`, `std`, `interpolation` and `resize_mode`. If None, a file has the preprocessing that all
            published tags of the model share; where they differ, it must be given.
        cache_dir: where downloads are kept.

    Raises:
        BackboneError: unknown model or tag, a missing or unfit checkpoint, another hash, weights that aren't finite,
            a QuickGELU mismatch, a preprocessing that can't be told.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    for name, given in (("model", model), ("pretrained", pretrained)):
        if not isinstance(given, str | Path) and not (name == "pretrained" and given is None):
            raise BackboneError(f"{name} is a {type(given).__name__}: give a name or a path")
    model, pretrained = str(model), None if pretrained is None else str(pretrained)
    if precision not in PRECISIONS:
        raise BackboneError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if model.startswith(towers.TIMM_PREFIX):
        return image_only.load(
            model, pretrained, device, precision, sha256=sha256, preprocess=preprocess, cache_dir=cache_dir
        )
    known = declared(model, pretrained, preprocess)
    model, pretrained, tag = known.model, known.pretrained, known.tag
    shown, shown_by, activation_from = known.shown, known.shown_by, known.activation_from
    called = model if pretrained is None else f"{model} with {pretrained!r}"
    document = {}
    weights = weights_file(model, pretrained, cache_dir)
    files = _files(model, weights)
    found = verified(weights, sha256, called) if weights else None

    with own_settings(), checkpoints.loading(called):
        if model.startswith((LOCAL_DIR_PREFIX, HUB_PREFIX)):
            document = document_of(model, cache_dir)
            shown, shown_by = preprocessing.of_folder(model, document, preprocess)
        held = {}
        if weights:
            checkpoints.check_is_one(weights)
            held = {} if weights.suffix in checkpoints.NUMPY else checkpoints.read(weights)
        if not tag:
            activation_from = _activation_from(model, pretrained, document, weights, held, found)
        module = _module(
            model,
            pretrained,
            weights,
            held,
            tag=tag,
            precision=precision,
            device=resolve_device(device),
            cache_dir=cache_dir,
            force_preprocess_cfg=shown,
        )
    if weights is None:
        warnings.warn(f"{model} has random weights (pretrained=None): for tests only", stacklevel=2)
    check_finite(module, weights, called)
    require_unchanged(_files(model, weights), files, called)
    module.eval().requires_grad_(False)
    own = files if model.startswith(LOCAL_DIR_PREFIX) else {}
    processing = open_clip.get_model_preprocess_cfg(module)
    return Backbone(
        model=module,
        transform=image_transform_v2(PreprocessCfg(**processing), is_train=False),
        load_tokenizer=partial(_tokenizer, model, cache_dir, own, called),
        device=resolve_device(device),
        provenance={
            "model": model,
            "pretrained": pretrained,
            "weights_sha256": found,
            # the same weights in another configuration are another model
            "files": own,
            "configuration": fingerprint.of_json(document) if document else None,
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


def _files(model: str, weights: Path | None = None) -> dict[str, str]:
    """SHA-256 of the weights' file by name; of a folder, of its configuration and tokenizer too."""
    return towers.local_files(model, None if weights is None else str(weights))


def _tokenizer(model: str, cache_dir: str | None, files: dict[str, str], called: str) -> Any:
    """The tokenizer of the files that the model was loaded from; what was put beside them since is no matter."""
    loaded = load_tokenizer(model, cache_dir)
    held = _files(model)
    require_unchanged({name: held.get(name) for name in files}, files, called)
    return loaded


def _module(
    model: str, pretrained: str | None, weights: Path | None, held: dict, *, tag: bool, **options: Any
) -> nn.Module:
    """open_clip's model with the weights in `held`. If that is empty, open_clip reads the file or draws random ones."""
    by_open_clip = not held
    with (
        hub.asked_if_reachable() if tag or towers.asks_hub(model) else nullcontext(),
        unasked() if held else nullcontext(),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("error", message="QuickGELU mismatch")
        with checkpoints.by_library(), no_code_run(model):
            module = open_clip.create_model(
                model,
                # with a tag, open_clip sets the tag's preprocessing, even if we load the weights
                pretrained if tag or by_open_clip else None,
                load_weights=by_open_clip,
                require_pretrained=weights is not None and by_open_clip,
                pretrained_text=False,
                **options,
            )
    if held and weights is not None:
        held = slip.renamed(held) if model.startswith(slip.PREFIX) else held
        checkpoints.fill(module, checkpoints.named_as(module, held, weights), weights, resize=tag)
    return module


@contextmanager
def unasked() -> Iterator[None]:
    """Silence open_clip's warnings that a model has no weights, or several files of them, be there one by another name.

    They are loaded later, or not needed; of several, `weights_files` tells which is taken.
    """

    def other(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(("No pretrained weights loaded", "Multiple checkpoints found"))

    root = logging.getLogger()
    root.addFilter(other)
    try:
        yield
    finally:
        root.removeFilter(other)


@contextmanager
def no_code_run(model: str) -> Iterator[None]:
    """transformers neither runs code that a text tower brings, nor asks whether it may; BackboneError instead."""
    if hf_model.transformers is None:
        yield
        return
    from transformers import dynamic_module_utils

    seconds = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    # of waiting for an answer: open_clip hands on no `trust_remote_code`, which `load_tokenizer` gives for tokenizers
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise BackboneError(
            f"{model}: the text tower brings code of its own, which is not run: take one that transformers has itself"
        ) from error
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = seconds


def _activation_from(
    model: str, pretrained: str | None, document: dict, weights: Path | None, held: dict, sha256: str | None
) -> str:
    """What tells the activation of a model; BackboneError if the weights tell another one."""
    if weights is None:
        return "the model's name"
    published = activations.is_published_by_openai(sha256)
    openai = published or (bool(held) and checkpoints.is_of_openai(held, weights))
    try:
        if document:
            return activations.of_folder(model, document["model_cfg"], openai=openai, published=published)
        return activations.of_file(model, pretrained or str(weights), openai=openai)
    except WeightsError as error:
        raise BackboneError(str(error)) from error
