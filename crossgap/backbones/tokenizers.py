"""The tokenizer of a model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import open_clip
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX

from crossgap.backbones import hub, towers
from crossgap.backbones.towers import CONFIG
from crossgap.backbones.weights_files import document_of
from crossgap.errors import BackboneError, WeightsError, of_machine


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
        reason = hub.why(error) if asks else error
        raise BackboneError(
            f"the tokenizer of {model!r}{_from(model, cache_dir)} can't be had: {reason}"
        ) from error


def _from(model: str, cache_dir: str | None) -> str:
    """The repository of a model's tokenizer, if it is another's, in words."""
    try:
        config = (
            document_of(model, cache_dir)["model_cfg"]
            if model.startswith(HF_HUB_PREFIX)
            else towers.configuration(model)
        )
    except WeightsError:
        return ""
    name = ((config or {}).get("text_cfg") or {}).get("hf_tokenizer_name")
    return f", {name!r} of Hugging Face," if name and not model.startswith(LOCAL_DIR_PREFIX) else ""
