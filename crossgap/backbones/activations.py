"""Which activation belongs to weights, GELU or QuickGELU: with the other one, features are silently wrong.

A tag tells the activation, and so do weights in OpenAI's form. For any other file the model's name tells it, or the
folder's configuration: QuickGELU where the name ends in `-quickgelu`, else GELU. timm has weights that were trained
with QuickGELU under two names: the one without `quickgelu` computes GELU, which a note of its tag tells.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import open_clip
import timm
from timm.models import get_pretrained_cfg, split_model_name_tag

from crossgap.errors import WeightsError


def of_tag(model: str, tag: str) -> str:
    """What tells the activation of a tag's weights.

    Raises:
        WeightsError: the model computes the other.
    """
    _check(model, tag, open_clip.get_pretrained_cfg(model, tag).get("quick_gelu", False))
    return f"tag {tag}"


def of_file(model: str, file: str, *, openai: bool) -> str:
    """What tells the activation of a file in a registered model. Warns where all published weights have another.

    Args:
        openai: whether the file is OpenAI's, by its hash or its form.

    Raises:
        WeightsError: a file of OpenAI's in a model that computes GELU.
    """
    if openai:
        _check(model, file, wanted=True)
        return "the weights, of OpenAI's form"
    tags = [
        open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)
    ]
    twin = f"{model}-quickgelu"
    if tags and all(tag.get("quick_gelu") for tag in tags) and twin in open_clip.list_models():
        warnings.warn(
            f"{model} with {file!r} is computed with GELU, as the model's name says, and all published weights of "
            f"{model} were trained with QuickGELU: if these are made from them, use model {twin!r}",
            stacklevel=4,
        )
    return "the model's name"


def of_folder(model: str, config: Mapping[str, Any], *, openai: bool, published: bool) -> str:
    """What tells the activation of a folder or repository.

    Args:
        config: its `model_cfg`.
        openai: whether the weights are OpenAI's, by their hash or their form.
        published: whether they are OpenAI's by their hash, which leaves no doubt.

    Raises:
        WeightsError: the weights are OpenAI's, and the configuration doesn't ask for QuickGELU.
    """
    said = config.get("quick_gelu")
    if openai and not said and (published or said is None):
        raise WeightsError(
            f"QuickGELU mismatch: the weights of {model!r} are OpenAI's, trained with QuickGELU, and its "
            f"open_clip_config.json says {'otherwise' if published and said is not None else 'nothing of it'}: "
            'add "quick_gelu": true to its model_cfg' + ("" if published else ", or false if they are not")
        )
    return "open_clip_config.json"


def of_timms_tag(name: str) -> None:
    """Check the activation of timm's weights.

    Args:
        name: `architecture.tag` as timm calls it, or the architecture, whose default tag it then stands for.

    Raises:
        WeightsError: the weights were trained with QuickGELU, and the model computes GELU.
    """
    architecture, tag = split_model_name_tag(name)
    twin = architecture.replace("_clip_", "_clip_quickgelu_")
    notes = getattr(get_pretrained_cfg(name), "notes", None) or ()
    if "quickgelu" not in architecture and "QuickGELU" in " ".join(notes) and timm.is_model(twin):
        raise WeightsError(
            f"QuickGELU mismatch: the weights of {name!r} were trained with QuickGELU, timm's {architecture} computes "
            f"GELU; use model {(f'{twin}.{tag}' if tag else twin)!r}"
        )


def is_published_by_openai(sha256: str | None) -> bool:
    """Whether a file's hash is one that OpenAI's addresses state."""
    models = open_clip.list_pretrained_models_by_tag("openai")
    addresses = (open_clip.get_pretrained_url(model, "openai") for model in models)
    return any(sha256 in address.split("/") for address in addresses)


def _check(model: str, weights: str, wanted: bool) -> None:
    uses = open_clip.get_model_config(model).get("quick_gelu", False)
    if uses == wanted:
        return
    plain = model.removesuffix("-quickgelu")
    right = f"{plain}-quickgelu" if wanted else plain
    raise WeightsError(
        f"QuickGELU mismatch: the weights {weights!r} were trained with {'QuickGELU' if wanted else 'GELU'}, "
        f"model {model!r} computes {'QuickGELU' if uses else 'GELU'}; "
        + (
            f"use model {right!r}"
            if right in open_clip.list_models()
            else f"open_clip has no model {right!r}"
        )
    )
