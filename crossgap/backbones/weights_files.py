"""The files that weights come from: in a folder, in a cache, or downloaded."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import download_pretrained_from_hf

from crossgap.backbones import checkpoints, hub, towers
from crossgap.backbones.declaring import tag_of
from crossgap.backbones.towers import CONFIG, HUB_PREFIX, LOCAL_DIR_PREFIX, WEIGHTS
from crossgap.errors import BackboneError, WeightsError, of_machine

NAMES = (  # of a folder's weights, in the order in which open_clip prefers them
    WEIGHTS,
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)


def in_folder(folder: Path) -> list[Path]:
    """The files of a `local-dir:` folder that may be its weights, in open_clip's order: it takes the first."""
    places = {name: place for place, name in enumerate(NAMES)}
    return sorted(
        towers.weights_in(folder),
        key=lambda file: (places.get(file.name, len(places)), file.suffix != ".safetensors", file),
    )


def document_of(model: str, cache_dir: str | None) -> dict[str, Any]:
    """The `open_clip_config.json` of a folder or repository."""
    if model.startswith(LOCAL_DIR_PREFIX):
        file = Path(model.removeprefix(LOCAL_DIR_PREFIX)) / CONFIG
    else:
        with checkpoints.by_library(), hub.asked_if_reachable():
            file = download_pretrained_from_hf(
                model.removeprefix(HUB_PREFIX), filename=CONFIG, cache_dir=cache_dir
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
        if not found:
            raise BackboneError(f"{model!r}: {towers.no_weights(folder)}")
        if len(found) > 1 and found[0].name not in NAMES:
            warnings.warn(
                f"{model!r}: of {', '.join(file.name for file in found)} the first is taken: keep one, or name it "
                f"{NAMES[0]}",
                stacklevel=3,
            )
        return found[0]
    tag = tag_of(model, pretrained)
    if not tag and not model.startswith(HUB_PREFIX):
        return Path(pretrained) if pretrained else None
    try:
        with hub.asked_if_reachable():
            if tag:
                return Path(open_clip.download_pretrained(tag, cache_dir=cache_dir))
            return Path(download_pretrained_from_hf(model.removeprefix(HUB_PREFIX), cache_dir=cache_dir))
    except Exception as error:
        if of_machine(error):
            raise
        raise BackboneError(
            f"the weights of {model!r} ({pretrained}) can't be had: {hub.why(error)}; where there is no "
            "network, put them into the cache beforehand or name a checkpoint file"
        ) from error
