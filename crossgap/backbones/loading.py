"""Load a model, refusing what would give silently wrong features."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import open_clip
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import QuickGELU
from torch import nn

from crossgap.backbones import activations, checkpoints, hub, image_only, preprocessing, slip, towers
from crossgap.backbones.backbone import Backbone, check_finite, resolve_device, verified
from crossgap.errors import BackboneError, WeightsError, of_machine

PRECISIONS = ("fp32", "bf16", "fp16")
CONFIG = "open_clip_config.json"


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
    weights = _weights_file(model, pretrained, cache_dir)
    found = verified(weights, sha256, called) if weights else None

    with checkpoints.loading(called):
        if model.startswith((LOCAL_DIR_PREFIX, HF_HUB_PREFIX)):
            document = _document(model, cache_dir)
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


@dataclass(frozen=True)
class Declared:
    """What is known of weights before anything is downloaded or read.

    Attributes:
        model, pretrained: in the one spelling that they have.
        tag: whether `pretrained` is one.
        shown: what is forced on open_clip's preprocessing.
        shown_by, activation_from: what says the preprocessing and the activation; None where the weights' folder or
            file may.
    """

    model: str
    pretrained: str | None
    tag: bool = False
    shown: dict[str, Any] = field(default_factory=dict)
    shown_by: str | None = None
    activation_from: str | None = None


def declared(model: str, pretrained: str | None = None, preprocess: preprocessing.Asked = None) -> Declared:
    """Check what can be checked of a row of params.yaml without its weights; arguments as for `load_backbone`.

    Raises:
        BackboneError: unknown model or tag, a file that isn't there, a library that is missing, a QuickGELU mismatch
            of a tag, a preprocessing that can't be told.
    """
    model = towers.canonical(model)
    if model.startswith(towers.TIMM_PREFIX):
        image_only.check_declared(model, pretrained, preprocess)
        return Declared(model, pretrained)
    if reason := towers.unloadable(model):
        raise BackboneError(reason)
    if model.startswith((LOCAL_DIR_PREFIX, HF_HUB_PREFIX)):
        if pretrained:
            raise BackboneError(
                f"{model!r} brings its own weights, so pretrained={pretrained!r} would be ignored"
            )
        return Declared(model, None)
    check_name(model)
    _check_tag(model, pretrained)
    try:
        if _tag(model, pretrained):
            pretrained = towers.canonical_tag(pretrained)
            shown_by = preprocessing.of_tag(pretrained, preprocess)
            return Declared(model, pretrained, True, {}, shown_by, activations.of_tag(model, pretrained))
        if pretrained is None and preprocess is None:
            return Declared(model, None, shown_by="open_clip's default, for random weights")
        return Declared(model, pretrained, False, *preprocessing.of_file(model, preprocess))
    except WeightsError as error:
        raise BackboneError(f"{model}: {error}") from error


def _module(
    model: str, pretrained: str | None, weights: Path | None, held: dict, *, tag: bool, **options: Any
) -> nn.Module:
    """open_clip's model with the weights held; without any, open_clip reads the file, or draws random ones."""
    by_open_clip = not held
    with (
        hub.asked_if_reachable() if tag or towers.asks_hub(model) else nullcontext(),
        unasked() if held else nullcontext(),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("error", message="QuickGELU mismatch")
        with checkpoints.by_library():
            module = open_clip.create_model(
                model,
                # a tag says the preprocessing, whoever loads the weights
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
    if pretrained is not None and not _tag(model, pretrained) and not Path(pretrained).is_file():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise BackboneError(
            f"pretrained {pretrained!r} is neither a file nor a tag of {model} (its tags: {tags})"
            + (
                f"; it is a folder: give it as the model, {LOCAL_DIR_PREFIX}{pretrained}, or name the file in it"
                if pretrained and Path(pretrained).is_dir()
                else ""
            )
        )


def _tag(model: str, pretrained: str | None) -> dict[str, Any]:
    return open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}


def _document(model: str, cache_dir: str | None) -> dict[str, Any]:
    """The `open_clip_config.json` of a folder or repository."""
    if model.startswith(LOCAL_DIR_PREFIX):
        file = Path(model.removeprefix(LOCAL_DIR_PREFIX)) / CONFIG
    else:
        with checkpoints.by_library(), hub.asked_if_reachable():
            file = download_pretrained_from_hf(
                model.removeprefix(HF_HUB_PREFIX), filename=CONFIG, cache_dir=cache_dir
            )
    with checkpoints.by_library():
        document = json.loads(Path(file).read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("model_cfg"), dict):
        raise WeightsError(f"{file} has no `model_cfg`")
    return document


def _activation_from(
    model: str, pretrained: str | None, document: dict, weights: Path | None, held: dict, sha256: str | None
) -> str:
    """What says with which activation a model is computed; BackboneError where the weights say another."""
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


def _weights_file(model: str, pretrained: str | None, cache_dir: str | None) -> Path | None:
    """The file the weights come from, downloaded if need be."""
    if model.startswith(LOCAL_DIR_PREFIX):
        folder = Path(model.removeprefix(LOCAL_DIR_PREFIX))
        if not (folder / CONFIG).is_file():
            raise BackboneError(f"{model!r}: {folder} holds no {CONFIG}")
        found = towers.weights_in(folder)
        if not found:
            raise BackboneError(f"{model!r}: {folder} holds no weights (.safetensors, .bin or .pth)")
        if len(found) > 1 and found[0].name not in towers.WEIGHTS:
            warnings.warn(
                f"{model!r}: of {', '.join(file.name for file in found)} the first is taken: keep one, or name it "
                f"{towers.WEIGHTS[0]}",
                stacklevel=3,
            )
        return found[0]
    tag = _tag(model, pretrained)
    if not tag and not model.startswith(HF_HUB_PREFIX):
        return Path(pretrained) if pretrained else None
    try:
        with hub.asked_if_reachable():
            if tag:
                return Path(open_clip.download_pretrained(tag, cache_dir=cache_dir))
            return Path(download_pretrained_from_hf(model.removeprefix(HF_HUB_PREFIX), cache_dir=cache_dir))
    except Exception as error:
        if of_machine(error):
            raise
        raise BackboneError(
            f"the weights of {model!r} ({pretrained}) can't be had: {hub.unreachable() or error}; where there is no "
            "network, put them into the cache beforehand or name a checkpoint file"
        ) from error


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
    asks = towers.asks_hub(towers.canonical(model))
    try:
        with hub.asked_if_reachable() if asks else nullcontext():
            return open_clip.get_tokenizer(towers.canonical(model), cache_dir=cache_dir, **options)
    except ImportError as error:
        raise BackboneError(
            f"the tokenizer of {model!r} is from Hugging Face: pip install 'crossgap[hub]' ({error})"
        ) from error
    except Exception as error:
        if of_machine(error):
            raise
        reason = (asks and hub.unreachable()) or error
        raise BackboneError(f"the tokenizer of {model!r} can't be had: {reason}") from error
