"""What the names of a model and of its weights say, before anything is downloaded or read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip

from crossgap.backbones import activations, image_only, preprocessing, towers
from crossgap.backbones.towers import HUB_PREFIX, LOCAL_DIR_PREFIX
from crossgap.errors import BackboneError, WeightsError


@dataclass(frozen=True)
class Declared:
    """What is known of weights before anything is downloaded or read.

    Attributes:
        model, pretrained: in canonical spelling.
        tag: whether `pretrained` is a tag.
        shown: the fields of open_clip's preprocessing that are overridden.
        shown_by, activation_from: what tells the preprocessing and the activation; None where only the weights'
            folder or file can tell.
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
    given, model = model, towers.canonical(model)
    if model.startswith(towers.TIMM_PREFIX):
        image_only.check_declared(model, pretrained, preprocess)
        return Declared(model, pretrained)
    if reason := towers.unloadable(model):
        raise BackboneError(reason)
    if model.startswith((LOCAL_DIR_PREFIX, HUB_PREFIX)):
        if pretrained:
            raise BackboneError(
                f"{model!r} brings its own weights, so pretrained={pretrained!r} would be ignored"
            )
        return Declared(model, None)
    check_name(given)
    check_tag(model, pretrained)
    try:
        if pretrained and tag_of(model, pretrained):
            pretrained = towers.canonical_tag(pretrained)
            shown_by = preprocessing.of_tag(pretrained, preprocess)
            return Declared(model, pretrained, True, {}, shown_by, activations.of_tag(model, pretrained))
        if pretrained is None and preprocess is None:
            return Declared(model, None, shown_by="open_clip's default, for random weights")
        return Declared(model, pretrained, False, *preprocessing.of_file(model, preprocess))
    except WeightsError as error:
        raise BackboneError(f"{model}: {error}") from error


def check_name(model: str) -> None:
    """BackboneError if open_clip doesn't know a model. Models in `configs/` are registered with it first."""
    name = towers.canonical(model)
    if (file := towers.OWN_CONFIGS / f"{name}.json").is_file() and name not in open_clip.list_models():
        open_clip.add_model_config(file)
    registered = open_clip.list_models()
    if name not in registered:
        raise BackboneError(
            f"{model!r} is none of open_clip's {len(registered)} models (open_clip.list_models()), "
            f"nor {', '.join(sorted(file.stem for file in towers.OWN_CONFIGS.glob('*.json')))}, "
            f"{LOCAL_DIR_PREFIX}, {HUB_PREFIX} or {towers.TIMM_PREFIX}"
            + (f"; it is a folder: give {LOCAL_DIR_PREFIX}{model}" if model and Path(model).is_dir() else "")
        )


def check_tag(model: str, pretrained: str | None) -> None:
    if pretrained is not None and not tag_of(model, pretrained) and not Path(pretrained).is_file():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise BackboneError(
            f"pretrained {pretrained!r} is neither a file nor a tag of {model} (its tags: {tags})"
            + (
                f"; it is a folder: give it as the model, {LOCAL_DIR_PREFIX}{pretrained}, or name the file in it"
                if pretrained and Path(pretrained).is_dir()
                else ""
            )
        )


def tag_of(model: str, pretrained: str | None) -> dict[str, Any]:
    return open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}
