"""The files that weights come from: in a folder, in a cache, or downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX, _find_checkpoint_in_dir
from open_clip.pretrained import download_pretrained_from_hf

from crossgap.backbones import checkpoints, hub
from crossgap.backbones.naming import tag_of
from crossgap.errors import BackboneError, WeightsError, of_machine

CONFIG = "open_clip_config.json"


def in_folder(folder: Path) -> Path | None:
    """The file of weights that open_clip takes from a model's folder; None where there is none."""
    found = _find_checkpoint_in_dir(folder)
    return Path(found) if found else None


def document_of(model: str, cache_dir: str | None) -> dict[str, Any]:
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


def weights_file(model: str, pretrained: str | None, cache_dir: str | None) -> Path | None:
    """The file the weights come from, downloaded if need be."""
    if model.startswith(LOCAL_DIR_PREFIX):
        folder = Path(model.removeprefix(LOCAL_DIR_PREFIX))
        if not (folder / CONFIG).is_file():
            raise BackboneError(f"{model!r}: {folder} holds no {CONFIG}")
        found = in_folder(folder)
        if found is None:
            raise BackboneError(f"{model!r}: {folder} holds no weights (.safetensors, .bin or .pth)")
        return found
    tag = tag_of(model, pretrained)
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
